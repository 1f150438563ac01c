"""Results made without a retrieval: blocks as the engine writes them, passes as the search finds them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from escape_process.layers import FLAG, LAYERS
from escape_process.records import Angle as IncidenceAngle
from escape_process.records import Band, Grid, OpenedScene, Pass, Window

GRID = Grid("EPSG:32630", Affine(50, 0, 432_000, 0, -50, 4_512_000), width=700, height=600)
"""Larger than one COG block along both axes, a multiple of none."""


def made_arrays(grid: Grid, dates: int = 1, seed: int = 0, hole: bool = True) -> dict[str, NDArray[Any]]:
    """Return each layer, (date, y, x), in the array API's units; NaN in the upper left corner where `hole`."""
    random = np.random.default_rng(seed)
    shape = (dates, *grid.shape)
    arrays: dict[str, NDArray[Any]] = {
        layer.name: random.uniform(0.02, 0.5, shape).astype(np.float32) for layer in LAYERS if layer.dtype == "float32"
    }
    arrays["rms_height"] *= 0.05
    arrays["members_used"] = random.integers(3, 10, shape, dtype=np.uint8)
    arrays["flags"] = np.where(
        random.random(shape) < 0.2, FLAG["poor_fit"].mask | FLAG["encoding_assumed"].mask, FLAG["encoding_assumed"].mask
    ).astype(np.uint16)
    if hole:
        rows, columns = np.ogrid[: grid.height, : grid.width]
        missing = np.broadcast_to(rows / grid.height + columns / grid.width < 0.3, shape)
        for name, values in arrays.items():
            values[missing] = {"members_used": 0, "flags": FLAG["no_data"].mask}.get(name, np.nan)
    return arrays


def made_tiles(folder: Path, grid: Grid, arrays: dict[str, NDArray[Any]], edge: int = 256) -> list[tuple[Window, Path]]:
    """Write arrays as blocks of at most `edge` pixels a side."""
    folder.mkdir(parents=True, exist_ok=True)
    tiles = []
    for row in range(0, grid.height, edge):
        for column in range(0, grid.width, edge):
            window = Window(row, column, min(edge, grid.height - row), min(edge, grid.width - column))
            path = folder / f"{row}_{column}.npz"
            rows, columns = slice(row, row + window.height), slice(column, column + window.width)
            np.savez(path, **{name: values[:, rows, columns] for name, values in arrays.items()})
            tiles.append((window, path))
    return tiles


def made_scene(id: str = "ALOS2014555550-140829", **properties: Any) -> OpenedScene:
    """Return an opened full-polarimetric scene whose item has some properties more."""
    moment = datetime(2024, 6, 1, 15, 30, tzinfo=UTC)
    item = {
        "type": "Feature",
        "id": id,
        "collection": "scenes",
        "properties": {
            "datetime": "2024-06-01T15:30:00Z",
            "platform": "alos-2",
            "instruments": ["palsar-2"],
            "sar:instrument_mode": "HBQ",
            "sar:observation_direction": "right",
            "sar:resolution_range": 5.1,
            "sat:orbit_state": "ascending",
            "sat:relative_orbit": 41,
            "view:off_nadir": 27.9,
            **properties,
        },
        "links": [],
        "assets": {},
    }
    bands = {one: Band(one, f"/scenes/{id}/{one}.tif") for one in ("HH", "HV", "VH", "VV")}
    return OpenedScene(
        id=id,
        item=item,
        href=f"https://example.org/scenes/{id}/{id}.json",
        datetime=moment,
        bands=bands,
        angle=IncidenceAngle("local_incidence_angle"),
        mask=None,
        geometry={"type": "Polygon", "coordinates": []},
        frequency=1.2365e9,
        looks=100.0,
        resolution_cell=None,
        pass_key="pass",
        relative_orbit=41,
        grid=GRID,
        encoding_assumed=False,
    )


def made_pass(scenes: Sequence[OpenedScene] = ()) -> Pass:
    """Return a pass of these scenes, of one where none are given."""
    return Pass("pass", tuple(scenes) or (made_scene(),))
