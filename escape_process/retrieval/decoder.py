"""The physics of one member: latent state to expected backscatter in dB.

A sample's state is (moisture, roughness, vegetation) in unbounded coordinates: the logit of soil moisture within
`SOIL_MOISTURE_BOUNDS`, the logarithm of ks and the logarithm of the vegetation descriptor V. Backscatter is Oh (2004)
under a water cloud, in each polarization with the member's own coefficients and offset.
"""

import math

import torch
from torch import Tensor

from escape_process.physics.bare_soil import oh2004
from escape_process.physics.canopy import two_way_transmissivity, water_cloud
from escape_process.physics.speckle import DB_PER_NEPER

SOIL_MOISTURE_BOUNDS = (0.01, 0.60)
"""m3 m-3: driest soil to the porosity of organic soil."""
LOG_KS_BOUNDS = (math.log(0.01), math.log(10.0))
LOG_VEGETATION_BOUNDS = (math.log(1e-4), math.log(20.0))
MOISTURE, ROUGHNESS, VEGETATION = 0, 1, 2
"""Order of the state's axis."""


def soil_moisture_of(moisture: Tensor) -> Tensor:
    """Soil moisture in m3 m-3 of its logit coordinate."""
    low, high = SOIL_MOISTURE_BOUNDS
    return low + (high - low) * torch.sigmoid(moisture)


def moisture_of(soil_moisture: float) -> float:
    """Logit coordinate of a soil moisture in m3 m-3."""
    low, high = SOIL_MOISTURE_BOUNDS
    share = (soil_moisture - low) / (high - low)
    return math.log(share / (1 - share))


def ks_of(roughness: Tensor) -> Tensor:
    """Ks of its logarithmic coordinate, within the range where the model is stable."""
    return torch.exp(roughness.clamp(*LOG_KS_BOUNDS))


def vegetation_of(vegetation: Tensor) -> Tensor:
    """Vegetation descriptor V of its logarithmic coordinate, within the range searched."""
    return torch.exp(vegetation.clamp(*LOG_VEGETATION_BOUNDS))


def expected_db(state: Tensor, incidence_angle: Tensor, log_a: Tensor, log_b: Tensor) -> Tensor:
    """Predict backscatter without offset.

    Parameters
    ----------
    state
        (..., 3), see the module's first lines.
    incidence_angle
        (...), rad.
    log_a, log_b
        (..., 3), logarithms of the water-cloud coefficients for HH, HV, VV.

    Returns
    -------
    (..., 3), sigma0 in dB for HH, HV, VV.
    """
    return torch.stack(
        [DB_PER_NEPER * torch.log(total) for total, _ in _powers(state, incidence_angle, log_a, log_b)], -1
    )


def expected_db_and_soil_share(
    state: Tensor, incidence_angle: Tensor, log_a: Tensor, log_b: Tensor
) -> tuple[Tensor, Tensor]:
    """Predict as `expected_db` does, and give the soil's share of each power, (..., 3), 0 to 1."""
    powers = _powers(state, incidence_angle, log_a, log_b)
    decibel = torch.stack([DB_PER_NEPER * torch.log(total) for total, _ in powers], -1)
    return decibel, torch.stack([soil / total for total, soil in powers], -1)


def _powers(state: Tensor, incidence_angle: Tensor, log_a: Tensor, log_b: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(total, soil's part of it) for each polarization, linear."""
    moisture, roughness, vegetation = state.unbind(-1)
    soils = oh2004(soil_moisture_of(moisture), ks_of(roughness), incidence_angle)
    cover = vegetation_of(vegetation)
    powers = []
    for index, soil in enumerate(soils):
        a, b = log_a[..., index].exp(), log_b[..., index].exp()
        total = water_cloud(soil, cover, incidence_angle, a, b)
        powers.append((total, soil * two_way_transmissivity(cover, incidence_angle, b)))
    return powers
