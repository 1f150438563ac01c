import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
import rasterio
import rasterio.warp
import shapely.geometry
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from made_results import GRID, made_arrays, made_pass, made_scene, made_tiles
from stac_validation import validate_offline

from escape_process.catalogue.extent import union_of_boxes
from escape_process.catalogue.items import bbox_of, result_item, results_collection
from escape_process.layers import FLAGS, LAYERS
from escape_process.product import write_product
from escape_process.records import Grid, Pass, Product, ProductFile
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

CREATED = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)
REQUEST = RetrievalRequest(bbox=[-4, 40, -3, 41], seed=3)
SETTINGS = Settings(public_url="http://127.0.0.1:5000/")
ID = "ALOS2014555550-140829_ssm_0123456789"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    folder = tmp_path_factory.mktemp("items")
    tiles = made_tiles(folder / "tiles", GRID, made_arrays(GRID))
    return write_product(folder, ID, GRID, tiles, date_index=0, report={}, title=ID)


def unwritten(grid: Grid = GRID, geometry: Any = None, statistics: Any = None) -> Product:
    """Return a product whose files do not exist: enough to describe."""
    names = {layer.name: f"{layer.name}.tif" for layer in LAYERS}
    names |= {"thumbnail": "thumbnail.png", "report": "report.json"}
    files = {key: ProductFile(name, 1, "1220" + 64 * "0", statistics) for key, name in names.items()}
    box = geometry or shapely.geometry.mapping(shapely.geometry.box(-3.5, 40.0, -3.0, 40.5))
    return Product(ID, "/nowhere", grid, files, box, 0.5, {flag.name: 0.0 for flag in FLAGS})


def item_of(product: Product, pass_: Pass | None = None, settings: Settings = SETTINGS) -> dict[str, Any]:
    return result_item(product, pass_ or made_pass(), REQUEST, settings, report={}, created=CREATED)


def with_scene(**properties: Any) -> dict[str, Any]:
    return item_of(unwritten(), made_pass([made_scene(**properties)]))


@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("public_url", [None, "http://127.0.0.1:5000"])
def test_it_keeps_the_schemas_of_all_its_extensions(
    product: Product, shared_data: Path, simulated: bool, public_url: str | None
) -> None:
    pass_ = made_pass([made_scene(**{"escape:simulated": True})] if simulated else [])
    item = item_of(product, pass_, Settings(public_url=public_url))
    checked = validate_offline(item, shared_data / "stac_schemas")
    assert len(checked) == 1 + len(item["stac_extensions"]) == 12


def test_the_collection_keeps_the_schemas_of_all_its_extensions(shared_data: Path) -> None:
    collection = results_collection(SETTINGS)
    checked = validate_offline(collection, shared_data / "stac_schemas")
    assert len(checked) == 1 + len(collection["stac_extensions"])


def test_extensions_without_a_field_are_not_declared(shared_data: Path) -> None:
    scene = made_scene()
    bare = dataclasses.replace(scene, item={"properties": {}}, relative_orbit=None)
    item = item_of(unwritten(), made_pass([bare]))
    assert not any("/sat/" in address or "/view/" in address for address in item["stac_extensions"])
    validate_offline(item, shared_data / "stac_schemas")


def test_place_and_grid_are_those_of_the_files(product: Product) -> None:
    item = item_of(product)
    properties = item["properties"]
    for layer in LAYERS:
        with rasterio.open(Path(product.folder) / item["assets"][layer.name]["href"]) as raster:
            assert properties["proj:code"] == raster.crs.to_string()
            assert properties["proj:shape"] == list(raster.shape)
            assert properties["proj:transform"] == list(raster.transform)[:6]
            assert properties["proj:bbox"] == list(raster.bounds)
            bounds = rasterio.warp.transform_bounds(raster.crs, "OGC:CRS84", *raster.bounds)
    assert properties["gsd"] == 50.0
    assert item["bbox"] == list(shapely.geometry.shape(item["geometry"]).bounds)
    # The missing corner is in the north-west, so only the other two sides are the file's.
    assert item["bbox"][1:3] == pytest.approx(bounds[1:3], abs=2e-6)
    assert shapely.geometry.box(*bounds).buffer(2e-6).covers(shapely.geometry.shape(item["geometry"]))


def test_assets_say_what_the_files_hold(product: Product) -> None:
    assets = item_of(product)["assets"]
    assert set(assets) == {layer.name for layer in LAYERS} | {"thumbnail", "report"}
    for layer in LAYERS:
        asset = assets[layer.name]
        assert asset["href"] == f"./{layer.name}.tif"
        assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
        assert asset["roles"] == list(layer.roles)
        (band,) = asset["bands"]
        with rasterio.open(Path(product.folder) / asset["href"]) as raster:
            assert (band["name"], band["unit"], band["data_type"]) == (
                raster.descriptions[0],
                raster.units[0],
                raster.dtypes[0],
            )
            assert band.get("nodata") == raster.nodata
        assert set(band["statistics"]) == {"minimum", "maximum", "mean", "stddev", "valid_percent"}
    for key, asset in assets.items():
        assert asset["file:size"] == product.assets[key].size
        assert asset["file:checksum"] == product.assets[key].checksum
    assert "thumbnail" in assets["thumbnail"]["roles"]
    assert "nodata" not in assets["flags"]["bands"][0]


def test_flags_are_described_bit_by_bit() -> None:
    fields = item_of(unwritten())["assets"]["flags"]["classification:bitfields"]
    assert [(field["offset"], field["length"], field["name"]) for field in fields] == [
        (flag.bit, 1, flag.name) for flag in FLAGS
    ]
    for field in fields:
        assert [one["value"] for one in field["classes"]] == [0, 1]
        assert all(one["name"] and one["description"] for one in field["classes"])


def test_how_it_was_made_is_told() -> None:
    properties = item_of(unwritten())["properties"]
    assert properties["processing:level"] == "L2"
    assert properties["product:type"] == "SSM"
    assert properties["processing:expression"] == {"format": "json", "expression": REQUEST.content()}
    assert {"escape-process", "numpy", "rasterio"} <= set(properties["processing:software"])
    assert "10 self-calibrated members in variational mode, seed 3" in properties["processing:lineage"]
    assert properties["datetime"] == properties["start_datetime"] == properties["end_datetime"]
    assert properties["datetime"] == "2024-06-01T15:30:00Z"
    assert properties["created"] == properties["updated"] == "2024-07-01T12:00:00Z"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "Faraday rotation is not corrected."),
        (
            {"escape:faraday_rotation_deg": 7.25, "escape:faraday_corrected": True},
            "Faraday rotation, estimated as 7.25 degrees, is corrected.",
        ),
        (
            {"escape:faraday_rotation_deg": 0.1, "escape:faraday_corrected": False},
            "Faraday rotation, estimated as 0.1 degrees, is not corrected.",
        ),
    ],
)
def test_what_became_of_faraday_rotation_is_told(said: dict[str, Any], sentence: str) -> None:
    assert sentence in with_scene(**said)["properties"]["processing:lineage"]


def test_what_the_source_says_legally_is_copied() -> None:
    properties = item_of(unwritten())["properties"]
    assert properties["platform"] == "alos-2"
    assert properties["instruments"] == ["palsar-2"]
    assert properties["sar:polarizations"] == ["HH", "HV", "VH", "VV"]
    assert properties["sar:center_frequency"] == pytest.approx(1.2365)
    assert (properties["sat:orbit_state"], properties["sat:relative_orbit"]) == ("ascending", 41)
    assert properties["view:off_nadir"] == 27.9
    assert "sar:resolution_range" not in properties


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sat:orbit_state", "Ascending"),
        ("sar:instrument_mode", ""),
        ("sar:observation_direction", "RIGHT"),
        ("view:off_nadir", 270.0),
        ("view:off_nadir", "28"),
        ("instruments", "palsar-2"),
        ("platform", None),
        ("license", "proprietary"),
    ],
)
def test_what_the_source_says_illegally_is_not_copied(name: str, value: Any) -> None:
    assert name not in with_scene(**{name: value})["properties"]


def test_frames_of_one_pass_give_one_span_and_a_link_each() -> None:
    first = made_scene("first", start_datetime="2024-06-01T15:29:55Z", end_datetime="2024-06-01T15:30:05Z")
    second = made_scene("second", end_datetime="2024-06-01T15:30:15", **{"sar:instrument_mode": "FBQ"})
    item = item_of(unwritten(), made_pass([first, second]))
    assert item["properties"]["start_datetime"] == "2024-06-01T15:29:55Z"
    assert item["properties"]["end_datetime"] == "2024-06-01T15:30:15Z"
    assert "sar:instrument_mode" not in item["properties"]
    derived = [link for link in item["links"] if link["rel"] == "derived_from"]
    assert [(link["title"], link["href"]) for link in derived] == [
        ("first", "https://example.org/scenes/first/first.json"),
        ("second", "https://example.org/scenes/second/second.json"),
    ]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("https://user:secret@example.org/items.json?sig=secret&page=2#x", "https://example.org/items.json"),
        ("s3://scenes/a%20b/one.json", "s3://scenes/a%20b/one.json"),
        ("/data/one.json", "urn:escape-process:scene/one"),
        ("file:///data/one.json", "urn:escape-process:scene/one"),
    ],
)
def test_the_link_to_a_source_holds_no_secret(found: str, told: str) -> None:
    scene = dataclasses.replace(made_scene("one"), href=found)

    def link(settings: Settings) -> str:
        links = item_of(unwritten(), made_pass([scene]), settings)["links"]
        return next(str(link["href"]) for link in links if link["rel"] == "derived_from")

    assert link(SETTINGS) == told
    assert link(Settings()) == (found if told.startswith("urn:") else told)  # nobody but the user is served


def test_links_lead_to_process_license_and_collection() -> None:
    links = {link["rel"]: link["href"] for link in item_of(unwritten())["links"]}
    assert links["processing-execution"] == "http://127.0.0.1:5000/processes/escape-soil-moisture"
    assert links["collection"] == "../collection.json"
    assert links["license"] == "../LICENSE.txt"
    assert "processing-execution" not in {
        link["rel"] for link in item_of(unwritten(), settings=Settings(public_url=None))["links"]
    }


def test_simulated_sources_make_simulated_results() -> None:
    item = with_scene(**{"escape:simulated": True})
    assert item["properties"]["escape:simulated"] is True
    assert "simulated" in item["properties"]["title"]
    assert "simulated" in item["properties"]["description"]
    real = with_scene(**{"escape:simulated": False})
    assert "escape:simulated" not in real["properties"]
    assert "simulated" not in json.dumps(real).lower()


def test_format_tests_make_results_that_say_so() -> None:
    item = with_scene(**{"escape:format_test": True})
    assert item["properties"]["escape:format_test"] is True
    assert item["properties"]["title"].endswith("(format test)")
    assert "no observation of soil moisture" in item["properties"]["description"]
    assert "escape:simulated" not in item["properties"]
    assert "format" not in json.dumps(with_scene(**{"escape:format_test": False})["properties"]["title"])
    both = with_scene(**{"escape:format_test": True, "escape:simulated": True})
    assert both["properties"]["title"].endswith("(simulated, format test)")


def test_nothing_in_it_is_nan(product: Product) -> None:
    assert json.loads(json.dumps(item_of(product), allow_nan=False)) == item_of(product)
    json.dumps(item_of(unwritten(statistics={"valid_percent": 0.0})), allow_nan=False)


def test_pystac_reads_it_back() -> None:
    item = pystac.Item.from_dict(item_of(unwritten()))
    assert item.datetime == datetime(2024, 6, 1, 15, 30, tzinfo=UTC)
    assert item.ext.proj.shape == [600, 700]


def test_a_grid_without_a_code_is_told_as_wkt(shared_data: Path) -> None:
    wkt = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=40 +lon_0=-4 +units=m").to_wkt()
    item = item_of(unwritten(Grid(wkt, GRID.transform, 7, 6)))
    assert item["properties"]["proj:code"] is None
    assert "Lambert" in item["properties"]["proj:wkt2"]
    validate_offline(item, shared_data / "stac_schemas")


def test_the_pixel_of_a_geographic_grid_is_told_in_metres() -> None:
    grid = Grid("EPSG:4326", Affine(0.001, 0, 10, 0, -0.001, 50), 7, 6)
    assert item_of(unwritten(grid))["properties"]["gsd"] == pytest.approx(111.3, abs=0.1)


def test_a_footprint_cut_at_the_antimeridian_has_a_bbox_that_crosses_it() -> None:
    parts = [shapely.geometry.box(179, -17, 180, -16), shapely.geometry.box(-180, -17, -178.5, -16)]
    geometry = shapely.geometry.mapping(shapely.geometry.MultiPolygon(parts))
    assert bbox_of(geometry) == [179.0, -17.0, -178.5, -16.0]
    assert item_of(unwritten(geometry=geometry))["bbox"] == [179.0, -17.0, -178.5, -16.0]


longitudes = st.floats(-180, 179).map(lambda value: round(value, 3))
boxes = st.tuples(longitudes, st.floats(0.01, 170).map(lambda value: round(value, 3))).map(
    lambda span: [span[0], -1.0, span[0] + span[1] - (360.0 if span[0] + span[1] > 180 else 0.0), 1.0]
)


@given(boxes, boxes, st.floats(0, 1))
def test_a_union_of_boxes_holds_both(one: list[float], other: list[float], share: float) -> None:
    west, _, east, _ = union_of_boxes(one, other)
    width = (east - west) % 360.0 or 360.0
    for box in (one, other):
        for longitude in (box[0], box[0] + share * ((box[2] - box[0]) % 360.0), box[2]):
            assert (
                min((longitude - west) % 360.0, (west - longitude) % 360.0) < 1e-6
                or (longitude - west) % 360.0 <= width + 1e-6
            )


def test_a_union_takes_the_short_way_round() -> None:
    assert union_of_boxes([170, 0, 179, 1], [-179, 0, -170, 2]) == [170, 0, -170, 2]
    assert union_of_boxes([-10, 0, 0, 1], [5, -1, 6, 1]) == [-10, -1, 6, 1]
    assert union_of_boxes([179, 0, -179, 1], [-178, 0, -177, 1]) == [179, 0, -177, 1]
