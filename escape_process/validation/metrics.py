"""The comparison figures, by pytesmo, with None and a reason where one is undefined.

ubRMSD is the root-mean-square deviation after the means are removed, so RMSD^2 = ubRMSD^2 + bias^2: Entekhabi et al.
(2010), doi:10.1175/2010JHM1223.1. All are estimate against reference, ddof 0; bias = mean(estimate - reference).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytesmo import metrics

Values = NDArray[np.float64]

FEWEST = 3
"""Samples below which no figure is given."""
CORRELATIONS = ("pearson_r", "spearman_r")


def _constant_guess(estimate: Values, reference: Values) -> float:
    """Return the ubRMSD of an estimate that is the same everywhere: the reference's sd."""
    return float(metrics.ubrmsd(np.zeros_like(reference), reference))


FIGURES: Mapping[str, Callable[[Values, Values], Any]] = MappingProxyType(
    {
        "pearson_r": metrics.pearson_r,
        "spearman_r": metrics.spearman_r,
        "ubrmsd": metrics.ubrmsd,
        "rmsd": metrics.rmsd,
        "bias": metrics.bias,
        "constant_guess_ubrmsd": _constant_guess,
    }
)
"""By name; the first argument is the estimate."""


def figures_of(estimate: Values, reference: Values) -> dict[str, float | None]:
    """Return each figure of pairs of values, in m3 m-3 or dimensionless; None where it is undefined."""
    return {
        name: None if undefined(name, estimate, reference) else float(figure(estimate, reference))
        for name, figure in FIGURES.items()
    }


def undefined(name: str, estimate: Values, reference: Values) -> str | None:
    """Return why a figure is undefined, or None where it is defined."""
    if len(estimate) < FEWEST:
        return f"Undefined: fewer than {FEWEST} samples."
    if name in CORRELATIONS:
        for values, what in ((estimate, "estimate"), (reference, "reference")):
            if not _varies(values):
                return f"Undefined: the {what} is constant."
    return None


def quick_figures(estimate: Values, reference: Values) -> dict[str, float]:
    """Return the figures of one bootstrap draw; NaN where undefined.

    Equal to `figures_of`, but a hundred times faster: correlations come from pytesmo's decomposition of the mean square
    error, whose third term is 2 sd(estimate) sd(reference) (1 - R) (Gupta et al. 2009,
    doi:10.1016/j.jhydrol.2009.08.003).
    """
    if len(estimate) < FEWEST:
        return dict.fromkeys(FIGURES, np.nan)
    return {
        "pearson_r": _correlation(estimate, reference),
        "spearman_r": _correlation(_ranks(estimate), _ranks(reference)),
        "ubrmsd": metrics.ubrmsd(estimate, reference),
        "rmsd": metrics.rmsd(estimate, reference),
        "bias": metrics.bias(estimate, reference),
        "constant_guess_ubrmsd": _constant_guess(estimate, reference),
    }


def _correlation(first: Values, second: Values) -> float:
    if not (_varies(first) and _varies(second)):
        return np.nan
    return float(1 - metrics.mse_corr(first, second) / (2 * first.std() * second.std()))


def _ranks(values: Values) -> Values:
    """Return ranks from 1, the mean rank among equals."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: Values = np.cumsum(count) - (count - 1) / 2
    return mean_rank[place]


def _varies(values: Values) -> bool:
    """Tell whether values differ by more than the rounding of their last digits."""
    return float(np.ptp(values)) > 1e-12 * max(1.0, float(np.abs(values).max()))
