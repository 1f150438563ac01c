"""The water cloud model."""

import math

import numpy as np
import pytest
import torch

from escape_process.physics import two_way_transmissivity, water_cloud


def test_a_value_by_hand():
    # V = 1, b = 0.1, a = 0.05, theta = 60 deg: T2 = exp(-0.4) = 0.670320; 0.05 * 0.5 * 0.329680 + 0.670320 * 0.02.
    assert water_cloud(0.02, 1.0, math.radians(60), 0.05, 0.1) == pytest.approx(0.021648400, abs=1e-8)


def test_without_vegetation_the_soil_is_seen():
    soil = np.array([0.001, 0.1])
    assert water_cloud(soil, 0.0, 0.6, 0.1, 0.3) == pytest.approx(soil, rel=1e-15)
    assert two_way_transmissivity(0.0, 0.6, 0.3) == 1


def test_dense_vegetation_hides_the_soil():
    theta = 0.6
    assert water_cloud(0.1, 500.0, theta, 1e-3, 0.3) == pytest.approx(1e-3 * 500 * math.cos(theta), rel=1e-12)


def test_thin_vegetation_keeps_its_digits():
    vegetation, a, b, theta = 1e-9, 0.1, 0.3, 0.6
    assert water_cloud(0.0, vegetation, theta, a, b) == pytest.approx(2 * a * b * vegetation**2, rel=1e-8)


def test_attenuates_bright_soil_and_brightens_dark_soil():
    vegetation = np.linspace(0, 2, 50)
    assert (np.diff(water_cloud(1.0, vegetation, 0.6, 0.1, 0.3)) < 0).all()
    assert (np.diff(water_cloud(1e-4, vegetation, 0.6, 0.1, 0.3)) > 0).all()


def test_gradients():
    arguments = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.02, 0.7, 0.6, 0.08, 0.2)]
    assert torch.autograd.gradcheck(water_cloud, arguments)


def test_keeps_dtype():
    assert water_cloud(np.float32(0.1) * np.ones(2, np.float32), 0.5, 0.6, 0.1, 0.3).dtype == np.float32
    assert water_cloud(torch.ones(2), 0.5, 0.6, 0.1, 0.3).dtype == torch.float32
