"""STAC items of rasters that a user holds."""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform_bounds
from stac_validation import validate_offline

from escape_process.catalogue.scenes import scene_from_item
from escape_process.catalogue.sources import (
    Declaration,
    write_catalogue,
    write_item,
    write_root,
)
from escape_process.catalogue.sources import make_item as describe_as_item
from escape_process.errors import InvalidInputError, StorageError
from escape_process.make_items import make_item
from escape_process.records import Description, Grid, Refusal, Scene
from escape_process.request import RetrievalRequest

NOON = dt.datetime(2024, 5, 4, 12, 0, tzinfo=dt.UTC)
GRID = Affine(25, 0, 290800, 0, -25, 4575300)
REQUEST = RetrievalRequest(ids=["any"])
COMPLETE = Declaration(
    datetime=NOON,
    radiometry="sigma0",
    encoding="dn",
    incidence_angle_deg=35.0,
    looks=28,
    frequency=1.2365e9,
    platform="own",
)


def write(path: Path, values: np.ndarray | None = None, **profile: Any) -> Path:
    values = np.full((20, 30), 900, dtype=np.uint16) if values is None else values
    options = {"crs": "EPSG:32630", "transform": GRID, "nodata": 0, "dtype": values.dtype, "count": 1, **profile}
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, **options) as raster:
        for band in range(1, options["count"] + 1):
            raster.write(values, band)
    return path


@pytest.fixture
def quad(tmp_path: Path) -> Path:
    """A folder of four rasters."""
    for name in ("HH", "HV", "VH", "VV"):
        write(tmp_path / "quad" / f"{name}.tif")
    return tmp_path / "quad"


@pytest.fixture(scope="module")
def validate(shared_data: Path) -> Callable[[dict[str, Any]], list[str]]:
    """Return a function that validates a STAC object against vendored schemas, and gives those it used."""
    return lambda document: validate_offline(document, shared_data / "stac_schemas")


def test_complete_item_is_valid_and_accepted(quad: Path, validate: Callable[[dict[str, Any]], list[str]]) -> None:
    angle = np.full((20, 30), 3500, dtype=np.uint16)
    with rasterio.open(write(quad / "scene_LIN.tif", angle), "r+") as raster:
        raster.scales, raster.units = (0.01,), ("deg",)
    write(quad / "mask.tif", np.ones((20, 30), dtype=np.uint8))
    made = make_item(
        quad,
        Declaration(
            id="mine",
            datetime=NOON,
            radiometry="sigma0",
            encoding="dn",
            calibration_factor_db=-83.0,
            noise_floor_db=-34.0,
            looks=28,
            frequency=1.2365e9,
            platform="own",
            instrument_mode="HBQ",
            collection="scenes",
            mask_classes={0: "no_data", 1: "valid", 2: "layover", 4: "water"},
            properties={"sat:relative_orbit": 7, "sat:orbit_state": "ascending"},
        ),
    )
    assert made.warnings == ()
    item = json.loads(json.dumps(made.item, allow_nan=False))
    assert item == made.item
    used = validate({**item, "links": [{"rel": "collection", "href": "./collection.json"}]})
    assert set(item["stac_extensions"]) < set(used)
    named = {address.split("/")[3] for address in item["stac_extensions"]}
    assert named == {"sar", "sat", "projection", "raster", "file", "classification"}
    scene = scene_from_item(item, str(quad / "item.json"), REQUEST)
    assert isinstance(scene, Scene)
    assert scene.warnings == ()
    assert set(scene.bands) == {"HH", "HV", "VH", "VV"}
    assert {(band.convention, band.encoding, band.calibration_factor_db) for band in scene.bands.values()} == {
        ("sigma0", "dn", -83.0)
    }
    assert (scene.looks, scene.frequency, scene.relative_orbit) == (28, 1.2365e9, 7)
    assert (scene.angle.scale, scene.angle.local) == (0.01, True)
    assert scene.mask is not None
    assert (scene.mask.invalid, scene.mask.layover_shadow, scene.mask.water) == ({0}, {2}, {4})
    assert scene.noise_floor_db["HV"] == -34.0


def test_item_says_what_the_files_say(quad: Path) -> None:
    item = make_item(quad, COMPLETE).item
    with rasterio.open(quad / "VV.tif") as raster:
        properties = item["properties"]
        assert properties["proj:code"] == raster.crs.to_string()
        assert properties["proj:shape"] == list(raster.shape)
        assert properties["proj:transform"] == list(raster.transform)[:6]
        assert properties["proj:bbox"] == list(raster.bounds)
        assert item["bbox"] == pytest.approx(transform_bounds(raster.crs, "EPSG:4326", *raster.bounds), abs=1e-5)
    asset = item["assets"]["VV"]
    data = Path(asset["href"]).read_bytes()
    assert asset["file:size"] == len(data)
    assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    assert asset["type"] == "image/tiff; application=geotiff"
    assert asset["roles"] == ["data", "sigma0"]
    band = asset["bands"][0]
    assert (band["data_type"], band["nodata"], band["unit"], band["raster:spatial_resolution"]) == (
        "uint16",
        0,
        "DN",
        25.0,
    )
    assert properties["datetime"] == "2024-05-04T12:00:00Z"
    assert properties["sar:center_frequency"] == 1.2365
    assert properties["gsd"] == 25.0
    assert "created" not in properties


@pytest.mark.parametrize(
    "pattern",
    ["{}.tif", "scene_{}.tif", "x-{}_2024.TIF", "IMG-{}-scene.tiff", "sl_{}_F02.tif", "a.{}.tif"],
)
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_rasters_are_found_by_name(tmp_path: Path, pattern: str, case: Callable[[str], str]) -> None:
    for name in ("HH", "HV", "VV"):
        write(tmp_path / pattern.format(case(name)))
    write(tmp_path / "HHVV_phase.tif")
    write(tmp_path / "chart.tif")
    (tmp_path / "HH.txt").write_text("not a raster")
    item = make_item(tmp_path, COMPLETE).item
    assert list(item["assets"]) == ["HH", "HV", "VV"]


def test_angles_and_mask_are_told_from_polarizations(quad: Path) -> None:
    write(quad / "VV_local_incidence_angle.tif", np.full((20, 30), 35, dtype=np.float32), nodata=None)
    write(quad / "ellipsoid-inc.tif", np.full((20, 30), 36, dtype=np.float32), nodata=None)
    write(quad / "HH_mask.tif", np.ones((20, 30), dtype=np.uint8))
    made = make_item(quad, COMPLETE)
    roles = {key: asset["roles"] for key, asset in made.item["assets"].items() if key.islower()}
    assert roles == {
        "local_incidence_angle": ["data", "local-incidence-angle"],
        "ellipsoid_incidence_angle": ["data", "ellipsoid-incidence-angle"],
        "mask": ["metadata", "data-mask"],
    }
    assert any("does not tell the angles' unit" in warning for warning in made.warnings)
    assert any("mask_classes" in warning for warning in made.warnings)


def test_footprint_follows_the_valid_pixels(tmp_path: Path) -> None:
    values = np.full((20, 30), 900, dtype=np.uint16)
    values[:5] = 0
    other = np.full((20, 30), 900, dtype=np.uint16)
    other[:, 20:] = 0
    write(tmp_path / "HH.tif", values)
    write(tmp_path / "VV.tif", other)
    item = make_item(tmp_path, COMPLETE).item
    left, top = GRID @ (0, 5)
    right, bottom = GRID @ (20, 20)
    expected = transform_bounds("EPSG:32630", "EPSG:4326", left, bottom, right, top)
    assert item["bbox"] == pytest.approx(expected, abs=1e-5)
    shape = shapely.geometry.shape(item["geometry"])
    assert shape.is_valid
    assert shape.exterior.is_ccw
    assert shape.bounds == pytest.approx(tuple(item["bbox"]))


def test_footprint_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    write(tmp_path / "HH.tif", crs="EPSG:32660", transform=Affine(5000, 0, 780000, 0, -5000, 1000000))
    item = make_item(tmp_path, COMPLETE).item
    west, south, east, north = item["bbox"]
    assert item["geometry"]["type"] == "MultiPolygon"
    assert 179 < west < 180
    assert -180 < east < -179
    assert south < north
    for part in shapely.geometry.shape(item["geometry"]).geoms:
        assert part.bounds[2] - part.bounds[0] < 2


def test_nan_is_nodata_without_being_named(tmp_path: Path) -> None:
    values = np.full((20, 30), 0.1, dtype=np.float32)
    values[:, :10] = np.nan
    write(tmp_path / "HH.tif", values, nodata=np.nan)
    item = make_item(tmp_path, Declaration(datetime=NOON, encoding="linear")).item
    assert "nodata" not in item["assets"]["HH"]["bands"][0]
    assert item["assets"]["HH"]["bands"][0]["unit"] == "1"
    left, top = GRID @ (10, 0)
    right, bottom = GRID @ (30, 20)
    expected = transform_bounds("EPSG:32630", "EPSG:4326", left, bottom, right, top)
    assert item["bbox"] == pytest.approx(expected, abs=1e-5)


def test_geographic_and_unregistered_crs(tmp_path: Path) -> None:
    write(tmp_path / "a" / "HH.tif", crs="EPSG:4326", transform=Affine(0.001, 0, 10, 0, -0.001, 50))
    item = make_item(tmp_path / "a", COMPLETE).item
    assert "gsd" not in item["properties"]
    assert item["bbox"] == pytest.approx([10, 49.98, 10.03, 50], abs=1e-6)
    own = "+proj=laea +lat_0=45 +lon_0=3 +ellps=bessel +units=m"
    write(tmp_path / "b" / "HH.tif", crs=own)
    properties = make_item(tmp_path / "b", COMPLETE).item["properties"]
    assert properties["proj:code"] is None
    assert "Azimuthal" in properties["proj:wkt2"]


def test_radiometry_is_never_guessed(quad: Path) -> None:
    made = make_item(quad, Declaration(datetime=NOON))
    assert made.item["assets"]["HH"]["roles"] == ["data"]
    for words in ("sigma0, gamma0 or beta0", "linear power or dB", "incidence", "band is L", "looks", "platform"):
        assert any(words in warning for warning in made.warnings), words
    assert all(warning.endswith(".") for warning in made.warnings)
    assert isinstance(scene_from_item(made.item, "item.json", REQUEST), Refusal)


def test_missing_polarization_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "HH.tif")
    write(tmp_path / "HV.tif")
    made = make_item(tmp_path, COMPLETE)
    assert made.warnings == ("Not full-polarimetric: VV missing; a retrieval will refuse the scene.",)
    assert made.item["properties"]["sar:polarizations"] == ["HH", "HV"]
    write(tmp_path / "vv" / "VV.tif")
    assert "HH and HV or VH missing" in make_item(tmp_path / "vv", COMPLETE).warnings[0]


NAME = "ALOS2014555550-140829-HBQR2.1GUA"


def test_palsar2_names_tell_mode_level_and_day(tmp_path: Path) -> None:
    for name in ("HH", "HV", "VV"):
        write(tmp_path / f"IMG-{name}-{NAME}.tif")
    made = make_item(tmp_path, Declaration(incidence_angle_deg=30, looks=4, frequency=1.2365e9))
    properties = made.item["properties"]
    assert made.item["id"] == "ALOS2014555550-140829-HBQR2_1GUA"
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "2014-08-29T00:00:00Z"
    assert properties["end_datetime"] == "2014-08-29T23:59:59Z"
    assert (properties["platform"], properties["sar:instrument_mode"]) == ("alos-2", "HBQ")
    assert (properties["sat:orbit_state"], properties["sar:observation_direction"]) == ("ascending", "right")
    assert properties["sat:absolute_orbit"] == 1455
    assert made.item["assets"]["HH"]["roles"] == ["data", "sigma0"]
    assert made.item["assets"]["HH"]["escape:calibration_factor_db"] == -83.0
    assert made.warnings == ("Only the day 2014-08-29 is known, no time of day: declare the datetime.",)
    (tmp_path / "summary.txt").write_text('Img_SceneCenterDateTime="20140829 04:33:47.052"\n')
    made = make_item(tmp_path, Declaration(incidence_angle_deg=30, looks=4, frequency=1.2365e9))
    assert made.item["properties"]["datetime"] == "2014-08-29T04:33:47.052000Z"
    assert made.warnings == ()
    scene = scene_from_item(made.item, "item.json", REQUEST)
    assert isinstance(scene, Scene)
    assert scene.datetime == dt.datetime(2014, 8, 29, 4, 33, 47, 52000, tzinfo=dt.UTC)


def test_palsar2_level_2_2_is_gamma0_with_a_known_mask(tmp_path: Path) -> None:
    stem = "ALOS2437590500-220630_WWDR2.2GUA"
    for name in ("HH", "HV"):
        write(tmp_path / f"{stem}_{name}_SLP.tif")
    write(tmp_path / f"{stem}_LIN.tif")
    write(tmp_path / f"{stem}_MSK.tif", np.ones((20, 30), dtype=np.uint8))
    made = make_item(tmp_path)
    assert made.item["assets"]["HH"]["roles"] == ["data", "gamma0"]
    classes = made.item["assets"]["mask"]["bands"][0]["classification:classes"]
    assert {entry["value"]: entry["name"] for entry in classes}[2] == "layover"
    assert "VV missing" in " ".join(made.warnings)


def test_real_nisar_scene(shared_data: Path, validate: Callable[[dict[str, Any]], list[str]]) -> None:
    folder = shared_data / "nisar_quadpol_gcov"
    made = make_item(folder / "quad")
    properties = made.item["properties"]
    assert made.item["id"].startswith("NISAR_L2_PR_GCOV_004_113_D_065")
    assert properties["datetime"] == "2025-11-06T01:05:37Z"
    assert (properties["platform"], properties["sar:frequency_band"]) == ("nisar", "L")
    assert (properties["sat:relative_orbit"], properties["sat:orbit_state"]) == (113, "descending")
    assert made.item["assets"]["HH"]["roles"] == ["data"]
    assert any("nominal gamma0" in warning for warning in made.warnings)
    assert isinstance(scene_from_item(made.item, "item.json", REQUEST), Refusal)
    declared = Declaration(radiometry="gamma0", incidence_angle_deg=38, looks=10, frequency=1.2575e9)
    both = [make_item(folder / name, declared) for name in ("quad", "dual")]
    assert both[0].warnings == ()
    validate(dict(both[0].item))
    scene = scene_from_item(both[0].item, "item.json", REQUEST)
    assert isinstance(scene, Scene)
    assert {(band.convention, band.encoding) for band in scene.bands.values()} == {("gamma0", "linear")}
    assert "VV missing" in both[1].warnings[0]


def break_nothing(folder: Path) -> None:
    """Leave the folder as it is."""


def remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def truncate(folder: Path) -> None:
    path = folder / "HH.tif"
    path.write_bytes(path.read_bytes()[:300])


def lose_the_end(folder: Path) -> None:
    noise = np.random.Generator(np.random.PCG64(1)).integers(1, 60000, (20, 30)).astype(np.uint16)
    path = write(folder / "HH.tif", noise, compress="deflate")
    path.write_bytes(path.read_bytes()[:-400])


@pytest.mark.parametrize(
    ("damage", "declared", "named"),
    [
        (shutil.rmtree, COMPLETE, "is not a folder"),
        (remove_all, COMPLETE, "neither a GeoTIFF named by a polarization"),
        (lambda folder: (folder / "HH.tif").write_text("text"), COMPLETE, r"HH\.tif is not a GeoTIFF"),
        (truncate, COMPLETE, r"HH\.tif (is not a GeoTIFF|has no CRS)"),
        (lose_the_end, COMPLETE, r"HH\.tif is truncated or damaged"),
        (lambda folder: write(folder / "HV.tif", crs=None), COMPLETE, r"HV\.tif has no CRS"),
        (lambda folder: write(folder / "HV.tif", count=2), COMPLETE, r"HV\.tif has 2 bands"),
        (
            lambda folder: write(folder / "VV.tif", np.ones((21, 30), dtype=np.uint16)),
            COMPLETE,
            "differ in shape: 20 x 30 and 21 x 30",
        ),
        (lambda folder: write(folder / "VV.tif", crs="EPSG:32629"), COMPLETE, "differ in their CRS"),
        (
            lambda folder: write(folder / "VV.tif", transform=GRID @ Affine.translation(0.5, 0)),
            COMPLETE,
            "pixels do not coincide",
        ),
        (
            lambda folder: write(folder / "VV.tif", transform=GRID @ Affine.scale(1.001)),
            COMPLETE,
            "pixels do not coincide",
        ),
        (
            lambda folder: write(folder / "mask.tif", np.ones((5, 5), dtype=np.uint8)),
            COMPLETE,
            r"HH\.tif and mask\.tif differ in shape",
        ),
        (lambda folder: write(folder / "HH.tiff"), COMPLETE, r"HH\.tif and HH\.tiff are named HH"),
        (lambda folder: write(folder / "b_HH.tif"), COMPLETE, "holds 2 products"),
        (
            lambda folder: write(folder / "HH.tif", np.zeros((20, 30), dtype=np.uint16)),
            COMPLETE,
            "no pixel that is valid",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), COMPLETE, "not JSON"),
        (break_nothing, Declaration(), "give datetime"),
    ],
)
def test_unusable_folder_gets_a_sentence(
    quad: Path, damage: Callable[[Path], object], declared: Declaration, named: str
) -> None:
    damage(quad)
    with pytest.raises(InvalidInputError, match=named) as caught:
        make_item(quad, declared)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"id": "a/b"}, "a/b"),
        ({"id": ".."}, "not first"),
        ({"radiometry": "sigma"}, "sigma0, gamma0, beta0"),
        ({"encoding": "float"}, "dn, amplitude, linear, db"),
        ({"incidence_angle_deg": 95.0}, "incidence_angle_deg = 95"),
        ({"looks": 0.0}, "looks = 0"),
        ({"frequency": 1.2365}, "frequency"),
        ({"noise_floor_db": float("nan")}, "noise_floor_db = nan"),
        ({"calibration_factor_db": float("inf")}, "calibration_factor_db = inf"),
        ({"id": "a" * 201}, "id"),
        ({"properties": {"a b": 1}}, "property 'a b'"),
    ],
)
def test_wrong_declaration_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Declaration(**wrong)


def test_lone_item_has_relative_hrefs_near_its_rasters_only(quad: Path, tmp_path: Path) -> None:
    made = make_item(quad, Declaration(id="one", datetime=NOON, collection="scenes"))
    near = json.loads(write_item(made, quad / "one.json").read_text())
    assert near["assets"]["HH"]["href"] == "./HH.tif"
    assert "collection" not in near
    assert json.loads(write_item(made, tmp_path / "one.json").read_text())["assets"]["HH"]["href"] == "./quad/HH.tif"
    far = json.loads(write_item(made, tmp_path / "elsewhere" / "one.json").read_text())
    assert far["assets"]["HH"]["href"] == str(quad / "HH.tif")


def test_catalogue_is_linked_idempotent_and_grows(
    quad: Path, tmp_path: Path, validate: Callable[[dict[str, Any]], list[str]]
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(quad, folder / "held")
    inside = make_item(folder / "held", Declaration(id="inside", datetime=NOON, platform="own"))
    outside = make_item(quad, Declaration(id="outside", datetime=NOON + dt.timedelta(days=2)))
    path = write_catalogue([inside], folder, collection_id="mine", title="Mine")
    assert write_catalogue([outside], folder, collection_id="mine", title="Mine") == path
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    write_catalogue([inside, outside], folder, collection_id="mine", title="Mine")
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    document = json.loads(path.read_text())
    validate(document)
    assert document["extent"]["temporal"]["interval"] == [["2024-05-04T12:00:00Z", "2024-05-06T12:00:00Z"]]
    assert document["extent"]["spatial"]["bbox"] == [inside.item["bbox"]]
    assert document["summaries"]["platform"] == ["own"]
    collection = pystac.Collection.from_file(str(path))
    items = {item.id: item for item in collection.get_items()}
    assert set(items) == {"inside", "outside"}
    assert items["inside"].assets["HH"].href == "../held/HH.tif"
    assert Path(items["outside"].assets["HH"].href) == quad / "HH.tif"
    for item in items.values():
        assert item.get_collection() is not None
        validate(item.to_dict(include_self_link=False))


def test_catalogue_below_a_root_links_to_it(quad: Path, tmp_path: Path) -> None:
    made = make_item(quad, Declaration(id="one", datetime=NOON))
    write_catalogue([made], tmp_path / "tree" / "scenes", root=tmp_path / "tree" / "catalog.json")
    children = {"./scenes/collection.json": "Scenes"}
    write_root(tmp_path / "tree", catalogue_id="tree", title="Tree", description="A tree.", children=children)
    root = pystac.Catalog.from_file(str(tmp_path / "tree" / "catalog.json"))
    (item,) = root.get_items(recursive=True)
    assert (item.id, item.get_root().id, item.get_parent().id) == ("one", "tree", "scenes")


def test_catalogue_faults_get_a_sentence(quad: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="at least one item"):
        write_catalogue([], tmp_path / "empty")
    made = make_item(quad, Declaration(id="one", datetime=NOON))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "collection.json").write_text("no")
    with pytest.raises(InvalidInputError, match=r"collection\.json cannot be read"):
        write_catalogue([made], tmp_path / "bad")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        write_item(made, tmp_path / "file" / "one.json")
    assert not list(tmp_path.rglob(".*"))


def described(**changed: Any) -> Description:
    """Return a description such as a family's reader gives."""
    box = shapely.geometry.mapping(shapely.box(10, 45, 10.1, 45.1))
    grid = Grid("EPSG:32632", GRID, 30, 20)
    assets = {"HH": {"href": "/held/HH", "roles": ["data"], "bands": [{"name": "HH"}], "escape:family": "ceos"}}
    given = {"id": "x", "start": NOON, "end": None, "grid": grid, "geometry": box, "assets": assets, "properties": {}}
    return Description(**{**given, **changed})


@pytest.mark.parametrize("odd", ["../../evil", "/etc/evil", "..", "a/b", "a\nb", "", "x" * 999, "\udcff"])
def test_id_of_a_product_never_leaves_the_collection(tmp_path: Path, odd: str) -> None:
    made = describe_as_item(described(id=odd))
    write_catalogue([made], tmp_path / "deep" / "mine")
    assert {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*.json")} == {("deep", "mine")}
    assert len(list(tmp_path.rglob("*.json"))) == 2


@pytest.mark.parametrize(
    "wrong", [{"properties": {"sar:looks_equivalent_number": float("nan")}}, {"properties": {"title": "\udcff"}}]
)
def test_values_that_json_cannot_hold(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="value that JSON cannot"):
        describe_as_item(described(**wrong))


def test_what_the_user_says_of_a_family_that_yields_power() -> None:
    made = describe_as_item(described(), Declaration(radiometry="beta0", encoding="db", noise_floor_db=-30.0))
    asset = made.item["assets"]["HH"]
    assert asset["roles"] == ["data", "beta0"]
    assert "unit" not in asset["bands"][0]
    assert asset["escape:noise_floor_db"] == -30.0
    numpy_number = describe_as_item(described(properties={"gsd": np.float32(2.5)}))
    assert json.dumps(numpy_number.item["properties"]["gsd"]) == "2.5"


def test_writers_of_one_collection_lose_nothing(tmp_path: Path) -> None:
    made = [describe_as_item(described(id=f"scene-{number}")) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda one: write_catalogue([one], tmp_path / "mine"), made))
    (path,) = paths
    links = [link["href"] for link in json.loads(path.read_text())["links"] if link["rel"] == "item"]
    assert len(links) == 24


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    made = describe_as_item(described(id="scene"))
    for left in ("mine/.collection.json.9poqs318", "mine/scene/.scene.json.sle6g6f7"):
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).write_text('{"half')
    write_catalogue([made], tmp_path / "mine")
    files = sorted(path.name for path in (tmp_path / "mine").rglob("*") if path.is_file())
    assert files == ["collection.json", "scene.json"]
