"""Simulated scenes with known truth, and exact comparison of results."""

from dataclasses import dataclass

import numpy as np

from escape_process.physics import oh2004, water_cloud
from escape_process.physics.radiometry import ks_from_rms_height
from escape_process.physics.speckle import gamma_speckle

FREQUENCY = 1.2365e9


@dataclass(frozen=True, eq=False)
class SimulatedScene:
    """Observed powers and the truth behind them; arrays (N,)."""

    hh: np.ndarray
    hv: np.ndarray
    vv: np.ndarray
    incidence_angle: np.ndarray
    soil_moisture: np.ndarray
    rms_height: np.ndarray
    looks: float

    def arguments(self, rows=slice(None)):
        """Return the first four arguments of the array API, and looks."""
        names = ("hh", "hv", "vv", "incidence_angle")
        return {name: getattr(self, name)[rows] for name in names} | {"looks": self.looks}


def observe(soil_moisture, rms_height, vegetation, angle, *, rng, looks=300.0, a=None, b=None, offset_db=(0, 0, 0)):
    """Pass a state through the forward model and speckle."""
    a = (0.08, 0.01, 0.08) if a is None else a
    b = (0.25, 0.25, 0.25) if b is None else b
    soil = oh2004(soil_moisture, ks_from_rms_height(rms_height, FREQUENCY), angle)
    powers = [
        gamma_speckle(water_cloud(soil[i], vegetation, angle, a[i], b[i]) * 10 ** (offset_db[i] / 10), looks, rng)
        for i in range(3)
    ]
    return SimulatedScene(*powers, angle, soil_moisture, rms_height, looks)


def simulate_scene(count=6000, seed=0, looks=300.0, moisture=(0.22, 0.09), height_median=0.012):
    """Draw a vegetated scene whose water-cloud coefficients and calibration are unknown to the retrieval."""
    rng = np.random.default_rng(seed)
    soil_moisture = np.clip(rng.normal(*moisture, count), 0.02, 0.55)
    rms_height = height_median * np.exp(rng.normal(0, 0.4, count))
    vegetation = 0.5 * np.exp(rng.normal(0, 0.8, count)) * np.where(rng.random(count) < 0.2, 0.05, 1)
    return observe(
        soil_moisture,
        rms_height,
        vegetation,
        np.radians(rng.uniform(28, 40, count)),
        rng=rng,
        looks=looks,
        a=np.array([0.08, 0.01, 0.08]) * np.exp(rng.normal(0, 0.5, 3)),
        b=0.25 * np.exp(rng.normal(0, 0.5, 3)),
        offset_db=rng.normal(0, 0.2, 3) + rng.normal(0, 0.3),
    )


ARRAYS = (
    "soil_moisture",
    "soil_moisture_uncertainty",
    "soil_moisture_aleatoric",
    "soil_moisture_epistemic",
    "soil_moisture_p05",
    "soil_moisture_p95",
    "rms_height",
    "rms_height_uncertainty",
    "vegetation",
    "flags",
    "members_used",
)


def assert_identical(one, other, rows=slice(None)):
    """Check that two results agree bit for bit, the first on some rows."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name)[rows], getattr(other, name), err_msg=name)
