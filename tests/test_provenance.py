"""PROV-JSON of results: read by the field's own library, complete, and without what is nobody's business."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_results import GRID, made_pass, made_scene
from prov.model import ProvActivity, ProvDocument, ProvEntity

from escape_process.provenance import Provenance
from escape_process.records import Band, ProductFile, Stack, Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

JOB = "8ebe085b-b000-4dde-91ff-8a5ed524e59b"
FILES = {"soil_moisture": ProductFile("soil_moisture.tif", 10, "1220" + "ab" * 32)}
CATALOG = "https://user:password@stac.example.org/v1?key=secret"
REPORT = {"calibration": {"members": 2}, "software": {"torch": "2.13.0"}}


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    """Return the provenance of a result of two scenes: one states checksums, one lies in local files."""
    stated = made_scene("stated")
    assets = {key: {"file:checksum": "1220" + "cd" * 32, "file:size": 7} for key in stated.bands}
    stated.item["assets"].update(assets)  # type: ignore[attr-defined]
    for key in stated.bands:
        href = f"https://user:password@example.org/{key}.tif?X-Amz-Signature=secret"
        stated.bands[key] = Band(key, href)  # type: ignore[index]
    silent = made_scene("silent")
    for key in silent.bands:
        path = tmp_path / f"{key}.tif"
        path.write_bytes(b"12345")
        silent.bands[key] = Band(key, str(path))  # type: ignore[index]
    one = made_pass([stated, silent])
    stack = Stack((one,), GRID, Window(0, 0, 10, 10), 1)
    settings = Settings(data_dir=tmp_path / "data", public_url="https://maps.example.org")
    provenance = Provenance(RetrievalRequest(ids=["stated"], seed=3, catalog=CATALOG), settings, JOB)
    provenance.read(stack)
    alone = provenance.of_result("one", one, stack, REPORT, FILES)
    provenance.add_result("one", one, stack, REPORT, FILES)
    provenance.add_reused("earlier")
    whole = provenance.document()
    assert alone["wasDerivedFrom"] == whole["wasDerivedFrom"]
    assert "escape:result/earlier" not in alone["entity"]
    return whole


def test_it_is_prov(told: dict[str, Any]) -> None:
    text = json.dumps(told, allow_nan=False)
    document = ProvDocument.deserialize(content=text, format="json")
    (activity,) = document.get_records(ProvActivity)
    assert activity.get_startTime() <= activity.get_endTime()
    known = {str(record.identifier) for record in document.get_records() if record.identifier is not None}
    for relation in (one for one in document.get_records() if one.is_relation()):
        for _, value in relation.formal_attributes:
            if hasattr(value, "namespace"):
                assert str(value) in known, relation
    entities = {str(one.identifier) for one in document.get_records(ProvEntity)}
    assert {"escape:result/one/soil_moisture", "escape:model", "escape:parameters"} <= entities
    assert json.loads(document.serialize(format="json"))["activity"].keys() == {f"escape:job/{JOB}"}


def test_it_names_what_was_read_and_made(told: dict[str, Any], tmp_path: Path) -> None:
    entities = told["entity"]
    assert entities["escape:scene/stated/HH"] == {
        "prov:label": "HH.tif",
        "prov:location": "https://example.org/HH.tif",
        "escape:checksum": "1220" + "cd" * 32,
        "escape:size": 7,
    }
    silent = {"prov:label": "HH.tif", "prov:location": "HH.tif", "escape:size": 5}
    assert entities["escape:scene/silent/HH"] == silent
    used = {one["prov:entity"] for one in told["used"].values()}
    assert {f"escape:scene/{id}/{key}" for id in ("stated", "silent") for key in ("HH", "HV", "VH", "VV")} <= used
    assert {"escape:parameters", "escape:result/earlier"} <= used
    derived = {(one["prov:generatedEntity"], one["prov:usedEntity"]) for one in told["wasDerivedFrom"].values()}
    assert derived == {("escape:result/one", f"escape:scene/{id}") for id in ("stated", "silent")}
    made = entities["escape:result/one/soil_moisture"]
    assert made == {"prov:label": "soil_moisture.tif", "escape:checksum": "1220" + "ab" * 32, "escape:size": 10}
    parameters = json.loads(entities["escape:parameters"]["escape:json"])
    assert (parameters["catalog"], parameters["seed"]) == ("https://stac.example.org/v1", 3)
    assert json.loads(entities["escape:model"]["escape:calibration"]) == {"members": 2}
    assert told["agent"]["escape:software/torch"]["escape:version"] == "2.13.0"
    text = json.dumps(told)
    assert str(tmp_path) not in text
    assert "password" not in text
    assert "secret" not in text
