"""The documents' commands: every option that they name exists, and those that need no network run."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from escape_process.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_COMMAND = re.compile(r"(?:^|`)(?:[A-Z_]+=\S+ )?escape-process ([^`\n]+)(?:`|$)", re.MULTILINE)
_SCRIPT = re.compile(r"(?:^(?:\$ )?|`)\./run ?([a-z-]*)", re.MULTILINE)
SQUARE = [[-5.46, 41.24], [-5.45, 41.24], [-5.45, 41.25], [-5.46, 41.25], [-5.46, 41.24]]
FIELD = {"type": "Feature", "id": "field", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}
CHEAPER = {
    "--bbox=-5.48": ["--datetime", "2024-05-18", "--members", "2"],
    "my-scenes/collection.json": ["--members", "2"],
}
"""What is added to a command, by a word of it, so that a test can afford it."""


def _commands() -> list[str]:
    """Return each command of the documents once."""
    found = [match.strip() for page in PAGES for match in _COMMAND.findall(page.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(found))


def _run(text: str) -> str:
    words = shlex.split(text)
    for mark, more in CHEAPER.items():
        if mark in text:
            words += more
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder, with the repository's configuration and data of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYGEOAPI_CONFIG", str(ROOT / "pygeoapi-config.yml"))
    monkeypatch.setenv("ESCAPE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "fields.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [FIELD]}))
    return tmp_path


def test_the_documents_name_commands() -> None:
    assert {text.split()[0] for text in _commands()} >= {"run", "make-item", "validate", "simulate", "serve", "worker"}


@pytest.mark.parametrize("text", _commands())
def test_a_documented_command_is_understood(text: str, elsewhere: Path) -> None:
    """Parsed with all its options by the command itself, which is not run."""
    for name in ("results", "nisar_quadpol_gcov/quad"):
        (elsewhere / name).mkdir(parents=True)
    for name in ("stations.csv", "my-estimates.csv", "field_days.csv", "ISMN_archive.zip"):
        (elsewhere / name).touch()
    name, *options = shlex.split(text)
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"there is no command {name}"
    if options:
        command.make_context(name, options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_run_is_asked_for_exists(page: Path) -> None:
    script = (ROOT / "run").read_text(encoding="utf-8")
    for name in _SCRIPT.findall(page.read_text(encoding="utf-8")):
        assert not name or re.search(rf"^  {name}\b", script, re.MULTILINE), f"./run {name}"


def test_the_commands_for_values_per_field_give_a_table(elsewhere: Path) -> None:
    (text,) = [one for one in _commands() if "--zones" in one]
    _run(text)
    header, row = (elsewhere / "fields.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["zone"] == "field"


def test_the_commands_for_ones_own_scenes_give_a_result(elsewhere: Path, shared_data: Path) -> None:
    (elsewhere / "nisar_quadpol_gcov").symlink_to(shared_data / "nisar_quadpol_gcov")
    (described,) = [one for one in _commands() if "make-item nisar_quadpol_gcov" in one]
    (retrieved,) = [one for one in _commands() if "run --catalog my-scenes" in one]
    _run(described)
    _run(retrieved)
    assert list((elsewhere / "data" / "catalog" / "escape-soil-moisture").glob("*/soil_moisture.tif"))
