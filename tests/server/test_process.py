"""The processor and the start of a server, without one."""

import subprocess
import sys
from pathlib import Path

import pytest

from escape_process.errors import InvalidInputError
from escape_process.jobs.serve import free_port, serve
from escape_process.process import PROCESS_ID, EscapeProcessor, load_config

ROOT = Path(__file__).parents[2]
DEFINITION = {"name": "escape_process.process.EscapeProcessor", "settings": {}}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the defaults of the configuration as they are."""
    for name in ("PYGEOAPI_CONFIG", "ESCAPE_DATA_DIR", "ESCAPE_URL", "ESCAPE_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def test_a_listing_loads_neither_torch_nor_the_pipeline() -> None:
    program = """
import sys
from escape_process.process import EscapeProcessor
EscapeProcessor({"name": "x", "settings": {}})
print([name for name in ("torch", "rasterio", "escape_process.pipeline") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metadata_is_a_copy() -> None:
    EscapeProcessor(DEFINITION).metadata["outputs"]["items"]["schema"].pop("contentMediaType")
    assert "contentMediaType" in EscapeProcessor(DEFINITION).metadata["outputs"]["items"]["schema"]


def test_the_example_is_a_valid_request() -> None:
    processor = EscapeProcessor(DEFINITION)
    assert processor.metadata["id"] == PROCESS_ID
    assert processor.check(processor.metadata["example"]["inputs"]).catalog in processor.settings.catalogs


def test_settings_stand_beside_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config, settings = load_config(ROOT / "pygeoapi-config.yml")
    assert config["server"]["admin"] is False
    assert settings.data_dir == ROOT / "var"
    assert settings.catalog_seed == ROOT / "catalog"
    assert settings.public_url is None  # without a server, results have local paths
    monkeypatch.setenv("ESCAPE_DATA_DIR", str(tmp_path))
    assert load_config(ROOT / "pygeoapi-config.yml")[1].data_dir == tmp_path


def test_in_a_server_hrefs_start_with_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "pygeoapi.yml"
    path.write_text("server:\n  url: https://example.com/escape/\n")
    monkeypatch.setenv("PYGEOAPI_CONFIG", str(path))
    settings = EscapeProcessor(DEFINITION).settings
    assert settings.public_url == "https://example.com/escape"
    assert settings.data_dir == tmp_path / "var"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "No such file"),
        ("server: [", "YAML"),
        ("- 1", "mapping"),
        ("server: {url: $" + "{NOT_SET_ANYWHERE}}", "config.yml"),
        ("resources: {a: {processor: {settings: {http_attempts: 99}}}}", "http_attempts = 99"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, text: str | None, word: str) -> None:
    path = tmp_path / "config.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInputError, match=word):
        load_config(path)


def test_a_server_says_why_it_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="No such file"):
        serve(tmp_path / "config.yml")
    (tmp_path / "config.yml").write_text("server: {}")
    with pytest.raises(InvalidInputError, match=r"server\.bind"):
        serve(tmp_path / "config.yml")
    with pytest.raises(InvalidInputError, match=r"Cannot listen on 192\.0\.2\.1"):  # an address of documentation
        serve(ROOT / "pygeoapi-config.yml", "192.0.2.1", free_port())
