"""A scene's rasters agree, or the sentence names the one that does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from scenes import CRS, ORIGIN, MakeScene, quad, write

from escape_process.errors import EscapeError, SceneError, UpstreamError
from escape_process.readers import load_observables, open_scene
from escape_process.records import Pass, Stack, Window
from escape_process.settings import Settings

SETTINGS = Settings()


def test_an_opened_scene_knows_its_grid(make_scene: MakeScene) -> None:
    opened = open_scene(make_scene(quad((40, 60))), SETTINGS)
    assert (opened.grid.crs, opened.grid.shape) == ("EPSG:32630", (40, 60))
    assert opened.grid.bounds == (600000, 4600000 - 40 * 25, 600000 + 60 * 25, 4600000)
    assert not opened.encoding_assumed
    assert opened.warnings == ()


def test_a_swapped_shape_in_the_item_does_no_harm(make_scene: MakeScene) -> None:
    item = {"properties": {"proj:shape": [60, 40], "proj:epsg": 32601, "proj:transform": [1, 0, 0, 0, 1, 0]}}
    opened = open_scene(make_scene(quad((40, 60)), item=item), SETTINGS)
    assert (opened.grid.shape, opened.grid.crs, opened.grid.transform) == ((40, 60), CRS, ORIGIN)


def test_an_undeclared_encoding_is_inferred_and_told(make_scene: MakeScene) -> None:
    rasters = {name: 10 * np.log10(values) for name, values in quad((40, 60)).items()}
    opened = open_scene(make_scene(rasters, band={"encoding": None}), SETTINGS)
    assert {band.encoding for band in opened.bands.values()} == {"db"}
    assert opened.encoding_assumed
    assert "encoding of HH, HV, VH, VV is not declared; read as db" in opened.warnings[0]


def test_unstated_looks_are_measured_and_told(make_scene: MakeScene) -> None:
    rng = np.random.default_rng(1)
    rasters = {name: rng.gamma(9, values / 9).astype(np.float32) for name, values in quad((400, 400)).items()}
    opened = open_scene(make_scene(rasters, looks=None), SETTINGS)
    assert opened.looks == pytest.approx(9, rel=0.15)
    assert "measured" in opened.warnings[0]


def spoiled(make_scene: MakeScene, **replaced: object) -> EscapeError:
    """Return the error for a scene whose VV raster was written anew in another way."""
    scene = make_scene(quad((40, 60)))
    shape = replaced.pop("shape", (40, 60))
    write(Path(scene.bands["VV"].href), np.full(shape, 0.1, dtype=np.float32), **replaced)  # type: ignore[arg-type]
    with pytest.raises(SceneError) as caught:
        open_scene(scene, SETTINGS)
    return caught.value


def test_another_shape_is_named(make_scene: MakeScene) -> None:
    text = str(spoiled(make_scene, shape=(41, 60)))
    assert "VV of scene has 41 x 60 pixels, but HH has 40 x 60" in text


def test_another_grid_is_named(make_scene: MakeScene) -> None:
    text = str(spoiled(make_scene, transform=ORIGIN @ Affine.translation(1, 0)))
    assert "VV of scene lies on another grid" in text
    assert "600025" in text


def test_another_crs_is_named(make_scene: MakeScene) -> None:
    assert "EPSG:32631" in str(spoiled(make_scene, crs="EPSG:32631"))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_missing_crs_is_named(make_scene: MakeScene) -> None:
    assert "VV of scene has no CRS" in str(spoiled(make_scene, crs=None))


def test_a_rotated_grid_is_named(make_scene: MakeScene) -> None:
    assert "rotated" in str(spoiled(make_scene, transform=ORIGIN @ Affine.rotation(10)))


@pytest.mark.parametrize(
    ("crs", "pixel", "corner"),
    [
        ("EPSG:3857", 25.0, 1e30),  # PROJ turns such longitudes around one by one
        ("EPSG:32630", 25.0, 1e12),
        ("EPSG:4326", 0.001, 450.0),
        ("EPSG:4326", 0.001, 90.004),  # the middle at the pole, where a pixel has no width
        ("EPSG:4326", 1e-12, 40.0),
    ],
)
def test_a_place_beyond_the_earth_is_refused(make_scene: MakeScene, crs: str, pixel: float, corner: float) -> None:
    profile = {"crs": crs, "transform": Affine(pixel, 0, corner, 0, -pixel, corner)}
    with pytest.raises(SceneError, match=r"Asset HH of scene has a georeference that maps no ground"):
        open_scene(make_scene(quad((8, 8)), profile=profile), Settings())


def test_a_missing_raster_is_named(make_scene: MakeScene) -> None:
    scene = make_scene(quad((40, 60)))
    Path(scene.bands["VV"].href).unlink()
    with pytest.raises(UpstreamError, match=r"VV\.tif"):
        open_scene(scene, SETTINGS)


def test_a_truncated_raster_is_named(make_scene: MakeScene) -> None:
    scene = make_scene(quad((400, 600)))
    path = Path(scene.bands["VV"].href)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SceneError, match=r"VV\.tif"):
        open_scene(scene, SETTINGS)


def test_complex_rasters_are_refused_and_not_halved(make_scene: MakeScene) -> None:
    rasters = {name: values.astype(np.complex64) for name, values in quad((40, 60)).items()}
    with pytest.raises(SceneError, match=r"Asset HH of scene holds complex numbers \(complex64\)"):
        open_scene(make_scene(rasters, band={"encoding": None}), SETTINGS)
    with pytest.raises(SceneError, match="Asset LIN of scene holds complex numbers"):
        open_scene(make_scene(quad((40, 60)), angle=np.full((40, 60), 30 + 1j, np.complex64)), SETTINGS)


def test_an_angle_in_a_band_that_is_not_there_is_refused(make_scene: MakeScene) -> None:
    scene = make_scene(quad((40, 60)), angle=np.full((40, 60), 30, np.float32))
    scene = replace(scene, angle=replace(scene.angle, index=2))
    with pytest.raises(SceneError, match="Asset LIN of scene has 1 bands, so band 2 cannot be read"):
        open_scene(scene, SETTINGS)


UNTOLD: dict[str, object] = {"band": {"encoding": None}}


def test_nodata_tells_nothing_of_the_encoding(make_scene: MakeScene) -> None:
    """Most of the sample is missing: -9999 is no backscatter in dB, declared or not."""
    rasters = quad((40, 60))
    for values in rasters.values():
        values[:30] = -9999.0
    for profile in ({"nodata": -9999.0}, {}):
        opened = open_scene(make_scene(rasters, profile=profile, **UNTOLD), SETTINGS)
        assert {band.encoding for band in opened.bands.values()} == {"linear"}


def test_an_empty_middle_tells_nothing(make_scene: MakeScene) -> None:
    rasters = {name: 10 * np.log10(np.full((1600, 1600), 0.1, np.float32)) for name in ("HH", "HV", "VV")}
    for values in rasters.values():
        values[500:1100, 500:1100] = np.nan
    opened = open_scene(make_scene(rasters, **UNTOLD), SETTINGS)
    assert {band.encoding for band in opened.bands.values()} == {"db"}


@pytest.mark.parametrize(
    ("stored", "dtype", "median"),
    [
        (lambda power: np.sqrt(power) * 10**4.15, np.float32, "4467"),
        (lambda power: 1000 * np.log10(power), np.int16, "-1000"),
    ],
    ids=["digital numbers as floats", "hundredths of a dB"],
)
def test_values_that_are_no_power_are_refused(
    make_scene: MakeScene, stored: Callable[[np.ndarray], np.ndarray], dtype: type, median: str
) -> None:
    rasters = {name: stored(values).astype(dtype) for name, values in quad((40, 60)).items()}
    with pytest.raises(SceneError, match=rf"Asset HH of scene .*\({dtype.__name__}, median {median}\).*declare its"):
        open_scene(make_scene(rasters, **UNTOLD), SETTINGS)
    open_scene(make_scene(rasters, band={"encoding": "dn"}), SETTINGS)  # declared: the item's word counts


@pytest.mark.parametrize(
    ("values", "dtype", "scale", "unit"),
    [
        (np.radians(35.0), np.float32, np.degrees(1.0), "radians"),
        (3500, np.uint16, 0.01, "hundredths of a degree"),
        (35.0, np.float32, None, None),
        (35, np.uint8, None, None),
    ],
)
def test_an_angle_without_a_unit_is_told_by_its_values(
    make_scene: MakeScene, values: float, dtype: type, scale: float | None, unit: str | None
) -> None:
    scene = make_scene(quad((40, 60)), angle=np.full((40, 60), values, dtype))
    opened = open_scene(scene, SETTINGS)
    assert opened.angle.scale == (None if scale is None else pytest.approx(scale))
    said = f"Asset LIN does not tell its unit; its values are read as {unit}."
    assert opened.warnings == (() if unit is None else (said,))
    stack = Stack((Pass("pass", (opened,)),), opened.grid, Window(0, 0, 40, 60), factor=1)
    observed = load_observables(stack, stack.window, SETTINGS)
    assert np.degrees(observed.incidence_angle) == pytest.approx(35.0, abs=1e-3)
