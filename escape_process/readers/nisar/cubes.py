"""Coarse cubes over height, y and x, and heights of a terrain model, interpolated on the pixels of a grid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import open_raster
from escape_process.readers.nisar.hdf5 import Hdf5
from escape_process.records import Grid
from escape_process.settings import Settings

LARGEST = 1e9
"""Of any coordinate, height or angle: beyond, a value is none."""

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Cube:
    """Values at nodes; axes (height, y, x)."""

    values: FloatArray
    heights: FloatArray
    """m above the ellipsoid, rising."""
    y: FloatArray
    x: FloatArray
    """Coordinates of the nodes; either way round."""

    def on(self, grid: Grid, window: RasterWindow, heights: "Heights | None" = None) -> NDArray[np.float32]:
        """Interpolate linearly at the pixel centres of a window.

        Parameters
        ----------
        heights
            Where the ground is; None: at height zero.

        Returns
        -------
        (height, width), NaN outside the nodes.
        """
        rows = window.row_off + np.arange(window.height) + 0.5
        columns = window.col_off + np.arange(window.width) + 0.5
        transform: Affine = grid.transform
        row, row_part = _between(self.y, transform.f + rows * transform.e)
        column, column_part = _between(self.x, transform.c + columns * transform.a)
        ground = np.zeros((1, 1)) if heights is None else heights.read(window)
        level, level_part = _between(self.heights, ground)
        total = np.zeros((len(rows), len(columns)))
        for up in (0, 1):
            for down in (0, 1):
                for right in (0, 1):
                    weight = (
                        (level_part if up else 1 - level_part)
                        * (row_part if down else 1 - row_part)[:, np.newaxis]
                        * (column_part if right else 1 - column_part)[np.newaxis, :]
                    )
                    corner = self.values[
                        np.minimum(level + up, len(self.heights) - 1),
                        np.minimum(row + down, len(self.y) - 1)[:, np.newaxis],
                        np.minimum(column + right, len(self.x) - 1)[np.newaxis, :],
                    ]
                    total += np.where(weight == 0, 0.0, weight * corner)  # a missing node beside an exact one is none
        return total.astype(np.float32)


def read_cube(file: Hdf5, values: str, heights: str, y: str, x: str) -> Cube | None:
    """Read a cube and its axes; None where there is none.

    Raises
    ------
    SceneError
        where axes and values do not fit.
    """
    arrays = [file.array(path) for path in (values, heights, y, x)]
    if arrays[0] is None:
        return None
    numbers = [one.astype(np.float64) for one in arrays if one is not None and one.dtype.kind in "fiu"]
    found = [np.where(np.abs(one) < LARGEST, one, np.nan) for one in numbers]
    name = values.rsplit("/", 1)[-1]
    axes = found[1:]
    fits = len(found) == 4 and all(axis.ndim == 1 and axis.size for axis in axes)
    if not fits or found[0].shape != tuple(len(axis) for axis in axes):
        raise SceneError(f"{file.name} has a cube {name} that does not fit its axes: it is damaged.")
    for axis in axes:
        steps = np.diff(axis)
        if not np.isfinite(axis).all() or not (bool((steps > 0).all()) or bool((steps < 0).all())):
            raise SceneError(f"{file.name} has a cube {name} whose axes do not rise or fall: it is damaged.")
    return Cube(found[0], *axes)


def _between(axis: FloatArray, at: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the node before each place and the part of the way to the next; NaN for places outside.

    Half a step beyond the ends still counts, so that an axis of pixel centres covers its outer pixels.
    """
    if len(axis) == 1:
        return np.zeros(at.shape, dtype=np.int64), np.zeros(at.shape)
    falling = bool(axis[0] > axis[-1])
    nodes = axis[::-1] if falling else axis
    inside = (at >= nodes[0] - (nodes[1] - nodes[0]) / 2) & (at <= nodes[-1] + (nodes[-1] - nodes[-2]) / 2)
    before = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, len(nodes) - 2)
    part = np.clip((at - nodes[before]) / (nodes[before + 1] - nodes[before]), 0.0, 1.0)
    if falling:
        before, part = len(nodes) - 2 - before, 1 - part
    return before, np.where(inside, part, np.nan)


@dataclass(frozen=True)
class Heights:
    """Heights of a terrain model on the pixels of a grid."""

    _raster: Any
    _grid: Grid

    @classmethod
    @contextmanager
    def open(cls, href: str, grid: Grid, settings: Settings) -> Iterator["Heights"]:
        """Open a terrain model, m above the ellipsoid.

        Raises
        ------
        SceneError
            where it is no georeferenced GeoTIFF.
        """
        with open_raster(href, settings) as raster:
            if raster.crs is None:
                raise SceneError("The terrain model has no reference system: georeference it first.")
            yield cls(raster, grid)

    def read(self, window: RasterWindow) -> FloatArray:
        """Return (height, width) of a window of the grid, m; NaN where the model does not reach."""
        out = np.full((int(window.height), int(window.width)), np.nan, dtype=np.float32)
        origin = self._grid.transform @ Affine.translation(window.col_off, window.row_off)
        try:
            reproject(
                rasterio.band(self._raster, 1),
                out,
                dst_transform=origin,
                dst_crs=self._grid.crs,
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
            )
        except (RasterioError, CPLE_BaseError) as error:
            raise SceneError("The terrain model cannot be read to its end, or lies nowhere: replace it.") from error
        return out
