"""Backscatter of bare soil: the semi-empirical model of Oh (2004).

Y. Oh, "Quantitative retrieval of soil moisture content and surface roughness from multipolarized radar observations of
bare soil surfaces", IEEE TGRS 42(3), 596-601, 2004, doi:10.1109/TGRS.2003.821065.

Fitted on 0.13 < ks < 6.98, 0.04 < soil moisture < 0.291 m3 m-3 and incidence of 10 to 70 degrees. Outside that range
the functions stay finite and smooth (soil moisture .005 to .8, ks .01 to 10, incidence 5 to 80 degrees) but they
extrapolate. The model has no correlation length and cannot give HH above VV.
"""

from typing import Any

import numpy as np

from escape_process.physics._backend import arrays_of

VALID_KS = (0.13, 6.98)
"""Dimensionless roughness on which the model was fitted."""
VALID_SOIL_MOISTURE = (0.04, 0.291)
"""m3 m-3."""
VALID_INCIDENCE_DEG = (10.0, 70.0)


def oh2004(soil_moisture: Any, ks: Any, incidence_angle: Any) -> tuple[Any, Any, Any]:
    """Predict sigma0 of a bare soil surface.

    Parameters
    ----------
    soil_moisture
        Volumetric, m3 m-3, positive. Fitted on .04 to .291.
    ks
        Wavenumber times rms height, dimensionless, positive. Fitted on .13 to 6.98.
    incidence_angle
        rad, local, between 0 and pi/2. Fitted on 10 to 70 degrees.

    Returns
    -------
    (hh, hv, vv): linear sigma0, of the arguments' broadcast shape. Tensors give tensors through which gradients flow;
    array-likes give numpy arrays. The dtype is kept.

    Notes
    -----
    Oh (2004), equations 1 to 3. The co-polarized ratio and the saturating roughness terms are evaluated with expm1, so
    that they keep their digits where they go to zero (small ks).
    """
    xp, (moisture, ks, theta) = arrays_of(soil_moisture, ks, incidence_angle)
    co_ratio_exponent = 0.35 * moisture**-0.65 * xp.log(theta * (2 / np.pi)) - 0.4 * ks**1.4
    co_ratio = -xp.expm1(co_ratio_exponent)
    cross_ratio = -0.095 * (0.13 + xp.sin(1.5 * theta)) ** 1.4 * xp.expm1(-1.3 * ks**0.9)
    hv = -0.11 * moisture**0.7 * xp.cos(theta) ** 2.2 * xp.expm1(-0.32 * ks**1.8)
    vv = hv / cross_ratio
    return co_ratio * vv, hv, vv
