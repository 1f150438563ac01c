"""The rule by which members are rejected: fixed in advance, the same for every scene, and reported.

A member is rejected when its parameters are not finite or not physical, when its calibration did not converge, or when
its encoder and decoder no longer belong together: on states that it draws from its own prior and observes through its
own decoder, its errors must be smaller than the prior's, and its network must serve it about as well as the encoder
that is shipped, from which it was trained. How well a member fits
or explains the scene never counts: a freer vegetation term fits better and retrieves worse.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from escape_process.physics.speckle import log_power_sd_db
from escape_process.retrieval.decoder import expected_db
from escape_process.retrieval.encoder import MemberNetworks, context_of, features_of, load_warm_start
from escape_process.retrieval.posterior import marginals_of
from escape_process.retrieval.priors import COMMON_OFFSET_SD_DB, Parameters, sample_prior

A_RANGE = (1e-4, 3.0)
B_RANGE = (5e-3, 10.0)
MAX_OFFSET_DB = 2.0
MAX_ERROR_DB = 4.0
"""Decoder's own error, dB, of the co-polarized channels."""
MAX_SHORTFALL = 0.5
"""By how much the mean log density of the truth, on a member's own simulations, may lie below the shipped encoder's."""
MAX_ERROR = 1.05
"""Root mean square error of the moisture on a member's own simulations, over the prior's standard deviation."""
_SAMPLES = 512
_SEED = 20040101


@dataclass(frozen=True)
class Conditions:
    """Under which a scene is observed: a network need not serve any other."""

    looks: float
    angles_deg: list[float]
    """Smallest and largest local incidence angle."""


def reject(
    parameters: Parameters,
    networks: MemberNetworks,
    wavenumber: float,
    conditions: Conditions,
    *,
    variational: bool,
    unconverged: set[int],
) -> tuple[str | None, ...]:
    """Return for each member None, or the sentence that says why it is rejected."""
    errors = self_check(parameters, networks, wavenumber, conditions)
    reasons: list[str | None] = []
    for member in range(parameters.members):
        own = Parameters.of_flat(parameters.flat()[member : member + 1])
        reason = _parameter_fault(own)
        finite = all(bool(torch.isfinite(part[member]).all()) for part in (*networks.weights, *networks.biases))
        if reason is None and not finite:
            reason = "its network's weights are not finite"
        if reason is None and member in unconverged:
            reason = "its calibration did not converge"
        shortfall, error = float(errors[0, member]), float(errors[1, member])
        if reason is None and variational and not shortfall < MAX_SHORTFALL:
            reason = f"on its own simulations its network is {shortfall:.1f} nats worse than the one that it began with"
        if reason is None and not error < MAX_ERROR:
            reason = "on its own simulations it knows less than its prior"
        reasons.append(reason)
    return tuple(reasons)


def _parameter_fault(own: Parameters) -> str | None:
    if not bool(torch.isfinite(own.flat()).all()):
        return "its parameters are not finite"
    checks = (
        ("water-cloud coefficient A", own.log_a.exp(), *A_RANGE),
        ("water-cloud coefficient B", own.log_b.exp(), *B_RANGE),
        ("offset in dB", own.offset_db, -MAX_OFFSET_DB, MAX_OFFSET_DB),
        ("decoder error in dB", own.log_error_db[:, ::2].exp(), 0.0, MAX_ERROR_DB),
        ("prior width of moisture", own.log_moisture_width.exp(), 0.2, 2.5),
        ("prior width of roughness", own.log_roughness_width.exp(), 0.1, 1.0),
    )
    for name, values, low, high in checks:
        outside = values[(values < low) | (values > high)]
        if outside.numel():
            return f"its {name} is {float(outside.flatten()[0]):.3g}, outside {low:g} to {high:g}"
    return None


def self_check(parameters: Parameters, networks: MemberNetworks, wavenumber: float, conditions: Conditions) -> Tensor:
    """Retrieve each member's own simulations under the scene's conditions.

    Returns
    -------
    (2, M): log density of the truth under the shipped encoder less that under the member's network, mean over samples,
    and root mean square error of the moisture coordinate over prior sd.
    """
    generator = torch.Generator().manual_seed(_SEED)
    members = parameters.members
    centre, width = sample_prior(parameters, wavenumber)
    coordinates = torch.randn(members, 4, _SAMPLES, generator=generator)
    low, high = conditions.angles_deg
    angle = torch.deg2rad(low + (high - low) * torch.rand(_SAMPLES, generator=generator))
    state = (centre[:, :, None] + width[:, :, None] * coordinates[:, 1:]).transpose(1, 2)
    speckle_db = float(log_power_sd_db(conditions.looks))
    error_db = (speckle_db**2 + (2 * parameters.log_error_db).exp()).sqrt()[:, :, None].expand(-1, -1, _SAMPLES)
    clean = expected_db(state, angle, parameters.log_a[:, None], parameters.log_b[:, None]).transpose(1, 2)
    noise = torch.randn(members, 3, _SAMPLES, generator=generator)
    power_db = clean + COMMON_OFFSET_SD_DB * coordinates[:, :1] + error_db * noise
    features = features_of(power_db, angle, error_db)
    own, shipped = networks(features), load_warm_start().fold(context_of(parameters, wavenumber))(features)
    shortfall = (shipped.log_density(coordinates[:, None]) - own.log_density(coordinates[:, None])).mean(dim=(1, 2))
    marginals = marginals_of(own, centre, width)
    mean = (marginals.log_weight.exp() * marginals.mean[0]).sum(dim=1)
    return torch.stack([shortfall, (mean - state[..., 0]).square().mean(dim=1).sqrt() / width[:, 0]])
