"""The rules that make a scene of an item, one by one, on synthetic and real items."""

import datetime as dt
import json
import math
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from escape_process.catalogue.scenes import join_passes, scene_from_item
from escape_process.records import Refusal, Scene
from escape_process.request import RetrievalRequest

HREF = "https://data.example.org/a/scene.json"
Make = Callable[..., dict[str, Any]]
Ask = Callable[..., RetrievalRequest]
BARE = RetrievalRequest.from_inputs({"ids": ["scene"]})


def accept(item: dict[str, Any], request: RetrievalRequest = BARE, href: str = HREF) -> Scene:
    scene = scene_from_item(item, href, request)
    assert isinstance(scene, Scene), scene
    return scene


def refuse(item: dict[str, Any], request: RetrievalRequest = BARE, href: str = HREF) -> str:
    refusal = scene_from_item(item, href, request)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason.endswith(".")
    return refusal.reason


def strip_convention(item: dict[str, Any]) -> dict[str, Any]:
    for name in ("HH", "HV", "VH", "VV"):
        item["assets"][name]["roles"] = ["data"]
    return item


def test_a_careful_item_is_taken_whole(item: Make) -> None:
    scene = accept(
        item(
            **{
                "sar:looks_equivalent_number": 12.5,
                "sar:resolution_range": 5.0,
                "sar:resolution_azimuth": 4.0,
                "sat:relative_orbit": 87,
            }
        )
    )
    assert scene.id == "scene"
    assert scene.href == HREF
    assert scene.datetime == dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    assert sorted(scene.bands) == ["HH", "HV", "VH", "VV"]
    assert scene.bands["HH"].href == "https://data.example.org/a/scene_HH.tif"
    assert (scene.bands["HH"].convention, scene.bands["HH"].encoding, scene.bands["HH"].nodata) == ("sigma0", "dn", 0.0)
    assert (scene.angle.href, scene.angle.scale, scene.angle.local) == (
        "https://data.example.org/a/scene_LIN.tif",
        0.01,
        True,
    )
    assert scene.frequency == pytest.approx(1.2365e9)
    assert (scene.looks, scene.resolution_cell, scene.relative_orbit) == (12.5, 20.0, 87)
    assert scene.item["assets"]["HH"]["href"] == "https://data.example.org/a/scene_HH.tif"
    assert scene.terrain_corrected
    assert len(scene.warnings) == 1
    assert "-83 dB" in scene.warnings[0]


# --- polarizations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (["HH", "HV"], "It is dual-pol (HH, HV), VV is missing."),
        (["VH", "VV"], "It is dual-pol (VH, VV), HH is missing."),
        (["HH", "VV"], "It is dual-pol (HH, VV), HV or VH is missing."),
        (["HH"], "It is single-pol (HH), VV and HV or VH are missing."),
        ([], "It names none of the polarizations HH, HV, VH and VV."),
    ],
)
def test_what_is_missing_is_named(item: Make, kept: list[str], said: str) -> None:
    dual = item(**{"sar:polarizations": kept})
    for name in {"HH", "HV", "VH", "VV"} - set(kept):
        del dual["assets"][name]
    assert refuse(dual) == said


@pytest.mark.parametrize("cross", ["HV", "VH"])
def test_one_cross_polarization_is_enough(item: Make, cross: str) -> None:
    three = item(**{"sar:polarizations": ["HH", cross, "VV"]})
    del three["assets"]["VH" if cross == "HV" else "HV"]
    assert sorted(accept(three).bands) == sorted(["HH", cross, "VV"])


def test_a_list_of_polarizations_proves_no_rasters(item: Make) -> None:
    lying = item()
    del lying["assets"]["VV"]
    assert refuse(lying) == (
        "Its metadata lists HH, HV, VH, VV, but it has GeoTIFF assets only of HH, HV and VH: VV missing."
    )


@pytest.mark.parametrize("where", ["bands", "eo:bands", "raster:bands", "sar:polarizations", "key", "href", "lower"])
def test_polarizations_are_found_wherever_they_stand(item: Make, where: str) -> None:
    odd = item(**{"sar:polarizations": None})
    assets = {"angle": odd["assets"]["angle"]}
    for number, name in enumerate(("HH", "HV", "VH", "VV")):
        asset: dict[str, Any] = {"href": f"./{number}.tif", "roles": ["sigma0"]}
        key = f"file{number}"
        if where in ("bands", "eo:bands", "raster:bands"):
            asset[where] = [{"name": name}]
        elif where == "sar:polarizations":
            asset[where] = [name]
        elif where == "href":
            asset["href"] = f"https://other.example.org/IMG-{name}-ALOS2014555550-140829-HBQR2.1GUA.tif?sig=VV"
        else:
            key = f"sl_{name.lower() if where == 'lower' else name}_F02"
        assets[key] = asset
    odd["assets"] = assets
    scene = accept(odd)
    assert sorted(scene.bands) == ["HH", "HV", "VH", "VV"]
    assert len({band.href for band in scene.bands.values()}) == 4


def test_bands_of_one_file_are_told_apart_by_name(item: Make) -> None:
    one = item()
    names = ["HH", "HV", "VV", "local_incidence_angle"]
    one["assets"] = {
        "stack": {"href": "./stack.tif", "roles": ["data", "sigma0"], "bands": [{"name": n} for n in names]}
    }
    scene = accept(one)
    assert {name: band.index for name, band in scene.bands.items()} == {"HH": 1, "HV": 2, "VV": 3}
    assert scene.angle.index == 4


def test_unnamed_bands_of_one_file_are_not_guessed(item: Make) -> None:
    one = item()
    stack = {"href": "./stack.tif", "roles": ["data", "sigma0"], "sar:polarizations": ["HH", "HV", "VH", "VV"]}
    one["assets"] = {"stack": {**stack, "bands": [{}, {}, {}, {}]}, "angle": one["assets"]["angle"]}
    assert "GeoTIFF assets of none" in refuse(one)


def test_previews_masks_and_other_formats_are_no_measurements(item: Make) -> None:
    decoy = item()
    decoy["assets"] = {
        "VV_mask": {"href": "./VV_mask.tif", "roles": ["data"]},
        "VV_quicklook": {"href": "./VV.png", "type": "image/png", "roles": ["overview"]},
        "VV_noise": {"href": "./VV_noise.tif", "roles": ["noise-power"]},
        **decoy["assets"],
    }
    assert accept(decoy).bands["VV"].key == "VV"
    decoy["assets"].pop("VV")
    decoy["assets"]["VV.h5"] = {"href": "./VV.h5", "type": "application/x-hdf5", "roles": ["data"]}
    assert "VV missing" in refuse(decoy)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", "image/png", "tiff", "", 5, None])
def test_a_wrong_media_type_of_a_geotiff_does_no_harm(item: Make, media_type: Any) -> None:
    wrong = item()
    for asset in wrong["assets"].values():
        asset["type"] = media_type
    assert set(accept(wrong).bands) == {"HH", "HV", "VH", "VV"}


def test_sigma0_is_preferred_where_both_are_there(item: Make) -> None:
    both = item()
    gamma = {f"gamma0_{n}": {"href": f"./g_{n}.tif", "roles": ["data", "gamma0"]} for n in ("HH", "HV", "VV")}
    both["assets"] = {**gamma, **both["assets"]}
    assert {band.convention for band in accept(both).bands.values()} == {"sigma0"}


def test_remote_items_reach_no_local_files(item: Make) -> None:
    sly = item()
    sly["assets"]["VV"]["href"] = "file:///etc/passwd"
    assert refuse(sly) == "Its rasters of VV have no http or https address: serve them by one."
    sly["assets"]["VV"]["href"] = "/vsicurl/http://10.0.0.1/VV.tif"
    assert "no http or https address" in refuse(sly)
    sly["assets"]["VV"]["href"] = "ftp://host/VV.tif"
    assert "no http or https address" in refuse(sly)
    fine = item()
    fine["assets"]["angle"]["href"] = "file:///etc/passwd"
    assert "incidence angle" in refuse(fine)


def test_local_items_have_local_files(item: Make) -> None:
    local = item()
    local["assets"]["VV"]["href"] = "file:///data/my%20scene/VV.tif"
    scene = accept(local, href="/catalogue/scenes/scene.json")
    assert scene.bands["HH"].href == "/catalogue/scenes/scene_HH.tif"
    assert scene.bands["VV"].href == "/data/my scene/VV.tif"


# --- band and frequency ----------------------------------------------------------------------------------------------


def test_other_bands_are_refused(item: Make) -> None:
    assert refuse(item(**{"sar:frequency_band": "C"})) == "It is C-band (sar:frequency_band), not L-band."
    assert "5.405 GHz" in refuse(item(**{"sar:frequency_band": None, "sar:center_frequency": 5.405}))


def test_a_band_that_nothing_shows_is_refused_unless_the_request_tells(item: Make, request_of: Ask) -> None:
    silent = item(**{"sar:frequency_band": None, "sar:center_frequency": None, "platform": "unknown"})
    assert refuse(silent) == "Nothing shows that it is L-band: give frequency."
    assert accept(silent, request_of(frequency=1.27e9)).frequency == 1.27e9


def test_a_silent_item_of_a_known_satellite_is_taken_with_a_warning(item: Make) -> None:
    scene = accept(item(**{"sar:frequency_band": None, "sar:center_frequency": None, "platform": "SAOCOM-1A"}))
    assert scene.frequency == 1.2365e9
    assert any("1.2365 GHz" in warning for warning in scene.warnings)
    assert any("name shows" in warning for warning in scene.warnings)


def test_the_request_does_not_override_a_stated_frequency(item: Make, request_of: Ask) -> None:
    assert accept(item(), request_of(frequency=1.5e9)).frequency == pytest.approx(1.2365e9)


def test_a_scansar_mode_with_all_polarizations_is_a_warning(item: Make) -> None:
    assert any("WBD" in warning for warning in accept(item(**{"sar:instrument_mode": "WBD"})).warnings)


# --- radiometry ------------------------------------------------------------------------------------------------------


def test_an_undeclared_convention_is_refused_unless_the_request_tells(item: Make, request_of: Ask) -> None:
    silent = strip_convention(item())
    assert refuse(silent) == "Its metadata does not tell whether HH is sigma0, gamma0 or beta0: give radiometry."
    assert accept(silent, request_of(radiometry="beta0")).bands["VV"].convention == "beta0"
    assert accept(item(), request_of(radiometry="beta0")).bands["VV"].convention == "sigma0"


@pytest.mark.parametrize(
    ("properties", "convention"),
    [
        ({"card4l:measurement_type": "gamma0"}, "gamma0"),
        ({"ceosard:specification": "NRB"}, "gamma0"),
        ({"ceosard:specification": "ORB"}, "sigma0"),
        ({"sar:product_type": "RTC"}, "gamma0"),
        ({"product:type": "L2.1"}, "sigma0"),
    ],
)
def test_conventions_by_property(item: Make, properties: dict[str, Any], convention: str) -> None:
    assert accept(strip_convention(item(**properties))).bands["HH"].convention == convention


@pytest.mark.parametrize(
    ("product", "convention", "terrain_corrected"),
    [("HBQR2.1GUA", "sigma0", True), ("HBQR1.5GUD", "sigma0", False), ("WWDR2.2GUA", "gamma0", True)],
)
def test_conventions_by_file_name(item: Make, product: str, convention: str, terrain_corrected: bool) -> None:
    named = strip_convention(item(**{"sar:product_type": "GRD"}))
    for name in ("HH", "HV", "VH", "VV"):
        named["assets"][name]["href"] = f"./IMG-{name}-ALOS2014555550-140829-{product}.tif"
    scene = accept(named)
    assert scene.bands["HH"].convention == convention
    assert scene.terrain_corrected is terrain_corrected


@pytest.mark.parametrize("said", [True, False])
def test_item_that_says_itself_whether_it_is_terrain_corrected(item: Make, said: bool) -> None:
    described = item(**{"escape:terrain_corrected": said})
    described["assets"]["HH"]["href"] = f"./IMG-HH-ALOS2014555550-140829-HBQ{'R1.5GUA' if said else 'R2.1GUA'}"
    scene = accept(described)
    assert scene.terrain_corrected is said


@pytest.mark.parametrize(("key", "convention"), [("Gamma0_{}", "gamma0"), ("sigma-nought_{}", "sigma0")])
def test_conventions_by_key(item: Make, key: str, convention: str) -> None:
    named = strip_convention(item())
    named["assets"] = {(key.format(k) if k != "angle" else k): asset for k, asset in named["assets"].items()}
    assert accept(named).bands["HH"].convention == convention


@pytest.mark.parametrize(
    ("fields", "band", "encoding", "factor"),
    [
        ({}, {"data_type": "uint16"}, "dn", None),
        ({"raster:scale": 0.01}, {"data_type": "uint16"}, None, None),
        ({}, {"data_type": "float32"}, None, None),
        ({}, {"data_type": "float32", "unit": "1"}, "linear", None),
        ({}, {"data_type": "float32", "unit": "dB"}, "db", None),
        ({"unit": "dB"}, {"data_type": "int16", "scale": 0.01}, "db", None),
        ({"roles": ["data", "sigma0", "amplitude"]}, {"data_type": "float32"}, "amplitude", None),
        ({"card4l:measurement_convention": "linear amplitude"}, {"data_type": "float32"}, "amplitude", None),
        ({"card4l:measurement_convention": "linear power"}, {"data_type": "float32"}, "linear", None),
        ({"card4l:conversion_eq": "20*log10(DN) - 80.5"}, {"data_type": "uint16"}, "dn", -80.5),
        ({"card4l:conversion_eq": "10*log10(DN)"}, {"data_type": "float32"}, None, None),
        ({"escape:calibration_factor_db": -79.0}, {"unit": "DN"}, "dn", -79.0),
        ({}, {}, None, None),
    ],
)
def test_encodings(
    item: Make, fields: dict[str, Any], band: dict[str, Any], encoding: str | None, factor: float | None
) -> None:
    odd = item()
    odd["assets"]["HH"].update(fields)
    odd["assets"]["HH"]["bands"] = [{"name": "HH", **band}]
    record = accept(odd).bands["HH"]
    assert (record.encoding, record.calibration_factor_db) == (encoding, factor)


def test_scale_offset_and_nodata_of_stac_1_0_and_1_1(item: Make) -> None:
    old, new = item(), item()
    old["assets"]["HH"]["raster:bands"] = [{"scale": 0.5, "offset": -2, "nodata": "nan"}]
    del old["assets"]["HH"]["bands"]
    new["assets"]["HH"]["bands"] = [{"name": "HH", "raster:scale": 0.5, "raster:offset": -2, "nodata": 7}]
    for record, nodata in ((accept(old).bands["HH"], math.nan), (accept(new).bands["HH"], 7.0)):
        assert (record.scale, record.offset) == (0.5, -2.0)
        assert record.nodata == pytest.approx(nodata, nan_ok=True)


def test_complex_products_are_refused(item: Make) -> None:
    assert "single-look complex" in refuse(item(**{"sar:product_type": "SLC"}))
    complex_item = item()
    complex_item["assets"]["HH"]["bands"][0]["data_type"] = "cfloat32"
    assert "cfloat32" in refuse(complex_item)


# --- angle and mask --------------------------------------------------------------------------------------------------


def test_angles_from_best_to_worst(item: Make, request_of: Ask) -> None:
    properties = {"view:incidence_angle": 35.0, "view:off_nadir": 28.4}
    full = item(**properties)
    full["assets"]["ell"] = {"href": "./ell.tif", "roles": ["ellipsoid-incidence-angle"]}
    assert accept(full).angle.key == "angle"
    full["assets"].pop("angle")
    assert (accept(full).angle.key, accept(full).angle.local) == ("ell", False)
    full["assets"].pop("ell")
    constant = accept(full).angle
    assert (constant.key, constant.constant_deg, constant.local) == ("view:incidence_angle", 35.0, False)
    full["properties"].pop("view:incidence_angle")
    computed = accept(full)
    assert computed.angle.constant_deg == pytest.approx(31.5, abs=0.1)  # JAXA: off-nadir 28.4 is incidence 31.4 to 31.6
    assert any("off-nadir" in warning for warning in computed.warnings)
    full["properties"].pop("view:off_nadir")
    assert refuse(full).endswith("give incidence_angle_deg.")
    given = accept(full, request_of(incidence_angle_deg=33.0)).angle
    assert (given.key, given.constant_deg, given.local) == ("incidence_angle_deg", 33.0, True)


@pytest.mark.parametrize("key", ["LIN", "linci", "local_inc_angle", "inc", "scene_LIN"])
def test_angles_by_name(item: Make, key: str) -> None:
    named = item()
    named["assets"][key] = {"href": "./x.tif"}
    del named["assets"]["angle"]
    scene = accept(named)
    assert (scene.angle.key, scene.angle.scale) == (key, None)
    assert any("which incidence angle" in warning for warning in scene.warnings) is (key == "inc")


@pytest.mark.parametrize(
    ("band", "scale"),
    [({"unit": "rad"}, math.degrees(1)), ({"unit": "m"}, None), ({"unit": "degree"}, 1.0), ({"scale": 0.01}, 0.01)],
)
def test_scales_of_angles(item: Make, band: dict[str, Any], scale: float | None) -> None:
    odd = item()
    odd["assets"]["angle"]["bands"] = [band]
    assert accept(odd).angle.scale == (None if scale is None else pytest.approx(scale))


def test_masks(item: Make) -> None:
    masked = item()
    assert accept(masked).mask is None
    masked["assets"]["MSK"] = {"href": "./MSK.tif", "role": ["metadata", "data-mask"]}
    mask = accept(masked).mask
    assert mask is not None
    assert (mask.invalid, mask.layover_shadow, mask.water) == ({0, 5}, {2, 3}, {4})
    names = [(9, "no_data"), (1, "valid"), (8, "layover"), (7, "shadow"), (6, "water")]
    classes = [{"value": value, "name": name} for value, name in names]
    masked["assets"]["MSK"]["bands"] = [{"classification:classes": classes}]
    mask = accept(masked).mask
    assert mask is not None
    assert (mask.invalid, mask.layover_shadow, mask.water) == ({9}, {7, 8}, {6})
    masked["properties"]["platform"] = "nisar"
    del masked["assets"]["MSK"]["bands"]
    scene = accept(masked)
    assert scene.mask is not None
    assert (scene.mask.invalid, scene.mask.water) == ({0}, frozenset())
    assert any("what its values mean" in warning for warning in scene.warnings)


# --- looks, time, orbit ----------------------------------------------------------------------------------------------


def test_looks(item: Make, request_of: Ask) -> None:
    given = request_of(looks=9.0)
    assert accept(item(), given).looks == 9.0
    assert accept(item()).looks is None
    assert accept(item(**{"sar:looks_range": 3, "sar:looks_azimuth": 2}), given).looks == 6.0
    stated = {"sar:looks_equivalent_number": 4.4, "sar:looks_range": 3, "sar:looks_azimuth": 2}
    assert accept(item(**stated), given).looks == 4.4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-13T01:18:44.291467", dt.datetime(2025, 11, 13, 1, 18, 44, 291467, dt.UTC)),
        ("2025-11-13T01:18:44+02:00", dt.datetime(2025, 11, 12, 23, 18, 44, 0, dt.UTC)),
        ("2025-11-13t01:18:44z", dt.datetime(2025, 11, 13, 1, 18, 44, 0, dt.UTC)),
    ],
)
def test_times(item: Make, text: str, expected: dt.datetime) -> None:
    assert accept(item(datetime=text)).datetime == expected


def test_a_null_datetime_has_a_start_and_an_end(item: Make) -> None:
    spanning = item(datetime=None, start_datetime="2024-05-01T12:00:00Z", end_datetime="2024-05-01T12:00:20Z")
    assert accept(spanning).datetime == dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    spanning["properties"]["end_datetime"] = "2025-04-30T00:00:00Z"
    assert refuse(spanning) == "It spans 363 days, so it is a mosaic and no single acquisition."
    assert "datetime" in refuse(item(datetime="yesterday"))


def test_a_scene_without_a_footprint_is_refused(item: Make) -> None:
    nowhere = item()
    square = [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]]
    unfinished = [[[0.0, 0.0], [1.0, 0.0], [1.0, float("nan")], [0.0, 1.0], [0.0, 0.0]]]
    for geometry in (
        None,
        {},
        {"type": "Point", "coordinates": [0, 0]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": unfinished},
        {"type": "MultiPolygon", "coordinates": [square, unfinished]},
        {"type": "Polygon", "coordinates": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1e999], [0.0, 1.0], [0.0, 0.0]]]},
    ):
        nowhere["geometry"] = geometry
        assert refuse(nowhere) == "It has no valid footprint (geometry)."


def test_frames_of_one_pass_share_a_key(item: Make) -> None:
    def key(name: str, **properties: Any) -> str:
        return accept(item(name, **properties)).pass_key

    first = key("a")
    assert key("b", datetime="2024-05-01T12:00:10Z", platform="ALOS2") == first
    assert key("c", **{"sat:absolute_orbit": 54322}) != first
    assert key("d", datetime="2024-05-15T12:00:00Z") != first
    no_orbit = {"sat:absolute_orbit": None}
    assert key("e", **no_orbit) != key("f", **no_orbit)
    assert key("e", **no_orbit, **{"sat:relative_orbit": 5}) == key("f", **no_orbit, **{"sat:relative_orbit": 5})


def test_the_orbit_is_in_the_id_of_alos2_scenes(item: Make) -> None:
    scene = accept(item("ALOS2014555550-140829", **{"sat:absolute_orbit": None}))
    assert "orbit1455_" in scene.pass_key
    assert scene.relative_orbit == 1455 % 207


def test_a_pass_across_midnight_stays_one(item: Make) -> None:
    times = ["2024-05-01T23:59:55Z", "2024-05-02T00:00:05Z", "2024-05-16T00:00:05Z"]
    scenes = [accept(item(f"s{number}", datetime=time)) for number, time in enumerate(times)]
    joined = join_passes(reversed(scenes))
    assert [scene.id for scene in joined] == ["s0", "s1", "s2"]
    assert joined[0].pass_key == joined[1].pass_key != joined[2].pass_key
    assert replace(joined[1], pass_key=scenes[1].pass_key) == scenes[1]


def test_noise_floors(item: Make) -> None:
    noisy = item()
    noisy["assets"]["HH"]["escape:noise_floor_db"] = -34.0
    noisy["properties"]["card4l:noise_equivalent_intensity"] = {"minimum": -33, "maximum": -29.5}
    assert accept(noisy).noise_floor_db == {"HH": -34.0, "HV": -29.5, "VH": -29.5, "VV": -29.5}


# --- real and random items -------------------------------------------------------------------------------------------


def test_the_real_scansar_item_is_refused_by_name_of_what_is_missing(shared_data: Path) -> None:
    path = shared_data / "alos2_l22_scansar_stac" / "ALOS2437590500-220630_WWDR2.2GUA.json"
    assert refuse(json.loads(path.read_text()), href=str(path)) == "It is dual-pol (HH, HV), VV is missing."


def test_the_real_scansar_item_is_understood_but_for_its_polarizations(shared_data: Path) -> None:
    path = shared_data / "alos2_l22_scansar_stac" / "ALOS2437590500-220630_WWDR2.2GUA.json"
    item = json.loads(path.read_text())
    item["assets"]["VV_SLP"] = json.loads(json.dumps(item["assets"]["HH_SLP"]).replace("HH", "VV"))
    scene = accept(item, href=str(path))
    assert {band.convention for band in scene.bands.values()} == {"gamma0"}  # though it says GRD
    assert {band.encoding for band in scene.bands.values()} == {"dn"}
    assert (scene.angle.key, scene.angle.scale) == ("LIN", None)  # its unit "m" is wrong
    assert scene.mask is not None
    assert scene.mask.water == {4}
    assert (scene.terrain_corrected, scene.relative_orbit) == (True, 43759 % 207)
    assert scene.frequency == pytest.approx(1.2365e9)


def test_the_real_mosaic_is_refused_by_name_of_what_is_missing(shared_data: Path) -> None:
    archive = next((shared_data / "alos2_mosaic2020_N23W161").glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if name.endswith(".tif")]
    item = {
        "type": "Feature",
        "id": "N23W161",
        "geometry": None,
        "properties": {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-12-31T00:00:00Z"},
        "assets": {name: {"href": f"./{name}"} for name in names},
    }
    assert refuse(item) == "It is dual-pol (HH, HV), VV is missing."


def test_example_items_of_other_satellites_are_refused(shared_data: Path) -> None:
    paths = sorted((shared_data / "stac_item_examples").glob("*.json"))
    assert len(paths) >= 4
    for path in paths:
        assert "missing" in (reason := refuse(json.loads(path.read_text()))) or "none of the polarizations" in reason


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=5,
)


def _damage(item: dict[str, Any], data: st.DataObject) -> None:
    """Replace or delete one value at any depth."""
    node: Any = item
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    if isinstance(node, dict) and node is not item and data.draw(st.booleans()):
        del node[key]
    else:
        node[key] = data.draw(_JUNK)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_damaged_items_are_scenes_or_refusals(item: Make, data: st.DataObject) -> None:
    damaged = item(**{"view:incidence_angle": 35.0, "sar:looks_equivalent_number": 4.0})
    for _ in range(data.draw(st.integers(1, 4))):
        _damage(damaged, data)
    result = scene_from_item(damaged, HREF, BARE)
    if isinstance(result, Scene):
        assert {"HH", "VV"} <= set(result.bands)
        assert {"HV", "VH"} & set(result.bands)
        assert all(band.href.startswith("https://") for band in result.bands.values())
        assert 1e9 <= result.frequency <= 2e9
        assert result.datetime.tzinfo is not None
    else:
        assert result.reason.endswith(".")


@given(st.dictionaries(st.sampled_from(["id", "type", "properties", "assets", "geometry", "links"]), _JUNK))
@settings(max_examples=200, deadline=None)
def test_junk_is_refused(item: dict[str, Any]) -> None:
    assert isinstance(scene_from_item(item, HREF, BARE), Refusal)


def test_an_item_nested_beyond_any_stack_is_refused(item: Make) -> None:
    nested: dict[str, object] = {}
    for _ in range(5000):
        nested = {"deeper": nested}
    assert "nested too deeply" in refuse(item(**{"escape:note": nested}))
