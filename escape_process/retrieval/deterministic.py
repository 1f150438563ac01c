"""The deterministic mode: a point autoencoder a member, as the method is usually told.

Encoder and scene-wide parameters are trained together to reproduce the scene's backscatter through the decoder, with
weak penalties that hold each state near its prior and the parameters near their anchors. The spread of a point comes
from its members and from speckle and calibration, propagated through the encoder by finite differences.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from escape_process.retrieval.calibration import MAX_SAMPLES, Calibration, Observations, total_error_db
from escape_process.retrieval.decoder import expected_db
from escape_process.retrieval.encoder import AmortisedEncoder, Components, MemberNetworks, context_of, features_of
from escape_process.retrieval.posterior import Marginals
from escape_process.retrieval.priors import (
    COMMON_OFFSET_SD_DB,
    WIDTH,
    Parameters,
    anchor_penalty,
    sample_prior,
)

BATCH = 512
ROUND_STEPS = 60
MAX_ROUNDS = 5
LEARNING_RATE = 2e-3
PARAMETER_RATE = 0.03
PRIOR_WEIGHT = 0.5
"""Of the states' penalties against the reconstruction."""
EFFECTIVE_SAMPLES_FACTOR = 2.0
CONVERGED_SHIFT = 0.15
MIN_SPREAD = 1e-3


def point_of(components: Components) -> Tensor:
    """The encoder's point, (M, 3, N), in units of the prior's width."""
    weight = components.log_weights.exp()
    return torch.stack([(weight * components.mean(index)).sum(dim=1) for index in (1, 2, 3)], dim=1)


def train_autoencoders(
    observations: Observations,
    anchors: Parameters,
    encoder: AmortisedEncoder,
    wavenumber: float,
    generator: torch.Generator,
    *,
    progress: Callable[[float], None],
) -> tuple[Calibration, MemberNetworks]:
    """Train M autoencoders on samples of a scene; parameters as for `self_calibrate`.

    Notes
    -----
    Stops by the same rule as `self_calibrate`, on rounds of `ROUND_STEPS` steps.
    """
    count, members = observations.incidence_angle.numel(), anchors.members
    device = observations.incidence_angle.device
    pool = torch.randint(count, (members, min(count, MAX_SAMPLES)), generator=generator)
    effective = min(count, EFFECTIVE_SAMPLES_FACTOR * math.sqrt(count))
    anchor, width = anchors.flat(), WIDTH.to(device)
    shift = torch.zeros_like(anchor, requires_grad=True)
    start = encoder.fold(context_of(anchors, wavenumber))
    weights = [part.detach().clone().requires_grad_(True) for part in start.weights]
    biases = [part.detach().clone().requires_grad_(True) for part in start.biases]
    networks = MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))
    optimizer = torch.optim.Adam(
        [{"params": [shift], "lr": PARAMETER_RATE}, {"params": [*weights, *biases], "lr": LEARNING_RATE}]
    )
    before: Tensor | None = None
    moved, misfit = torch.full((members,), math.inf), torch.zeros(members)
    rounds = 0
    for rounds in range(1, MAX_ROUNDS + 1):
        mean, misfit = torch.zeros_like(anchor), torch.zeros(members, device=device)
        for group, rate in zip(optimizer.param_groups, (PARAMETER_RATE, LEARNING_RATE), strict=True):
            group["lr"] = rate / rounds
        for _ in range(ROUND_STEPS):
            index = torch.gather(pool, 1, torch.randint(pool.shape[1], (members, BATCH), generator=generator))
            batch = observations.take(index.to(device))
            flat = anchor + width * shift
            parameters = Parameters.of_flat(flat)
            cost = _cost(parameters, networks, batch, wavenumber)
            loss = (effective * cost + anchor_penalty(flat, anchor)).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            mean += shift.detach() / ROUND_STEPS
            misfit += cost.detach() / ROUND_STEPS
        if before is not None:
            moved = (mean - before).square().mean(dim=1).sqrt().cpu()
        before = mean
        progress(rounds / MAX_ROUNDS)
        if bool((moved < CONVERGED_SHIFT).all()):
            break
    cpu = torch.device("cpu")
    found = Parameters.of_flat((anchor + width * shift).detach()).to(cpu)
    trained = MemberNetworks(
        (weights[0].detach().to(cpu), weights[1].detach().to(cpu), weights[2].detach().to(cpu)),
        (biases[0].detach().to(cpu), biases[1].detach().to(cpu), biases[2].detach().to(cpu)),
    )
    return Calibration(found, rounds, tuple(moved.tolist()), tuple((-misfit).cpu().tolist())), trained


def _cost(parameters: Parameters, networks: MemberNetworks, batch: Observations, wavenumber: float) -> Tensor:
    """Mean reconstruction cost per sample, (M,)."""
    centre, width = sample_prior(parameters, wavenumber)
    error_db = total_error_db(parameters, batch.speckle_db)
    observed = batch.power_db - parameters.offset_db[:, :, None]
    point = point_of(networks(features_of(observed, batch.incidence_angle, error_db.detach())))
    state = (centre[:, :, None] + width[:, :, None] * point).transpose(1, 2)
    decoded = expected_db(state, batch.incidence_angle, parameters.log_a[:, None], parameters.log_b[:, None])
    residual = (observed - decoded.transpose(1, 2)) / error_db
    fit = 0.5 * residual.square().sum(dim=1) + error_db.log().sum(dim=1)
    return (fit + PRIOR_WEIGHT * 0.5 * point.square().sum(dim=1)).mean(dim=1)


def point_marginals(
    networks: MemberNetworks,
    parameters: Parameters,
    observations: Observations,
    centre: Tensor,
    width: Tensor,
) -> Marginals:
    """Points of all members and their spread by propagated speckle and calibration, as one-component marginals."""
    error_db = total_error_db(parameters, observations.speckle_db)
    observed = observations.power_db - parameters.offset_db[:, :, None]

    def point(power_db: Tensor) -> Tensor:
        components = networks(features_of(power_db, observations.incidence_angle, error_db))
        return centre[:, :, None] + width[:, :, None] * point_of(components)

    base = point(observed)
    variance, common = torch.full_like(base, MIN_SPREAD**2), torch.zeros_like(base)
    for channel in range(3):
        step = observations.speckle_db[channel].clamp(min=0.1)
        moved = observed.clone()
        moved[:, channel] += step
        slope = (point(moved) - base) / step
        variance += (slope * observations.speckle_db[channel]).square()
        common += slope
    calibration = (common * COMMON_OFFSET_SD_DB).square()
    total = variance + calibration
    mean = base[:, None]
    return Marginals(
        log_weight=torch.zeros_like(mean[:, :, 0]),
        mean=(mean[:, :, 0], mean[:, :, 1], mean[:, :, 2]),
        variance=(total[:, None, 0], total[:, None, 1], total[:, None, 2]),
        calibration_share=(calibration[:, 0] / total[:, 0])[:, None],
    )
