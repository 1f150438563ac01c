"""What tells one result from another, which item of an acquisition is opened, and what travels to a block's worker."""

import datetime as dt
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scenes import MakeScene, make_scene, quad, write

from escape_process.catalogue.sources import Declaration
from escape_process.errors import UpstreamError
from escape_process.make_items import make_item
from escape_process.pipeline import run
from escape_process.readers import build_stacks, open_scene
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.stages import RetrieveBlock, fingerprint, pixels_of

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


def test_a_block_travels_as_a_reference_with_no_secret_that_its_reader_needs_not(make_scene: MakeScene) -> None:
    settings = Settings.load(
        {
            "auth": {"token": "operators-own-token"},
            "stac_api": {"url": "https://stac.example.org", "token": "writers-token-1234"},
            "hosts": {"scenes.example.org": {"headers": {"Authorization": "Bearer readers-token"}}},
        },
        Path(),
    )
    request = RetrievalRequest.from_inputs({"ids": ["one"]})
    scenes = [open_scene(make_scene(quad((512, 512))), settings)]
    (stack,) = build_stacks(scenes, request)
    content = pickle.dumps(RetrieveBlock(stack, None, request, settings.for_workers()))
    assert len(content) < 10_000  # half a million pixels
    assert b"operators-own-token" not in content
    assert b"writers-token-1234" not in content
    assert b"readers-token" in content
    task = pickle.loads(content)
    assert task.settings.access_to("https", "scenes.example.org", None) == settings.hosts["scenes.example.org"]
    with task.reading() as read:
        observed = read(stack.window)
    layers = task.compute(stack.window, replace(observed, sigma0=observed.sigma0 * np.nan))
    assert pixels_of(layers) == 0
