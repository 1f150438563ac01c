"""Heights of the ground under a window of the grid, from a DEM in any CRS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window as RasterWindow
from rasterio.windows import from_bounds

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, open_raster
from escape_process.records import Grid
from escape_process.settings import Settings

MOST_POSTS = 64 * 1024 * 1024
"""Of a DEM under one tile: one much finer than the grid is to be averaged first."""


@dataclass(frozen=True, eq=False)
class Heights:
    """An open raster of heights in metres."""

    raster: Any
    file: str

    def on(self, grid: Grid) -> NDArray[np.float32]:
        """Return the heights at the cells of a grid, interpolated; NaN where there are none.

        Raises
        ------
        SceneError
            where the raster cannot be read to its end, or is far finer than the grid.
        """
        source = self.raster
        out = np.full(grid.shape, np.nan, dtype=np.float32)
        bounds = transform_bounds(grid.crs, source.crs, *grid.bounds, densify_pts=21)
        window = _around(from_bounds(*bounds, transform=source.transform), source.width, source.height)
        if window is None:
            return out
        if window.width * window.height > MOST_POSTS:
            raise SceneError(f"{self.file} is far finer than the scene: average it to a few metres first.")
        try:
            values = source.read(1, window=window).astype(np.float32)
        except RasterioIOError as error:
            raise SceneError(f"{self.file} cannot be read to its end: it is damaged or cut short.") from error
        nodata = source.nodatavals[0]
        invalid = ~np.isfinite(values)
        if nodata is not None:
            invalid |= values == np.float32(nodata)
        values = values * np.float32(source.scales[0]) + np.float32(source.offsets[0])
        values[invalid | (np.abs(values) > 9500)] = np.nan
        reproject(
            values,
            out,
            src_transform=source.transform @ Affine.translation(window.col_off, window.row_off),
            src_crs=source.crs,
            src_nodata=np.nan,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
            tolerance=0.0,
        )
        return out


@contextmanager
def open_heights(href: str, settings: Settings) -> Iterator[Heights]:
    """Open a raster of heights; errors as of `open_raster`, and a `SceneError` where it has no CRS."""
    with open_raster(href, settings) as raster:
        if raster.crs is None:
            raise SceneError(f"{file_name(href)} has no CRS; georeference it first.")
        yield Heights(raster, file_name(href))


def _around(window: RasterWindow, width: int, height: int) -> RasterWindow | None:
    """Return whole posts around a window, cut to the raster; None where nothing remains."""
    left, top = max(0, int(np.floor(window.col_off)) - 2), max(0, int(np.floor(window.row_off)) - 2)
    right = min(width, int(np.ceil(window.col_off + window.width)) + 2)
    bottom = min(height, int(np.ceil(window.row_off + window.height)) + 2)
    return RasterWindow(left, top, right - left, bottom - top) if right > left and bottom > top else None
