"""Outlines of what is valid, from pixels to the ground."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from escape_process.errors import SceneError
from escape_process.readers import computed
from escape_process.readers.footprints import footprint_of, hull_of_rows
from escape_process.readers.geotiff import files
from escape_process.readers.geotiff.files import find_rasters, outline
from escape_process.records import Grid
from escape_process.settings import Settings

UTM = "EPSG:32630"


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_hull_holds_every_valid_pixel_and_no_more_than_their_hull(
    height: int, width: int, seed: int, rows: int
) -> None:
    valid = np.random.Generator(np.random.PCG64(seed)).random((height, width)) < 0.2
    hull = hull_of_rows((top, valid[top : top + rows]) for top in range(0, height, rows))
    pixels = [shapely.box(column, row, column + 1, row + 1) for row, column in zip(*np.nonzero(valid), strict=True)]
    assert hull.symmetric_difference(shapely.convex_hull(shapely.MultiPolygon(pixels))).area < 1e-9


def test_a_pixel_of_a_metre_is_where_it_should_be() -> None:
    """500 km east in any UTM zone is its central meridian: 3 degrees west in zone 30."""
    grid = Grid(UTM, Affine(1000, 0, 499_500, 0, -1000, 4_000_500), 1, 1)
    shape = shapely.geometry.shape(footprint_of(shapely.box(0, 0, 1, 1), grid))
    assert shape.centroid.x == pytest.approx(-3, abs=1e-5)
    assert shape.centroid.y == pytest.approx(36.1446, abs=1e-3)
    assert shape.exterior.is_ccw


def test_remote_rasters_are_outlined_by_an_overview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[:512, :512]
    values = np.where((rows - 256) ** 2 + (columns - 200) ** 2 < 150**2, 900, 0).astype(np.uint16)
    for name in ("HH", "VV"):
        options = {"crs": UTM, "transform": Affine(25, 0, 290800, 0, -25, 4575300), "dtype": "uint16", "tiled": True}
        path = tmp_path / f"{name}.tif"
        with rasterio.open(path, "w", driver="GTiff", height=512, width=512, count=1, nodata=0, **options) as raster:
            raster.write(values, 1)
            raster.build_overviews([2, 4])
    found = find_rasters([str(path) for path in tmp_path.iterdir()], Settings())
    exact = outline(found, Settings())
    monkeypatch.setattr(files, "is_remote", lambda href: True)
    monkeypatch.setattr(files, "_LEAST_EDGE", 128)
    read = []
    valid = files._valid

    def counted(dataset: object, index: int, window: object, shape: tuple[int, int]) -> np.ndarray:
        read.append(shape)
        return valid(dataset, index, window, shape)

    monkeypatch.setattr(files, "_valid", counted)
    coarse = outline(found, Settings())
    assert {shape[1] for shape in read} == {128}
    assert exact.area == pytest.approx(np.pi * 150**2, rel=0.02)
    assert coarse.hausdorff_distance(exact) < 8


@pytest.mark.parametrize("corner", [1e8, 9e8, 1e30])
def test_a_grid_beyond_the_earth_is_refused_each_time(corner: float) -> None:
    """GDAL says why a CRS's coordinates lie nowhere only for the first of them."""
    grid = Grid("EPSG:32630", Affine(25, 0, corner, 0, -25, corner), 10, 10)
    for _ in range(3):
        with pytest.raises(SceneError, match=r"scene\.tif does not lie on the Earth"):
            computed.footprint_of(grid, "scene.tif")
