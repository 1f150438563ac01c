"""GCOV: powers, angles and masks of HDF5 products, the same as from GeoTIFFs of the same pixels."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from described_items import item_of, scene_of
from nisar_files import CUBES, GRANULE, GRIDS, write_gcov
from pyproj import Transformer
from rasterio.windows import Window

from escape_process.errors import EscapeError, SceneError
from escape_process.readers import build_stacks, load_observables, nisar, open_scene
from escape_process.records import Band, Description, Source
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

SETTINGS = Settings()
SHAPE = (97, 83)


def powers(shape: tuple[int, int] = SHAPE, names: tuple[str, ...] = ("HH", "HV", "VH", "VV")) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    means = {"HH": 0.3, "HV": 0.07, "VH": 0.075, "VV": 0.22}
    return {name: rng.gamma(8, means[name] / 8, size=shape).astype(np.float32) for name in names}


def read(described: Description, layer: str, window: Window | None = None, **more: str) -> np.ndarray:
    files = {key: asset["href"] for key, asset in described.assets.items()} | more
    with nisar.open_layer(Source("nisar", layer, files), SETTINGS) as raster:
        values: np.ndarray = raster.read(1, window=window or Window(0, 0, raster.width, raster.height))
    return values


def test_what_a_product_says_of_itself(tmp_path: Path) -> None:
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", powers(), looks=11.0))], SETTINGS)
    assert described.id == GRANULE
    assert described.start is not None
    assert described.start.isoformat() == "2025-11-06T01:05:37+00:00"
    assert described.grid.crs == "EPSG:32615"
    assert described.grid.transform == Affine(20, 0, 713760, 0, -20, 5149140), "coordinates are those of centres"
    assert described.grid.shape == SHAPE
    properties = described.properties
    assert properties["platform"] == "nisar"
    assert properties["sar:center_frequency"] == 1.2575
    assert properties["sar:polarizations"] == ["HH", "HV", "VH", "VV"]
    assert (properties["sat:orbit_state"], properties["sat:relative_orbit"]) == ("descending", 113)
    assert properties["sar:observation_direction"] == "left"
    # 11 samples, 24 MHz sampled for 20 MHz, 1520 Hz for 1216 Hz: each a factor 5/6 and 4/5 of independent ones
    assert properties["sar:looks_equivalent_number"] == pytest.approx(11 * 20 / 24 * 0.8, rel=1e-3)
    (ring,) = described.geometry["coordinates"]
    assert min(x for x, _ in ring) == pytest.approx(-90.22, abs=0.01)


def test_powers_are_those_of_geotiffs_of_the_same_pixels(tmp_path: Path, shared_data: Path) -> None:
    real = {}
    for path in sorted((shared_data / "nisar_quadpol_gcov" / "quad").glob("*.tif")):
        with rasterio.open(path) as raster:
            real[path.stem] = raster.read(1)
            bounds = raster.bounds
    corner = (bounds.left, bounds.top)
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", real, upper_left=corner))], SETTINGS)
    assert described.grid.bounds == tuple(bounds)
    for name, values in real.items():
        assert (read(described, name) == values).all()
        assert (read(described, name, Window(41, 13, 50, 70)) == values[13:83, 41:91]).all()
    opened = open_scene(scene_of(item_of(described)), SETTINGS)
    assert {band.convention for band in opened.bands.values()} == {"gamma0"}
    request = RetrievalRequest(ids=["x"], resolution=20)
    (stack,) = build_stacks([opened], request)
    found = load_observables(stack, stack.window, SETTINGS)
    theta = found.incidence_angle[0]
    assert np.degrees(theta[:, 0]) == pytest.approx(38, abs=1e-3)
    assert np.degrees(theta[:, -1]) == pytest.approx(40, abs=1e-3)
    assert found.sigma0[0, 0] == pytest.approx(real["HH"] * np.cos(theta), rel=1e-5)
    assert found.sigma0[0, 1] == pytest.approx((real["HV"] + real["VH"]) / 2 * np.cos(theta), rel=1e-5)


def test_the_products_own_factor_makes_sigma0(tmp_path: Path) -> None:
    values = powers()
    factor = np.random.default_rng(1).uniform(0.6, 0.9, SHAPE).astype(np.float32)
    factor[2, 3] = np.nan
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", values, factor=factor))], SETTINGS)
    found = read(described, "VV")
    expected = values["VV"] * factor
    assert np.isnan(found[2, 3])
    assert found[~np.isnan(factor)] == pytest.approx(expected[~np.isnan(factor)], rel=1e-6)
    assert {band.convention for band in bands_of(described)} == {"sigma0"}
    declared = bands_of(described, "gamma0")
    assert {band.convention for band in declared} == {"sigma0"}, "what a reader has converted stays so"


def bands_of(described: Description, radiometry: str | None = None) -> list[Band]:
    return list(scene_of(item_of(described, radiometry)).bands.values())


def test_the_mask_excludes_what_is_in_no_swath(tmp_path: Path) -> None:
    mask = np.ones(SHAPE, dtype=np.uint8)
    mask[:5], mask[5:9], mask[9:20] = 0, 255, 3
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", powers(), mask=mask))], SETTINGS)
    assert (read(described, "mask") == mask).all()
    scene = scene_of(item_of(described, **{"sar:looks_equivalent_number": 8.0}))
    assert scene.mask is not None
    assert scene.mask.invalid == {0, 255}
    (stack,) = build_stacks([open_scene(scene, SETTINGS)], RetrievalRequest(ids=["x"], resolution=20))
    valid = np.isfinite(load_observables(stack, stack.window, SETTINGS).sigma0[0, 0])
    assert not valid[:9].any()
    assert valid[9:].all()


def test_the_angle_is_taken_at_the_height_of_the_ground(tmp_path: Path) -> None:
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", powers()))], SETTINGS)
    flat = read(described, "ellipsoid_incidence_angle")
    # Linear from 38 at the first column's centre to 40 at the last one's; 0.2 degrees for each 1000 m.
    assert flat == pytest.approx(np.broadcast_to(np.linspace(38, 40, SHAPE[1]), SHAPE), abs=1e-4)
    dem = tmp_path / "dem.tif"
    place = Affine(100, 0, 712000, 0, -100, 5151000)
    profile: dict[str, Any] = {"driver": "GTiff", "height": 60, "width": 60, "count": 1, "dtype": "float32"}
    with rasterio.open(dem, "w", crs="EPSG:32615", transform=place, nodata=-9999, **profile) as raster:
        heights = np.full((60, 60), 750, dtype=np.float32)
        heights[:, 30:] = -9999
        raster.write(heights, 1)
    high = read(described, "ellipsoid_incidence_angle", dem=str(dem))
    column = int((712000 + 29 * 100 - 713760) / 20) - 1
    assert high[:, :column] == pytest.approx(flat[:, :column] + 0.15, abs=1e-4)
    assert np.isnan(high[:, column + 12 :]).all()


def test_without_a_cube_the_angle_is_the_callers(tmp_path: Path) -> None:
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", powers(), angles=None))], SETTINGS)
    assert any("no cube of the incidence angle" in warning for warning in described.warnings)
    assert scene_of(item_of(described), incidence_angle_deg=33.0).angle.constant_deg == 33.0


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("HH", "HV"), r"holds only HHHH, HVHV; VVVV is missing"),
        (("HH", "VV"), r"holds only HHHH, VVVV; HVHV or VHVH is missing"),
        (("VV",), r"holds only VVVV; HHHH and HVHV or VHVH are missing"),
    ],
)
def test_what_is_not_full_pol_is_refused_by_what_is_missing(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    path = write_gcov(tmp_path / "a.h5", powers(names=names))
    with pytest.raises(SceneError, match=r"a\.h5 is not full-polarimetric: frequency A " + words):
        nisar.describe([str(path)], SETTINGS)


def test_three_channels_are_enough(tmp_path: Path) -> None:
    values = powers(names=("HH", "VH", "VV"))
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", values))], SETTINGS)
    assert set(scene_of(item_of(described)).bands) == {"HH", "VH", "VV"}


def change(at: str, values: Any) -> Callable[[h5py.File], None]:
    def apply(file: h5py.File) -> None:
        if at in file:
            del file[at]
        if values is not None:
            file[at] = values

    return apply


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change(f"{GRIDS}/HVHV", np.zeros((97, 82), np.float32)), "HVHV of 97 x 82 values, but .* 97 x 83"),
        (change(f"{GRIDS}/VVVV", np.zeros(SHAPE, np.complex64)), "stores VVVV as complex64"),
        (change(f"{GRIDS}/mask", np.zeros(SHAPE, np.float32)), "stores mask as float32"),
        (change(f"{GRIDS}/xCoordinates", None), "does not tell the coordinates"),
        (change(f"{GRIDS}/xCoordinates", np.linspace(0, 1, 83) ** 2), "not evenly spaced"),
        (change(f"{GRIDS}/yCoordinates", np.linspace(0, 1, 97)), "south-up"),
        (change(f"{GRIDS}/yCoordinates", np.full(97, np.nan)), "lie nowhere"),
        (change(f"{GRIDS}/xCoordinates", np.linspace(1e8, 2e8, 83)), "does not lie on the Earth"),
        (change(f"{GRIDS}/projection", np.int32(9999)), "reference system that a.h5 states is not known"),
        (change(f"{GRIDS}/projection", None), "does not tell its reference system"),
        (change(f"{CUBES}/incidenceAngle", np.zeros((3, 4, 5))), "does not fit its axes"),
        (change(f"{CUBES}/heightAboveEllipsoid", np.zeros(20)), "do not rise or fall"),
        (change(f"{CUBES}/projection", np.int32(32616)), "angles in EPSG:32616, but pixels in EPSG:32615"),
        (change("/science/LSAR/identification/productType", np.bytes_("GSLC")), "is a NISAR GSLC product"),
        (change("/science/LSAR/identification/productType", None), "does not say which NISAR product"),
        (change("/science/LSAR/identification/radarBand", np.bytes_("S")), "S-band, not L-band"),
        (change("/science/LSAR", None), "no NISAR product"),
        (change(f"{GRIDS}/HHHH", h5py.SoftLink(f"{GRIDS}/VVVV")), "keeps HHHH behind a link"),
        (change(f"{GRIDS}/HHHH", h5py.ExternalLink("/etc/passwd", "/")), "keeps HHHH behind a link"),
    ],
)
def test_a_wrong_product_is_refused_by_what_is_wrong(
    tmp_path: Path, spoil: Callable[[h5py.File], None], words: str
) -> None:
    path = write_gcov(tmp_path / "a.h5", powers())
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(SceneError, match=words) as caught:
        nisar.describe([str(path)], SETTINGS)
    assert str(tmp_path) not in str(caught.value)
    assert "passwd" not in str(caught.value)


def test_the_s_band_is_refused(tmp_path: Path) -> None:
    path = write_gcov(tmp_path / "a.h5", powers())
    with h5py.File(path, "r+") as file:
        file.move("/science/LSAR", "/science/SSAR")
    with pytest.raises(SceneError, match="S-band radar"):
        nisar.describe([str(path)], SETTINGS)


def test_a_file_cut_short_is_told_at_once_or_at_the_read(tmp_path: Path) -> None:
    path = write_gcov(tmp_path / "a.h5", powers())
    content = path.read_bytes()
    described = nisar.describe([str(path)], SETTINGS)
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(EscapeError, match=r"a\.h5 is damaged or cut short"):
            _ = [read(described, layer) for layer in ("HH", "HV", "VH", "VV", "ellipsoid_incidence_angle")]


def test_one_product_at_a_time(tmp_path: Path) -> None:
    path = write_gcov(tmp_path / "a.h5", powers())
    other = shutil.copy(path, tmp_path / "b.h5")
    with pytest.raises(SceneError, match=r"2 HDF5 files are there \(a\.h5, b\.h5\)"):
        nisar.describe([str(path), str(other)], SETTINGS)
    assert nisar.recognises(["a.h5", "a.xml"])
    assert not nisar.recognises(["a.tif", "h5"])
    with pytest.raises(SceneError, match="no layer LIN"):
        read(nisar.describe([str(path)], SETTINGS), "LIN")


def test_the_footprint_is_that_of_the_data(tmp_path: Path) -> None:
    """Frames lie askew in their grid: what is around them is NaN."""
    values = powers()
    for power in values.values():
        power[:30], power[:, 50:] = np.nan, np.nan
    described = nisar.describe([str(write_gcov(tmp_path / "a.h5", values))], SETTINGS)
    to_map = Transformer.from_crs("OGC:CRS84", "EPSG:32615", always_xy=True)
    outline = shapely.transform(shapely.geometry.shape(described.geometry), to_map.transform, interleaved=False)
    left, bottom, _, top = described.grid.bounds
    assert outline.bounds == pytest.approx((left, bottom, left + 50 * 20, top - 30 * 20), abs=1.0)
