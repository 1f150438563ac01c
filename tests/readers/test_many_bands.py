"""GeoTIFFs of several bands, whose descriptions tell what each holds, from a user's file to sigma0."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scenes import CRS, ORIGIN
from stac_validation import validate_offline

from escape_process.catalogue.scenes import scene_from_item
from escape_process.catalogue.sources import Declaration
from escape_process.make_items import Made, make_items
from escape_process.readers import load_observables, open_scene
from escape_process.records import Observables, Pass, Refusal, Scene, Stack, Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

SHAPE = (20, 30)
DECLARED = Declaration(datetime=dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC), frequency=1.27e9, looks=20.0)
ANGLE = np.linspace(30, 40, 30, dtype=np.float32) * np.ones((20, 1), np.float32)
POWERS = {
    name: np.random.default_rng(seed).gamma(20, mean / 20, SHAPE).astype(np.float32)
    for seed, (name, mean) in enumerate({"HH": 0.08, "HV": 0.015, "VH": 0.016, "VV": 0.11}.items())
}


def write(path: Path, bands: dict[str, np.ndarray], **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crs": CRS, "transform": ORIGIN, "dtype": "float32", "count": len(bands), **profile}
    with rasterio.open(path, "w", driver="GTiff", height=SHAPE[0], width=SHAPE[1], **options) as raster:
        for index, (description, values) in enumerate(bands.items(), 1):
            raster.write(values.astype(options["dtype"]), index)
            raster.set_band_description(index, description)
    return path


def make(place: Path, out: Path, declared: Declaration = DECLARED) -> Made:
    return make_items([str(place)], out, declared=declared)


def observe(made: Made, **inputs: Any) -> Observables:
    (one,) = made.items
    scene = scene_from_item(one.item, "/item.json", RetrievalRequest(ids=["any"], **inputs))
    assert isinstance(scene, Scene), scene
    opened = open_scene(scene, Settings())
    window = Window(0, 0, *SHAPE)
    return load_observables(Stack((Pass("pass", (opened,)),), opened.grid, window, factor=1), window, Settings())


@pytest.mark.parametrize("packed", [False, True])
def test_bands_as_snap_names_them(tmp_path: Path, shared_data: Path, packed: bool) -> None:
    """The angle lies between the powers, and a band that nothing is known of before them."""
    bands = {"elevation": ANGLE, "Gamma0_VV": POWERS["VV"], "localIncidenceAngle": ANGLE}
    bands |= {f"Gamma0_{name}": POWERS[name] for name in ("HH", "HV", "VH")}
    place = write(tmp_path / "held" / "subset_Cal_TC.tif", bands, nodata=-9999.0).parent
    if packed:
        place = Path(shutil.make_archive(str(tmp_path / "order"), "zip", place))
    made = make(place, tmp_path / "out")
    (one,) = made.items
    document = json.loads((tmp_path / "out" / one.id / f"{one.id}.json").read_text())
    validate_offline(document, shared_data / "stac_schemas")
    assert one.id == "subset_Cal_TC"
    assert one.item["assets"]["backscatter"]["roles"] == ["data", "gamma0"]
    found = observe(made)
    to_sigma0 = np.cos(np.radians(ANGLE))
    expected = [POWERS["HH"], (POWERS["HV"] + POWERS["VH"]) / 2, POWERS["VV"]]
    assert found.sigma0[0] == pytest.approx(np.stack(expected) * to_sigma0, rel=1e-5)
    assert np.degrees(found.incidence_angle[0]) == pytest.approx(ANGLE, rel=1e-5)


def test_an_encoding_is_declared_of_powers_alone_and_a_mask_lies_beside(tmp_path: Path) -> None:
    numbers = {name: np.sqrt(power / 10**-8.3) for name, power in POWERS.items()}
    bands = {**numbers, "local_incidence_angle": 100 * ANGLE}
    write(tmp_path / "held" / "scene.tif", bands, dtype="uint16", nodata=0)
    mask = np.ones(SHAPE)
    mask[:5] = 2
    write(tmp_path / "held" / "mask.tif", {"mask": mask}, dtype="uint8")
    declared = Declaration(
        datetime=DECLARED.datetime,
        frequency=1.27e9,
        looks=20.0,
        radiometry="sigma0",
        encoding="dn",
        mask_classes={1: "valid", 2: "layover"},
    )
    found = observe(make(tmp_path / "held", tmp_path / "out", declared))
    assert np.isnan(found.sigma0[0, :, :5]).all()
    assert found.sigma0[0, 0, 5:] == pytest.approx(POWERS["HH"][5:], rel=2e-3)
    assert np.degrees(found.incidence_angle[0, 5:]) == pytest.approx(ANGLE[5:], abs=0.01)


def test_stacks_of_one_folder_are_products_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "held" / f"{name}.tif", POWERS)
    write(tmp_path / "held" / "colours.tif", {"red": ANGLE, "green": ANGLE, "blue": ANGLE})
    assert [one.id for one in make(tmp_path / "held", tmp_path / "out").items] == ["a", "b"]
    alone = make(tmp_path / "held" / "a.tif", tmp_path / "alone")
    assert [one.id for one in alone.items] == ["a"]


def test_dual_pol_bands_are_refused_by_what_they_lack(tmp_path: Path) -> None:
    place = write(tmp_path / "held" / "scene.tif", {name: POWERS[name] for name in ("HH", "HV")})
    (one,) = make(place, tmp_path / "out").items
    refusal = scene_from_item(one.item, "/item.json", RetrievalRequest(ids=["any"]))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "It is dual-pol (HH, HV), VV is missing."


@pytest.mark.parametrize(
    ("bands", "sentence"),
    [
        ({"HH": ANGLE, "Sigma0_HH": ANGLE, "VV": ANGLE}, "The bands 1 and 2 of scene.tif both are described as HH"),
        ({"one": ANGLE, "two": ANGLE, "three": ANGLE}, "nor one with bands described so"),
    ],
)
def test_bands_that_are_not_told_apart(tmp_path: Path, bands: dict[str, np.ndarray], sentence: str) -> None:
    made = make(write(tmp_path / "held" / "scene.tif", bands).parent, tmp_path / "out")
    (failure,) = made.failures
    assert sentence in str(failure.error)


def test_a_grid_that_is_not_north_up_is_refused_at_once(tmp_path: Path) -> None:
    for name, transform in (("rotated", ORIGIN @ ORIGIN.rotation(10)), ("south-up", ORIGIN @ ORIGIN.scale(1, -1))):
        for polarization, power in POWERS.items():
            write(tmp_path / name / f"{polarization}.tif", {"": power}, transform=transform)
        (failure,) = make(tmp_path / name, tmp_path / "out").failures
        assert "HH.tif has a rotated or south-up grid: warp it" in str(failure.error)


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_bands_are_refused_by_their_type(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "held" / "scene.tif"
    path.parent.mkdir()
    profile: dict[str, Any] = {"driver": "GTiff", "height": 8, "width": 8, "crs": CRS, "transform": ORIGIN}
    with rasterio.open(path, "w", count=3, dtype=dtype, **profile) as raster:
        raster.descriptions = ("HH", "HV", "VV")
    (failure,) = make(path.parent, tmp_path / "out").failures
    assert str(failure.error) == f"The raster scene.tif holds {dtype} values: real numbers are needed, such as power."
