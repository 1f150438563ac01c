"""Outline of the valid pixels, in longitude and latitude."""

import json
from typing import Any

import numpy as np
import shapely
import shapely.affinity
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from escape_process.records import Grid, Window

_TOLERANCE_DEG = 1e-6
"""About 0.1 m: drops the vertices that lie on straight lines."""
_EDGE_PARTS = 20
"""Vertices put on an edge before it is projected, because a grid's straight edge is a curve in longitude, latitude."""


class Footprint:
    """Convex hull of the valid pixels, from tiles that arrive one by one."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._corners: list[tuple[float, float]] = []

    def add(self, window: Window, valid: NDArray[np.bool_]) -> None:
        """Take in the valid pixels, (y, x), of one tile."""
        rows = np.flatnonzero(valid.any(axis=1))
        if rows.size == 0:
            return
        inside = valid[rows]
        first = inside.argmax(axis=1) + window.column
        last = window.width - inside[:, ::-1].argmax(axis=1) + window.column
        top = rows + window.row
        corners = np.concatenate(
            [np.column_stack(pair) for pair in ((first, top), (first, top + 1), (last, top), (last, top + 1))]
        )
        hull = shapely.MultiPoint(corners).convex_hull
        self._corners.extend(hull.exterior.coords[:-1])

    def geometry(self) -> dict[str, Any]:
        """Return the footprint as GeoJSON in CRS84; the whole grid's where no pixel is valid."""
        height, width = self._grid.shape
        hull = shapely.MultiPoint(self._corners).convex_hull if self._corners else shapely.box(0, 0, width, height)
        hull = shapely.segmentize(hull, max(max(height, width) / _EDGE_PARTS, 1.0))
        return to_crs84(hull, self._grid.crs, self._grid.transform)


def to_crs84(pixels: BaseGeometry, crs: str, transform: Affine) -> dict[str, Any]:
    """Project a polygon given in pixels to GeoJSON in CRS84, cut at the antimeridian where it crosses it."""
    columns, rows = np.asarray(pixels.exterior.coords).T
    x, y = transform @ (columns, rows)
    longitude, latitude = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(x, y)
    longitude = np.unwrap(longitude, period=360.0)
    longitude -= 360.0 * np.floor((longitude.min() + 180.0) / 360.0)
    ring = np.round(np.column_stack([longitude, latitude]), 7)
    polygon = shapely.Polygon(ring).simplify(_TOLERANCE_DEG)
    if polygon.bounds[2] <= 180.0:
        return _geojson(shapely.geometry.polygon.orient(polygon))
    west_of_line = polygon.intersection(shapely.box(-180.0, -90.0, 180.0, 90.0))
    beyond_line = shapely.affinity.translate(polygon.intersection(shapely.box(180.0, -90.0, 540.0, 90.0)), -360.0)
    parts = [shapely.geometry.polygon.orient(part) for part in (west_of_line, beyond_line)]
    return _geojson(shapely.MultiPolygon(parts))


def _geojson(shape: BaseGeometry) -> dict[str, Any]:
    geojson: dict[str, Any] = json.loads(shapely.to_geojson(shape))
    return geojson
