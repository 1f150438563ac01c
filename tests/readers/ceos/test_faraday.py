"""Faraday rotation from the complex matrix: found as it was applied, reported, warned of; and on a real scene."""

from pathlib import Path

import numpy as np
import pytest
from ceos_writer import Design, scatter, write_product
from rasterio.windows import Window

from escape_process.readers.ceos import describe, open_layer
from escape_process.readers.ceos.faraday import FaradaySums, cross_polarized_leak_db, faraday_rotation, turned_back
from escape_process.records import Source
from escape_process.settings import Settings

DESIGN = Design(lines=150, pixels=100)
GROUND = {"HH": 0.1, "HV": 0.01, "VV": 0.12}


def images_turned(angle_deg: float) -> dict[str, np.ndarray]:
    """Return images of even ground after a rotation."""
    even = {name: np.full((DESIGN.lines, DESIGN.pixels), power) for name, power in GROUND.items()}
    return scatter(DESIGN, even, seed=1, faraday_deg=angle_deg)


@pytest.mark.parametrize("angle_deg", [-40.0, -10.0, -1.0, 0.0, 3.0, 25.0, 44.0])
def test_rotation_is_found_as_it_was_applied(angle_deg: float) -> None:
    images = images_turned(angle_deg)
    found = faraday_rotation(images["HH"], images["HV"], images["VH"], images["VV"])
    assert found is not None
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.01)
    assert found.coherence == pytest.approx(1.0, abs=1e-4)


def test_rotation_is_ambiguous_by_90_degrees() -> None:
    images = images_turned(50.0)
    found = faraday_rotation(images["HH"], images["HV"], images["VH"], images["VV"])
    assert found is not None
    assert found.angle_deg == pytest.approx(-40.0, abs=0.01)


def test_hv_and_vh_exchanged_turn_the_other_way() -> None:
    images = images_turned(7.0)
    found = faraday_rotation(images["HH"], images["VH"], images["HV"], images["VV"])
    assert found is not None
    assert found.angle_deg == pytest.approx(-7.0, abs=0.01)


def test_noise_lowers_the_coherence_but_does_not_bias_the_angle() -> None:
    random = np.random.default_rng(4)
    images = images_turned(7.0)
    level = np.sqrt(np.mean(np.abs(images["HV"]) ** 2))
    for name in images:
        noise = random.normal(size=(2, DESIGN.lines, DESIGN.pixels)) * level
        images[name] = images[name] + noise[0] + 1j * noise[1]
    found = faraday_rotation(images["HH"], images["HV"], images["VH"], images["VV"])
    assert found is not None
    assert found.coherence < 0.9
    assert found.angle_deg == pytest.approx(7.0, abs=0.4)


def test_missing_samples_are_left_out() -> None:
    images = {name: values.copy() for name, values in images_turned(12.0).items()}
    images["HH"][::3] = 0
    images["VV"][:, ::4] = np.nan
    found = faraday_rotation(images["HH"], images["HV"], images["VH"], images["VV"])
    assert found is not None
    assert found.angle_deg == pytest.approx(12.0, abs=0.01)
    assert FaradaySums().result() is None


def test_leak_of_the_like_polarizations_into_hv() -> None:
    """M12 = sin cos (HH + VV) for HV = 0: at 45 degrees HV is the mean of HH and VV."""
    assert cross_polarized_leak_db(45.0) == pytest.approx(0.0)
    assert cross_polarized_leak_db(5.0) == pytest.approx(-15.2, abs=0.05)


@pytest.mark.parametrize("angle_deg", [2.0, -9.0])
def test_rotation_is_reported_and_warned_of(angle_deg: float, tmp_path: Path, settings: Settings) -> None:
    description = describe(write_product(DESIGN, images_turned(angle_deg), tmp_path), settings)
    assert description.properties["escape:faraday_rotation_deg"] == pytest.approx(angle_deg, abs=0.02)
    warned = [text for text in description.warnings if "Faraday" in text]
    if abs(angle_deg) < 5:
        assert not warned
    else:
        assert warned == [
            "The Faraday rotation is -9.0 degrees, by which power of HH and VV leaks into HV, 10 dB below them: it is"
            " corrected by the mean of the scene, and HV is less certain."
        ]
    assert description.properties["escape:faraday_corrected"] is True


def power_read(angle_deg: float, folder: Path, settings: Settings) -> dict[str, np.ndarray]:
    """Return what is read of images that were turned."""
    description = describe(write_product(DESIGN, images_turned(angle_deg), folder), settings)
    files = {key: str(asset["href"]) for key, asset in description.assets.items()}
    found = {}
    for name in ("HH", "HV", "VH", "VV"):
        with open_layer(Source("ceos", name, files), settings) as layer:
            found[name] = layer.read(1, window=Window(0, 0, layer.width, layer.height))
    return found


@pytest.mark.parametrize("angle_deg", [-20.0, 8.0])
def test_power_of_a_turned_scene_is_that_of_the_scene(angle_deg: float, tmp_path: Path, settings: Settings) -> None:
    right, turned = (power_read(one, tmp_path / str(one), settings) for one in (0.0, angle_deg))
    for name, power in turned.items():
        np.testing.assert_allclose(power, right[name], rtol=2e-3)


def test_little_rotation_is_left(tmp_path: Path, settings: Settings) -> None:
    description = describe(write_product(DESIGN, images_turned(0.1), tmp_path), settings)
    assert description.properties["escape:faraday_corrected"] is False


def test_rotation_that_noise_hides_is_not_corrected(tmp_path: Path, settings: Settings) -> None:
    random = np.random.default_rng(9)
    shape = (2, DESIGN.lines, DESIGN.pixels)
    noise = {name: random.normal(size=shape).astype(np.float32) for name in ("HH", "HV", "VH", "VV")}
    images = {name: 1e4 * (parts[0] + 1j * parts[1]) for name, parts in noise.items()}
    description = describe(write_product(DESIGN, images, tmp_path), settings)
    assert description.properties["escape:faraday_corrected"] is False
    assert any("cannot be told" in text for text in description.warnings)


def test_turning_back_inverts_the_rotation() -> None:
    images = images_turned(13.0)
    back = turned_back(images, 13.0)
    for name, values in images_turned(0.0).items():
        np.testing.assert_allclose(back[name], values, atol=1e-3 * np.abs(values).max())


def test_rotation_of_a_real_scene_is_a_degree_or_two(shared_data: Path) -> None:
    """PALSAR at 10 degrees south, near midnight and near the minimum of the sun's cycle: there is little rotation."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    (path,) = (shared_data / "alos1_quadpol_rslc_riobranco").glob("*.h5")
    with h5py.File(path) as file:
        swath = file["science/LSAR/RSLC/swaths/frequencyA"]
        pairs = [swath[name][()] for name in ("HH", "HV", "VH", "VV")]
    rotation = faraday_rotation(*(pair["r"].astype(np.float32) + 1j * pair["i"].astype(np.float32) for pair in pairs))
    assert rotation is not None
    assert abs(rotation.angle_deg) < 3
    assert rotation.coherence > 0.8
