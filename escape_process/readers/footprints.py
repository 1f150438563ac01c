"""Footprints of data: outlines of pixels, placed on the Earth as GeoJSON in CRS84."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from escape_process.errors import SceneError
from escape_process.records import Grid

_PIXELS_AT_A_TIME = 2**20
_MOST_AT_A_TIME = 2**24


def hull_of_rows(blocks: Iterable[tuple[int, NDArray[np.bool_]]], step: int = 1) -> BaseGeometry:
    """Return the convex hull, in pixels (column, row), of valid pixels.

    Parameters
    ----------
    blocks
        Row of the raster at which a block begins, and its validity, (rows, columns), each of whose cells stands for
        `step` x `step` pixels.
    """
    corners: list[NDArray[np.float64]] = [np.empty((0, 2))]
    for top, good in blocks:
        rows = np.flatnonzero(good.any(axis=1))
        first = good[rows].argmax(axis=1)
        last = good.shape[1] - good[rows, ::-1].argmax(axis=1)
        corners += [
            np.stack([column * step, top + (rows + edge) * step], axis=-1).astype(float)
            for column in (first, last)
            for edge in (0, 1)
        ]
    return shapely.convex_hull(shapely.MultiPoint(np.concatenate(corners)))


def outline_of(
    valid: Callable[[Window], NDArray[np.bool_]], grid: Grid, name: str, least_rows: int = 1
) -> Mapping[str, Any]:
    """Return the footprint of the valid pixels of a product that is read by window, `least_rows` at once at least.

    All of it is read once.

    Raises
    ------
    SceneError
        naming the product where no pixel is valid.
    """
    rows = max(min(least_rows, _MOST_AT_A_TIME // grid.width), _PIXELS_AT_A_TIME // grid.width, 1)

    def blocks() -> Iterator[tuple[int, NDArray[np.bool_]]]:
        for top in range(0, grid.height, rows):
            yield top, valid(Window(0, top, grid.width, min(rows, grid.height - top)))

    hull = hull_of_rows(blocks())
    if hull.is_empty:
        raise SceneError(f"{name} has no valid pixel.")
    return footprint_of(hull, grid)


def footprint_of(hull: BaseGeometry, grid: Grid) -> Mapping[str, Any]:
    """Place an outline, in pixels (column, row) of a grid, on the Earth.

    Returns
    -------
    GeoJSON in CRS84, cut at the antimeridian where it crosses it.
    """
    hull = shapely.segmentize(hull.simplify(0.7), max(grid.shape) / 8)
    to_crs84 = Transformer.from_crs(CRS.from_user_input(grid.crs), "OGC:CRS84", always_xy=True)
    a, b, c, d, e, f = tuple(grid.transform)[:6]

    def place(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = a * pixels[:, 0] + b * pixels[:, 1] + c, d * pixels[:, 0] + e * pixels[:, 1] + f
        return np.stack(to_crs84.transform(x, y), axis=-1)

    longitudes = shapely.get_coordinates(shapely.transform(hull, place))[:, 0]
    if np.ptp(longitudes) > 180:  # the hull crosses the antimeridian
        shifted = shapely.transform(hull, lambda pixels: _wrap(place(pixels)))
        east = shapely.intersection(shifted, shapely.box(0, -90, 180, 90))
        west = shapely.intersection(shifted, shapely.box(180, -90, 360, 90))
        west = shapely.transform(west, lambda points: points - [360, 0])
        shape = _tidy(shapely.MultiPolygon([east, west]))
    else:
        shape = _tidy(shapely.transform(hull, place))
    return cast(Mapping[str, Any], shapely.geometry.mapping(shape))


def _wrap(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([points[:, 0] % 360, points[:, 1]], axis=-1)


def _tidy(shape: BaseGeometry) -> BaseGeometry:
    simple = shapely.simplify(shape, 2e-6)
    rounded = shapely.transform(simple, lambda points: np.round(points, 6))
    if rounded.geom_type == "MultiPolygon":
        return shapely.MultiPolygon([orient(part) for part in rounded.geoms])
    return orient(rounded)
