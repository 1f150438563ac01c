"""Scenes to passes to stacks: frames of one pass become one image, dates over the same ground one stack on one grid."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS, Transformer
from rasterio.warp import transform_bounds

from escape_process.errors import InvalidInputError, SceneError
from escape_process.readers.opening import pixel_size
from escape_process.records import Grid, OpenedScene, Pass, Stack, Window
from escape_process.request import RetrievalRequest

LEAST_LOOKS = 100.0
"""Looks that the default resolution reaches."""


FARTHEST = 5.0
"""Degrees between the middles of grids in two CRSs that may be of one pass or of the same ground."""


@dataclass(frozen=True)
class _Cell:
    """The result's pixel: its CRS, its size, and how many source pixels make it where the grids nest."""

    crs: str
    edge: float
    factor: int | None


def build_stacks(scenes: Sequence[OpenedScene], request: RetrievalRequest) -> tuple[Stack, ...]:
    """Group opened scenes into stacks, each with its grid and the window asked for.

    Parameters
    ----------
    scenes
        As `open_scene` returns them.

    Returns
    -------
    Stacks in order of their first date; one whose ground the area asked does not touch is left out.

    Raises
    ------
    InvalidInputError
        where the resolution asked is finer than the pixels or coarser than the scene.
    """
    passes = _passes(scenes)
    stacks = []
    for group in _groups(passes):
        frames = [scene for one in group for scene in one.scenes]
        cell = _cell(frames[0], request)
        grid = _covering_grid(frames, cell)
        _check_resolution(cell, grid, frames[0], request)
        window = _asked_window(grid, request)
        if window is not None:
            factor = cell.factor if _nested(frames, grid) else None
            stacks.append(Stack(tuple(group), grid, window, factor))
    return tuple(stacks)


def looks_of_cells(scene: OpenedScene, pixels: ArrayLike) -> NDArray[np.float64]:
    """Return the looks of the mean of `pixels` source pixels, any shape.

    Independent cells are counted by the resolution, not by the pixel spacing; averaging HV with VH adds none, because
    they share their speckle.
    """
    width, height = pixel_size(scene.grid)
    pixel_area = width * height
    cells = np.asarray(pixels, dtype=np.float64) * pixel_area / max(scene.resolution_cell or 0.0, pixel_area)
    return np.asarray(scene.looks * np.maximum(1.0, cells))


def _passes(scenes: Iterable[OpenedScene]) -> list[Pass]:
    """Put frames of one pass together; those that lie far from each other on it are passes of their own."""
    by_key: dict[str, list[list[OpenedScene]]] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.datetime, scene.id)):
        parts = by_key.setdefault(scene.pass_key, [])
        near = [part for part in parts if any(_adjoin(frame, scene) for frame in part)]
        joined = [frame for part in near for frame in part]
        by_key[scene.pass_key] = [part for part in parts if part not in near] + [[*joined, scene]]
    passes = [Pass(key, tuple(frames)) for key, parts in by_key.items() for frames in parts]
    return sorted(passes, key=lambda one: (one.datetime, one.scenes[0].id))


def _adjoin(one: OpenedScene, other: OpenedScene) -> bool:
    """Tell whether two frames overlap, touch or have room for less than one other between them."""
    crs = one.grid.crs
    if crs != other.grid.crs and not _near(one.grid, other.grid):
        return False
    first, second = (shapely.box(*_bounds_in(frame.grid, crs)) for frame in (one, other))
    west, south, east, north = first.bounds
    return bool(first.distance(second) < max(east - west, north - south))


def _near(one: Grid, other: Grid) -> bool:
    """Tell whether two grids lie within some degrees, so that one has a place in the other's CRS."""
    (west, south), (east, north) = (_centre(grid) for grid in (one, other))
    turn = (east - west + 180.0) % 360.0 - 180.0
    return abs(north - south) < FARTHEST and abs(turn) * math.cos(math.radians((south + north) / 2)) < FARTHEST


def _centre(grid: Grid) -> tuple[float, float]:
    """Return longitude and latitude of the middle of a grid."""
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    longitude, latitude = Transformer.from_crs(grid.crs, "OGC:CRS84", always_xy=True).transform(x, y)
    return float(longitude), float(latitude)


def _groups(passes: Sequence[Pass]) -> list[list[Pass]]:
    """Put passes that share at least half of the smaller footprint together."""
    groups: list[list[Pass]] = []
    for one in passes:
        for group in groups:
            if _same_ground(group[0], one):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _footprint(one: Pass, crs: str) -> shapely.Polygon:
    return shapely.union_all([shapely.box(*_bounds_in(scene.grid, crs)) for scene in one.scenes])


def _bounds_in(grid: Grid, crs: str) -> tuple[float, float, float, float]:
    """Return (left, bottom, right, top) of a grid in another CRS: frames of one pass may lie in two UTM zones."""
    if grid.crs == crs:
        return grid.bounds
    left, bottom, right, top = transform_bounds(grid.crs, crs, *grid.bounds, densify_pts=51)
    return (left, bottom, right, top)


def _same_ground(one: Pass, other: Pass) -> bool:
    grids = (one.scenes[0].grid, other.scenes[0].grid)
    if grids[0].crs != grids[1].crs and not _near(*grids):
        return False
    first, second = (_footprint(each, grids[0].crs) for each in (one, other))
    return bool(first.intersection(second).area >= 0.5 * min(first.area, second.area))


def _cell(scene: OpenedScene, request: RetrievalRequest) -> _Cell:
    """Choose the result's pixel: as asked, or the finest multiple of the scene's pixel with enough looks."""
    grid = scene.grid
    native = CRS.from_user_input(grid.crs)
    width, height = pixel_size(grid)
    metric = not native.is_geographic
    crs = str(request.crs or (grid.crs if metric else _utm(grid)))
    edge = request.resolution
    if edge is None:
        factor = 1
        while looks_of_cells(scene, factor * factor) < LEAST_LOOKS:
            factor += 1
        edge = factor * max(width, height)
    if request.resolution is not None and edge < min(width, height) * (1 - 1e-6):
        raise InvalidInputError(
            f"Input resolution = {edge:g}: finer than the pixels of {scene.id}, which are {width:g} x {height:g} m."
        )
    square = math.isclose(width, height, rel_tol=1e-6)
    multiple = edge / width
    nests = crs == grid.crs and metric and square and math.isclose(multiple, round(multiple), rel_tol=1e-6)
    unit = CRS.from_user_input(crs).axis_info[0].unit_conversion_factor
    return _Cell(crs, edge / unit, round(multiple) if nests else None)


def _utm(grid: Grid) -> str:
    left, bottom, right, top = transform_bounds(grid.crs, "EPSG:4326", *grid.bounds)
    zone = int(((left + right) / 2 + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if bottom + top >= 0 else 32700) + zone}"


def _covering_grid(scenes: Sequence[OpenedScene], cell: _Cell) -> Grid:
    """Return the grid over all scenes.

    It is anchored to the first scene's origin where the grids nest, else to whole multiples of the cell, so that it
    does not depend on the area asked.
    """
    bounds = [_bounds_in(scene.grid, cell.crs) for scene in scenes]
    anchor = (0.0, 0.0) if cell.factor is None else (bounds[0][0], bounds[0][3])
    left = anchor[0] + math.floor((min(b[0] for b in bounds) - anchor[0]) / cell.edge + 1e-6) * cell.edge
    top = anchor[1] + math.ceil((max(b[3] for b in bounds) - anchor[1]) / cell.edge - 1e-6) * cell.edge
    width = math.ceil((max(b[2] for b in bounds) - left) / cell.edge - 1e-6)
    height = math.ceil((top - min(b[1] for b in bounds)) / cell.edge - 1e-6)
    return Grid(cell.crs, Affine(cell.edge, 0.0, left, 0.0, -cell.edge, top), max(1, width), max(1, height))


def _nested(scenes: Sequence[OpenedScene], grid: Grid) -> bool:
    """Tell whether each scene's pixels nest in the grid's cells: same CRS, whole-pixel offsets, same pixel."""
    first = scenes[0].grid.transform
    for scene in scenes:
        one = scene.grid.transform
        offsets = ((one.c - grid.transform.c) / one.a, (one.f - grid.transform.f) / one.e)
        if scene.grid.crs != grid.crs or not math.isclose(one.a, first.a, rel_tol=1e-9):
            return False
        if any(abs(offset - round(offset)) > 0.01 for offset in offsets):
            return False
    return True


def _check_resolution(cell: _Cell, grid: Grid, scene: OpenedScene, request: RetrievalRequest) -> None:
    width, height = pixel_size(scene.grid)
    extent = min(width * scene.grid.width, height * scene.grid.height)
    unit = CRS.from_user_input(cell.crs).axis_info[0].unit_conversion_factor
    if cell.edge * unit <= extent:
        return
    if request.resolution is not None:
        raise InvalidInputError(
            f"Input resolution = {request.resolution:g}: coarser than {scene.id}, which is {extent:g} m across."
        )
    raise SceneError(
        f"{scene.id} is too small for a result: {grid.width} x {grid.height} cells of {cell.edge * unit:g} m, which"
        f" {LEAST_LOOKS:g} looks need; give a resolution."
    )


def _asked_window(grid: Grid, request: RetrievalRequest) -> Window | None:
    """Return the part of the grid that covers the area asked for, or None where they do not meet."""
    area = request.area
    if area is None:
        return Window(0, 0, grid.height, grid.width)
    into_grid = Transformer.from_crs("OGC:CRS84", grid.crs, always_xy=True)
    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", *grid.bounds, densify_pts=51)
    if west > east:  # the grid crosses the antimeridian, so that no longitude can be ruled out here
        west, east = -180.0, 180.0
    # Only the part of the area near the grid: a projection is not to be trusted far from its zone.
    near = area.intersection(shapely.box(west - 0.5, south - 0.5, east + 0.5, north + 0.5))
    if near.is_empty:
        return None
    dense = shapely.segmentize(near, 0.05)
    projected = shapely.transform(dense, into_grid.transform, interleaved=False)
    meeting = projected.intersection(shapely.box(*grid.bounds))
    if meeting.is_empty or meeting.area == 0:
        return None
    left, bottom, right, top = meeting.bounds
    inverse = ~grid.transform
    first_column, first_row = inverse @ (left, top)
    last_column, last_row = inverse @ (right, bottom)
    row, column = max(0, math.floor(first_row + 1e-6)), max(0, math.floor(first_column + 1e-6))
    stop_row = min(grid.height, math.ceil(last_row - 1e-6))
    stop_column = min(grid.width, math.ceil(last_column - 1e-6))
    if stop_row <= row or stop_column <= column:
        return None
    return Window(row, column, stop_row - row, stop_column - column)
