"""The documentation as it is built: without warnings, whole, and without any other host's help."""

import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from click import Command, Group

from escape_process import __all__ as public
from escape_process.cli import main
from escape_process.layers import FLAGS, LAYERS
from escape_process.physics.bare_soil import oh2004
from escape_process.physics.radiometry import ks_from_rms_height
from escape_process.process import PROCESS_ID, EscapeProcessor
from escape_process.request import RetrievalRequest
from escape_process.retrieval.calibration import MAX_SAMPLES
from escape_process.retrieval.decoder import SOIL_MOISTURE_BOUNDS, moisture_of
from escape_process.retrieval.encoder import COMPONENTS, FEATURES, HIDDEN, OUTPUTS
from escape_process.retrieval.priors import CENTRE, WIDTH

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Elements by which a browser fetches something unasked."""


class Page(HTMLParser):
    """What a page loads and links to, and the places in it that may be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag in LOADED and given.get("rel") not in ("index", "search", "next", "prev"):
            self.loaded.add(given.get(LOADED[tag]) or "")
        if tag == "a":
            self.links.add(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the documentation as `./run docs` builds it: where a warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    script = (ROOT / "run").read_text()
    (command,) = re.findall(r'"\$VENV/bin/python" (-m sphinx .*)', script)
    words = command.replace("var/docs", str(folder)).split()
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    run = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Return every page, parsed."""
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_is_there(site: Path) -> None:
    for source in (ROOT / "docs").rglob("*"):
        if source.suffix in (".md", ".ipynb"):
            assert (site / source.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


def test_every_internal_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {link}"


def test_no_page_asks_another_host(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [one for one in page.loaded if urlsplit(one).netloc], path.name
    for path in [*site.rglob("*.css"), *site.rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(?:url\(|@import|importScripts\(|fetch\()\s*["']?(?:https?:)?//""", text), path.name


def test_equations_are_mathml(site: Path) -> None:
    text = (site / "science.html").read_text(encoding="utf-8")
    assert text.count("<math ") > 30
    assert "<merror" not in text


def test_the_reference_is_complete(site: Path) -> None:
    arrays = (site / "reference" / "arrays.html").read_text(encoding="utf-8")
    for name in (*(name for name in public if name not in ("__version__", "physics")), "physics.oh2004"):
        assert f'id="escape_process.{name}"' in arrays, name
    for layer in LAYERS:
        if layer.name != "incidence_angle":
            assert f'id="escape_process.Retrieval.{layer.name}"' in arrays
    commands = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for name, command in _commands(main):
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--"):
                assert f'id="cmdoption-escape-process-{name}-{longest.strip("-")}"' in commands, (name, longest)
    process = (site / "reference" / "process.html").read_text(encoding="utf-8")
    for name, told in RetrievalRequest.describe_inputs().items():
        assert f">{name}</span>" in process
        assert told["title"] in process


def _commands(group: Group) -> list[tuple[str, Command]]:
    return sorted(group.commands.items())


def _table(page: str, *head: str) -> list[list[str]]:
    """Return the rows of the one table of a page under a head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    after = text.split(f"| {' | '.join(head)} |\n", 1)[1].split("\n\n", 1)[0]
    return [row.split(" | ") for row in _ROW.findall(after)]


def test_the_guides_flags_are_the_codes() -> None:
    rows = [[str(flag.bit), f"`{flag.name}`", flag.description] for flag in FLAGS]
    assert _table("users-guide.md", "bit", "name", "meaning") == rows


def test_the_guides_assets_are_the_codes() -> None:
    units = {
        name: unit
        for names, unit, _ in _table("users-guide.md", "asset", "unit", "what it is")
        for name in re.findall(r"`(\w+)`", names)
    }
    wanted = {layer.name: layer.unit for layer in LAYERS} | dict.fromkeys(("thumbnail", "report", "provenance"), "")
    assert units | {"flags": "1"} == wanted
    assert units["flags"] == "bits"


def test_the_guides_inputs_are_the_codes() -> None:
    described = EscapeProcessor({"name": PROCESS_ID}).metadata["inputs"]
    rows = _table("users-guide.md", "input", "meaning", "default")
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(names) == sorted(described)
    for row in rows:
        defaults = [one.strip(" `") for one in row[2].strip().split(",")] if len(row) > 2 else []
        inputs = re.findall(r"`(\w+)`", row[0])
        for place, name in enumerate(inputs):
            default = described[name]["schema"].get("default")
            if default is not None:
                assert defaults[place] == str(default).lower(), name


def test_the_priors_of_the_science_page_are_the_codes() -> None:
    low, high = SOIL_MOISTURE_BOUNDS
    medians, widths = [], []
    for _, median, width, coordinate in _table("science.md", "parameter", "median", "sd", "coordinate"):
        for one in median.split(","):
            value = float(one)
            if coordinate == f"logit between {low:.2f} and {high:.2f}":
                value = moisture_of(value)
            else:
                assert coordinate in ("linear", "logarithm")
                value = math.log(value) if coordinate == "logarithm" else value
            medians.append(value)
            widths.append(float(width))
    # the page tells levels and spreads in the order in which the code holds them
    assert medians == pytest.approx(CENTRE.tolist(), abs=1e-6)
    assert widths == pytest.approx(WIDTH.tolist())


def test_figures_of_the_science_page_are_the_codes() -> None:
    text = (ROOT / "docs" / "science.md").read_text(encoding="utf-8")
    layers = [(FEATURES, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, COMPONENTS * OUTPUTS)]
    assert f"own of {sum(rows * columns + columns for rows, columns in layers)} weights" in text
    assert f"Up to {MAX_SAMPLES} pixels" in text
    ks = ks_from_rms_height(0.01, 1.2365e9)
    low, high = (10 * math.log10(oh2004(moisture, ks, math.radians(35))[0]) for moisture in (0.295, 0.305))
    assert f"changes by {high - low:.2f} dB per 0.01 m3 m-3" in text.replace("\n ", "")
