"""Terrain correction: targets on a hill lie where they are, angles are those of the slope, folds are masked."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from ceos_geometry import TO_EARTH, place
from ceos_writer import Design, scatter, write_product
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

from escape_process.errors import SceneError
from escape_process.readers.ceos import describe, geometry, open_layer
from escape_process.readers.ceos.leader import read_leader
from escape_process.records import Description, Source
from escape_process.settings import Settings

Array = NDArray[np.float64]
Surface = Callable[[Array, Array], Array]

DESIGN = Design(lines=500, pixels=320, reference_height=150.0)
CRS = "EPSG:32618"
INTO = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
TARGETS = ((60, 250), (250, 160), (400, 80))
"""Line and pixel."""


def middle() -> tuple[float, float]:
    """Return where the middle of the image lies at height 0, in the grid's CRS."""
    longitude, latitude = DESIGN.place(np.array(DESIGN.lines / 2), np.array(DESIGN.pixels / 2))
    x, y = INTO.transform(float(longitude), float(latitude))
    return float(x), float(y)


X, Y = middle()


def hill(x: Array, y: Array) -> Array:
    """300 m above 100 m, with slopes up to about 12 degrees."""
    return np.asarray(100 + 300 * np.exp(-((x - X) ** 2 + (y - Y) ** 2) / 2 / 900.0**2))


def plane(east: float, north: float) -> Surface:
    """Return a tilted plane, 200 m high in the middle, that ends in terraces at 0 and 1000 m."""
    return lambda x, y: np.clip(200 + east * (x - X) + north * (y - Y), 0, 1000)


def write_dem(path: Path, surface: Surface, crs: str = CRS, offset: float = 0.0, lower: float = 0.0) -> str:
    """Write heights on a grid of 10 m, or of a ten-thousandth of a degree."""
    size = 700
    if crs == CRS:
        transform = Affine(10, 0, X - 3500, 0, -10, Y + 3500)
        back = None
    else:
        longitude, latitude = INTO.transform(X, Y, direction="INVERSE")
        transform = Affine(1e-4, 0, longitude - 0.035, 0, -1e-4, latitude + 0.035)
        back = INTO
    x, y = np.meshgrid(
        transform.c + (np.arange(size) + 0.5) * transform.a, transform.f + (np.arange(size) + 0.5) * transform.e
    )
    if back is not None:
        x, y = back.transform(x, y)
    heights = (surface(x, y) - offset - lower).astype(np.float32)
    heights[:5] = -32768
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "float32", "nodata": -32768}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as raster:
        raster.write(heights, 1)
        raster.offsets = (offset,)
    return str(path)


def on_surface(surface: Surface, line: float, pixel: float) -> tuple[float, float, float]:
    """Return x, y and height of what a sample shows of a surface."""
    height = 0.0
    for _ in range(60):
        longitude, latitude = DESIGN.place(np.array(line), np.array(pixel), height)
        x, y = INTO.transform(float(longitude), float(latitude))
        height = float(surface(np.array(x), np.array(y)))
    return float(x), float(y), height


@pytest.fixture(scope="module")
def hrefs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write even ground with bright targets."""
    even = {
        name: np.full((DESIGN.lines, DESIGN.pixels), power) for name, power in (("HH", 0.1), ("HV", 0.01), ("VV", 0.1))
    }
    images = scatter(DESIGN, even, seed=2)
    for line, pixel in TARGETS:
        images["HH"][line, pixel] = 3e3 * np.abs(images["HH"]).mean()
    return write_product(DESIGN, images, tmp_path_factory.mktemp("terrain"))


def files_of(description: Description) -> Mapping[str, str]:
    """Return what an item would hand to a reader."""
    return {key: str(asset["href"]) for key, asset in description.assets.items()}


def read(description: Description, layer: str, settings: Settings) -> NDArray[np.float32]:
    """Read a whole layer."""
    with open_layer(Source("ceos", layer, files_of(description)), settings) as raster:
        return np.asarray(raster.read(1, window=Window(0, 0, raster.width, raster.height)))


def brightest_near(
    power: NDArray[np.float32], description: Description, x: float, y: float, radius: int
) -> tuple[float, float]:
    """Return where the power near a place is centred."""
    column, row = (int(at) for at in ~description.grid.transform @ (x, y))
    rows, columns = slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1)
    weight = np.nan_to_num(power[rows, columns])
    weight[weight < weight.max() / 10] = 0
    one, other = np.mgrid[rows, columns] + 0.5
    centre = description.grid.transform @ (np.average(other, weights=weight), np.average(one, weights=weight))
    return float(centre[0]), float(centre[1])


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326"])
def test_targets_on_a_hill_lie_where_they_are(crs: str, hrefs: list[str], tmp_path: Path, settings: Settings) -> None:
    description = describe(hrefs, settings, dem=write_dem(tmp_path / "dem.tif", hill, crs))
    assert description.properties["escape:terrain_corrected"] is True
    power = read(description, "HH", settings)
    for line, pixel in TARGETS:
        x, y, _ = on_surface(hill, line, pixel)
        found = brightest_near(power, description, x, y, 10)
        assert np.hypot(found[0] - x, found[1] - y) < 7.0


def test_detected_product_is_corrected_too(tmp_path: Path, settings: Settings) -> None:
    """Level 1.5 states no slant range: its polynomials are taken to hold on the ellipsoid, with a warning."""
    design = replace(DESIGN, level="1.5", reference_height=0.0)
    values = np.full((design.lines, design.pixels), 300, dtype=np.uint16)
    for line, pixel in TARGETS:
        values[line, pixel] = 60_000
    hrefs = write_product(design, dict.fromkeys(("HH", "HV", "VH", "VV"), values), tmp_path / "product")
    description = describe(hrefs, settings, dem=write_dem(tmp_path / "dem.tif", hill))
    assert any("at which height its polynomials hold" in text for text in description.warnings)
    power = read(description, "HH", settings)
    for line, pixel in TARGETS:
        x, y, _ = on_surface(hill, line, pixel)
        found = brightest_near(power, description, x, y, 10)
        assert np.hypot(found[0] - x, found[1] - y) < 7.0


def test_without_a_dem_targets_are_displaced_by_their_height(hrefs: list[str], settings: Settings) -> None:
    """Towards the radar by the height above the polynomials' over the tangent of the incidence angle."""
    description = describe(hrefs, settings)
    power = read(description, "HH", settings)
    angle = np.radians(description.properties["view:incidence_angle"])
    for line, pixel in TARGETS:
        x, y, height = on_surface(hill, line, pixel)
        longitude, latitude = DESIGN.place(np.array(line), np.array(pixel), DESIGN.reference_height)
        expected = INTO.transform(float(longitude), float(latitude))
        found = brightest_near(power, description, *expected, 6)
        assert np.hypot(found[0] - expected[0], found[1] - expected[1]) < 7.0
        displaced = abs(height - DESIGN.reference_height) / np.tan(angle)
        assert np.hypot(found[0] - x, found[1] - y) == pytest.approx(displaced, abs=12)


def test_heights_above_the_geoid_with_the_geoids_own(hrefs: list[str], tmp_path: Path, settings: Settings) -> None:
    """A DEM 40 m too low with a geoid at 40 m, or with an offset of 40 m, is the DEM."""
    dem = write_dem(tmp_path / "dem.tif", hill)
    low = write_dem(tmp_path / "low.tif", hill, lower=40.0)
    shifted = write_dem(tmp_path / "shifted.tif", hill, offset=40.0)
    geoid = write_dem(tmp_path / "geoid.tif", lambda x, y: np.full(x.shape, 40.0))
    right = read(describe(hrefs, settings, dem=dem), "HH", settings)
    for options in ({"dem": low, "geoid": geoid}, {"dem": shifted}):
        again = read(describe(hrefs, settings, **options), "HH", settings)
        same = np.isclose(again, right, rtol=1e-4)
        assert same[np.isfinite(right)].mean() > 0.99
    wrong = describe(hrefs, settings, dem=low)
    x, y, _ = on_surface(hill, *TARGETS[1])
    found = brightest_near(read(wrong, "HH", settings), wrong, x, y, 15)
    assert np.hypot(found[0] - x, found[1] - y) == pytest.approx(40 / np.tan(np.radians(29.0)), abs=15)


def test_height_at_which_the_polynomials_hold_is_found(hrefs: list[str], settings: Settings) -> None:
    leader = read_leader(next(href for href in hrefs if "LED-" in href), settings)
    orbit = geometry.orbit_of(leader)
    shape = (DESIGN.lines, DESIGN.pixels)
    axes = geometry.fit_axes(leader, orbit, shape, DESIGN.first_range, DESIGN.range_spacing)
    assert axes.reference_height == pytest.approx(150.0, abs=1.0)
    line, pixel = np.array([0.0, 250.0, 499.0]), np.array([319.0, 160.0, 0.0])
    back = axes.to_image(DESIGN.times(line), DESIGN.ranges(pixel))
    np.testing.assert_allclose(back, [line, pixel], atol=0.3)


@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (0.15, 0.0), (-0.15, 0.0), (0.0, 0.3), (0.1, -0.2)])
def test_angle_and_power_follow_the_slope(
    east: float, north: float, hrefs: list[str], tmp_path: Path, settings: Settings
) -> None:
    surface = plane(east, north)
    description = describe(hrefs, settings, dem=write_dem(tmp_path / "dem.tif", surface))
    line, pixel = 250, 160
    x, y, _ = on_surface(surface, line, pixel)

    def earth(dx: float, dy: float, up: float = 0.0) -> Array:
        longitude, latitude = INTO.transform(x + dx, y + dy, direction="INVERSE")
        height = float(surface(np.array(x + dx), np.array(y + dy))) + up
        return np.array(TO_EARTH.transform(longitude, latitude, height))

    satellite, _ = DESIGN.orbit.at(DESIGN.times(np.array(line)))
    sight = satellite - earth(0, 0)
    normal = np.cross(earth(1, 0) - earth(-1, 0), earth(0, 1) - earth(0, -1))
    above = earth(0, 0, 100) - earth(0, 0)

    def angle(one: Array) -> float:
        return float(np.arccos(one @ sight / np.linalg.norm(one) / np.linalg.norm(sight)))

    column, row = (int(at) for at in ~description.grid.transform @ (x, y))
    found = read(description, "local_incidence_angle", settings)
    assert found[row, column] == pytest.approx(np.degrees(angle(normal)), abs=0.03)
    power = read(description, "HV", settings)
    inner = power[row - 20 : row + 21, column - 20 : column + 21]
    assert inner.mean() == pytest.approx(0.01 * np.sin(angle(normal)) / np.sin(angle(above)), rel=0.05)


def test_folds_and_shadows_are_masked(hrefs: list[str], tmp_path: Path, settings: Settings) -> None:
    """A slope of 45 degrees towards the radar folds at 29 degrees of incidence; one of 70 away lies in shadow."""
    longitude, latitude = place(DESIGN.orbit, np.array(0.0), DESIGN.first_range + np.array([0.0, 1000.0]), 0.0)
    x, y = INTO.transform(longitude, latitude)
    away = np.array([x[1] - x[0], y[1] - y[0]]) / np.hypot(x[1] - x[0], y[1] - y[0])
    flat = describe(hrefs, settings, dem=write_dem(tmp_path / "flat.tif", plane(0, 0)))
    for name, slope, value in (("fold", np.tan(np.radians(45)), 2), ("shade", -np.tan(np.radians(70)), 3)):
        surface = plane(*(slope * away))
        description = describe(hrefs, settings, dem=write_dem(tmp_path / f"{name}.tif", surface))
        mask = read(description, "mask", settings)
        column, row = (int(at) for at in ~description.grid.transform @ (X, Y))
        assert (mask[row - 5 : row + 6, column - 5 : column + 6] == value).all()
    assert set(np.unique(read(flat, "mask", settings))) == {1}


def test_dem_of_elsewhere_is_refused(hrefs: list[str], tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "dem.tif"
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=Affine(1, 0, 10, 0, -1, 50), **profile) as raster:
        raster.write(np.zeros((4, 4), dtype=np.float32), 1)
    with pytest.raises(SceneError, match=r"dem.tif, the DEM, does not cover the scene"):
        describe(hrefs, settings, dem=str(path))
    with pytest.raises(SceneError, match="given as the geoid, but no DEM is"):
        describe(hrefs, settings, geoid=str(path))


def test_orbit_that_contradicts_the_polynomials(tmp_path: Path, settings: Settings) -> None:
    """A leader whose first slant range is 60 km off would put the ground far above all mountains."""
    wrong = replace(DESIGN, lines=60, pixels=40)
    even = {name: np.ones((60, 40)) for name in ("HH", "HV", "VV")}
    hrefs = write_product(wrong, scatter(wrong, even), tmp_path / "product")
    for href in hrefs:
        if "IMG-" in href:
            content = bytearray(Path(href).read_bytes())
            content[720 + 116 : 720 + 120] = (round(DESIGN.first_range) - 60_000).to_bytes(4, "big")
            Path(href).write_bytes(bytes(content))
    with pytest.raises(SceneError, match="orbit and the polynomials of ALOS2014555550-140829 contradict each other"):
        describe(hrefs, settings, dem=write_dem(tmp_path / "dem.tif", hill))
