"""Adjoining frames of one pass give one seamless result, through the whole pipeline."""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from escape_process.catalogue.sources import Declaration
from escape_process.layers import UNUSABLE
from escape_process.make_items import make_item
from escape_process.pipeline import Outcome, run
from escape_process.records import Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.simulate import MASK_CLASSES, SimulatedScene, simulate_scene, utm_grid, write_scene

TIME = dt.datetime(2024, 5, 18, 23, 0, tzinfo=dt.UTC)
ROWS, COLUMNS = 480, 256
NORTH, SOUTH = slice(0, 280), slice(200, ROWS)
"""Rows of two frames, with 80 in common."""
FACTOR = 2
"""Source pixels along an edge of a cell."""
STRIP = 10
"""Cells on each side of a place where a frame ends."""


def _cut(scene: SimulatedScene, rows: slice, gain_db: float = 0.0) -> SimulatedScene:
    """Return some rows of a scene, with another calibration."""
    grid = scene.grid.crop(Window(rows.start, 0, rows.stop - rows.start, COLUMNS))
    numbers = {
        name: np.where(dn == 0, 0, np.rint(dn * 10 ** (gain_db / 20))).astype(np.uint16)[rows]
        for name, dn in scene.dn.items()
    }
    angle, mask = scene.incidence_angle[rows], scene.mask[rows]
    return dataclasses.replace(scene, grid=grid, dn=numbers, incidence_angle=angle, mask=mask)


def _item(folder: Path, scene: SimulatedScene, time: dt.datetime) -> Mapping[str, Any]:
    write_scene(scene, folder)
    declared = Declaration(
        datetime=time,
        radiometry="sigma0",
        encoding="dn",
        calibration_factor_db=-83.0,
        looks=scene.sensor.looks,
        frequency=scene.sensor.frequency,
        platform="simulated",
        mask_classes=MASK_CLASSES,
        properties={"sat:absolute_orbit": 54321, "sat:relative_orbit": 87},
    )
    return make_item(folder, declared).item


def _run(folder: Path, *frames: tuple[SimulatedScene, int]) -> Outcome:
    """Answer a request for all of the frames, each a number of seconds after the first."""
    items = [
        _item(folder / f"frame{number}", scene, TIME + dt.timedelta(seconds=seconds))
        for number, (scene, seconds) in enumerate(frames)
    ]
    catalogue = folder / "items.json"
    catalogue.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    settings = Settings(catalogs={"here": str(catalogue)}, default_catalog="here", data_dir=folder / "data")
    return run(RetrievalRequest(bbox=[-180, -90, 180, 90], members=4, resolution=50.0), settings)


def _layers(outcome: Outcome) -> dict[str, np.ndarray]:
    (item,) = outcome.items["features"]
    layers = {}
    for name in ("soil_moisture", "soil_moisture_uncertainty", "flags"):
        with rasterio.open(item["assets"][name]["href"]) as raster:
            layers[name] = raster.read(1)
    return layers


@pytest.fixture(scope="module")
def scene() -> SimulatedScene:
    return simulate_scene(utm_grid(-5.5, 41.3, COLUMNS, ROWS), TIME, seed=7)


@pytest.fixture(scope="module")
def uncut(scene: SimulatedScene, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Return the result of the scene in one piece."""
    return _layers(_run(tmp_path_factory.mktemp("uncut"), (scene, 0)))


@pytest.mark.parametrize(
    "frames",
    [
        [(NORTH, 0.0), (SOUTH, 0.5)],
        [(slice(0, 200), 0.0), (slice(160, 340), 0.3), (slice(300, ROWS), 0.0)],
    ],
    ids=["two", "three"],
)
def test_no_seam_between_frames(
    scene: SimulatedScene, uncut: dict[str, np.ndarray], tmp_path: Path, frames: list[tuple[slice, float]]
) -> None:
    """Frames from north to south, as they follow one another in time from south to north, with calibrations in dB."""
    last = len(frames) - 1
    outcome = _run(
        tmp_path, *((_cut(scene, rows, gain), 10 * (last - number)) for number, (rows, gain) in enumerate(frames))
    )
    assert [one["id"] for one in outcome.report["scenes"]] == [f"frame{number}" for number in range(last, -1, -1)]
    assert outcome.report["refused"] == []
    (item,) = outcome.items["features"]
    assert len([link for link in item["links"] if link["rel"] == "derived_from"]) == len(frames)
    joined = _layers(outcome)
    assert joined["soil_moisture"].shape == uncut["soil_moisture"].shape
    usable = np.asarray((uncut["flags"] & UNUSABLE == 0) & (joined["flags"] & UNUSABLE == 0))
    assert usable.mean() > 0.3
    starts, stops = [rows.start for rows, _ in frames[1:]], [rows.stop for rows, _ in frames[:-1]]
    for end in (row // FACTOR for row in (*starts, *stops)):
        steps, sigma = [], 0.0
        for layers in (uncut, joined):
            north, south = slice(end - STRIP, end), slice(end, end + STRIP)
            means = [float(layers["soil_moisture"][rows][usable[rows]].mean()) for rows in (north, south)]
            steps.append(means[1] - means[0])
            both = slice(end - STRIP, end + STRIP)
            sigma = float(layers["soil_moisture_uncertainty"][both][usable[both]].mean())
        assert abs(steps[1] - steps[0]) < sigma / 10
