"""Statistics of multilooked speckle.

The power of a distributed target averaged over L independent looks is gamma distributed with shape L around its
expectation (Oliver and Quegan, "Understanding Synthetic Aperture Radar Images", 2004, chapter 4). Its logarithm has
mean psi(L) - log L and variance psi1(L), polygamma functions that are evaluated here without further dependencies.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

DB_PER_NEPER = 10 / np.log(10)
"""dB in one unit of natural logarithm of power."""

_SHIFT = 8
"""Recurrence steps up to arguments where the asymptotic series below is exact to 1e-11."""


def _digamma_minus_log(x: FloatArray) -> FloatArray:
    """psi(x) - log(x) for x > 0: recurrence to x + 8, then the asymptotic series."""
    y = x + _SHIFT
    inverse = 1 / (y * y)
    series = -1 / (2 * y) - inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse / 240)))
    steps = sum(1 / (x + step) for step in range(_SHIFT))
    return np.asarray(np.log1p(_SHIFT / x) + series - steps)


def _trigamma(x: FloatArray) -> FloatArray:
    """psi1(x) for x > 0: recurrence to x + 8, then the asymptotic series."""
    y = x + _SHIFT
    inverse = 1 / (y * y)
    series = 1 / y + inverse / 2 + inverse / y * (1 / 6 - inverse * (1 / 30 - inverse * (1 / 42 - inverse / 30)))
    steps = sum(1 / (x + step) ** 2 for step in range(_SHIFT))
    return np.asarray(series + steps)


def log_power_bias_db(looks: ArrayLike) -> FloatArray:
    """Return the expectation of the speckle of L looks in dB: negative, -2.5 at one look, 0 for many.

    `looks` is the equivalent number of looks, positive, any shape.
    """
    return np.asarray(DB_PER_NEPER * _digamma_minus_log(np.asarray(looks, dtype=np.float64)))


def log_power_sd_db(looks: ArrayLike) -> FloatArray:
    """Return the standard deviation of the speckle of L looks in dB: 5.57 at one look, 4.34 / sqrt(L) for many.

    `looks` is the equivalent number of looks, positive, any shape.
    """
    return np.asarray(DB_PER_NEPER * np.sqrt(_trigamma(np.asarray(looks, dtype=np.float64))))


def ratio_standard_error_db(looks: ArrayLike) -> FloatArray:
    """Return the standard error in dB of the ratio of two powers of L looks each, with independent speckle.

    HH and VV of bare soil are correlated, which narrows the ratio: independence is the cautious assumption wherever
    a ratio is tested against a bound.
    """
    return np.asarray(np.sqrt(2) * log_power_sd_db(looks))


def log_likelihood(power: ArrayLike, expected: ArrayLike, looks: ArrayLike) -> FloatArray:
    """Return the log density of a power under gamma speckle.

    Parameters
    ----------
    power, expected
        Observed and expected linear power, positive, broadcast.
    looks
        Equivalent number of looks, positive, broadcast.

    Returns
    -------
    Natural log of the density with respect to linear power.
    """
    power, expected, looks = (np.asarray(values, dtype=np.float64) for values in (power, expected, looks))
    ratio = power / expected
    return np.asarray(looks * np.log(looks) + (looks - 1) * np.log(ratio) - looks * ratio - np.log(expected)) - (
        _log_gamma(looks)
    )


def _log_gamma(x: FloatArray) -> FloatArray:
    """Log of the gamma function for x > 0: recurrence to x + 8, then Stirling's series."""
    y = x + _SHIFT
    inverse = 1 / (y * y)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / y
    stirling = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + series
    return np.asarray(stirling - sum(np.log(x + step) for step in range(_SHIFT)))


def gamma_speckle(expected: ArrayLike, looks: ArrayLike, rng: np.random.Generator) -> FloatArray:
    """Draw observed powers around their expectation.

    Parameters
    ----------
    expected
        Linear power, any shape, >= 0.
    looks
        Equivalent number of looks, positive, broadcast.
    rng
        Source of randomness.

    Returns
    -------
    Linear power, float64, of the broadcast shape.
    """
    expected, looks = np.broadcast_arrays(np.asarray(expected, np.float64), np.asarray(looks, np.float64))
    return np.asarray(expected * rng.gamma(looks, 1 / looks))


def hh_above_vv(hh: Any, vv: Any, looks: Any) -> NDArray[np.bool_]:
    """Tell where HH exceeds VV by more than 1.64 standard errors of the speckle ratio.

    Parameters are linear powers and looks, broadcast. At most 5 % of samples whose true ratio is 1 are marked, and
    fewer where it is below.
    """
    ratio_db = DB_PER_NEPER * np.log(np.asarray(hh, np.float64) / np.asarray(vv, np.float64))
    return np.asarray(ratio_db > 1.64 * ratio_standard_error_db(looks))
