"""The exact Bayesian posterior of single pixels, given all that a retrieval could at best know.

True water-cloud coefficients, true offsets, the distribution that the truth was drawn from, and the gamma likelihood of
speckle. Moments and quantiles come from adaptive importance sampling (Cappe et al., 2004): a tempered first pass over
the prior, then Student-t proposals fitted to each pixel's weighted draws, a tenth of them from the prior itself so that
no second mode is lost.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accuracy.scenes import (
    FALLOW_FACTOR,
    FREQUENCY,
    MOISTURE_LIMITS,
    ROUGHNESS_SPREAD,
    VEGETATION_SPREAD,
    Scenario,
    Scene,
    draw_state,
)
from escape_process.physics import oh2004, water_cloud
from escape_process.physics.radiometry import wavenumber

Array = NDArray[np.float64]

FIRST_DRAWS = 4096
DRAWS = (1024, 1024, 4096)
TARGET_DRAWS = 100.0
"""Effective number of draws to which the likelihood is tempered before the last round."""
DEFENSIVE = 0.1
"""Share of draws from the prior."""
FREEDOM = 5.0
INFLATION = 1.3
CHUNK = 128


@dataclass(frozen=True, eq=False)
class Posterior:
    """Of soil moisture; (N,)."""

    mean: Array
    sd: Array
    p05: Array
    p95: Array
    effective: Array
    """Effective number of draws behind it."""


def _to_state(coordinates: Array) -> tuple[Array, Array, Array]:
    """(..., 3) unbounded coordinates to soil moisture, ks and vegetation."""
    low, high = MOISTURE_LIMITS
    moisture = low + (high - low) / (1 + np.exp(-coordinates[..., 0]))
    return moisture, np.exp(coordinates[..., 1]), np.exp(coordinates[..., 2])


def _prior_draws(scenario: Scenario, count: int, rng: np.random.Generator) -> Array:
    state = draw_state(scenario, count, rng)
    low, high = MOISTURE_LIMITS
    share = (state.soil_moisture - low) / (high - low)
    log_ks = np.log(state.rms_height * wavenumber(FREQUENCY))
    return np.stack([np.log(share / (1 - share)), log_ks, np.log(state.vegetation)], axis=-1)


def _log_prior(scenario: Scenario, coordinates: Array) -> Array:
    """Log density of unbounded coordinates, up to one constant that the proposals share."""
    moisture, _, _ = _to_state(coordinates)
    mean, sd = scenario.moisture
    share = 1 / (1 + np.exp(-coordinates[..., 0]))
    low, high = MOISTURE_LIMITS
    log_moisture = -0.5 * ((moisture - mean) / sd) ** 2 - np.log(sd * _kept(scenario) * np.sqrt(2 * np.pi))
    log_moisture += np.log((high - low) * share * (1 - share) + 1e-300)
    centre = np.log(scenario.height_median * wavenumber(FREQUENCY))
    log_ks = _log_normal(coordinates[..., 1], centre, ROUGHNESS_SPREAD)
    median, fallow = np.log(scenario.vegetation_median), scenario.fallow_share
    parts = []
    if fallow < 1:
        parts.append(np.log(1 - fallow) + _log_normal(coordinates[..., 2], median, VEGETATION_SPREAD))
    if fallow > 0:
        shifted = median + np.log(FALLOW_FACTOR)
        parts.append(np.log(fallow) + _log_normal(coordinates[..., 2], shifted, VEGETATION_SPREAD))
    return log_moisture + log_ks + np.logaddexp.reduce(parts, axis=0)


def _log_normal(values: Array, mean: float, sd: float) -> Array:
    return np.asarray(-0.5 * ((values - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi)))


def _kept(scenario: Scenario) -> float:
    """Share of the normal distribution of soil moisture that lies within the limits."""
    from scipy.special import ndtr

    mean, sd = scenario.moisture
    low, high = ((limit - mean) / sd for limit in MOISTURE_LIMITS)
    return float(ndtr(high) - ndtr(low))


def _log_likelihood(scene: Scene, rows: NDArray[np.int64], coordinates: Array) -> Array:
    """(C, S, 3) coordinates of C pixels to (C, S); single precision, which costs 1e-5 dB."""
    moisture, ks, vegetation = (part.astype(np.float32) for part in _to_state(coordinates))
    angle = scene.incidence_angle[rows, None].astype(np.float32)
    looks = np.float32(scene.scenario.looks)
    gain = 10 ** (scene.offset_db / 10)
    total = np.zeros(np.broadcast_shapes(moisture.shape, angle.shape), np.float64)
    for index, soil in enumerate(oh2004(moisture, ks, angle)):
        expected = water_cloud(soil, vegetation, angle, float(scene.a[index]), float(scene.b[index]))
        log_ratio = np.log(scene.power[index, rows, None] / gain[index]) - np.log(expected)
        total += looks * (log_ratio - np.expm1(log_ratio))
    return total


def _tempered(log_weight: Array, log_likelihood: Array, target: float) -> Array:
    """Weights (C, S) whose likelihood is raised to the largest power <= 1 that leaves `target` effective draws."""
    low, high = np.zeros(len(log_weight)), np.ones(len(log_weight))

    def weights(power: Array) -> Array:
        logs = log_weight + power[:, None] * log_likelihood
        values = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(values / values.sum(axis=1, keepdims=True))

    full = _effective(weights(high)) >= target
    for _ in range(12):
        middle = 0.5 * (low + high)
        enough = _effective(weights(middle)) >= target
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return weights(np.where(full, 1.0, low))


def _effective(weight: Array) -> Array:
    return np.asarray(1 / np.square(weight).sum(axis=1))


@dataclass(frozen=True, eq=False)
class _Proposal:
    """A Student-t distribution for each of C pixels."""

    mean: Array
    """(C, 3)."""
    factor: Array
    """(C, 3, 3), lower Cholesky factor of the scale."""

    @classmethod
    def fitted(cls, coordinates: Array, weight: Array) -> "_Proposal":
        mean = np.einsum("cs,csk->ck", weight, coordinates)
        away = coordinates - mean[:, None]
        covariance = np.einsum("cs,csk,csl->ckl", weight, away, away)
        return cls(mean, np.linalg.cholesky(INFLATION * covariance + np.diag([2e-4, 1e-4, 4e-4])))

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        pixels = len(self.mean)
        normal = rng.normal(size=(pixels, count, 3))
        scale = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (pixels, count, 1)))
        return self.mean[:, None] + np.einsum("ckl,csl->csk", self.factor, scale * normal)

    def log_density(self, coordinates: Array) -> Array:
        from scipy.special import gammaln

        away = coordinates - self.mean[:, None]
        white = np.einsum("ckl,csl->csk", np.linalg.inv(self.factor), away)
        constant = gammaln((FREEDOM + 3) / 2) - gammaln(FREEDOM / 2) - 1.5 * np.log(FREEDOM * np.pi)
        determinant = np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(axis=1)
        spread = np.log1p(np.square(white).sum(axis=-1) / FREEDOM)
        return np.asarray(constant - determinant[:, None] - 0.5 * (FREEDOM + 3) * spread)


def exact_posterior(scene: Scene, rows: NDArray[np.int64], seed: int = 0) -> Posterior:
    """Compute the posterior of some pixels of a scene that obeys the forward model."""
    if scene.scenario.departure is not None:
        raise ValueError("a scene that departs from the forward model has no exact posterior")
    rng = np.random.default_rng([90, seed])
    parts = [_chunk(scene, rows[start : start + CHUNK], rng) for start in range(0, len(rows), CHUNK)]
    return Posterior(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _chunk(scene: Scene, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Array, ...]:
    scenario = scene.scenario
    coordinates = np.broadcast_to(_prior_draws(scenario, FIRST_DRAWS, rng), (len(rows), FIRST_DRAWS, 3))
    likelihood = _log_likelihood(scene, rows, coordinates[:1])
    weight = _tempered(np.zeros_like(likelihood), likelihood, TARGET_DRAWS)
    for last, draws in zip((False, False, True), DRAWS, strict=True):
        proposal = _Proposal.fitted(coordinates, weight)
        prior = int(DEFENSIVE * draws)
        own = proposal.draw(draws - prior, rng)
        coordinates = np.concatenate([own, _prior_draws(scenario, len(rows) * prior, rng).reshape(-1, prior, 3)], 1)
        log_prior = _log_prior(scenario, coordinates)
        mixed = np.logaddexp(
            np.log(1 - prior / draws) + proposal.log_density(coordinates), np.log(prior / draws) + log_prior
        )
        likelihood = _log_likelihood(scene, rows, coordinates)
        weight = _tempered(log_prior - mixed, likelihood, 0.0 if last else TARGET_DRAWS)
    moisture, _, _ = _to_state(coordinates)
    mean = (weight * moisture).sum(axis=1)
    sd = np.sqrt((weight * (moisture - mean[:, None]) ** 2).sum(axis=1))
    order = np.argsort(moisture, axis=1)
    ordered = np.take_along_axis(moisture, order, axis=1)
    reached = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    every = np.arange(len(rows))
    low, high = (ordered[every, np.minimum((reached < level).sum(axis=1), DRAWS[-1] - 1)] for level in (0.05, 0.95))
    return mean, sd, low, high, _effective(weight)
