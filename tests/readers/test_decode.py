"""Stored values to linear power."""

import numpy as np
import pytest

from escape_process.readers.decode import decode_power, infer_encoding, measure_looks, sigma0_from
from escape_process.records import Band


def band(**more: object) -> Band:
    return Band("HH", "HH.tif", **more)  # type: ignore[arg-type]


def test_digital_numbers_follow_the_calibration_formula() -> None:
    dn = np.array([[0, 1, 5012, 65535]], dtype=np.uint16)
    power = decode_power(dn, band(encoding="dn"), None)
    assert np.isnan(power[0, [0, 3]]).all()
    assert 10 * np.log10(power[0, 1]) == pytest.approx(-83.0, abs=1e-4)
    assert 10 * np.log10(power[0, 2]) == pytest.approx(20 * np.log10(5012) - 83.0, abs=1e-4)
    other = decode_power(dn, band(encoding="dn", calibration_factor_db=-80.0), None)
    assert other[0, 2] / power[0, 2] == pytest.approx(10**0.3, rel=1e-5)


def test_decibels_linear_amplitude_and_scale() -> None:
    assert decode_power(np.array([[-10.0]]), band(encoding="db"), None)[0, 0] == pytest.approx(0.1)
    assert decode_power(np.array([[0.5]]), band(encoding="amplitude"), None)[0, 0] == pytest.approx(0.25)
    stored = np.array([[-1000]], dtype=np.int16)
    assert decode_power(stored, band(encoding="db", scale=0.01), None)[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -0.1, -9999.0, 7.0])
def test_what_is_no_measurement_becomes_nan(bad: float) -> None:
    values = np.array([[0.1, bad]], dtype=np.float32)
    power = decode_power(values, band(encoding="linear", nodata=7.0), -9999.0)
    assert power[0, 0] == pytest.approx(0.1)
    assert np.isnan(power[0, 1])


def test_encodings_are_told_apart() -> None:
    assert infer_encoding(np.array([1, 2], dtype=np.uint16)) == "dn"
    assert infer_encoding(np.array([np.nan, 0.0, 0.1, 0.2], dtype=np.float32)) == "linear"
    assert infer_encoding(np.array([np.nan, 0.0, -12.0, -8.0], dtype=np.float32)) == "db"


def test_conventions_become_sigma0() -> None:
    power, angle = np.full((1, 1), 0.2, dtype=np.float32), np.full((1, 1), np.radians(30), dtype=np.float32)
    assert sigma0_from(power, "sigma0", angle)[0, 0] == pytest.approx(0.2)
    assert sigma0_from(power, "gamma0", angle)[0, 0] == pytest.approx(0.2 * np.sqrt(3) / 2)
    assert sigma0_from(power, "beta0", angle)[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("looks", [1, 4, 28])
def test_looks_are_measured_on_speckle(looks: int) -> None:
    speckle = np.random.default_rng(0).gamma(looks, 0.1 / looks, size=(512, 512)).astype(np.float32)
    assert measure_looks(speckle) == pytest.approx(looks, rel=0.1)


def test_looks_cannot_be_measured_on_nothing() -> None:
    assert measure_looks(np.full((512, 512), np.nan, dtype=np.float32)) is None
