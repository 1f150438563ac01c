"""What others do: the published inversion, per-pixel least squares, a lookup table, a regression on in-situ data."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from accuracy.scores import Estimate, of_normal
from escape_process.physics import oh2004, water_cloud
from escape_process.physics.radiometry import wavenumber
from escape_process.retrieval.decoder import SOIL_MOISTURE_BOUNDS
from escape_process.retrieval.priors import CENTRE, COMMON_OFFSET_SD_DB, Parameters, sample_prior

Array = NDArray[np.float64]

_Z05, _Z95 = -1.6448536, 1.6448536


def oh_inversion(power: Array, angle: Array) -> Array:
    """Invert bare-soil backscatter for soil moisture as Oh (2004) does, doi:10.1109/TGRS.2003.821065.

    Parameters
    ----------
    power
        (3, N), linear, HH, HV, VV.
    angle
        (N,), rad.

    Returns
    -------
    (N,), m3 m-3; NaN where the ratios lie outside what the model can give. One soil moisture follows from p = HH/VV and
    HV together, two more from p and from HV with the roughness that q = HV/VV gives; they are averaged.
    """
    hh, hv, vv = power
    co_ratio, cross_ratio = hh / vv, hv / vv
    scale = 0.11 * np.cos(angle) ** 2.2
    log_angle = np.log(2 * angle / np.pi)

    def ks_of_hv(moisture: Array) -> Array:
        share = np.clip(hv / (scale * moisture**0.7), 0, 1 - 1e-9)
        return np.asarray((-3.125 * np.log1p(-share)) ** 0.556)

    def excess(moisture: Array) -> Array:
        return np.asarray(1 - np.exp(0.35 * moisture**-0.65 * log_angle - 0.4 * ks_of_hv(moisture) ** 1.4) - co_ratio)

    low, high = (np.full_like(hh, bound) for bound in SOIL_MOISTURE_BOUNDS)
    solvable = (excess(low) > 0) & (excess(high) < 0)
    for _ in range(50):
        middle = 0.5 * (low + high)
        above = excess(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    first = np.where(solvable, 0.5 * (low + high), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        bracket = cross_ratio / (0.095 * (0.13 + np.sin(1.5 * angle)) ** 1.4)
        ks = (-np.log1p(-bracket) / 1.3) ** (1 / 0.9)
        second = ((np.log1p(-co_ratio) + 0.4 * ks**1.4) / (0.35 * log_angle)) ** (-1 / 0.65)
        third = (hv / (scale * -np.expm1(-0.32 * ks**1.8))) ** (1 / 0.7)
        estimate = (first + second + third) / 3
    return np.where(np.isfinite(estimate), np.clip(estimate, *SOIL_MOISTURE_BOUNDS), np.nan)


class MapInversion:
    """Least squares with priors, one pixel at a time: the retrieval's own prior at its centre, nothing learned.

    Uncertainty is Laplace's: from the curvature at the solution, in the logit of soil moisture.
    """

    def __init__(self, frequency: float, speckle_db: float) -> None:
        parameters = Parameters.of_flat(torch.as_tensor(CENTRE)[None])
        centre, width = sample_prior(parameters, wavenumber(frequency))
        self.centre, self.width = centre[0].double().numpy(), width[0].double().numpy()
        self.a, self.b = parameters.log_a[0].exp().double().numpy(), parameters.log_b[0].exp().double().numpy()
        own = parameters.log_error_db[0].exp().double().numpy()
        self.error_db = np.sqrt(speckle_db**2 + own**2 + COMMON_OFFSET_SD_DB**2)

    def decode(self, state: Array, angle: float) -> Array:
        """Expected dB, (3,), of the logit of soil moisture, log ks and log V."""
        soils = oh2004(_moisture(state[0]), np.exp(state[1]), angle)
        cover = np.exp(state[2])
        return 10 * np.log10([water_cloud(soils[i], cover, angle, self.a[i], self.b[i]) for i in range(3)])

    def solve(self, power_db: Array, angle: float) -> tuple[float, float]:
        """Return the logit of soil moisture of one pixel, from (3,) in dB, and its standard deviation."""
        from scipy.optimize import least_squares

        def residuals(scaled: Array) -> Array:
            decoded = self.decode(self.centre + self.width * scaled, angle)
            return np.concatenate([(power_db - decoded) / self.error_db, scaled])

        found = least_squares(residuals, np.zeros(3), method="lm")
        variance = np.linalg.inv(found.jac.T @ found.jac)[0, 0]
        return self.centre[0] + self.width[0] * found.x[0], self.width[0] * float(np.sqrt(variance))

    def estimate(self, power_db: Array, angle: Array, truth: Array) -> Estimate:
        """Invert (3, N) powers in dB."""
        pairs = [self.solve(power_db[:, index], float(angle[index])) for index in range(power_db.shape[1])]
        logit, sd = np.array(pairs).T
        value = _moisture(logit)
        spread = 0.5 * (_moisture(logit + sd) - _moisture(logit - sd))
        return Estimate(truth, value, spread, _moisture(logit + _Z05 * sd), _moisture(logit + _Z95 * sd))


def _moisture(logit: Array) -> Array:
    low, high = SOIL_MOISTURE_BOUNDS
    return np.asarray(low + (high - low) / (1 + np.exp(-logit)))


def regression_features(power_db: Array, angle: Array) -> Array:
    """(N, 10): the three powers in dB, their squares and products, and the angle."""
    scaled = (power_db - np.array([[-14.0], [-24.0], [-14.0]])) / 5.0
    hh, hv, vv = scaled
    return np.stack([hh, hv, vv, hh * hh, hv * hv, vv * vv, hh * hv, hh * vv, hv * vv, (angle - 0.6) / 0.1], axis=1)


def fit_regression(features: Array, moisture: Array, ridge: float = 1.0) -> tuple[Callable[[Array], Array], float]:
    """Fit a ridge regression; returns it, and the standard error of its prediction by leave-one-out."""
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)

    def design(values: Array) -> Array:
        return np.concatenate([np.ones((len(values), 1)), (values - mean) / spread], axis=1)

    matrix = design(features)
    penalty = ridge * np.eye(matrix.shape[1])
    penalty[0, 0] = 0
    solver = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T)
    weights = solver @ moisture
    leverage = np.einsum("nk,kn->n", matrix, solver)
    left_out = (moisture - matrix @ weights) / np.maximum(1 - leverage, 0.1)
    return lambda values: design(values) @ weights, float(np.sqrt(np.mean(left_out**2)))


def regression_elsewhere(train: tuple[Array, Array, Array], apply: tuple[Array, Array, Array]) -> Estimate:
    """Train on (power_db (3, N), angle, moisture) and estimate another such set."""
    predict, error = fit_regression(regression_features(*train[:2]), train[2])
    value = np.clip(predict(regression_features(*apply[:2])), *SOIL_MOISTURE_BOUNDS)
    return of_normal(apply[2], value, error)


class LookupTable:
    """Nearest entry of a table of the forward model, as a user might write it: coefficients fixed, no prior."""

    def __init__(self, frequency: float, angles: Array, entries: int = 24) -> None:
        mapping = MapInversion(frequency, 0.3)
        moisture = np.linspace(0.03, 0.5, entries)
        ks = np.exp(np.linspace(np.log(0.1), np.log(2.0), entries))
        cover = np.exp(np.linspace(np.log(0.01), np.log(3.0), entries))
        self.moisture, ks, cover = (grid.ravel() for grid in np.meshgrid(moisture, ks, cover, indexing="ij"))
        self.angles = angles
        self.tables = []
        for angle in angles:
            soils = oh2004(self.moisture, ks, angle)
            rows = [water_cloud(soils[i], cover, angle, mapping.a[i], mapping.b[i]) for i in range(3)]
            self.tables.append((10 * np.log10(rows)).T.astype(np.float32))

    def __call__(self, power_db: Array, angle: Array) -> Array:
        """Invert (3, N)."""
        found = np.empty(power_db.shape[1])
        nearest = np.abs(angle[:, None] - self.angles).argmin(axis=1)
        for index, table in enumerate(self.tables):
            for pixel in np.flatnonzero(nearest == index):
                distance = np.square(table - power_db[:, pixel].astype(np.float32)).sum(axis=1)
                found[pixel] = self.moisture[distance.argmin()]
        return found
