"""Items of whatever products lie in folders, archives and behind addresses."""

import datetime as dt
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner, Result
from loopback import serve_folder
from s3_server import BUCKET, S3Server
from stac_validation import validate_offline

from escape_process import hrefs
from escape_process.catalogue.item_assets import resolve
from escape_process.catalogue.scenes import scene_from_item
from escape_process.catalogue.sources import Declaration
from escape_process.cli import main
from escape_process.errors import InvalidInputError
from escape_process.make_items import make_item, make_items
from escape_process.readers import geotiff
from escape_process.records import Refusal, Scene
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

GRID = Affine(25, 0, 290800, 0, -25, 4575300)
SAID = ("--datetime", "2024-05-04T12:00:00Z", "--radiometry", "sigma0", "--encoding", "dn")
DECLARED = Declaration(datetime=dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC), radiometry="sigma0", encoding="dn")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def write(path: Path, value: int = 900, **profile: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crs": "EPSG:32630", "transform": GRID, "nodata": 0, "dtype": "uint16", "count": 1, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=8, width=12, **options) as raster:
        raster.write(np.full((8, 12), value, dtype=np.uint16), 1)
    return path


def write_scene(folder: Path, pattern: str = "{}.tif") -> Path:
    for name in ("HH", "HV", "VV"):
        write(folder / pattern.format(name))
    return folder


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_hundred_products_with_a_bad_one(tmp_path: Path) -> None:
    first = write_scene(tmp_path / "held" / "scene-000")
    for number in range(1, 100):
        shutil.copytree(first, tmp_path / "held" / f"scene-{number:03}")
    bad = tmp_path / "held" / "scene-050"
    (bad / "VV.tif").write_bytes((bad / "VV.tif").read_bytes()[:100])
    (tmp_path / "held" / "notes").mkdir()
    (tmp_path / "held" / "notes" / "readme.txt").write_text("no product")
    out = tmp_path / "mine"
    result = call("make-item", tmp_path / "held", "--out", out, *SAID)
    assert result.exit_code == 2
    reported = [line for line in result.stderr.splitlines() if line.startswith("escape-process:")]
    assert len(reported) == 1
    assert reported[0].startswith("escape-process: scene-050: The file VV.tif is not a GeoTIFF")
    others = [line for line in result.stderr.splitlines() if "declare" in line]
    assert others
    assert all(line.startswith("99 items: ") for line in others)
    links = json.loads((out / "collection.json").read_text())["links"]
    assert len([link for link in links if link["rel"] == "item"]) == 99
    before = contents(out)
    assert call("make-item", tmp_path / "held", "--out", out, *SAID).exit_code == 2
    assert contents(out) == before


def test_collection_inside_the_folder_of_products(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene")
    assert call("make-item", tmp_path, "--out", tmp_path, *SAID).exit_code == 0
    before = contents(tmp_path)
    assert call("make-item", tmp_path, "--out", tmp_path, *SAID).exit_code == 0
    assert contents(tmp_path) == before


def test_scenes_that_share_a_folder_are_told_apart(tmp_path: Path) -> None:
    write_scene(tmp_path / "held", "a_{}_SLP.tif")
    write_scene(tmp_path / "held", "b_{}_SLP.tif")
    write(tmp_path / "held" / "a_LIN.tif", 3500)
    write(tmp_path / "held" / "mask.tif", 1)
    made = make_items([str(tmp_path / "held")], tmp_path / "out", declared=DECLARED)
    assert {item.id: set(item.item["assets"]) for item in made.items} == {
        "a": {"HH", "HV", "VV", "local_incidence_angle", "mask"},
        "b": {"HH", "HV", "VV", "mask"},
    }


def test_files_given_one_by_one_are_one_product(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene")
    made = make_items([str(path) for path in sorted(folder.iterdir())], tmp_path / "out", declared=DECLARED)
    assert [item.id for item in made.items] == ["scene"]


def test_nothing_recognized(tmp_path: Path) -> None:
    write(tmp_path / "held" / "chart.tif")
    write(tmp_path / "held" / "below" / "chart.tif")
    made = make_items([str(tmp_path / "held"), str(tmp_path / "none")], tmp_path / "out")
    assert [failure.name for failure in made.failures] == ["below", "none"]
    assert "holds no product" in str(made.failures[0].error)
    assert "is not a folder" in str(made.failures[1].error)
    assert made.collection is None
    assert made.exit_code == 2


def test_one_id_for_several_products_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "a")
    write_scene(tmp_path / "b")
    with pytest.raises(InvalidInputError, match="2 were found"):
        make_items([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", declared=Declaration(id="one"))


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("may/order 1/scene", "june/order 1/scene", "june/order 2/scene", "june/other"):
        write_scene(tmp_path / "held" / folder)
    made = make_items([str(tmp_path / "held")], tmp_path / "out", declared=DECLARED)
    assert made.failures == ()
    assert [item.id for item in made.items] == ["june_order-1_scene", "order-2_scene", "other", "may_order-1_scene"]
    before = contents(tmp_path / "out")
    make_items([str(tmp_path / "held")], tmp_path / "out", declared=DECLARED)
    assert contents(tmp_path / "out") == before


NAME = "IMG-{}-ALOS2014555550-140829-HBQR2.1GUA.tif"


def test_a_copy_of_a_product_is_left_out_and_another_of_its_id_reported(tmp_path: Path) -> None:
    for part in "abc":
        write_scene(tmp_path / "held" / part, NAME)
    write(tmp_path / "held" / "c" / NAME.format("HH"), 901)
    result = call("make-item", tmp_path / "held", "--out", tmp_path / "out", *SAID)
    assert result.exit_code == 2
    id = "ALOS2014555550-140829-HBQR2_1GUA"
    assert f"{id}: b_ALOS2014555550-140829_HBQR2.1GUA is a copy of it and is left out." in result.stderr
    assert f"c_ALOS2014555550-140829_HBQR2.1GUA: Another product gave the item id '{id}'" in result.stderr


def test_folders_of_every_script_and_links_to_folders(tmp_path: Path) -> None:
    names = ["äöü ñ", "日本 2024", "東京 2024", "a#b?c%20d", "ends with hyphen-"]
    for name in names:
        write_scene(tmp_path / "elsewhere" / name)
    (tmp_path / "held").mkdir()
    for number, name in enumerate(names):
        (tmp_path / "held" / f"{number}").symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "held" / "again").symlink_to(tmp_path / "held")
    plain = make_items([str(tmp_path / "elsewhere")], tmp_path / "plain", declared=DECLARED)
    assert plain.failures == ()
    ids = {item.id for item in plain.items}
    assert {"aou-n", "a-b-c-20d", "ends-with-hyphen"} < ids
    assert {id[:5] for id in ids - {"aou-n", "a-b-c-20d", "ends-with-hyphen"}} == {"2024-"}
    assert len(ids) == len(names)
    linked = make_items([str(tmp_path / "held")], tmp_path / "linked", declared=DECLARED)
    assert [item.id for item in linked.items] == ["0", "1", "2", "3", "4"]
    for item in plain.items:
        assert list(_read(tmp_path / "plain" / item.id / f"{item.id}.json")) == [900, 900, 900]


def _read(path: Path) -> Iterator[int]:
    """Yield a pixel of each raster of an item as a client finds it."""
    for asset in json.loads(path.read_text())["assets"].values():
        with hrefs.open_raster(resolve(asset["href"], str(path)), Settings()) as raster:
            yield int(raster.read(1)[0, 0])


def test_a_pipe_among_the_files_holds_nothing_up(tmp_path: Path) -> None:
    write_scene(tmp_path / "held" / "good")
    (write_scene(tmp_path / "held" / "bad") / "VV.tif").unlink()
    os.mkfifo(tmp_path / "held" / "bad" / "VV.tif")
    made = make_items([str(tmp_path / "held")], tmp_path / "out", declared=DECLARED)
    assert [item.id for item in made.items] == ["good"]
    assert [str(failure.error) for failure in made.failures] == ["The file VV.tif cannot be opened: it is a pipe."]


def test_declared_mask(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene")
    write(folder / "mask.tif", 1)
    said = ("--mask-classes", "0=no_data,1=valid,7=layover")
    (item,) = json.loads(call("make-item", folder, "--out", tmp_path / "out", *SAID, *said, "--json").stdout)["items"]
    scene = scene_from_item(item, "item.json", RetrievalRequest(ids=["any"], incidence_angle_deg=35, frequency=1.27e9))
    assert isinstance(scene, Scene)
    assert scene.mask is not None
    assert (scene.mask.invalid, scene.mask.layover_shadow) == ({0}, {7})
    for wrong in ("7", "7=cloud", "a=valid", "7=valid,", ""):
        assert call("make-item", folder, "--out", tmp_path / "out", "--mask-classes", wrong).exit_code == 2


def test_declared_properties_and_format_test(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene")
    options = ("--property", "sat:relative_orbit=137", "--property", "note=real pixels", "--format-test", "--json")
    result = call("make-item", folder, "--out", tmp_path / "out", *SAID, *options)
    assert result.exit_code == 0
    properties = json.loads(result.stdout)["items"][0]["properties"]
    assert (properties["sat:relative_orbit"], properties["note"]) == (137, "real pixels")
    assert properties["escape:format_test"] is True
    refused = call("make-item", folder, "--out", tmp_path / "out", "--property", "137")
    assert refused.exit_code == 2
    assert "KEY=VALUE" in refused.stderr


def item_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    (item,) = json.loads(result.stdout)["items"]
    return dict(item)


def write_palsar2(folder: Path, level: str = "2.1", names: tuple[str, ...] = ("HH", "HV", "VH", "VV")) -> Path:
    stem = f"ALOS2014555550-140829-HBQR{level}GUA"
    for name in names:
        write(folder / f"IMG-{name}-{stem}.tif")
    (folder / f"{stem.replace('-HBQ', '_HBQ')}.kml").write_text("<kml/>")
    (folder / "summary.txt").write_text(
        'Scs_SceneID="ALOS2014555550-140829"\nPds_PixelSpacing="25.0"\nImg_OffNadirAngle="28.4"\n'
        'Img_SceneStartDateTime="20140829 04:33:42.052"\nImg_SceneEndDateTime="20140829 04:33:52.052"\n'
        f'Lbi_ProcessLevel="{level}"\n'
    )
    return folder


@pytest.mark.parametrize("packed", ["zip", "gztar", None])
def test_jaxa_geotiffs_in_folders_and_archives(tmp_path: Path, shared_data: Path, packed: str | None) -> None:
    folder = write_palsar2(tmp_path / "0000012345_001001_ALOS2014555550-140829")
    place = folder if packed is None else Path(shutil.make_archive(str(tmp_path / "order"), packed, folder))
    out = tmp_path / "mine"
    item = item_of(call("make-item", place, "--out", out, "--frequency", "1.2365e9", "--looks", "4", "--json"))
    validate_offline({**item, "links": [{"rel": "collection", "href": "./c.json"}]}, shared_data / "stac_schemas")
    assert item["id"] == "ALOS2014555550-140829-HBQR2_1GUA"
    assert item["properties"]["datetime"] == "2014-08-29T04:33:42.052000Z"
    assert item["properties"]["end_datetime"] == "2014-08-29T04:33:52.052000Z"
    assert item["properties"]["view:off_nadir"] == 28.4
    assert item["properties"]["sar:pixel_spacing_range"] == 25.0
    assert set(item["assets"]) == {"HH", "HV", "VH", "VV", "summary", "kml"}
    path = out / item["id"] / f"{item['id']}.json"
    scene = scene_from_item(json.loads(path.read_text()), str(path), RetrievalRequest(ids=["any"]))
    assert isinstance(scene, Scene)
    assert scene.angle.constant_deg == pytest.approx(31.5, abs=0.2)
    assert {band.convention for band in scene.bands.values()} == {"sigma0"}
    assert all(Path(band.href).is_file() for band in scene.bands.values())
    before = contents(out)
    assert call("make-item", place, "--out", out, "--frequency", "1.2365e9", "--looks", "4").exit_code == 0
    assert contents(out) == before


def test_two_levels_of_a_scene_in_one_folder(tmp_path: Path) -> None:
    write_palsar2(tmp_path / "held", "2.1")
    write_palsar2(tmp_path / "held", "1.5", names=("HH", "HV"))
    result = call("make-item", tmp_path / "held", "--out", tmp_path / "mine", "--json")
    warnings = json.loads(result.stdout)["warnings"]
    assert set(warnings) == {"ALOS2014555550-140829-HBQR2_1GUA", "ALOS2014555550-140829-HBQR1_5GUA"}
    said = " ".join(warnings["ALOS2014555550-140829-HBQR1_5GUA"])
    assert "Not full-polarimetric: VV missing" in said
    assert "not terrain corrected" in said


def test_product_made_of_digital_numbers_is_no_longer_such(tmp_path: Path) -> None:
    stem = "ALOS2014555550-140829-HBQR2.1GUA"
    for name in ("HH", "HV", "VV"):
        write(tmp_path / "held" / f"{stem}_{name}.tif", dtype="float32", nodata=None)
    result = call("make-item", tmp_path / "held", "--out", tmp_path / "mine", "--json")
    (item,) = json.loads(result.stdout)["items"]
    assert "unit" not in item["assets"]["HH"]["bands"][0]
    assert "escape:calibration_factor_db" not in item["assets"]["HH"]
    assert item["assets"]["HH"]["roles"] == ["data", "sigma0"]
    assert "declare the encoding" in result.stderr


def test_real_mosaic_tile_needs_no_word(tmp_path: Path, shared_data: Path) -> None:
    out = tmp_path / "mine"
    result = call("make-item", shared_data / "alos2_mosaic2020_N23W161", "--out", out, "--json")
    item = item_of(result)
    validate_offline({**item, "links": [{"rel": "collection", "href": "./c.json"}]}, shared_data / "stac_schemas")
    assert item["id"] == "N23W161_20_MOS_F02DAR"
    assert item["properties"]["datetime"] == "2020-09-09T10:44:12.406000Z"
    assert "VV missing" in result.stderr
    shape = shapely.geometry.shape(item["geometry"])
    assert shape.is_valid
    assert shape.area < 0.2, "of a tile of one square degree, most holds no data"
    assert {name: item["assets"][name]["escape:noise_floor_db"] for name in ("HH", "HV")} == {"HH": -41.1, "HV": -49.2}
    refused = scene_from_item(item, str(out / "item.json"), RetrievalRequest(ids=["any"]))
    assert isinstance(refused, Refusal)
    assert "VV" in refused.reason


def test_analysis_ready_quad_pol_with_its_metadata(tmp_path: Path, shared_data: Path) -> None:
    """Rasters named as level 2.2, whose real XML speaks for them."""
    (real,) = (shared_data / "alos2_l22_scansar_stac").glob("*.xml")
    stem = "ALOS2437590500-220630_WWDR2.2GUA"
    for name in ("HH", "HV", "VH", "VV"):
        write(tmp_path / "held" / f"{stem}_{name}_SLP.tif", nodata=None)
    write(tmp_path / "held" / f"{stem}_LIN.tif", 3500, nodata=None)
    write(tmp_path / "held" / f"{stem}_MSK.tif", 1, nodata=None)
    shutil.copy(real, tmp_path / "held")
    result = call("make-item", tmp_path / "held", "--out", tmp_path / "mine", "--json")
    item = item_of(result)
    validate_offline({**item, "links": [{"rel": "collection", "href": "./c.json"}]}, shared_data / "stac_schemas")
    scene = scene_from_item(item, "item.json", RetrievalRequest(ids=["any"]))
    assert isinstance(scene, Scene)
    assert scene.frequency == 1.2365e9
    assert (scene.angle.scale, scene.angle.local) == (0.01, True)
    assert {(band.convention, band.encoding, band.calibration_factor_db) for band in scene.bands.values()} == {
        ("gamma0", "dn", -83.0)
    }
    assert scene.noise_floor_db == {"HH": -30.0, "HV": -32.5}
    assert scene.mask is not None
    assert (scene.mask.layover_shadow, scene.mask.water) == ({2, 3}, {4})
    assert result.stderr.count("\n") == 1, "only the looks are unknown"


def test_products_behind_addresses(tmp_path: Path) -> None:
    held = write_palsar2(tmp_path / "held" / "scene")
    shutil.make_archive(str(tmp_path / "held" / "order"), "zip", held)
    with serve_folder(tmp_path / "held") as base:
        files = [f"{base}/scene/{path.name}" for path in held.iterdir()]
        loose = item_of(call("make-item", *files, "--out", tmp_path / "loose", "--json"))
        packed = item_of(call("make-item", f"{base}/order.zip", "--out", tmp_path / "packed", "--json"))
        missing = call("make-item", f"{base}/scene/HH.tif", f"{base}/none.zip", "--out", tmp_path / "none")
    for name in ("id", "geometry", "bbox", "properties"):
        assert loose[name] == packed[name]
    assert loose["assets"]["HH"]["href"].startswith(f"{base}/scene/IMG-HH-")
    assert loose["assets"]["HH"]["file:size"] == packed["assets"]["HH"]["file:size"]
    assert missing.exit_code == 1
    assert missing.stderr.count("escape-process: ") == 2


def test_evil_archive_is_reported_and_the_others_made(tmp_path: Path) -> None:
    write_palsar2(tmp_path / "held" / "good")
    with zipfile.ZipFile(tmp_path / "held" / "evil.zip", "w") as archive:
        archive.write(tmp_path / "held" / "good" / "summary.txt", "../../HH.tif")
    (tmp_path / "held" / "cut.zip").write_bytes(b"PK\x03\x04")
    result = call("make-item", tmp_path / "held", "--out", tmp_path / "mine")
    assert result.exit_code == 2
    assert "evil.zip: The archive evil.zip holds 'HH.tif', which leads elsewhere" in result.stderr
    assert "cut.zip: The archive cut.zip is truncated" in result.stderr
    assert not (tmp_path / "HH.tif").exists()
    assert (tmp_path / "mine" / "ALOS2014555550-140829-HBQR2_1GUA").is_dir()


def test_archive_of_which_no_item_is_made_leaves_nothing(tmp_path: Path) -> None:
    write_palsar2(tmp_path / "bad")
    (tmp_path / "bad" / "IMG-VV-ALOS2014555550-140829-HBQR2.1GUA.tif").write_bytes(b"II*\0")
    bad = shutil.make_archive(str(tmp_path / "bad"), "zip", tmp_path / "bad")
    assert call("make-item", bad, "--out", tmp_path / "mine").exit_code == 2
    assert not (tmp_path / "mine").exists()
    write_palsar2(tmp_path / "good")
    good = shutil.make_archive(str(tmp_path / "good"), "zip", tmp_path / "good")
    assert call("make-item", bad, good, "--out", tmp_path / "mine").exit_code == 2
    assert len(list((tmp_path / "mine" / "unpacked").iterdir())) == 1
    before = contents(tmp_path / "mine")
    assert call("make-item", bad, good, "--out", tmp_path / "mine").exit_code == 2
    assert contents(tmp_path / "mine") == before


def test_names_in_lower_case_tell_the_same(tmp_path: Path) -> None:
    items = []
    for name in ("upper", "lower"):
        folder = write_palsar2(tmp_path / name)
        if name == "lower":
            for path in list(folder.iterdir()):
                path.rename(path.with_name(path.name.lower()))
        (item,) = make_items([str(folder)], tmp_path / f"{name}-out").items
        items.append(item)
    upper, lower = items
    assert upper.id == lower.id == "ALOS2014555550-140829-HBQR2_1GUA"
    assert upper.item["properties"] == lower.item["properties"]
    assert upper.warnings == lower.warnings


def test_absurd_rasters_are_refused_before_they_are_read(tmp_path: Path) -> None:
    for name, options in (
        ("long", {"height": 8, "width": 250_000}),
        ("large", {"height": 100_000, "width": 100_000, "tiled": True, "blockxsize": 512, "blockysize": 512}),
        ("block", {"height": 40_000, "width": 40_000, "blockysize": 40_000}),
    ):
        (tmp_path / name).mkdir()
        options |= {"driver": "GTiff", "count": 1, "dtype": "uint16", "crs": "EPSG:32630", "transform": GRID}
        with rasterio.open(tmp_path / name / "HH.tif", "w", sparse_ok=True, compress="deflate", **options):
            pass
        with pytest.raises(InvalidInputError, match=r"HH\.tif (claims|lies in blocks of)"):
            make_item(tmp_path / name, DECLARED)


def test_internal_error_of_a_reader_is_one_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        write_scene(tmp_path / name)
    describe = geotiff.describe

    def fail(hrefs: tuple[str, ...], *arguments: object, **options: object) -> object:
        if "/a/" in hrefs[0]:
            raise ZeroDivisionError
        return describe(hrefs, *arguments, **options)

    monkeypatch.setattr(geotiff, "describe", fail)
    made = make_items([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", declared=DECLARED)
    assert [item.id for item in made.items] == ["b"]
    assert [failure.name for failure in made.failures] == ["a"]
    assert made.exit_code != 0


@pytest.mark.parametrize(
    ("family", "folder", "ids"),
    [
        (
            "covariance",
            "polsartools_manitoba_fullpol",
            {"polsartools_manitoba_fullpol_C3", "polsartools_manitoba_fullpol_T3"},
        ),
        ("nisar", "alos1_quadpol_rslc_riobranco", {"calib_RSLC_ALPSRP025826990_RIO_BRANCO_CR"}),
    ],
)
def test_real_products_of_other_families(
    tmp_path: Path, shared_data: Path, family: str, folder: str, ids: set[str]
) -> None:
    options = ("--datetime", "2012-07-01", "--radiometry", "sigma0", "--frequency", "1.27e9", "--format-test", "--json")
    result = call("make-item", shared_data / folder, "--out", tmp_path, *options)
    items = {item["id"]: item for item in json.loads(result.stdout)["items"]}
    assert set(items) == ids
    for item in items.values():
        validate_offline({**item, "links": [{"rel": "collection", "href": "./c.json"}]}, shared_data / "stac_schemas")
        assert all(asset["file:size"] > 0 for asset in item["assets"].values())
        scene = scene_from_item(item, "item.json", RetrievalRequest(ids=["any"], incidence_angle_deg=35))
        assert isinstance(scene, Scene)
        assert all(band.source is not None and band.source.family == family for band in scene.bands.values())


def test_real_ceos_product_of_two_polarizations(tmp_path: Path, shared_data: Path) -> None:
    result = call("make-item", shared_data / "alos2_l15_fbd_ceos", "--out", tmp_path)
    assert "VH and VV missing" in result.stderr


def test_geotiffs_beside_a_real_leader_and_summary(tmp_path: Path, shared_data: Path) -> None:
    (packed,) = (shared_data / "alos2_l15_fbd_ceos").glob("*.zip")
    stem = "ALOS2015976960-140909-FBDR1.5GUA"
    held = tmp_path / "held"
    with zipfile.ZipFile(packed) as archive:
        for name in (f"LED-{stem}", "summary.txt"):
            archive.extract(name, held)
    for name in ("HH", "HV", "VH", "VV"):
        write(held / f"IMG-{name}-{stem}.tif")
    result = call("make-item", held, "--out", tmp_path / "mine", "--json")
    item = item_of(result)
    validate_offline({**item, "links": [{"rel": "collection", "href": "./c.json"}]}, shared_data / "stac_schemas")
    assert set(item["assets"]) == {"HH", "HV", "VH", "VV", "leader", "summary"}
    scene = scene_from_item(item, "item.json", RetrievalRequest(ids=["any"]))
    assert isinstance(scene, Scene)
    assert scene.frequency == pytest.approx(1.2365e9, abs=1e5)
    assert scene.datetime == dt.datetime(2014, 9, 9, 4, 33, 42, 52000, tzinfo=dt.UTC)
    assert scene.angle.constant_deg == pytest.approx(40.5, abs=1.5)
    assert not scene.terrain_corrected
    assert [line.split(": ", 1)[1] for line in result.stderr.splitlines()] == [
        "Level 1.5 is not terrain corrected: positions and angles are wrong where there is relief.",
        "No number of looks: it will be measured on the pixels, which is less certain.",
    ]


def test_products_in_object_storage(s3: S3Server, tmp_path: Path) -> None:
    scene = Path(__file__).parent.parent / "catalog" / "samples" / "sim-salamanca-20240504"
    for raster in scene.glob("*.tif"):
        s3.put(f"orders/2024/first/{raster.name}", raster.read_bytes())
    config = tmp_path / "config.yml"
    settings = {"data_dir": "data", "catalogs": {"own": "own/collection.json"}, "default_catalog": "own"}
    settings |= {"buckets": [s3.bucket()], "allowed_hosts": [s3.url.removeprefix("http://")]}
    processor = {"name": "escape_process.process.EscapeProcessor", "settings": settings}
    config.write_text(json.dumps({"resources": {"escape-soil-moisture": {"type": "process", "processor": processor}}}))
    arguments = ("make-item", f"s3://{BUCKET}/orders/", "--out", tmp_path / "own", "--config", config, *SAID)

    done = call(*arguments, "--frequency", "1.2365e9", "--json")

    assert done.exit_code == 0, done.output
    item = json.loads(done.stdout)["items"][0]
    assert item["id"] == "first"
    assert item["assets"]["HH"]["href"] == f"s3://{BUCKET}/orders/2024/first/HH.tif"
    assert item["assets"]["HH"]["file:size"] == (scene / "HH.tif").stat().st_size
    bounds = [-5.46, 41.24, -5.43, 41.27]
    found = call("run", "--config", config, "--bbox", ",".join(map(str, bounds)), "--dry-run", "--json")
    assert [scene["id"] for scene in json.loads(found.stdout)["report"]["scenes"]] == ["first"]
