"""A level 1.1 product from its files to a published result: the parcels are where they were put."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from ceos_writer import Design, scatter, write_product
from numpy.typing import NDArray
from pyproj import Transformer
from stac_validation import validate_offline

from escape_process.catalogue.collection import EXTENSIONS
from escape_process.catalogue.scenes import scene_from_item
from escape_process.catalogue.sources import SourceItem, write_catalogue
from escape_process.layers import FLAG
from escape_process.physics import oh2004
from escape_process.physics.radiometry import ks_from_rms_height
from escape_process.pipeline import run
from escape_process.readers import open_scene
from escape_process.readers.ceos import describe
from escape_process.records import Description, Refusal
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

DESIGN = Design(lines=900, pixels=420)
PARCEL = 300.0
RESOLUTION = 30.0
DRY, WET = 0.08, 0.30
RMS_HEIGHT = 0.015
Array = NDArray[np.float64]


def is_wet(x: Array, y: Array) -> NDArray[np.bool_]:
    """Tell which parcels of a chessboard in UTM are wet."""
    return np.asarray((np.floor(x / PARCEL) + np.floor(y / PARCEL)) % 2 == 0)


def item_of(description: Description) -> dict[str, Any]:
    """Return the STAC item that a description stands for."""
    assert description.start is not None
    grid = description.grid
    shape = shapely.geometry.shape(description.geometry)
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            EXTENSIONS[name] for name in ("classification", "proj", "product", "raster", "sar", "sat", "view")
        ],
        "id": description.id,
        "geometry": shapely.geometry.mapping(shape),
        "bbox": list(shape.bounds),
        "links": [],
        "assets": {key: dict(asset) for key, asset in description.assets.items()},
        "properties": {
            **description.properties,
            "datetime": description.start.isoformat(),
            "proj:code": grid.crs,
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
        },
    }
    answer: dict[str, Any] = json.loads(json.dumps(item, allow_nan=False))
    return answer


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write a product of dry and wet parcels of bare soil, after the forward model."""
    line, pixel = np.meshgrid(np.arange(DESIGN.lines), np.arange(DESIGN.pixels), indexing="ij")
    longitude, latitude = DESIGN.placer()(line, pixel)
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32618", always_xy=True).transform(longitude, latitude)
    moisture = np.where(is_wet(np.asarray(x), np.asarray(y)), WET, DRY)
    ks = float(ks_from_rms_height(RMS_HEIGHT, 1.2365e9))
    powers = oh2004(moisture, np.full(moisture.shape, ks), np.full(moisture.shape, np.radians(29.0)))
    sigma0 = dict(zip(("HH", "HV", "VV"), powers, strict=True))
    return write_product(DESIGN, scatter(DESIGN, sigma0, seed=8), tmp_path_factory.mktemp("ceos"))


def test_parcels_of_a_single_look_complex_product(product: list[str], tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "var", catalog_seed=None)
    description = describe(product, settings)
    collection = write_catalogue([SourceItem(item_of(description), ())], tmp_path / "scenes")
    settings = settings.model_copy(update={"catalogs": {"own": str(collection)}, "default_catalog": "own"})
    request = RetrievalRequest(
        bbox=list(shapely.geometry.shape(description.geometry).bounds), resolution=RESOLUTION, members=3
    )
    outcome = run(request, settings)
    (item,) = outcome.items["features"]
    assert item["properties"]["datetime"].startswith("2014-08-29T03:12:4")
    with rasterio.open(item["assets"]["soil_moisture"]["href"]) as raster:
        moisture = raster.read(1)
        assert raster.res == (RESOLUTION, RESOLUTION)
        transform, nodata = raster.transform, raster.nodata
    with rasterio.open(item["assets"]["flags"]["href"]) as raster:
        flags = raster.read(1)
    valid = moisture != nodata
    assert valid.mean() > 0.6
    assert (flags[valid] & FLAG["not_terrain_corrected"].mask).all()
    assert not (flags[valid] & FLAG["encoding_assumed"].mask).any()
    rows, columns = np.indices(moisture.shape)
    x, y = transform.c + (columns + 0.5) * transform.a, transform.f + (rows + 0.5) * transform.e

    def fit(dx: float, dy: float) -> float:
        return float(np.corrcoef(moisture[valid], is_wet(x + dx, y + dy)[valid])[0, 1])

    best = fit(0.0, 0.0)
    assert best > 0.8
    for dx, dy in ((RESOLUTION, 0), (-RESOLUTION, 0), (0, RESOLUTION), (0, -RESOLUTION)):
        assert fit(dx, dy) < best
    inner = np.all([np.abs(np.mod(at, PARCEL) - PARCEL / 2) < PARCEL / 2 - RESOLUTION for at in (x, y)], axis=0)
    wet, dry = (float(np.median(moisture[valid & inner & where])) for where in (is_wet(x, y), ~is_wet(x, y)))
    assert wet - dry > 0.1


def test_item_of_a_product_is_taken_whole(product: list[str], tmp_path: Path) -> None:
    description = describe(product, Settings(data_dir=tmp_path / "var"))
    scene = scene_from_item(item_of(description), "/items/one.json", RetrievalRequest(ids=["one"]))
    assert not isinstance(scene, Refusal)
    assert set(scene.bands) == {"HH", "HV", "VH", "VV"}
    assert all(band.convention == "sigma0" and band.encoding == "linear" for band in scene.bands.values())
    assert scene.frequency == pytest.approx(1.2365e9, rel=1e-5)
    assert scene.angle.key == "ellipsoid_incidence_angle"
    assert not scene.angle.local
    assert scene.mask is None
    assert scene.terrain_corrected is False
    assert scene.relative_orbit == 1455 % 207
    assert scene.noise_floor_db["HV"] == -34.0
    assert scene.datetime.replace(microsecond=0) == dt.datetime(2014, 8, 29, 3, 12, 41, tzinfo=dt.UTC)
    assert not scene.warnings


def test_item_of_a_product_is_valid(product: list[str], tmp_path: Path, shared_data: Path) -> None:
    """With a DEM, where there is most to say."""
    grid = describe(product, Settings(data_dir=tmp_path / "var")).grid
    dem = tmp_path / "dem.tif"
    profile = {"driver": "GTiff", "width": grid.width, "height": grid.height, "count": 1, "dtype": "int16"}
    with rasterio.open(dem, "w", crs=grid.crs, transform=grid.transform, **profile) as raster:
        raster.write(np.full(grid.shape, 20, dtype=np.int16), 1)
    description = describe(product, Settings(data_dir=tmp_path / "var"), dem=str(dem))
    item = item_of(description)
    validate_offline(item, shared_data / "stac_schemas")
    scene = scene_from_item(item, "/items/one.json", RetrievalRequest(ids=["one"]))
    assert not isinstance(scene, Refusal)
    assert scene.terrain_corrected
    assert scene.angle.local
    assert scene.mask is not None
    assert (scene.mask.invalid, scene.mask.layover_shadow) == ({0}, {2, 3})
    opened = open_scene(scene, Settings(data_dir=tmp_path / "var"))
    assert opened.grid == description.grid
    assert not opened.encoding_assumed
    assert opened.looks == pytest.approx(3.84)
