"""Estimates with their uncertainty, and the figures that they are judged by. All in m3 m-3 where they have a unit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escape_process.layers import UNUSABLE
from escape_process.retrieval import Retrieval

Array = NDArray[np.float64]
Figures = dict[str, float]

Z90 = 1.6448536
"""Half the width of the central 90 % of a normal distribution, in standard deviations."""
BINS = 5
FEWEST = 10
"""Samples below which no figure is given."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a method says about N samples; arrays (N,), NaN where it gives no value."""

    truth: Array
    value: Array
    sigma: Array | None = None
    p05: Array | None = None
    p95: Array | None = None
    unflagged: NDArray[np.bool_] | None = None
    prior_sd: float = np.nan

    def where(self, chosen: NDArray[np.bool_]) -> "Estimate":
        """Keep some samples."""

        def pick(values: Array | None) -> Array | None:
            return None if values is None else values[chosen]

        unflagged = None if self.unflagged is None else self.unflagged[chosen]
        return Estimate(
            self.truth[chosen],
            self.value[chosen],
            pick(self.sigma),
            pick(self.p05),
            pick(self.p95),
            unflagged,
            self.prior_sd,
        )

    def usable(self) -> "Estimate":
        """Keep what no flag marks."""
        return self if self.unflagged is None else self.where(self.unflagged)


def of_result(result: Retrieval, truth: Array, prior_sd: float = np.nan) -> Estimate:
    """Take an estimate from what `escape_process.retrieve` gives."""
    return Estimate(
        truth,
        result.soil_moisture.astype(np.float64),
        result.soil_moisture_uncertainty.astype(np.float64),
        result.soil_moisture_p05.astype(np.float64),
        result.soil_moisture_p95.astype(np.float64),
        (result.flags & UNUSABLE) == 0,
        prior_sd,
    )


def of_normal(truth: Array, value: Array, sigma: Array | float, prior_sd: float = np.nan) -> Estimate:
    """Take an estimate whose uncertainty is that of a normal distribution."""
    sigma = np.broadcast_to(np.asarray(sigma, np.float64), value.shape)
    return Estimate(truth, value, sigma, value - Z90 * sigma, value + Z90 * sigma, prior_sd=prior_sd)


def correlation(first: Array, second: Array) -> float:
    """Pearson's R, NaN where either is constant."""
    if len(first) < 3 or np.ptp(first) < 1e-9 or np.ptp(second) < 1e-9:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])


def ranks(values: Array) -> Array:
    """Ranks; ties, which do not occur in continuous values, are broken by position."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)


def figures(estimate: Estimate) -> Figures:
    """Score one scene. Figures without a meaning here are NaN."""
    total = len(estimate.truth)
    given = np.isfinite(estimate.value)
    found = {"share": float(given.mean()) if total else np.nan}
    if estimate.unflagged is not None:
        found["unflagged"] = float(estimate.unflagged.mean()) if total else np.nan
    chosen = estimate.where(given)
    found["n"] = float(given.sum())
    if given.sum() < FEWEST:
        return found
    error = chosen.value - chosen.truth
    found |= {
        "r": correlation(chosen.value, chosen.truth),
        "ubrmsd": float(error.std()),
        "bias": float(error.mean()),
        "sd_truth": float(chosen.truth.std()),
    }
    if chosen.sigma is not None and chosen.p05 is not None and chosen.p95 is not None:
        found |= {
            "within68": float((np.abs(error) <= chosen.sigma).mean()),
            "within90": float(((chosen.truth >= chosen.p05) & (chosen.truth <= chosen.p95)).mean()),
            "sigma": float(chosen.sigma.mean()),
            "prior_sd": estimate.prior_sd,
            "rank": correlation(ranks(np.abs(error)), ranks(chosen.sigma)) if np.ptp(chosen.sigma) > 1e-9 else np.nan,
        }
    return found


def bins_of_sigma(estimates: Sequence[Estimate]) -> tuple[Array, Array]:
    """Mean stated sigma and RMSE in five bins of sigma of equal size, all scenes together; each (5,)."""
    sigma = np.concatenate([each.sigma for each in estimates if each.sigma is not None])
    error = np.concatenate([each.value - each.truth for each in estimates])
    given = np.isfinite(sigma) & np.isfinite(error)
    sigma, error = sigma[given], error[given]
    if len(sigma) < BINS * FEWEST:
        return np.full(BINS, np.nan), np.full(BINS, np.nan)
    parts = np.array_split(np.argsort(sigma, kind="stable"), BINS)
    return (
        np.array([sigma[part].mean() for part in parts]),
        np.array([np.sqrt(np.mean(error[part] ** 2)) for part in parts]),
    )


@dataclass(frozen=True)
class Summary:
    """Mean of a figure over scenes, with the 95 % bootstrap interval over scenes, and the scene farthest from zero."""

    mean: float
    low: float
    high: float
    largest: float


def summarise(scenes: Sequence[Figures], draws: int = 2000) -> dict[str, Summary]:
    """Average each figure over scenes."""
    rng = np.random.default_rng(68)
    summaries = {}
    for name in dict.fromkeys(name for scene in scenes for name in scene):
        values = np.array([scene.get(name, np.nan) for scene in scenes])
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        means = values[rng.integers(values.size, size=(draws, values.size))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        summaries[name] = Summary(
            float(values.mean()), float(low), float(high), float(values[np.argmax(np.abs(values))])
        )
    return summaries
