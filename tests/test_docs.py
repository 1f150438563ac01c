"""The documents' commands and code run as they stand; those that cannot say why (`documented.py`)."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml
from documented import PAGES, ROOT, SHELL, Block, blocks
from pygeoapi.process.manager.base import get_manager
from serving import SAMPLE_INPUTS, Server, serve

from escape_process.cli import main
from escape_process.jobs.manager import JobManager
from escape_process.process import load_config
from escape_process.request import RetrievalRequest

_COMMAND = re.compile(r"(?:^(?:\$ )?|`)(?:[A-Z_]+=\S+ )?escape-process ([^`\n]+)(?:`|$)", re.MULTILINE)
_SCRIPT = re.compile(r"(?:^(?:\$ )?|`)\./run ?([a-z-]*)", re.MULTILINE)
_EXTRA = re.compile(r"escape-process\[([\w,]+)\]")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
SQUARE = [[-5.46, 41.24], [-5.45, 41.24], [-5.45, 41.25], [-5.46, 41.25], [-5.46, 41.24]]
FIELD = {"type": "Feature", "id": "field", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}

SUBSTITUTIONS = {
    "./run demo": "escape-process demo",  # what it runs, in the environment at hand
    '"catalog": "sample",': '"catalog": "sample", "members": 2,',
    "looks=100.0)": "looks=100.0, members=1)",
    "--zones @": "--datetime 2024-05-18 --members 2 --zones @",
    "--incidence-angle-deg 40": "--incidence-angle-deg 40 --members 2",
    "--scenes staged": "--scenes staged --members 2",
    "--stac-out results-alone": "--stac-out results-alone --members 2",
    "escape-process worker": "timeout --preserve-status --signal TERM 15 escape-process worker",
}
"""What a test changes in a command to afford it, besides the server's address."""
NOT_HERE = {
    "docker": "tests/container builds and runs the image by other means",
    "kubectl": "tests/container holds the manifests against Kubernetes' schemas",
}
"""Programs whose blocks are not run, and why."""
BEFORE = {
    "README.md": """
import numpy as np
incidence_angle = np.radians(35.0)
import escape_process.physics
hh, hv, vv = escape_process.physics.oh2004(np.linspace(0.1, 0.3, 20), 0.4, incidence_angle)
""",
    "validation.md": """
from types import SimpleNamespace
import numpy as np
field, date = ["a", "b"], ["2024-05-18", "2024-05-18"]
names = ("soil_moisture", "soil_moisture_uncertainty", "soil_moisture_p05", "soil_moisture_p95", "flags")
result = SimpleNamespace(**dict.fromkeys(names, np.array([0.1, 0.2])))
""",
}
BEFORE["users-guide.md"] = BEFORE["README.md"] + "incidence_deg = 35.0\n"
"""What the Python of a page takes for given."""


def _commands() -> list[str]:
    """Return each command of the documents once."""
    found = [match.strip() for page in PAGES for match in _COMMAND.findall(page.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(found))


def _shell(page: Path) -> list[Block]:
    """Return the blocks of commands that are run here."""
    shown = [block for block in blocks(page) if block.language in SHELL]
    wanted = [block for block in shown if block.reason is None and block.runner is None]
    return [block for block in wanted if not set(NOT_HERE) & set(re.findall(r"^\w+", block.text, re.MULTILINE))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve what the documents take for given: the sample catalogue, and a result."""
    with serve(tmp_path_factory.mktemp("server")) as running:
        answer = running.execute({**SAMPLE_INPUTS, "bbox": [-5.46, 41.24, -5.44, 41.26], "members": 2})
        assert answer.status_code == 200, answer.text
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working folder with what lies in a checkout and what a reader brings."""
    for name in ("catalog", "escape.cwl", "pygeoapi-config.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "fields.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [FIELD]}))
    return tmp_path


def _environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "ESCAPE_DATA_DIR": str(folder / "data"), "no_proxy": "*", "COLUMNS": "120"}


def _there(name: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, str] | None:
    """Return the environment with what a block needs; None where that is not there."""
    ways: Mapping[str, Callable[[], dict[str, str]]] = {
        "nisar_quadpol_gcov": lambda: _real_data("nisar_quadpol_gcov", folder, request),
        "postgresql": lambda: _postgresql(request),
    }
    try:
        return ways[name]()
    except pytest.skip.Exception:
        return None


def _real_data(name: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    (folder / name).symlink_to(request.getfixturevalue("shared_data") / name)
    return {}


def _postgresql(request: pytest.FixtureRequest) -> dict[str, str]:
    from postgresql_server import programs  # noqa: PLC0415

    url = urlsplit(request.getfixturevalue("postgresql"))
    path = f"{programs()}:{os.environ['PATH']}"
    return {"PGUSER": str(url.username), "PGHOST": str(url.hostname), "PGPORT": str(url.port), "PATH": path}


def _as_typed(text: str, server: Server | None) -> str:
    for said, done in SUBSTITUTIONS.items():
        text = text.replace(said, done)
    return text if server is None else text.replace("http://localhost:5000", server.url)


def _shape(line: str) -> str:
    """Return a line without what differs from machine to machine: figures, and a path's folders."""
    return re.sub(r"\s+", " ", re.sub(r"[+-]?\d+", "#", re.sub(r"\S*/catalog/", "catalog/", line))).strip()


@pytest.mark.parametrize("page", [page for page in PAGES if _shell(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text(encoding="utf-8")
    server = request.getfixturevalue("server") if "http://localhost:5000" in text else None
    left_out = []
    for block in _shell(page):
        more = {} if block.needs is None else _there(block.needs, folder, request)
        if more is None:
            left_out.append(f"line {block.line} ({block.needs})")
            continue
        command = _as_typed(block.commands(), server)
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env=_environment(folder) | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{page.name}, line {block.line}\n{command}\n{run.stdout}\n{run.stderr}"
        printed = [_shape(line) for line in run.stdout.splitlines()]
        missing = [line for line in block.output() if _shape(line) not in printed]
        assert not missing, f"{page.name}, line {block.line} shows what is not printed\n{missing}\n{run.stdout}"
    if left_out:
        pytest.skip(f"all but {', '.join(left_out)} ran")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(one.language == "python" for one in blocks(page))],
    ids=lambda page: page.name,
)
def test_the_python_of_a_page_runs(page: Path, folder: Path, server: Server) -> None:
    code = "\n".join(block.text for block in blocks(page) if block.language == "python" and block.reason is None)
    program = BEFORE.get(page.name, "") + _as_typed(code, server)
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "block",
    [one for page in PAGES for one in blocks(page) if one.language in ("yaml", "json") and one.reason is None],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_what_the_documents_configure_and_ask_is_understood(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block.runner is not None:
        return
    if block.language == "json":
        RetrievalRequest.from_inputs(json.loads(block.text)["inputs"])
        return
    for name in _VARIABLE.findall(block.text):
        monkeypatch.setenv(name, "name=0123456789abcdef")
    monkeypatch.setenv("QUEUE_PASSWORD", "0123456789abcdef")
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    fragment = yaml.safe_load(block.text)
    settings = config["resources"]["escape-soil-moisture"]["processor"]["settings"]
    _merge(config if "server" in fragment else settings, fragment)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    document, understood = load_config(tmp_path / "config.yml")
    assert understood.model_fields_set >= set(fragment) - {"server"}
    if "server" in fragment:
        assert isinstance(get_manager(document), JobManager)


def _merge(target: dict[str, Any], fragment: Mapping[str, Any]) -> None:
    for key, value in fragment.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def test_whatever_is_not_run_says_why() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = blocks(page)
        assert text.count("<!-- not run") + text.count("<!-- run ") == sum(bool(one.note) for one in found), page.name
        for block in found:
            where = f"{block.page}, line {block.line}"
            if block.reason is not None:
                assert len(block.reason.split()) >= 3, where
            if block.note.startswith("run by"):
                assert block.runner is not None, where
                assert page.name in block.runner.read_text(encoding="utf-8"), f"{where}: it does not read the page"


def test_the_documents_name_commands() -> None:
    assert {text.split()[0] for text in _commands()} >= {"run", "make-item", "validate", "simulate", "serve", "worker"}


@pytest.mark.parametrize("text", _commands())
def test_a_documented_command_is_understood(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed with all its options by the command itself, which is not run."""
    monkeypatch.chdir(folder)
    for name in ("results", "nisar_quadpol_gcov/quad"):
        (folder / name).mkdir(parents=True)
    for name in ("stations.csv", "my-estimates.csv", "field_days.csv", "ISMN_archive.zip"):
        (folder / name).touch()
    name, *options = shlex.split(text)
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"there is no command {name}"
    if options:
        command.make_context(name, options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_run_is_asked_for_and_installed_exists(page: Path) -> None:
    script = (ROOT / "run").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    for name in _SCRIPT.findall(text):
        assert not name or re.search(rf"^  {name}\b", script, re.MULTILINE), f"./run {name}"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    for extras in _EXTRA.findall(text):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
