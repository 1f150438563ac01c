"""What tells one result from another, and which item of an acquisition is opened."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest
from scenes import MakeScene, make_scene, quad, write

from escape_process.catalogue.sources import Declaration
from escape_process.errors import UpstreamError
from escape_process.make_items import make_item
from escape_process.pipeline import run
from escape_process.readers import open_scene
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.stages import fingerprint

__all__ = ["make_scene"]


def test_files_of_another_host_never_count_as_those_of_the_first(make_scene: MakeScene) -> None:
    scene = open_scene(make_scene(quad((8, 8))), Settings())

    def lying_at(address: str) -> str:
        asset = {"href": address, "file:checksum": "1220" + "0" * 64, "file:size": 1}
        return fingerprint(replace(scene, item={"id": scene.id, "assets": {"HH": asset}}))

    own = lying_at("https://data.example/one/HH.tif?signature=1")

    assert lying_at("https://data.example/two/HH.tif?signature=2") == own
    assert lying_at("https://forged.example/one/HH.tif") != own
    assert lying_at("/a/folder/HH.tif") != own


@pytest.fixture
def acquisition(tmp_path: Path) -> Path:
    """Write a catalogue of three items of one acquisition, the first the readiest; return its folder."""
    items = []
    for name, corrected in (("first", True), ("second", True), ("third", False)):
        for polarization, values in quad((64, 64)).items():
            write(tmp_path / name / f"{name}_{polarization}.tif", values)
        declared = Declaration(
            datetime=dt.datetime(2024, 5, 1, 23, tzinfo=dt.UTC),
            radiometry="sigma0",
            encoding="linear",
            incidence_angle_deg=30.0,
            frequency=1.2365e9,
            looks=20.0,
            properties={"escape:terrain_corrected": corrected},
        )
        items.append(dict(make_item(tmp_path / name, declared).item))
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return tmp_path


def _listed(folder: Path) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the scenes that would be used, those refused and why, and the notes."""
    settings = Settings(catalogs={"here": str(folder / "items.json")}, default_catalog="here", data_dir=folder / "data")
    report = run(RetrievalRequest(bbox=[-180, -90, 180, 90], dry_run=True), settings).report
    refused = {one["id"]: one["reason"] for one in report["refused"]}
    assert len(refused) == len(report["refused"])
    return [one["id"] for one in report["scenes"]], refused, report["notes"]


def test_an_item_that_cannot_be_opened_is_replaced_by_another_of_its_acquisition(acquisition: Path) -> None:
    used, refused, notes = _listed(acquisition)
    assert (used, notes) == (["first"], [])
    assert "same acquisition as first, which is used" in refused["second"]
    assert "same acquisition as first, which is terrain-corrected" in refused["third"]

    (acquisition / "first" / "first_VV.tif").unlink()
    used, refused, notes = _listed(acquisition)
    assert used == ["second"]
    assert "first_VV.tif does not exist" in refused["first"]
    assert "same acquisition as second, which is terrain-corrected" in refused["third"]
    assert notes == ["first cannot be opened: second of the same acquisition is used instead."]

    (acquisition / "second" / "second_HH.tif").write_bytes(b"no raster")
    used, refused, notes = _listed(acquisition)
    assert used == ["third"]
    assert set(refused) == {"first", "second"}
    assert notes == ["first cannot be opened: third of the same acquisition is used instead."]

    (acquisition / "third" / "third_HV.tif").unlink()
    with pytest.raises(UpstreamError, match=r"third_HV\.tif does not exist"):
        _listed(acquisition)
