"""Results as a cube: pystac-client finds them, odc-stac opens them."""

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import xarray as xr

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),  # odc-geo's use of affine
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),  # odc-geo's use of shapely
]
BANDS = ["soil_moisture", "soil_moisture_uncertainty"]


@pytest.fixture
def cube(items: list[pystac.Item]) -> xr.Dataset:
    """Open value and uncertainty, missing pixels as NaN."""
    return odc.stac.load(items, bands=BANDS, nodata=float("nan"))


def test_the_cube_has_the_dates_and_the_grid_of_the_items(cube: xr.Dataset, items: list[pystac.Item]) -> None:
    dates = [np.datetime64(item.datetime.replace(tzinfo=None)) for item in items if item.datetime]
    np.testing.assert_array_equal(cube.time.values, np.array(dates))
    assert f"EPSG:{cube.odc.crs.to_epsg()}" == items[0].properties["proj:code"]
    assert list(cube.odc.geobox.shape) == items[0].properties["proj:shape"]
    assert list(cube.odc.geobox.transform)[:6] == pytest.approx(items[0].properties["proj:transform"][:6])


@pytest.mark.parametrize("band", BANDS)
def test_its_values_are_those_of_the_files(cube: xr.Dataset, items: list[pystac.Item], band: str) -> None:
    for index, item in enumerate(items):
        with rasterio.open(item.assets[band].href) as raster:
            stored = raster.read(1)
        values = cube[band][index].values
        assert values.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(values), stored == -9999)
        np.testing.assert_array_equal(values[stored != -9999], stored[stored != -9999])
        assert 0 < np.isnan(values).mean() < 0.1  # the lakes
        assert 0 < np.nanmin(values) < np.nanmax(values) < 1


def test_without_a_word_on_nodata_its_attribute_tells(items: list[pystac.Item]) -> None:
    plain = odc.stac.load(items[:1], bands=BANDS[:1]).soil_moisture
    assert plain.odc.nodata == -9999
    assert float(plain.where(plain != plain.odc.nodata).min()) > 0


def test_flags_stay_whole_numbers(items: list[pystac.Item]) -> None:
    flags = odc.stac.load(items, bands=["flags"]).flags
    with rasterio.open(items[0].assets["flags"].href) as raster:
        np.testing.assert_array_equal(flags[0].values, raster.read(1))
    assert flags.dtype == np.uint16
