"""Oh (2004): printed values, an independent derivation of full precision, laws, limits, derivatives."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch

from escape_process.physics import oh2004
from escape_process.physics.radiometry import db_from_linear, ks_from_rms_height

# Frequency GHz, soil moisture, rms height cm, incidence deg; HH, VV, HV in dB from two independent implementations.
REFERENCE = [
    (1.27, 0.05, 1.0, 30, -19.544, -19.260, -35.427),
    (1.27, 0.05, 1.0, 40, -22.086, -21.489, -36.599),
    (1.27, 0.10, 0.5, 35, -22.418, -21.322, -39.225),
    (1.27, 0.10, 1.0, 35, -19.329, -18.280, -33.852),
    (1.27, 0.10, 2.0, 35, -15.990, -15.055, -28.591),
    (1.27, 0.20, 1.0, 30, -16.684, -15.045, -31.213),
    (1.27, 0.20, 1.0, 40, -19.630, -17.274, -32.385),
    (1.27, 0.20, 2.0, 40, -16.110, -14.049, -27.124),
    (1.27, 0.30, 1.0, 35, -17.583, -14.941, -30.512),
    (1.27, 0.30, 3.0, 35, -11.719, -9.764, -22.315),
    (1.2365, 0.05, 1.0, 30, -19.666, -19.380, -35.633),
    (1.2365, 0.10, 1.0, 35, -19.452, -18.401, -34.058),
    (1.2365, 0.20, 1.0, 30, -16.809, -15.166, -31.419),
    (1.2365, 0.20, 2.0, 40, -16.254, -14.177, -27.322),
    (1.2365, 0.30, 1.5, 25, -12.666, -10.879, -26.647),
]
MOISTURES = np.array([0.005, 0.04, 0.1, 0.2, 0.291, 0.5, 0.8])
ROUGHNESSES = np.array([0.01, 0.13, 0.4, 1.0, 3.0, 6.98, 10.0])
ANGLES = np.radians([5.0, 10.0, 25.0, 40.0, 55.0, 70.0, 80.0])


def oh2004_by_powers_of_two(moisture: float, ks: float, angle_deg: float) -> tuple[float, float, float]:
    """The same model derived again: dB directly, in extended precision, with base-2 powers and degrees."""
    real = np.longdouble
    moisture_log2, ks_log2 = np.log2(real(moisture)), np.log2(real(ks))

    def power(base_log2: np.longdouble, numerator: int, denominator: int) -> np.longdouble:
        return np.exp2(base_log2 * real(numerator) / real(denominator))

    degrees = real(angle_deg)
    turn = degrees * np.arccos(real(-1)) / real(180)
    saturation = Fraction(7, 20)
    co = np.exp2(np.log2(degrees / real(90)) * real(saturation.numerator) / real(saturation.denominator)
                 * power(moisture_log2, -13, 20))  # fmt: skip
    roughness_decay = np.exp(-power(ks_log2, 7, 5) * real(2) / real(5))
    cross = real(19) / real(200) * power(np.log2(real(13) / real(100) + np.sin(turn * real(3) / real(2))), 7, 5)
    cross *= real(1) - np.exp(-power(ks_log2, 9, 10) * real(13) / real(10))
    hv = real(11) / real(100) * power(moisture_log2, 7, 10) * power(np.log2(np.cos(turn)), 11, 5)
    hv *= real(1) - np.exp(-power(ks_log2, 9, 5) * real(8) / real(25))
    decibel = [real(10) * np.log10(value) for value in ((real(1) - co * roughness_decay) * hv / cross, hv, hv / cross)]
    return float(decibel[0]), float(decibel[1]), float(decibel[2])


@pytest.mark.parametrize("row", REFERENCE)
def test_printed_values(row):
    ghz, moisture, height_cm, angle_deg, hh, vv, hv = row
    found = oh2004(moisture, ks_from_rms_height(height_cm / 100, ghz * 1e9), np.radians(angle_deg))
    assert db_from_linear(found) == pytest.approx([hh, hv, vv], abs=6e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-4), (np.float32, 1e-3)])
def test_agrees_with_a_second_derivation(dtype, tolerance):
    for moisture, ks, angle_deg in product((0.03, 0.12, 0.3, 0.45), (0.05, 0.3, 1.0, 5.0), (10.0, 33.0, 65.0)):
        found = oh2004(dtype(moisture), dtype(ks), dtype(np.radians(angle_deg)))
        expected = oh2004_by_powers_of_two(moisture, ks, angle_deg)
        assert db_from_linear(found) == pytest.approx(expected, abs=tolerance)


def test_grows_with_soil_moisture_and_roughness():
    moisture = np.linspace(0.01, 0.6, 60)[:, None, None]
    ks = np.linspace(0.02, 5.0, 40)[:, None]
    for power in oh2004(moisture, ks, np.radians([10.0, 30.0, 50.0, 70.0])):
        assert (np.diff(power, axis=0) > 0).all()
        assert (np.diff(power, axis=1) > 0).all()


def test_hh_stays_below_vv_and_reaches_it_for_rough_soil():
    hh, hv, vv = oh2004(MOISTURES[:, None, None], ROUGHNESSES[:, None], ANGLES)
    assert (hh < vv * (1 + 1e-12)).all()
    assert (hv < vv).all()
    hh, _, vv = oh2004(0.2, 10.0, ANGLES)
    assert hh / vv == pytest.approx(np.ones(7), abs=1e-3)


def test_smooth_limit_follows_the_leading_powers_of_ks():
    _, hv, vv = oh2004(0.2, np.array([1e-4, 2e-4]), 0.6)
    assert hv[1] / hv[0] == pytest.approx(2**1.8, rel=1e-4)
    assert vv[1] / vv[0] == pytest.approx(2**0.9, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_finite_far_outside_validity(dtype):
    moisture = torch.tensor(MOISTURES, dtype=dtype)[:, None, None].requires_grad_()
    ks = torch.tensor(ROUGHNESSES, dtype=dtype)[:, None].requires_grad_()
    angle = torch.tensor(ANGLES, dtype=dtype).requires_grad_()
    for power in oh2004(moisture, ks, angle):
        assert torch.isfinite(power).all()
        assert (power > 0).all()
        for gradient in torch.autograd.grad(power.log().sum(), (moisture, ks, angle), retain_graph=True):
            assert torch.isfinite(gradient).all()


def test_gradients():
    moisture = torch.tensor([0.06, 0.2, 0.35], dtype=torch.float64, requires_grad=True)
    ks = torch.tensor([0.2, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    angle = torch.tensor([0.4, 0.6, 1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(oh2004, (moisture, ks, angle))


def test_keeps_type_dtype_and_shape():
    for found in oh2004(torch.full((2, 1), 0.2), 0.5, torch.full((3,), 0.6)):
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.float32
        assert found.shape == (2, 3)
    for found in oh2004(np.full((2, 1), 0.2, np.float32), 0.5, np.full(3, 0.6, np.float32)):
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        assert found.shape == (2, 3)
    for found in oh2004([0.1, 0.2], 1, 0.6):
        assert found.dtype == np.float64


def test_tensors_and_arrays_agree():
    as_arrays = oh2004(MOISTURES, ROUGHNESSES, ANGLES)
    as_tensors = oh2004(torch.tensor(MOISTURES), ROUGHNESSES, ANGLES)
    for array, tensor in zip(as_arrays, as_tensors, strict=True):
        assert tensor.numpy() == pytest.approx(array, rel=1e-12)
