"""The EO application package: valid by its own rules, and what its run returns is what the server answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pystac
import pytest
import yaml
from serving import ROOT, serve
from stac_validation import validate_offline

from escape_process import __version__
from escape_process.request import RetrievalRequest

PACKAGE = ROOT / "escape.cwl"
WORKFLOW, TOOL = "escape-soil-moisture", "retrieve"
SCENE = "sim-salamanca-20240518"
INPUTS: Mapping[str, Any] = {
    "bbox": [-5.46, 41.24, -5.43, 41.27],
    "datetime": "2024-05-18T00:00:00Z/2024-05-18T23:59:59Z",
    "members": 2,
    "resolution": 60,
}
NOT_FOR_A_PACKAGE = {"catalog", "collections", "filter", "publish", "reuse", "dry_run"}
"""Inputs of the process that say where scenes are found and results listed: on a platform staging does."""
PROGRAMS = Path(sys.executable).parent


def _graph() -> dict[str, Any]:
    document = yaml.safe_load(PACKAGE.read_text(encoding="utf-8"))
    assert document["s:softwareVersion"] == __version__
    return {process["id"]: process for process in document["$graph"]}


def _cwltool(folder: Path, inputs: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the package in a folder as a platform without containers would, apart from the image's environment."""
    (folder / "inputs.json").write_text(json.dumps(inputs))
    command = [PROGRAMS / "cwltool", "--no-container", "--preserve-environment", "PYGEOAPI_CONFIG"]
    command += ["--outdir", folder / "out", f"{PACKAGE}#{WORKFLOW}", folder / "inputs.json"]
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    environment["PYGEOAPI_CONFIG"] = str(ROOT / "pygeoapi-config.yml")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a sample scene as a platform's stage-in leaves it."""
    folder = tmp_path_factory.mktemp("staged")
    shutil.copytree(ROOT / "catalog" / "samples" / SCENE, folder / SCENE)
    link = {"rel": "item", "href": f"./{SCENE}/{SCENE}.json", "type": "application/geo+json"}
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "catalog", "description": "Staged in", "links": [link]}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, staged: Path) -> Path:
    """Return the directory that the package makes of the staged scene."""
    folder = tmp_path_factory.mktemp("platform")
    inputs = {**INPUTS, "bbox": ",".join(map(str, INPUTS["bbox"]))}
    run = _cwltool(folder, {**inputs, "scenes": {"class": "Directory", "path": str(staged)}})
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["results"]["class"] == "Directory"
    return folder / "out" / "results"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the item that the server's job answers to the same request."""
    with serve(tmp_path_factory.mktemp("server")) as server:
        answer = server.execute({**INPUTS, "catalog": "sample"})
        assert answer.status_code == 200, answer.text
    (item,) = answer.json()["items"]["features"]
    return dict(item)


def test_the_package_passes_the_validator(tmp_path: Path) -> None:
    staging = {
        "inputs": {WORKFLOW: ["scenes"], TOOL: ["scenes"]},
        "outputs": {WORKFLOW: ["results"], TOOL: ["results"]},
    }
    (tmp_path / "staging.json").write_text(json.dumps(staging))
    command = [PROGRAMS / "eoap-validator", f"{PACKAGE}#{WORKFLOW}", "--profile", "eoap-package", "--format", "json"]
    command += ["--profile", "eoap-staging", "--staging", tmp_path / "staging.json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    found = json.loads(run.stdout)["findings"]
    assert {one["rule_id"] for one in found if one["status"] == "passed"} >= {
        "EOAP.REQ8.DOCKER",
        "EOAP.REQ11.VERSION",
        "EOAP.REQ12.INPUT",
        "EOAP.REQ13.INPUT",
        "EOAP.REQ14.OUTPUT",
    }
    open_questions = {one["rule_id"] for one in found if one["status"] not in ("passed", "not-applicable")}
    assert open_questions == {"EOAP.CONTAINER.HINT", "EOAP.REQ14.COVERAGE"}  # the second is answered by the run below


def test_the_package_takes_what_the_process_takes() -> None:
    wanted = set(RetrievalRequest.describe_inputs()) - NOT_FOR_A_PACKAGE | {"scenes"}
    graph = _graph()
    for process in (WORKFLOW, TOOL):
        assert set(graph[process]["inputs"]) == wanted
    assert graph[WORKFLOW]["steps"][TOOL]["in"] == {name: name for name in wanted}


def test_the_results_are_a_valid_catalogue_that_needs_nothing_else(results: Path, shared_data: Path) -> None:
    for path in results.rglob("*.json"):
        document = json.loads(path.read_text())
        if "stac_version" in document:
            assert validate_offline(document, shared_data / "stac_schemas")


def test_the_results_hold_what_they_link_to_and_nothing_else(results: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(results, tmp_path / "elsewhere")
    catalog = pystac.Catalog.from_file(str(elsewhere / "catalog.json"))
    reached = {elsewhere / "catalog.json", elsewhere / "collection.json", elsewhere / "LICENSE.txt"}
    (item,) = catalog.get_items()
    assert item.collection_id == "escape-soil-moisture"
    collection = item.get_collection()
    assert collection is not None
    assert collection.get_self_href() == str(elsewhere / "collection.json")
    assert [one.id for one in collection.get_items()] == [item.id]
    reached.add(Path(str(item.get_self_href())))
    for asset in item.assets.values():
        assert asset.href.startswith("./")
        reached.add(elsewhere / item.id / asset.href)
    for document in (catalog, collection, item):
        for link in document.links:
            if link.rel == "license":
                reached.add(Path(str(link.get_absolute_href())))
    assert {path for path in elsewhere.rglob("*") if path.is_file()} == {path.resolve() for path in reached}


def test_the_package_gives_what_the_server_answers(results: Path, served: dict[str, Any]) -> None:
    catalog = pystac.Catalog.from_file(str(results / "catalog.json"))
    (item,) = catalog.get_items()
    packaged = json.loads(Path(str(item.get_self_href())).read_text())
    assert _content(packaged) == _content(served)
    rasters = [name for name, asset in served["assets"].items() if asset["type"].startswith("image/")]
    assert len(rasters) == 13
    for name in rasters:  # COGs and picture, to the byte
        assert packaged["assets"][name]["file:checksum"] == served["assets"][name]["file:checksum"], name
    report = json.loads((results / item.id / "report.json").read_text())
    assert [scene["id"] for scene in report["scenes"]] == [SCENE]


def _content(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item less times, addresses, and what describes the files that hold these."""
    passing = {"created", "updated", "processing:datetime", "processing:facility"}
    assets = {name: {**asset, "href": None} for name, asset in item["assets"].items()}
    for name in ("report", "provenance"):
        assets[name] = {**assets[name], "file:size": None, "file:checksum": None}
    properties = {name: value for name, value in item["properties"].items() if name not in passing}
    return {**item, "links": None, "assets": assets, "properties": properties}


def test_a_wrong_request_fails_for_good_with_the_sentence(tmp_path: Path, staged: Path) -> None:
    inputs = {"scenes": {"class": "Directory", "path": str(staged)}, "bbox": "-5.46,41.24,-5.43,99"}
    run = _cwltool(tmp_path, inputs)
    assert run.returncode != 0
    assert "bbox" in run.stderr
    assert "permanentFail" in run.stderr
    assert not (tmp_path / "out" / "results").exists()
