"""Fits each member's per-pixel network to that member's own parameters, on simulations alone.

The encoder that is shipped serves all scenes and so none exactly. Once a member's parameters are known, its folded
network is trained further on states drawn from that member's prior and observed through that member's decoder, at the
incidence angles and speckle of the scene's samples: the "sleep" half of wake-sleep learning (Hinton et al., 1995),
after the "wake" half in `calibration`. Simulations have a known truth, so that what is fitted is the posterior itself,
spread included, and no misfit between decoder and nature can narrow it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from escape_process.retrieval.calibration import Observations, total_error_db
from escape_process.retrieval.decoder import expected_db
from escape_process.retrieval.encoder import COORDINATES, MemberNetworks, features_of
from escape_process.retrieval.priors import COMMON_OFFSET_SD_DB, Parameters, sample_prior

BATCH = 512
ROUND_STEPS = 100
ROUNDS = 3
LEARNING_RATE = 5e-3
WARM_UP_STEPS = 20
ANGLE_JITTER = math.radians(1.5)
SPECKLE_JITTER = 0.2
"""Spread of the logarithm: the network must also serve samples a little unlike those that it was fitted on."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """Simulated samples of M members."""

    coordinates: Tensor
    """(M, 4, N), the truth in units of the prior."""
    features: Tensor
    """(M, 7, N)."""


def simulate(
    parameters: Parameters, observations: Observations, count: int, wavenumber: float, generator: torch.Generator
) -> Simulated:
    """Draw `count` states for each member and observe them under the conditions of randomly chosen observations."""
    members, device = parameters.members, observations.incidence_angle.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    centre, width = sample_prior(parameters, wavenumber)
    chosen = torch.randint(observations.incidence_angle.numel(), (members, count), generator=generator).to(device)
    like = observations.take(chosen)
    angle = like.incidence_angle + ANGLE_JITTER * normal(members, count)
    error_db = total_error_db(parameters, like.speckle_db * torch.exp(SPECKLE_JITTER * normal(members, 1, count)))
    coordinates = normal(members, COORDINATES, count)
    state = (centre[:, :, None] + width[:, :, None] * coordinates[:, 1:]).transpose(1, 2)
    clean = expected_db(state, angle.clamp(0.05, 1.5), parameters.log_a[:, None], parameters.log_b[:, None])
    power_db = clean.transpose(1, 2) + COMMON_OFFSET_SD_DB * coordinates[:, :1] + error_db * normal(members, 3, count)
    return Simulated(coordinates, features_of(power_db, angle, error_db))


def specialise(
    networks: MemberNetworks,
    parameters: Parameters,
    observations: Observations,
    wavenumber: float,
    generator: torch.Generator,
    *,
    progress: Callable[[float], None],
) -> MemberNetworks:
    """Train the members' networks further; all tensors on one device, `generator` on the CPU.

    Notes
    -----
    `ROUNDS` rounds of `ROUND_STEPS` steps of Adam, the rate falling to zero along half a cosine.
    """
    weights = [part.clone().requires_grad_(True) for part in networks.weights]
    biases = [part.clone().requires_grad_(True) for part in networks.biases]
    trained = MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))
    optimizer = torch.optim.Adam([*weights, *biases], LEARNING_RATE)
    steps = ROUNDS * ROUND_STEPS
    for step in range(steps):
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        with torch.no_grad():
            batch = simulate(parameters, observations, BATCH, wavenumber, generator)
        loss = -trained(batch.features).log_density(batch.coordinates[:, None]).mean(dim=(1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % ROUND_STEPS == 0:
            progress((step + 1) / steps)
    for part in (*weights, *biases):
        part.requires_grad_(False)
    return trained
