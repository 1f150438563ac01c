"""For each cell of a tile of the grid: where it lies in the image, and the angles of incidence."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from pyproj import Transformer

from escape_process.readers.ceos import geometry
from escape_process.readers.ceos.product import Product, Terrain, range_spacing
from escape_process.records import Grid, Window

NODE_STEP = 16
"""Cells between the nodes at which the geometry is computed; in between it is linear to a few centimetres."""
HEIGHT_STEP = 2000.0
"""m between the three heights, from 0 on, at which it is computed at each node; a parabola runs through them."""
VALID, LAYOVER, SHADOW = 1, 2, 3
"""Values of the mask; 0 is no data."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """Geometry of a tile; every array is (rows, columns), NaN where the image or the DEM says nothing."""

    line: Array
    """Fractional index of the sample that a cell's centre lies on."""
    pixel: Array
    angle: NDArray[np.float32]
    """Incidence angle in rad: local with a DEM, else on the ellipsoid."""
    renormalised: NDArray[np.float32]
    """sigma0 of the sloping ground over that of the ellipsoid; 1 without a DEM."""
    mask: NDArray[np.uint8]


class Placer:
    """Places the cells of a product's grid."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._to_degrees = Transformer.from_crs(product.grid.crs, "EPSG:4326", always_xy=True)

    def place(self, window: Window) -> Placed:
        """Place the cells of one window of the grid; errors as of `Heights.on`."""
        wide = Window(window.row - 1, window.column - 1, window.height + 2, window.width + 2)
        terrain = self._product.terrain
        placed = self._flat(wide) if terrain is None else self._on_terrain(wide, terrain)
        inner = (slice(1, -1), slice(1, -1))
        return Placed(
            placed.line[inner],
            placed.pixel[inner],
            placed.angle[inner],
            placed.renormalised[inner],
            placed.mask[inner],
        )

    def _flat(self, window: Window) -> Placed:
        """Place cells by the leader's polynomials."""
        grid = self._product.grid.crop(window)
        nodes = _Nodes(self._product.grid, window, self._to_degrees)
        leader = self._product.leader
        line, pixel = geometry.to_image(leader.polynomials, nodes.latitude, nodes.longitude)
        first_range = self._product.first_range
        if leader.incidence_polynomial is not None and first_range is not None:
            kilometres = (first_range + pixel * range_spacing(leader)) / 1000
            angle: Array = np.asarray(polyval(kilometres, leader.incidence_polynomial), dtype=np.float64)
        else:
            points = geometry.earth_fixed(leader, nodes.latitude, nodes.longitude, leader.reference_height or 0.0)
            sight = geometry.zero_doppler(self._product.orbit, points)[2]
            angle = geometry.angle_between(sight, geometry.up(nodes.latitude, nodes.longitude))
        x, y = nodes.centres()
        near = shapely.contains_xy(shapely.buffer(self._product.outline, 2 * grid.transform.a), x, y)
        dense = [np.where(near, nodes.spread(one), np.nan) for one in (line, pixel, angle)]
        return Placed(
            dense[0],
            dense[1],
            dense[2].astype(np.float32),
            np.ones(grid.shape, dtype=np.float32),
            near.astype(np.uint8),
        )

    def _on_terrain(self, window: Window, terrain: Terrain) -> Placed:
        """Place cells by range and Doppler at the heights of the DEM."""
        grid = self._product.grid.crop(window)
        nodes = _Nodes(self._product.grid, window, self._to_degrees)
        height = terrain.heights(grid)
        seen = [self._seen_from(nodes, level * HEIGHT_STEP, terrain.axes) for level in range(3)]
        offset = height / HEIGHT_STEP - 1
        names = ("line", "pixel", "range", "east", "north", "above")
        line, pixel, slant_range, east, north, above = (
            _parabola(offset, *(nodes.spread(each[name]) for each in seen)) for name in names
        )
        spacing = grid.transform.a
        south_slope, east_slope = np.gradient(height, spacing)
        normal = np.sqrt(1 + east_slope**2 + south_slope**2)
        cosine = (above - east * east_slope + north * south_slope) / normal
        local, flat = np.arccos(np.clip(cosine, -1, 1)), np.arccos(np.clip(above, -1, 1))
        # Away from the radar the slant range grows on any slope that the radar does not see folded.
        south_range, east_range = np.gradient(slant_range, spacing)
        folded = -east * east_range + north * south_range <= 0
        known = np.isfinite(local) & np.isfinite(line)
        mask = np.where(known, VALID, 0)
        mask = np.where(known & folded, LAYOVER, mask)
        mask = np.where(known & (cosine <= 0), SHADOW, mask)
        with np.errstate(invalid="ignore"):
            ratio = np.where(mask == VALID, np.sin(local) / np.sin(flat), np.nan)
        return Placed(
            np.where(known, line, np.nan),
            np.where(known, pixel, np.nan),
            np.where(mask == SHADOW, np.nan, local).astype(np.float32),
            ratio.astype(np.float32),
            mask.astype(np.uint8),
        )

    def _seen_from(self, nodes: "_Nodes", height: float, axes: geometry.Axes) -> dict[str, Array]:
        points = geometry.earth_fixed(self._product.leader, nodes.latitude, nodes.longitude, height)
        time, slant_range, sight = geometry.zero_doppler(self._product.orbit, points)
        line, pixel = axes.to_image(time, slant_range)
        unit = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
        above = geometry.up(nodes.latitude, nodes.longitude)
        east = _unit(np.gradient(points, axis=1))
        north = -_unit(np.gradient(points, axis=0))
        seen = {"line": line, "pixel": pixel, "range": slant_range}
        for name, axis in (("east", east), ("north", north), ("above", above)):
            seen[name] = np.sum(unit * axis, axis=-1)
        return seen


class _Nodes:
    """Places on a coarse lattice under a window of a grid, and the way back to its cells.

    The lattice belongs to the grid, so that a cell's place does not depend on the window it is asked in.
    """

    def __init__(self, grid: Grid, window: Window, to_degrees: Transformer) -> None:
        self._grid, self._window = grid, window
        rows, self._row_weights = _lattice(window.row, window.height)
        columns, self._column_weights = _lattice(window.column, window.width)
        x, y = self._coordinates(columns, rows)
        self.longitude, self.latitude = to_degrees.transform(x, y)

    def spread(self, values: Array) -> Array:
        """Interpolate values at the nodes to the cells."""
        return np.asarray(self._row_weights @ values @ self._column_weights.T)

    def centres(self) -> tuple[Array, Array]:
        """Return the coordinates of the cells' centres."""
        columns = np.arange(self._window.column, self._window.column + self._window.width)
        rows = np.arange(self._window.row, self._window.row + self._window.height)
        return self._coordinates(columns, rows)

    def _coordinates(self, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Array, Array]:
        transform = self._grid.transform
        x, y = np.meshgrid(transform.c + (columns + 0.5) * transform.a, transform.f + (rows + 0.5) * transform.e)
        return x, y


def _lattice(first: int, size: int) -> tuple[NDArray[np.int64], Array]:
    """Return the nodes around `size` cells, at least two, and the weights (size, nodes) of linear interpolation."""
    numbers = np.arange(first // NODE_STEP, -(-(first + size - 1) // NODE_STEP) + 1)
    nodes = NODE_STEP * (numbers if numbers.size > 1 else np.append(numbers, numbers[-1] + 1))
    distance: Array = np.abs(np.arange(first, first + size)[:, np.newaxis] - nodes) / NODE_STEP
    return nodes, np.maximum(1.0 - distance, 0.0)


def _parabola(offset: Array, below: Array, middle: Array, above: Array) -> Array:
    """Interpolate between three heights; offset in units of their step."""
    return middle + offset * (above - below) / 2 + offset**2 * (above - 2 * middle + below) / 2


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
