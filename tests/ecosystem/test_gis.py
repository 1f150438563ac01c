"""Results in a desktop GIS: what GDAL, which QGIS reads rasters with, makes of a file by its address."""

import numpy as np
import pystac
import pytest
import rasterio
from rasterio.warp import transform_bounds
from serving import PROCESS, Server

from escape_process.layers import LAYERS, Layer


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_file_opened_by_its_address_explains_itself(items: list[pystac.Item], layer: Layer) -> None:
    item = items[0]
    with rasterio.open(item.assets[layer.name].href) as raster:
        assert raster.descriptions == (layer.name,)
        assert raster.units == (layer.unit,)
        assert raster.nodata == layer.nodata
        assert raster.crs.to_string() == item.properties["proj:code"]
        corners = transform_bounds(raster.crs, "OGC:CRS84", *raster.bounds)
        assert corners == pytest.approx(tuple(item.bbox or ()), abs=1e-3)
        told = {name: float(value) for name, value in raster.tags(1).items() if name.startswith("STATISTICS_")}
        values = raster.read(1, masked=True)
    if layer.nodata is None:
        assert told == {}
        return
    valid = values.compressed().astype(np.float64)
    assert told == pytest.approx(
        {
            "STATISTICS_MINIMUM": valid.min(),
            "STATISTICS_MAXIMUM": valid.max(),
            "STATISTICS_MEAN": valid.mean(),
            "STATISTICS_STDDEV": valid.std(),
            "STATISTICS_VALID_PERCENT": 100 * valid.size / values.size,
        },
        rel=1e-5,
    )


def test_a_search_opens_as_one_raster(server: Server, items: list[pystac.Item]) -> None:
    """GDAL's driver for STAC items mosaics what a search finds."""
    day = "datetime=2024-05-18T00:00:00Z/2024-05-18T23:59:59Z"
    address = f'STACIT:"{server.url}/stac-api/search?collections={PROCESS}&{day}":asset=soil_moisture'
    with rasterio.open(address, driver="STACIT") as mosaic, rasterio.open(items[1].assets["soil_moisture"].href) as one:
        assert mosaic.crs == one.crs
        assert mosaic.bounds == one.bounds
        np.testing.assert_array_equal(mosaic.read(1), one.read(1))
