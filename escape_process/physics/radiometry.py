"""Conventions and units of radar backscatter, on numpy arrays.

The retrieval works on sigma0: power per unit area of ground. Products also come as gamma0 (per unit area normal to the
line of sight) and beta0 (per unit area of the slant-range image plane), as digital numbers and in decibels. Which one
a file holds is metadata's to say; these functions only convert.

Sources: Small (2011), IEEE TGRS 49(8), doi:10.1109/TGRS.2011.2120616, for the three conventions; JAXA, "Calibration
result of ALOS-2/PALSAR-2 JAXA standard products", for the digital numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]

CALIBRATION_FACTOR_DB = -83.0
"""PALSAR and PALSAR-2 standard products: sigma0_db (or gamma0_db) = 20 log10(DN) - 83.

JAXA, "Calibration result of ALOS-2/PALSAR-2 JAXA standard products" (levels 1.5, 2.1, 3.1) and the description of the
global mosaic. Level 1.1 single-look complex values take another 32 dB off, which is not meant here.
"""

SPEED_OF_LIGHT = 299_792_458.0
"""m/s, exact."""


def _float(values: ArrayLike) -> FloatArray:
    array = np.asarray(values)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def db_from_linear(power: ArrayLike) -> FloatArray:
    """Convert linear power to decibels.

    Parameters
    ----------
    power
        Linear power, any shape. Values that are not positive give NaN.

    Returns
    -------
    10 log10 of the power, same shape; floating dtypes are kept, others become float64.
    """
    array = _float(power)
    positive = np.where(array > 0, array, np.nan)
    return np.asarray(10 * np.log10(positive), dtype=array.dtype)


def linear_from_db(power_db: ArrayLike) -> FloatArray:
    """Convert decibels to linear power; same shape, floating dtypes kept."""
    array = _float(power_db)
    return np.asarray(10 ** (array / 10), dtype=array.dtype)


def power_from_dn(dn: ArrayLike, calibration_factor_db: float = CALIBRATION_FACTOR_DB) -> NDArray[np.float64]:
    """Calibrate digital numbers of an amplitude product.

    Parameters
    ----------
    dn
        Digital numbers (amplitude), any shape and integer or float dtype; squared in float64.
    calibration_factor_db
        dB; power_db = 20 log10(DN) + factor.

    Returns
    -------
    Linear power in the convention that the product states (sigma0 or gamma0), float64, same shape.
    """
    return np.asarray(np.square(np.asarray(dn, dtype=np.float64)) * 10 ** (calibration_factor_db / 10))


def dn_from_power(power: ArrayLike, calibration_factor_db: float = CALIBRATION_FACTOR_DB) -> NDArray[np.float64]:
    """Invert `power_from_dn`, unrounded: power of any shape >= 0 to amplitude digital numbers, float64."""
    return np.asarray(np.sqrt(np.asarray(power, dtype=np.float64) * 10 ** (-calibration_factor_db / 10)))


def sigma0_from_gamma0(gamma0: ArrayLike, incidence_angle: ArrayLike) -> FloatArray:
    """Convert gamma0 to sigma0 = gamma0 cos(theta).

    Parameters
    ----------
    gamma0
        Linear power, any shape.
    incidence_angle
        rad, 0 to pi/2, broadcast: local where gamma0 was normalised with the terrain, else that of the ellipsoid.
    """
    return np.asarray(_float(gamma0) * np.cos(incidence_angle))


def gamma0_from_sigma0(sigma0: ArrayLike, incidence_angle: ArrayLike) -> FloatArray:
    """Invert `sigma0_from_gamma0`."""
    return np.asarray(_float(sigma0) / np.cos(incidence_angle))


def sigma0_from_beta0(beta0: ArrayLike, incidence_angle: ArrayLike) -> FloatArray:
    """Convert radar brightness beta0 to sigma0 = beta0 sin(theta), with the incidence angle in rad, local."""
    return np.asarray(_float(beta0) * np.sin(incidence_angle))


def beta0_from_sigma0(sigma0: ArrayLike, incidence_angle: ArrayLike) -> FloatArray:
    """Invert `sigma0_from_beta0`."""
    return np.asarray(_float(sigma0) / np.sin(incidence_angle))


def local_from_ellipsoid_sigma0(
    sigma0: ArrayLike, incidence_angle: ArrayLike, ellipsoid_incidence_angle: ArrayLike
) -> FloatArray:
    """Renormalise sigma0 of the ellipsoid to the area of the sloping ground.

    Parameters
    ----------
    sigma0
        Linear power per unit area of the ellipsoid, any shape.
    incidence_angle
        rad, local: between the line of sight and the normal of the terrain.
    ellipsoid_incidence_angle
        rad, between the line of sight and the normal of the ellipsoid.

    Returns
    -------
    Linear sigma0 for the local angle: sigma0 sin(theta_local) / sin(theta_ellipsoid), because both share one beta0.
    """
    return np.asarray(_float(sigma0) * np.sin(incidence_angle) / np.sin(ellipsoid_incidence_angle))


def wavenumber(frequency: float) -> float:
    """Return 2 pi f / c in rad/m for a frequency in Hz."""
    return 2 * np.pi * frequency / SPEED_OF_LIGHT


def ks_from_rms_height(rms_height: ArrayLike, frequency: float) -> FloatArray:
    """Convert rms height in m to the dimensionless ks at a frequency in Hz."""
    return np.asarray(_float(rms_height) * wavenumber(frequency))


def rms_height_from_ks(ks: ArrayLike, frequency: float) -> FloatArray:
    """Convert the dimensionless ks to rms height in m at a frequency in Hz."""
    return np.asarray(_float(ks) / wavenumber(frequency))
