"""How much each of the overlapping frames of a pass counts, so that no seam shows where one of them ends."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
import shapely.errors
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import transform_bounds
from shapely.geometry.base import BaseGeometry

from escape_process.records import Grid, OpenedScene, Window

LEAST_WEIGHT = 1e-3
"""Cells: weight of a value that lies beyond its frame's outline, which is often drawn roughly."""
COMMON_EDGE = 2.0
"""Cells: frames lie side by side in one swath, whose edge is that of both and no seam."""


def seam_weights(
    scenes: Sequence[OpenedScene], wanted: Sequence[int], grid: Grid, window: Window
) -> list[NDArray[np.float64]]:
    """Return the weights of some of the frames of a pass, by their position, in the cells of a window, (Y, X).

    It is the distance, in cells, to where the frame ends inside another one: there it falls to zero, and where the
    other ends, that one's does. It is the same in whatever window a cell is asked.
    """
    outlines = [_outline(scene, grid.crs) for scene in scenes]
    columns = np.arange(window.column, window.column + window.width) + 0.5
    rows = np.arange(window.row, window.row + window.height) + 0.5
    points = shapely.points(*(grid.transform @ tuple(np.meshgrid(columns, rows))))
    cell = abs(grid.transform.a)
    weights = []
    for outline in (outlines[position] for position in wanted):
        others = shapely.union_all([other for other in outlines if other is not outline])
        ends = outline.boundary.intersection(others.buffer(-COMMON_EDGE * cell))
        shapely.prepare(ends)
        inside = shapely.contains(outline, points)
        distance = np.ones(points.shape) if ends.is_empty else shapely.distance(ends, points) / cell
        weights.append(np.maximum(np.where(inside, distance, 0.0), LEAST_WEIGHT))
    return weights


def _outline(scene: OpenedScene, crs: str) -> BaseGeometry:
    """Return the outline of a frame's data: its footprint, cut at the edge of its raster."""
    bounds = scene.grid.bounds
    if scene.grid.crs != crs:
        bounds = transform_bounds(scene.grid.crs, crs, *bounds, densify_pts=21)
    raster = shapely.box(*bounds)
    footprint = _projected(scene.geometry, crs)
    cut = raster if footprint is None else footprint.intersection(raster)
    outline = cut if cut.area > 0 else raster
    shapely.prepare(outline)
    return outline


def _projected(geometry: Mapping[str, Any], crs: str) -> BaseGeometry | None:
    """Return a GeoJSON geometry in another CRS, or None where it has no use there."""
    try:
        shape = shapely.segmentize(shapely.force_2d(shapely.geometry.shape(geometry)), 0.05)
        into = Transformer.from_crs("OGC:CRS84", crs, always_xy=True)
        projected = shapely.make_valid(shapely.transform(shape, into.transform, interleaved=False))
    except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError):
        return None
    return projected if np.isfinite(projected.bounds).all() else None
