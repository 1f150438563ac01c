"""Layers on the grid: parcels where they are, sigma0 and looks as they were made, windows that agree."""

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from ceos_geometry import incidence
from ceos_writer import Design, scatter, write_product
from loopback import serve_folder
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

from escape_process.readers.ceos import describe, open_layer, recognises
from escape_process.records import Description, Source
from escape_process.settings import Settings

DESIGN = Design(lines=900, pixels=420)
PARCEL = 300.0
"""Edge of the parcels of a chessboard in UTM, m."""


def chessboard(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which parcels are bright."""
    return np.asarray((np.floor(x / PARCEL) + np.floor(y / PARCEL)) % 2 == 0)


def files_of(description: Description) -> Mapping[str, str]:
    """Return what an item would hand to a reader."""
    return {key: str(asset["href"]) for key, asset in description.assets.items()}


def read(description: Description, layer: str, settings: Settings, window: Window | None = None) -> NDArray[np.float32]:
    """Read a layer, all of it or a window."""
    with open_layer(Source("ceos", layer, files_of(description)), settings) as raster:
        return np.asarray(raster.read(1, window=window or Window(0, 0, raster.width, raster.height)))


@pytest.fixture(scope="module")
def hrefs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write a product of bright and dark parcels, 10 dB apart."""
    line, pixel = np.meshgrid(np.arange(DESIGN.lines), np.arange(DESIGN.pixels), indexing="ij")
    longitude, latitude = DESIGN.placer()(line, pixel)
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32618", always_xy=True).transform(longitude, latitude)
    bright = chessboard(np.asarray(x), np.asarray(y))
    sigma0 = {name: np.where(bright, power, power / 10) for name, power in (("HH", 0.1), ("HV", 0.01), ("VV", 0.12))}
    return write_product(DESIGN, scatter(DESIGN, sigma0, seed=5), tmp_path_factory.mktemp("parcels"))


@pytest.fixture
def described(hrefs: list[str], settings: Settings) -> Description:
    """Describe the product."""
    return describe(hrefs, settings)


def centres(description: Description) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates of the cells' centres."""
    transform = description.grid.transform
    x = transform.c + (np.arange(description.grid.width) + 0.5) * transform.a
    y = transform.f + (np.arange(description.grid.height) + 0.5) * transform.e
    one, other = np.meshgrid(x, y)
    return one, other


def test_parcels_lie_within_a_quarter_of_a_pixel(described: Description, settings: Settings) -> None:
    """The chessboard correlates best with the image where it is shifted by nothing."""
    power = read(described, "HH", settings)
    valid = np.isfinite(power)
    x, y = centres(described)
    measured = np.log(np.where(valid, power, 1.0))

    def fit(dx: float, dy: float) -> float:
        return float(np.corrcoef(measured[valid], chessboard(x + dx, y + dy)[valid])[0, 1])

    best = fit(0.0, 0.0)
    assert best > 0.85
    for dx, dy in ((10.0, 0.0), (0.0, 10.0)):  # one pixel to either side loses alike where nothing is displaced
        before, after = fit(-dx, -dy), fit(dx, dy)
        assert best > max(before, after)
        assert abs(after - before) / (best - min(before, after)) < 0.5


@pytest.mark.parametrize(("layer", "power"), [("HH", 0.1), ("HV", 0.01), ("VH", 0.01), ("VV", 0.12)])
def test_sigma0_is_what_was_made(described: Description, settings: Settings, layer: str, power: float) -> None:
    values = read(described, layer, settings)
    x, y = centres(described)
    inner = np.all([np.abs(np.mod(at, PARCEL) - PARCEL / 2) < PARCEL / 2 - 20 for at in (x, y)], axis=0)
    bright = chessboard(x, y) & inner & np.isfinite(values)
    dark = ~chessboard(x, y) & inner & np.isfinite(values)
    assert values[bright].mean() == pytest.approx(power, rel=0.03)
    assert values[dark].mean() == pytest.approx(power / 10, rel=0.03)


def test_looks_stated_are_those_measured_on_cells(described: Description, settings: Settings) -> None:
    """Over 50 m cells: stated looks times cells by resolution, as the block reader counts them."""
    values = read(described, "HV", settings)
    x, y = centres(described)
    scaled = np.where(chessboard(x, y), values, values * 10)
    edge = [np.abs(np.mod(at, PARCEL) - PARCEL / 2) > PARCEL / 2 - 15 for at in (x, y)]
    scaled[np.any(edge, axis=0)] = np.nan
    rows, columns = (size // 5 * 5 for size in scaled.shape)
    cells = scaled[:rows, :columns].reshape(rows // 5, 5, columns // 5, 5).mean(axis=(1, 3))
    cells = cells[np.isfinite(cells)]
    assert cells.size > 300
    measured = cells.mean() ** 2 / cells.var()
    properties = described.properties
    area = properties["sar:resolution_range"] * properties["sar:resolution_azimuth"]
    stated = (
        properties["sar:looks_equivalent_number"] * 25 * max(1.0, 100.0 / max(area, 100.0)) * min(1.0, 100.0 / area)
    )
    assert measured == pytest.approx(stated, rel=0.2)


def test_windows_agree_with_the_whole(described: Description, settings: Settings) -> None:
    whole = read(described, "VV", settings)
    part = read(described, "VV", settings, Window(103, 91, 77, 50))
    np.testing.assert_allclose(part, whole[91:141, 103:180], rtol=1e-5)


def test_cells_without_a_whole_box_have_no_value(described: Description, settings: Settings) -> None:
    values = read(described, "HH", settings)
    transform = described.grid.transform
    assert not np.isfinite(values[0, 0])
    assert 0.75 < np.isfinite(values).mean() * values.size * 100 / (900 * 3.0 * 420 * 5.9) < 1.05
    assert (transform.a, transform.e) == (10.0, -10.0)


@pytest.mark.parametrize("polynomial", [False, True])
def test_incidence_angle_is_that_of_the_ellipsoid(polynomial: bool, tmp_path: Path, settings: Settings) -> None:
    """By the leader's polynomial and by the orbit where the leader has none."""
    design = Design(lines=100, pixels=400, incidence_polynomial=polynomial)
    even = {name: np.ones((design.lines, design.pixels)) for name in ("HH", "HV", "VV")}
    description = describe(write_product(design, scatter(design, even), tmp_path), settings)
    angle = read(description, "ellipsoid_incidence_angle", settings)
    for line, pixel in ((5, 10), (50, 200), (95, 390)):
        longitude, latitude = (float(one) for one in design.place(np.array(line), np.array(pixel)))
        x, y = Transformer.from_crs("EPSG:4326", description.grid.crs, always_xy=True).transform(longitude, latitude)
        column, row = (int(at) for at in ~description.grid.transform @ (x, y))
        true = incidence(design.orbit, float(design.times(np.array(line))), longitude, latitude)
        assert angle[row, column] == pytest.approx(true, abs=0.01)


def test_detected_product_is_read_alike(tmp_path: Path, settings: Settings) -> None:
    """Level 1.5 holds amplitudes: 20 log10(DN) - 83; 0 and 65535 are no measurements."""
    design = Design(lines=200, pixels=150, level="1.5")
    values = np.full((design.lines, design.pixels), 3000, dtype=np.uint16)
    values[:100] = 0
    values[150:] = 65535
    description = describe(write_product(design, dict.fromkeys(("HH", "HV", "VH", "VV"), values), tmp_path), settings)
    power = read(description, "HV", settings)
    valid = np.isfinite(power)
    np.testing.assert_allclose(10 * np.log10(power[valid]), 20 * np.log10(3000) - 83, atol=1e-4)
    assert 0.15 < valid.mean() < 0.3
    assert description.properties["product:type"] == "L1.5"


def test_product_behind_an_address_is_read_alike(hrefs: list[str], described: Description, settings: Settings) -> None:
    allowed = settings.model_copy(update={"allowed_hosts": ("127.0.0.1",)})
    with serve_folder(Path(hrefs[0]).parent) as url:
        remote = describe([f"{url}/{Path(href).name}" for href in hrefs], allowed)
        window = Window(100, 120, 60, 40)
        there = read(remote, "HV", allowed, window)
    assert remote.grid == described.grid
    np.testing.assert_array_equal(there, read(described, "HV", settings, window))


def test_leader_without_a_calibration_factor(tmp_path: Path, settings: Settings) -> None:
    """JAXA's usual -83 dB is used, with a warning; another one that is stated counts."""
    even = {name: np.full((60, 50), 0.1) for name in ("HH", "HV", "VV")}
    means = []
    for factor in ("", f"{-83.0:16.7f}", f"{-80.0:16.7f}"):
        design = Design(lines=60, pixels=50, calibration_factor=factor)
        description = describe(write_product(design, scatter(design, even), tmp_path / f"at{factor.strip()}"), settings)
        warned = any(
            "states no calibration factor; JAXA's usual -83 dB is used" in text for text in description.warnings
        )
        assert warned is (not factor)
        means.append(float(np.nanmean(read(description, "HH", settings))))
    assert means[0] == means[1]
    assert means[2] == pytest.approx(means[0] * 10**0.3, rel=1e-5)


def test_product_of_another_name_is_told_by_the_leader(hrefs: list[str], tmp_path: Path, settings: Settings) -> None:
    """Files that someone renamed still tell scene, level, side and direction; only the mode is in names alone."""
    renamed = []
    for href in hrefs:
        kind = Path(href).name.removesuffix(DESIGN.product)
        renamed.append(str(shutil.copy(href, tmp_path / (f"{kind}mine" if kind.endswith("-") else kind))))
    properties = describe(renamed, settings).properties
    assert properties["platform"] == "alos-2"
    assert properties["sar:observation_direction"] == "right"
    assert properties["sat:orbit_state"] == "ascending"
    assert properties["product:type"] == "L1.1"
    assert "sar:instrument_mode" not in properties


def test_platform_is_what_the_product_says(tmp_path: Path, settings: Settings) -> None:
    time = dt.datetime(2025, 5, 14, 15, 2, 3, tzinfo=dt.UTC)
    design = Design(lines=60, pixels=50, scene_id="ALOS4012345678-250514", mode="UBQ", centre_time=time)
    even = {name: np.full((60, 50), 0.1) for name in ("HH", "HV", "VV")}
    description = describe(write_product(design, scatter(design, even), tmp_path), settings)
    assert description.id == "ALOS4012345678-250514-UBQR1_1__A"
    assert (description.properties["platform"], description.properties["instruments"]) == ("alos-4", ["palsar-3"])
    assert description.start is not None
    assert abs(description.start - time) < dt.timedelta(seconds=1)
    assert np.nanmean(read(description, "VV", settings)) == pytest.approx(0.1, rel=0.1)


def test_scene_across_the_antimeridian(tmp_path: Path, settings: Settings) -> None:
    """The footprint is cut at 180 degrees, and the layers are those of any other place."""
    turned = replace(DESIGN.orbit, node=DESIGN.orbit.node - np.radians(180.0 - 73.1332))
    design = Design(lines=300, pixels=300, orbit=turned)
    even = {name: np.full((300, 300), 0.1) for name in ("HH", "HV", "VV")}
    description = describe(write_product(design, scatter(design, even), tmp_path), settings)
    assert description.geometry["type"] == "MultiPolygon"
    parts = shapely.geometry.shape(description.geometry).geoms
    assert {round(bound) for part in parts for bound in (part.bounds[0], part.bounds[2])} == {180, -180}
    power = read(description, "HH", settings)
    assert np.nanmean(power) == pytest.approx(0.1, rel=0.05)
    assert np.isfinite(power).mean() > 0.5


def test_names_in_lower_case_are_known(small_product: list[str], tmp_path: Path, settings: Settings) -> None:
    lower = [str(shutil.copy(path, tmp_path / Path(path).name.lower())) for path in small_product]
    assert recognises([Path(path).name for path in lower])
    one, other = (describe(hrefs, settings) for hrefs in (small_product, lower))
    assert one.id == other.id
    assert one.properties == other.properties
    assert set(one.assets) == set(other.assets)
