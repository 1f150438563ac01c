"""The rule by which members are rejected: fixed in advance, the same for every scene, and reported.

A member is rejected when its parameters are not finite or not physical, when its calibration did not converge, or when
its encoder and decoder no longer belong together: on states that it draws from its own prior and observes through its
own decoder, its errors must have the size that it states and must be smaller than the prior's. How well a member fits
or explains the scene never counts: a freer vegetation term fits better and retrieves worse.
"""

import torch
from torch import Tensor

from escape_process.retrieval.decoder import expected_db
from escape_process.retrieval.encoder import MemberNetworks, features_of
from escape_process.retrieval.posterior import Marginals, marginals_of
from escape_process.retrieval.priors import COMMON_OFFSET_SD_DB, Parameters, sample_prior

A_RANGE = (1e-4, 3.0)
B_RANGE = (5e-3, 10.0)
MAX_OFFSET_DB = 2.0
MAX_ERROR_DB = 4.0
"""Decoder's own error, dB, of the co-polarized channels."""
SQUARED_ERROR_RANGE = (0.5, 2.0)
"""Mean of (error / stated sd)^2 on a member's own simulations; 1 is right."""
_SAMPLES = 512
_SEED = 20040101


def reject(
    parameters: Parameters, networks: MemberNetworks, wavenumber: float, *, variational: bool, unconverged: set[int]
) -> tuple[str | None, ...]:
    """Return for each member None, or the sentence that says why it is rejected."""
    errors = self_check(parameters, networks, wavenumber)
    reasons: list[str | None] = []
    for member in range(parameters.members):
        own = Parameters.of_flat(parameters.flat()[member : member + 1])
        reason = _parameter_fault(own)
        finite = all(bool(torch.isfinite(part[member]).all()) for part in (*networks.weights, *networks.biases))
        if reason is None and not finite:
            reason = "its network's weights are not finite"
        if reason is None and member in unconverged:
            reason = "its calibration did not converge"
        low, high = SQUARED_ERROR_RANGE
        ratio, gain = float(errors[0, member]), float(errors[1, member])
        if reason is None and variational and not low <= ratio <= high:
            reason = f"on its own simulations its squared errors are {ratio:.2f} times what it states"
        if reason is None and not gain < 1.05:
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
        ("prior width of roughness", own.log_roughness_width.exp(), 0.1, 2.0),
    )
    for name, values, low, high in checks:
        outside = values[(values < low) | (values > high)]
        if outside.numel():
            return f"its {name} is {float(outside.flatten()[0]):.3g}, outside {low:g} to {high:g}"
    return None


def self_check(parameters: Parameters, networks: MemberNetworks, wavenumber: float) -> Tensor:
    """Retrieve each member's own simulations.

    Returns
    -------
    (2, M): mean of (error / stated sd)^2 of the moisture coordinate, and root mean square error over prior sd.
    """
    generator = torch.Generator().manual_seed(_SEED)
    members = parameters.members
    centre, width = sample_prior(parameters, wavenumber)
    coordinates = torch.randn(members, 4, _SAMPLES, generator=generator)
    angle = torch.deg2rad(25 + 20 * torch.rand(_SAMPLES, generator=generator))
    state = (centre[:, :, None] + width[:, :, None] * coordinates[:, 1:]).transpose(1, 2)
    error_db = (0.3**2 + (2 * parameters.log_error_db).exp()).sqrt()[:, :, None].expand(-1, -1, _SAMPLES)
    clean = expected_db(state, angle, parameters.log_a[:, None], parameters.log_b[:, None]).transpose(1, 2)
    noise = torch.randn(members, 3, _SAMPLES, generator=generator)
    power_db = clean + COMMON_OFFSET_SD_DB * coordinates[:, :1] + error_db * noise
    marginals = marginals_of(networks(features_of(power_db, angle, error_db)), centre, width)
    mean, variance = _moments(marginals)
    squares = (mean - state[..., 0]).square()
    return torch.stack([(squares / variance).mean(dim=1), squares.mean(dim=1).sqrt() / width[:, 0]])


def _moments(marginals: Marginals) -> tuple[Tensor, Tensor]:
    weight = marginals.log_weight.exp()
    mean = (weight * marginals.mean[0]).sum(dim=1)
    spread = marginals.variance[0] + (marginals.mean[0] - mean[:, None]).square()
    return mean, (weight * spread).sum(dim=1)
