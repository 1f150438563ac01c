"""From stored values to linear power, and what the pixels themselves tell: encoding and looks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from escape_process.physics.radiometry import (
    CALIBRATION_FACTOR_DB,
    linear_from_db,
    power_from_dn,
    sigma0_from_beta0,
    sigma0_from_gamma0,
)
from escape_process.records import Band, Convention, Encoding

SATURATED_DN = 65535
"""Full scale of a uint16 amplitude product: over range, not a measurement."""
LOWEST_DB = -200.0
"""No backscatter is as low: such values stand for missing ones, whatever the file declares."""
HIGHEST_MEDIAN = 30.0
"""Linear power, 15 dB: beyond what any ground returns over a window, so that such values are no linear power."""


def infer_encoding(values: NDArray[Any]) -> Encoding | None:
    """Tell how a raster stores power, from its data type, sign and size.

    Parameters
    ----------
    values
        Any shape; a sample of the raster without its nodata. Non-finite values, zeros and what no dB value is are left
        out.

    Returns
    -------
    "dn" for integers; of floats "db" where the median is negative, else "linear". None where that cannot be: integers
    below zero are no digital numbers, and a median beyond any backscatter is no linear power.
    """
    if np.issubdtype(values.dtype, np.integer):
        return "dn" if values.min(initial=0) >= 0 else None
    valid = values[np.isfinite(values) & (values != 0) & (values > LOWEST_DB)]
    median = float(np.median(valid)) if valid.size else 0.0
    if median > HIGHEST_MEDIAN:
        return None
    return "db" if median < 0 else "linear"


def decode_power(values: NDArray[Any], band: Band, nodata: float | None) -> NDArray[np.float32]:
    """Decode stored values to linear power in the band's own convention.

    Parameters
    ----------
    values
        (Y, X), as stored.
    band
        `encoding` must be resolved.
    nodata
        The file's own nodata value, besides the item's.

    Returns
    -------
    (Y, X), float32; NaN where missing, saturated, not finite or not positive.
    """
    invalid = ~np.isfinite(values) if np.issubdtype(values.dtype, np.floating) else np.zeros(values.shape, dtype=bool)
    for missing in (nodata, band.nodata):
        if missing is not None and np.isfinite(missing):
            invalid |= values == missing
    stored = np.asarray(values, dtype=np.float32)
    if band.scale != 1.0 or band.offset != 0.0:
        stored = stored * np.float32(band.scale) + np.float32(band.offset)
    match band.encoding:
        case "dn":
            factor = CALIBRATION_FACTOR_DB if band.calibration_factor_db is None else band.calibration_factor_db
            invalid |= (values == 0) | (values == SATURATED_DN)
            power: NDArray[Any] = power_from_dn(stored, factor)
        case "amplitude":
            power = np.square(stored)
        case "db":
            power = linear_from_db(stored)
        case "linear":
            power = stored
        case None:
            raise ValueError("the band's encoding is not resolved")
    decoded = np.asarray(power, dtype=np.float32)
    return np.where(invalid | ~np.isfinite(decoded) | (decoded <= 0), np.float32(np.nan), decoded)


def sigma0_from(
    power: NDArray[np.float32], convention: Convention, incidence_angle: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Convert power in a product's convention to sigma0, with the local incidence angle in rad; same shapes."""
    match convention:
        case "sigma0":
            return power
        case "gamma0":
            return np.asarray(sigma0_from_gamma0(power, incidence_angle), dtype=np.float32)
        case "beta0":
            return np.asarray(sigma0_from_beta0(power, incidence_angle), dtype=np.float32)


def measure_looks(power: NDArray[np.float32], window: int = 8) -> float | None:
    """Measure the equivalent number of looks of a pixel.

    Parameters
    ----------
    power
        (Y, X), linear power at full resolution, NaN where invalid.
    window
        Pixels along each side of the squares in which the power is taken as homogeneous.

    Returns
    -------
    Median over the fully valid squares of mean squared over variance; None where there are fewer than ten. Texture
    within squares lowers it, so that it errs towards fewer looks.

    Notes
    -----
    Oliver and Quegan (2004), Understanding Synthetic Aperture Radar Images, section 4.3.
    """
    rows, columns = power.shape[0] // window, power.shape[1] // window
    cut = power[: rows * window, : columns * window].astype(np.float64)
    squares: NDArray[np.float64] = cut.reshape(rows, window, columns, window).swapaxes(1, 2).reshape(-1, window**2)
    squares = squares[np.isfinite(squares).all(axis=1)]
    if len(squares) < 10:
        return None
    variance = np.maximum(squares.var(axis=1, ddof=1), np.finfo(float).tiny)
    return float(max(1.0, np.median(squares.mean(axis=1) ** 2 / variance)))
