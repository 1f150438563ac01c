from typing import Any

import numpy as np
import pytest
import rasterio.warp
import shapely
import shapely.geometry
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from escape_process.product.footprint import Footprint
from escape_process.records import Grid, Window

GRID = Grid("EPSG:32630", Affine(50, 0, 432_000, 0, -50, 4_512_000), width=40, height=30)


def footprint_of(grid: Grid, valid: np.ndarray) -> Any:
    footprint = Footprint(grid)
    half = grid.width // 2
    footprint.add(Window(0, 0, grid.height, half), valid[:, :half])
    footprint.add(Window(0, half, grid.height, grid.width - half), valid[:, half:])
    return shapely.geometry.shape(footprint.geometry())


def test_a_full_grid_has_the_bounds_of_its_file() -> None:
    bounds = rasterio.warp.transform_bounds(GRID.crs, "OGC:CRS84", *GRID.bounds)
    assert footprint_of(GRID, np.ones(GRID.shape, bool)).bounds == pytest.approx(bounds, abs=2e-6)


def test_without_a_valid_pixel_it_is_the_grid() -> None:
    whole = footprint_of(GRID, np.ones(GRID.shape, bool))
    assert footprint_of(GRID, np.zeros(GRID.shape, bool)).equals(whole)


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 39)), min_size=1, max_size=12))
def test_it_holds_every_valid_pixel_and_touches_the_outermost(pixels: list[tuple[int, int]]) -> None:
    valid = np.zeros(GRID.shape, bool)
    for row, column in pixels:
        valid[row, column] = True
    shape = footprint_of(GRID, valid)
    to_crs84 = Transformer.from_crs(GRID.crs, "OGC:CRS84", always_xy=True)
    corners = [(column + i, row + j) for row, column in pixels for i in (0, 1) for j in (0, 1)]
    points = shapely.MultiPoint([to_crs84.transform(*(GRID.transform @ corner)) for corner in corners])
    assert shape.is_valid
    assert shape.exterior.is_ccw
    assert shape.buffer(3e-6).covers(points)
    assert shape.bounds == pytest.approx(points.bounds, abs=2e-5)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32601", Affine(1000, 0, 245_000, 0, -1000, 5_000_000)),
        ("EPSG:4326", Affine(0.1, 0, 178, 0, -0.1, 10)),
        ("EPSG:4326", Affine(0.1, 0, -182, 0, -0.1, 10)),
    ],
)
def test_across_the_antimeridian_it_is_cut_there(crs: str, transform: Affine) -> None:
    grid = Grid(crs, transform, width=40, height=30)
    shape = footprint_of(grid, np.ones(grid.shape, bool))
    assert shape.geom_type == "MultiPolygon"
    west, east = sorted(shape.geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180.0
    assert east.bounds[2] == 180.0
    assert west.bounds[2] < -170
    assert east.bounds[0] > 170
