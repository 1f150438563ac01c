"""How the documentation is built: `./run docs`. Pages ask no other host for anything."""

import sys
from pathlib import Path

import escape_process

sys.path.insert(0, str(Path(__file__).parent))

project = "ESCAPE"
author = "The ESCAPE developers"
version = release = escape_process.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_escape",
]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"ESCAPE {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
smartquotes = False  # a double hyphen is an option's
nb_execution_mode = "off"  # a test runs the notebook
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
