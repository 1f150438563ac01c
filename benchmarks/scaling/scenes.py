"""Simulated quad-pol scenes of any size on disk: a small one, mirrored again and again."""

import datetime as dt
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from escape_process.catalogue.sources import Declaration
from escape_process.make_items import make_items
from escape_process.simulate import MASK_CLASSES, Sensor, simulate_scene, utm_grid, write_scene

SCENE_ID = "simulated"
PIXEL = 25.0
"""m."""
BASE_EDGE = 1024
"""Pixels along each side of the scene that is simulated; the larger ones repeat its fields, speckle and gaps."""
WHEN = dt.datetime(2024, 5, 4, 23, 28, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Case:
    """A scene and how finely it is asked for."""

    megapixels: float
    """Million pixels of each channel."""
    native: bool
    """A cell of the result for each pixel, instead of the default: the finest with 100 looks."""

    @property
    def edge(self) -> int:
        """Pixels along each side, even so that cells of 2 x 2 pixels fill the scene."""
        return 2 * round(sqrt(self.megapixels * 1e6) / 2)

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.megapixels:g} Mpx{', native' if self.native else ''}"

    @property
    def resolution(self) -> float | None:
        """What the request asks for, m."""
        return PIXEL if self.native else None


def make_base(folder: Path) -> Path:
    """Simulate the small scene; return the folder of its rasters."""
    grid = utm_grid(-5.44, 41.26, width=BASE_EDGE, height=BASE_EDGE, pixel_size=PIXEL)
    write_scene(simulate_scene(grid, WHEN), folder)
    return folder


def make_scene(base: Path, edge: int, folder: Path) -> Path:
    """Write a scene of `edge` x `edge` pixels as tiled, compressed GeoTIFFs; return its collection.json."""
    product = folder / SCENE_ID
    product.mkdir(parents=True)
    for path in sorted(base.glob("*.tif")):
        _repeat(path, edge, product / path.name)
    sensor = Sensor()
    declared = Declaration(
        id=SCENE_ID,
        datetime=WHEN,
        radiometry="sigma0",
        encoding="dn",
        calibration_factor_db=-83.0,
        looks=sensor.looks,
        noise_floor_db=sensor.noise_floor_db,
        frequency=sensor.frequency,
        platform="simulated",
        title="Simulated scene of the benchmark",
        mask_classes=MASK_CLASSES,
        properties={"escape:simulated": True},
    )
    made = make_items([str(product)], folder / "catalogue", declared=declared)
    if made.collection is None or made.failures:
        raise SystemExit(f"the scene was not described: {made.failures}")
    return made.collection


def _repeat(source: Path, edge: int, target: Path) -> None:
    with rasterio.open(source) as small:
        values, unit, scales = small.read(1), small.units[0], small.scales
        profile = {"crs": small.crs, "transform": small.transform, "nodata": small.nodata, "dtype": values.dtype}
    period = np.pad(values, ((0, values.shape[0]), (0, values.shape[1])), mode="symmetric")
    height, width = period.shape
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    layout["predictor"] = 2 if values.dtype == np.uint16 else 1
    with rasterio.open(
        target, "w", driver="GTiff", count=1, width=edge, height=edge, num_threads="all_cpus", **layout, **profile
    ) as large:
        large.scales = scales
        if unit:
            large.set_band_unit(1, unit)
        for row in range(0, edge, height):
            for column in range(0, edge, width):
                part = period[: edge - row, : edge - column]
                large.write(part, 1, window=Window(column, row, part.shape[1], part.shape[0]))
