"""Backscatter of vegetated soil: the water cloud model.

E. P. W. Attema and F. T. Ulaby, "Vegetation modeled as a water cloud", Radio Science 13(2), 357-364, 1978,
doi:10.1029/RS013i002p00357. A cloud of identical scatterers over the soil: no soil-vegetation double bounce, which
matters at L-band under upright stalks and can lift HH above VV.
"""

from typing import Any

from escape_process.physics._backend import arrays_of


def two_way_transmissivity(vegetation: Any, incidence_angle: Any, b: Any) -> Any:
    """Return exp(-2 b V / cos(theta)): the share of the soil's power that passes the canopy twice.

    Parameters are those of `water_cloud`; the result lies in (0, 1].
    """
    xp, (vegetation, theta, b) = arrays_of(vegetation, incidence_angle, b)
    return xp.exp(-2 * b * vegetation / xp.cos(theta))


def water_cloud(soil_sigma0: Any, vegetation: Any, incidence_angle: Any, a: Any, b: Any) -> Any:
    """Predict sigma0 of soil under vegetation, one polarization.

    Parameters
    ----------
    soil_sigma0
        Linear sigma0 of the soil alone.
    vegetation
        Descriptor V, dimensionless, >= 0. Its scale is a matter of `a` and `b`.
    incidence_angle
        rad, local, 0 to below pi/2.
    a
        Scattering coefficient of the canopy, linear, >= 0.
    b
        Attenuation coefficient of the canopy, >= 0.

    Returns
    -------
    a V cos(theta) (1 - T2) + T2 soil with T2 = exp(-2 b V / cos(theta)), of the broadcast shape. Tensors give tensors
    through which gradients flow; array-likes give numpy arrays. The dtype is kept.
    """
    xp, (soil_sigma0, vegetation, theta, a, b) = arrays_of(soil_sigma0, vegetation, incidence_angle, a, b)
    cosine = xp.cos(theta)
    exponent = -2 * b * vegetation / cosine
    return xp.exp(exponent) * soil_sigma0 - a * vegetation * cosine * xp.expm1(exponent)
