"""Bits that say where an estimate should not be used as it is. Their sentences stand in `escape_process.layers`."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escape_process.layers import FLAG
from escape_process.physics.bare_soil import VALID_INCIDENCE_DEG, VALID_KS, VALID_SOIL_MOISTURE
from escape_process.physics.speckle import hh_above_vv
from escape_process.retrieval.decoder import SOIL_MOISTURE_BOUNDS
from escape_process.retrieval.posterior import BOUND_MARGIN, Estimate

FEW_LOOKS = 20.0
FEW_MEMBERS = 3
NOISE_FLOOR_FACTOR = 1.5
"""A power below this multiple of the noise floor is near it."""
WATER_HH_DB, WATER_VV_DB, WATER_HV_DB = -22.0, -20.0, -31.0
"""All three below: smooth open water. Smooth dry soil (ks .13, .04 m3 m-3) also lies there, and says as little."""
POOR_FIT = 3.0
"""Standard errors between an observed power and the fitted model's."""
HIDDEN_SOIL_SHARE = 0.2
"""Share of the soil in the co-polarized power (the larger of HH and VV) below which vegetation hides it."""
UNINFORMATIVE = 0.95
"""Members' posterior over prior standard deviation. Their disagreement on a scene's level counts on neither side: no
single sample could reduce it."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How the model stands to the observations; both (N,)."""

    misfit: Tensor
    """Largest standardised residual over the polarizations, median over the members."""
    soil_share: Tensor
    """Larger of the soil's shares in HH and VV, mean over the members."""


def quality_flags(
    estimate: Estimate,
    diagnosis: Diagnosis,
    *,
    power: NDArray[np.float64],
    incidence_angle: NDArray[np.float32],
    looks: NDArray[np.float32],
    noise_floor: tuple[float, float, float] | None,
    prior_sd: float,
) -> NDArray[np.uint16]:
    """Set the bits that follow from the retrieval and its input.

    Parameters
    ----------
    estimate, diagnosis
        Of the N samples, on the CPU.
    power
        (N, 3), observed, linear.
    incidence_angle, looks
        (N,).
    noise_floor
        Linear, per polarization.
    prior_sd
        Root mean square of the members' prior standard deviations of soil moisture, m3 m-3.

    Returns
    -------
    (N,) bit field.
    """
    soil_moisture, ks = estimate.soil_moisture.numpy(), estimate.ks.numpy()
    used = estimate.usable.sum(dim=0).numpy()
    angle_deg = np.degrees(incidence_angle)
    low, high = SOIL_MOISTURE_BOUNDS
    power_db = 10 * np.log10(power)
    members = estimate.usable.shape[0]
    bits: dict[str, NDArray[np.bool_]] = {
        "outside_model": _outside(angle_deg, VALID_INCIDENCE_DEG)
        | _outside(ks, VALID_KS)
        | _outside(soil_moisture, VALID_SOIL_MOISTURE),
        "hh_above_vv": hh_above_vv(power[:, 0], power[:, 2], looks),
        "open_water": (power_db[:, 0] < WATER_HH_DB) & (power_db[:, 2] < WATER_VV_DB) & (power_db[:, 1] < WATER_HV_DB),
        "at_bound": (soil_moisture < low + BOUND_MARGIN)
        | (soil_moisture > high - BOUND_MARGIN)
        | (used < math.ceil(members / 2)),
        "poor_fit": ~(diagnosis.misfit.numpy() <= POOR_FIT),
        "few_looks": looks < FEW_LOOKS,
        "few_members": used < FEW_MEMBERS,
        "vegetation_hides_soil": diagnosis.soil_share.numpy() < HIDDEN_SOIL_SHARE,
        "uninformative": estimate.within.numpy() > UNINFORMATIVE * prior_sd,
    }
    if noise_floor is not None:
        bits["noise_floor"] = np.any(power < NOISE_FLOOR_FACTOR * np.asarray(noise_floor), axis=1)
    flags = np.zeros(power.shape[0], dtype=np.uint16)
    for name, marked in bits.items():
        flags |= np.where(marked, FLAG[name].mask, 0).astype(np.uint16)
    return flags


def _outside(values: NDArray[Any], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((values < bounds[0]) | (values > bounds[1]))


def median(values: Tensor) -> Tensor:
    """Median over the members, (M, N) to (N,), the mean of the middle two where M is even."""
    ordered = torch.sort(values.t().contiguous(), dim=1).values  # four times as fast as along the other axis
    half = values.shape[0] // 2
    return ordered[:, half] if values.shape[0] % 2 else 0.5 * (ordered[:, half - 1] + ordered[:, half])
