"""The catalogue that a server publishes, held against the specifications of STAC and STAC API."""

import json
import subprocess
import sys
from pathlib import Path

import pystac
import pytest
from pystac.validation import RegisteredValidator
from serving import PROCESS, Server
from stac_validation import OfflineValidator

VALIDATOR = Path(__file__).parents[1] / "publishing" / "offline_validator.py"


def test_the_served_tree_is_valid(
    server: Server, items: list[pystac.Item], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RegisteredValidator, "_validator", OfflineValidator(shared_data / "stac_schemas"))
    root = pystac.Catalog.from_file(f"{server.url}/catalog/catalog.json")
    assert root.validate_all() > len(items)
    results = root.get_child(PROCESS)
    assert results is not None
    assert {item.id for item in results.get_items()} == {item.id for item in items}


def test_the_stac_api_has_no_error(server: Server, items: list[pystac.Item], shared_data: Path) -> None:
    command = [sys.executable, str(VALIDATOR), str(shared_data / "stac_schemas"), "--collection", PROCESS]
    command += ["--root-url", f"{server.url}/stac-api", "--geometry", json.dumps(items[0].geometry)]
    command += ["--no-validate-pagination"]
    for conformance in ("core", "item-search", "collections", "features"):
        command += ["--conformance", conformance]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Errors: none" in done.stdout, done.stdout
