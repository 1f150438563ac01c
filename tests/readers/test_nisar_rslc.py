"""RSLC: the real PALSAR-1 chip lands where its corner reflector stands, and multilooking keeps power."""

import io
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyproj
import pytest
from described_items import item_of, scene_of
from rasterio.windows import Window

from escape_process.errors import EscapeError, SceneError
from escape_process.readers import nisar, open_scene
from escape_process.readers.nisar import rslc
from escape_process.readers.nisar.geolocation import Orbit, find_on_lattice, nodes_of_orbit
from escape_process.readers.nisar.hdf5 import open_stream
from escape_process.readers.nisar.rslc import multilook
from escape_process.records import Description, Source
from escape_process.settings import Settings

SETTINGS = Settings()
REFLECTOR = (-68.1728216904995, -9.71311741457592)
"""Surveyed longitude and latitude of the trihedral, from the table beside the chip."""
ROOT = "/science/LSAR/RSLC"


@pytest.fixture(scope="module")
def chip(shared_data: Path) -> Path:
    (path,) = (shared_data / "alos1_quadpol_rslc_riobranco").glob("*.h5")
    return path


@pytest.fixture(scope="module")
def described(chip: Path) -> Description:
    return nisar.describe([str(chip)], SETTINGS)


def read(described: Description, layer: str, window: Window | None = None) -> np.ndarray:
    files = {key: asset["href"] for key, asset in described.assets.items()}
    with nisar.open_layer(Source("nisar", layer, files), SETTINGS) as raster:
        values: np.ndarray = raster.read(1, window=window or Window(0, 0, raster.width, raster.height))
    return values


def test_what_the_chip_says_of_itself(described: Description) -> None:
    assert described.grid.crs == "EPSG:32719"
    assert described.grid.transform.a == 25.0
    assert described.properties["platform"] == "alos"
    assert described.properties["sar:center_frequency"] == pytest.approx(1.27, abs=1e-4)
    assert described.properties["sat:orbit_state"] == "ascending"
    assert described.properties["view:incidence_angle"] == pytest.approx(23.18, abs=0.05)
    assert described.start is not None
    assert described.start.date().isoformat() == "2006-07-20"
    assert any("not calibrated" in warning for warning in described.warnings)
    assert (described.properties["sar:looks_azimuth"], described.properties["sar:looks_range"]) == (7, 1)
    # Lines come 0.522 ms apart for 1200 Hz of bandwidth, samples 8.9 m for a resolution of 7.5 m.
    assert described.properties["sar:looks_equivalent_number"] == pytest.approx(7 * 0.000522 * 1200, rel=1e-3)


def test_the_reflector_is_the_brightest_pixel(described: Description) -> None:
    x, y = pyproj.Transformer.from_crs("OGC:CRS84", described.grid.crs, always_xy=True).transform(*REFLECTOR)
    column, row = ~described.grid.transform @ (x, y)
    for name in ("HH", "VV"):
        power = read(described, name)
        at = np.unravel_index(np.nanargmax(power), power.shape)
        assert abs(at[0] + 0.5 - row) < 1.0
        assert abs(at[1] + 0.5 - column) < 1.0


def test_the_orbit_places_the_chip_as_its_own_geolocation_does(chip: Path) -> None:
    with h5py.File(chip) as file:
        metadata, swath = file[f"{ROOT}/metadata"], file[f"{ROOT}/swaths"]
        orbit = Orbit(*(metadata[f"orbit/{name}"][()] for name in ("time", "position", "velocity")))
        times, ranges = swath["zeroDopplerTime"][()], swath["frequencyA/slantRange"][()]
        grid = {name: values[:, 0, 0] for name, values in metadata["geolocationGrid"].items() if values.ndim == 3}
        heights = metadata["geolocationGrid/heightAboveEllipsoid"][()]
        samples = swath["frequencyA/HH"][()]
    for level in (0, 1, 2, 10):
        nodes = nodes_of_orbit(orbit, times, ranges, heights[level], looks_right=True)
        assert nodes.longitude[0, 0] == pytest.approx(grid["coordinateX"][level], abs=1e-7)
        assert nodes.latitude[0, 0] == pytest.approx(grid["coordinateY"][level], abs=1e-7)
        assert nodes.incidence_angle_deg[0, 0] == pytest.approx(grid["incidenceAngle"][level], abs=1e-3)
    nodes = nodes_of_orbit(orbit, times, ranges, 0.0, looks_right=True)
    line, sample = find_on_lattice(nodes.longitude, nodes.latitude, *(np.array([at]) for at in REFLECTOR))
    power = samples["r"].astype(float) ** 2 + samples["i"].astype(float) ** 2
    assert (line[0], sample[0]) == pytest.approx(np.unravel_index(power.argmax(), power.shape), abs=0.5)


def test_power_is_kept(chip: Path, described: Description) -> None:
    with h5py.File(chip) as file:
        samples = file[f"{ROOT}/swaths/frequencyA/HV"][()]
    power = samples["r"].astype(float) ** 2 + samples["i"].astype(float) ** 2
    cells = power[:98].reshape(14, 7, 50).mean(axis=1)
    values = read(described, "HV")
    found = values[np.isfinite(values)]
    assert np.isin(found, cells.astype(np.float32)).all(), "each pixel is one cell, nothing is interpolated"
    assert len(np.unique(found)) > 0.85 * cells.size
    assert found.mean() == pytest.approx(power.mean(), rel=0.1)
    part = read(described, "HV", Window(10, 5, 20, 9))
    assert np.array_equal(part, values[5:14, 10:30], equal_nan=True)


def test_the_angle_grows_with_range(described: Description) -> None:
    angle = read(described, "ellipsoid_incidence_angle")
    inside = np.isfinite(angle)
    assert 23.13 < angle[inside].min() < angle[inside].max() < 23.24
    middle = angle[angle.shape[0] // 2]
    assert (np.diff(middle[np.isfinite(middle)]) > 0).all(), "an ascending pass that looks right sees east far"


def test_the_chip_is_a_scene_that_is_not_terrain_corrected(described: Description) -> None:
    opened = open_scene(scene_of(item_of(described, "beta0")), SETTINGS)
    assert set(opened.bands) == {"HH", "HV", "VH", "VV"}
    assert not opened.terrain_corrected
    assert opened.looks == pytest.approx(4.385, abs=0.01)


def test_multilooking_averages_power() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(60, 40)) + 1j * rng.normal(size=(60, 40))).astype(np.complex64)
    power = np.abs(samples.astype(complex)) ** 2
    found = multilook(samples, (6, 4))
    assert found == pytest.approx(power.reshape(10, 6, 10, 4).mean(axis=(1, 3)), rel=1e-6)
    assert multilook(2 * samples, (6, 4)) == pytest.approx(4 * found, rel=1e-6)
    samples[:3, :3] = 0
    samples[0, 3] = np.nan
    thinned = multilook(samples, (6, 4))
    valid = np.isfinite(power[:6, :4]) & (samples[:6, :4] != 0) & np.isfinite(samples[:6, :4])
    assert thinned[0, 0] == pytest.approx(power[:6, :4][valid].mean(), rel=1e-6)
    samples[:6, :4] = 0
    assert np.isnan(multilook(samples, (6, 4))[0, 0])


def with_geolocation_grid(chip: Path, path: Path) -> Path:
    """Copy the chip with a geolocation grid of 5 x 4 nodes in place of its single one, made from its orbit."""
    path.write_bytes(chip.read_bytes())
    with h5py.File(path, "r+") as file:
        metadata, swath = file[f"{ROOT}/metadata"], file[f"{ROOT}/swaths"]
        orbit = Orbit(*(metadata[f"orbit/{name}"][()] for name in ("time", "position", "velocity")))
        ends = [(axis[0], axis[-1]) for axis in (swath["zeroDopplerTime"][()], swath["frequencyA/slantRange"][()])]
        times, ranges = np.linspace(*ends[0], 5), np.linspace(*ends[1], 4)
        levels = [nodes_of_orbit(orbit, times, ranges, height, looks_right=True) for height in (-500.0, 0.0, 500.0)]
        del metadata["geolocationGrid"], metadata["orbit"]
        grid = metadata.create_group("geolocationGrid")
        grid["zeroDopplerTime"], grid["slantRange"], grid["epsg"] = times, ranges, np.int32(4326)
        grid["heightAboveEllipsoid"] = [-500.0, 0.0, 500.0]
        grid["coordinateX"] = np.stack([level.longitude for level in levels])
        grid["coordinateY"] = np.stack([level.latitude for level in levels])
        grid["incidenceAngle"] = np.stack([level.incidence_angle_deg for level in levels])
    return path


def test_a_geolocation_grid_places_the_image_as_the_orbit_does(
    chip: Path, described: Description, tmp_path: Path
) -> None:
    gridded = nisar.describe([str(with_geolocation_grid(chip, tmp_path / "a.h5"))], SETTINGS)
    assert gridded.grid == described.grid
    one, other = read(gridded, "VV"), read(described, "VV")
    assert (np.isfinite(one) == np.isfinite(other)).mean() > 0.99
    assert (one == other)[np.isfinite(one) & np.isfinite(other)].mean() > 0.98


@pytest.mark.parametrize("turn", [0.0, 0.4, 2.0])
def test_places_are_found_again_on_any_smooth_lattice(turn: float) -> None:
    i, j = np.meshgrid(np.arange(12.0), np.arange(9.0), indexing="ij")
    u, v = i + 0.02 * j**2, j - 0.01 * i**2 / 4
    x, y = 100 * (u * np.cos(turn) - v * np.sin(turn)), 100 * (u * np.sin(turn) + v * np.cos(turn))
    rng = np.random.default_rng(2)
    at_i, at_j = rng.integers(0, 12, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    found = find_on_lattice(x, y, x[at_i.astype(int), at_j.astype(int)], y[at_i.astype(int), at_j.astype(int)])
    assert found[0] == pytest.approx(at_i, abs=1e-6)
    assert found[1] == pytest.approx(at_j, abs=1e-6)
    far = find_on_lattice(x, y, np.array([1e5, -1e5]), np.array([1e5, 3e4]))
    assert np.isnan(far[0]).all()


def spoiled(chip: Path, path: Path, at: str, values: Any) -> Path:
    path.write_bytes(chip.read_bytes())
    with h5py.File(path, "r+") as file:
        del file[at]
        if values is not None:
            file[at] = values
    return path


@pytest.mark.parametrize(
    ("at", "values", "words"),
    [
        ("swaths/frequencyA/VV", None, "holds HH, HV, VH; VV is missing"),
        ("swaths/frequencyA/VV", np.zeros((100, 49), np.complex64), "has 100 x 49 samples of VV"),
        ("swaths/frequencyA/VV", np.zeros((100, 50), np.float32), "stores VV as float32"),
        ("swaths/zeroDopplerTime", np.zeros(100), "does not rise evenly"),
        ("swaths/frequencyA/slantRange", np.linspace(1, 2, 50), "none sees the ground"),
        ("swaths/frequencyA/slantRange", np.linspace(9e5, 9e7, 50), "none sees the ground"),
        ("swaths/frequencyA/slantRange", None, "does not tell the slantRange"),
        ("swaths/zeroDopplerTime", np.linspace(0, 1, 100), "does not span the times"),
        ("metadata/orbit/position", np.zeros((28, 3)), "neither a geolocation grid"),
        ("metadata/orbit/velocity", np.full((28, 3), np.nan), "neither a geolocation grid"),
        ("metadata/orbit", None, "neither a geolocation grid"),
    ],
)
def test_a_wrong_product_is_refused_by_what_is_wrong(
    chip: Path, tmp_path: Path, at: str, values: Any, words: str
) -> None:
    path = spoiled(chip, tmp_path / "a.h5", f"{ROOT}/{at}", values)
    with pytest.raises(SceneError, match=words):
        nisar.describe([str(path)], SETTINGS)


@pytest.mark.parametrize("seed", range(60))
def test_mutated_chips_end_in_a_sentence(chip: Path, seed: int) -> None:
    generator = random.Random(seed)
    content = bytearray(chip.read_bytes())
    structure = [at for at, byte in enumerate(content[:60_000]) if byte]
    for _ in range(generator.randint(1, 8)):
        content[generator.choice(structure)] = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)])
    try:
        with open_stream(io.BytesIO(bytes(content)), "a.h5") as file:
            rslc.describe(file, "a.h5")
    except EscapeError as error:
        sentence = str(error)
    else:
        return
    assert "\n" not in sentence
    assert len(sentence) < 300
