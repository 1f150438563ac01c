"""What the documentation shows that no library does: equations without a script, and the process's inputs.

Also how our docstrings differ from what Sphinx takes for granted: types live in signatures, and what is returned is
told in prose.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from escape_process.request import RetrievalRequest

ROOT = Path(__file__).parent.parent
_NO_TYPE = "result"


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode


def _allowed(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema of an input allows."""
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(_allowed(one) for one in schema["oneOf"]))
    said = ", ".join(json.dumps(one) for one in schema.get("enum", [])) or str(schema.get("type", "any"))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None:
        above = "above " if "exclusiveMinimum" in schema else "from "
        said += f", {above}{low:g}"
    if high is not None:
        said += f", {'below' if 'exclusiveMaximum' in schema else 'to'} {high:g}"
    return said


class ProcessInputs(SphinxDirective):
    """A definition for each input of the process, from its description."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        entries = nodes.definition_list()
        for name, told in RetrievalRequest.describe_inputs().items():
            schema = told["schema"]
            text = f"{told['title']}: {_allowed(schema)}"
            text += f". Default: {json.dumps(schema['default'])}." if "default" in schema else "."
            term = nodes.term("", "", nodes.literal(text=name))
            body = nodes.definition("", nodes.paragraph(text=told["description"]), nodes.paragraph(text=text))
            entries += nodes.definition_list_item("", term, body)
        return [entries]


class FilesOfTheRepository(SphinxPostTransform):
    """Shows the links of the README that lead to files which are no pages without a link."""

    default_priority = 8  # before MyST looks for a page

    def run(self, **options: Any) -> None:
        """Replace them."""
        for node in list(self.document.findall(pending_xref)):
            if node["reftype"] == "myst" and node["refdomain"] is None and (ROOT / node["reftarget"]).is_file():
                node.replace_self(node.children)


def _as_napoleon_reads(  # noqa: PLR0917  # as Sphinx calls it
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Turn the prose of returned values into one entry with a type, since napoleon takes the first line for that."""
    if "Returns" not in lines:
        return
    start = lines.index("Returns") + 2
    underlines = (place for place, line in enumerate(lines) if place > start and line and set(line) == {"-"})
    end = next(underlines, len(lines) + 1) - 1
    told = " ".join(line for line in lines[start:end] if line)
    lines[start:end] = [_NO_TYPE, f"    {told}", ""]


def _as_we_mean(  # noqa: PLR0917  # as Sphinx calls it
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Take away types that napoleon found in prose: that of returned values, and what precedes an attribute's colon."""
    for line in [line for line in lines if line.startswith((":rtype:", ":type: "))]:
        lines.remove(line)
        if what in ("attribute", "property"):
            lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"


def _with_examples(app: Sphinx, context: object, lines: list[str]) -> None:
    """Show the examples of a command as they are typed."""
    if "| Examples:" in lines:
        start = lines.index("| Examples:")
        lines[start:] = ["::", "", *(line.removeprefix("|") for line in lines[start + 1 :])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add all of it to Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.add_directive("process-inputs", ProcessInputs)
    app.add_post_transform(FilesOfTheRepository)
    app.connect("autodoc-process-docstring", _as_napoleon_reads, priority=400)
    app.connect("autodoc-process-docstring", _as_we_mean, priority=600)
    app.connect("sphinx-click-process-description", _with_examples)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
