"""Self-calibration: a scene's own backscatter teaches each member the parameters that all samples share.

Each member maximises a tempered log evidence of a fixed random subset of the scene's samples plus a spring to its own
draw from the prior over scenes (randomised maximum a posteriori: Bardsley et al., 2014). Parameters that the scene
determines are pulled together, the others stay spread. Tempering counts far fewer effective samples than there are:
neighbours are alike and the decoder is not the truth, so that the evidence of a whole scene would be over-confident.

The evidence of a sample integrates over its state by importance sampling, with the encoder as proposal: the encoder is
conditional on the parameters, so it follows them without training.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from escape_process.retrieval.decoder import expected_db
from escape_process.retrieval.encoder import COORDINATES, AmortisedEncoder, Components, context_of, features_of
from escape_process.retrieval.priors import (
    COMMON_OFFSET_SD_DB,
    WIDTH,
    Parameters,
    anchor_penalty,
    sample_prior,
)

MAX_SAMPLES = 4096
BATCH = 256
DRAWS = 12
"""Importance draws of the state for each sample and step."""
EFFECTIVE_SAMPLES_FACTOR = 2.0
ROUND_STEPS = 40
MAX_ROUNDS = 10
LEARNING_RATE = 0.04
CONVERGED_SHIFT = 0.15
"""A round's mean parameters may differ from the round before by this much (root mean square, in prior widths)."""
DIVERGED_SHIFT = 0.5


@dataclass(frozen=True, eq=False)
class Observations:
    """Samples as tensors, pixels last. Axes: 3 polarizations, N samples."""

    power_db: Tensor
    """(3, N)."""
    speckle_db: Tensor
    """(3, N)."""
    incidence_angle: Tensor
    """(N,), rad."""

    def take(self, index: Tensor) -> "Observations":
        """Pick samples: an index of (M, B) gives (M, 3, B) and (M, B)."""
        return Observations(
            self.power_db.t()[index].transpose(-1, -2),
            self.speckle_db.t()[index].transpose(-1, -2),
            self.incidence_angle[index],
        )


@dataclass(frozen=True, eq=False)
class Calibration:
    """What self-calibration found."""

    parameters: Parameters
    rounds: int
    shifts: tuple[float, ...]
    """Last shift per member, in prior widths."""
    log_evidence: tuple[float, ...]
    """Mean log evidence per sample and member in the last round; reported, never used to choose."""

    @property
    def unconverged(self) -> set[int]:
        """Members whose parameters still moved."""
        return {member for member, shift in enumerate(self.shifts) if not shift < DIVERGED_SHIFT}


def total_error_db(parameters: Parameters, speckle_db: Tensor) -> Tensor:
    """Speckle and decoder error together, dB: (..., 3, N) speckle and M members to (M, 3, N)."""
    return (speckle_db.square() + (2 * parameters.log_error_db).exp()[:, :, None]).sqrt()


def draw(components: Components, draws: int, generator: torch.Generator) -> Tensor:
    """Draw coordinates from the posterior, (M, S, 4, N)."""
    members, _, _, pixels = components.raw.shape
    device = components.raw.device
    pick = torch.rand(members, draws, pixels, generator=generator).to(device)
    noise = torch.randn(members, draws, COORDINATES, pixels, generator=generator).to(device)
    first = pick < components.log_weights[:, None, 0].exp()
    factor = components.factor()
    coordinates = []
    for i in range(COORDINATES):
        both = components.mean(i)[:, None]
        for j in range(i + 1):
            both = both + factor[i][j][:, None] * noise[:, :, None, j]
        coordinates.append(torch.where(first, both[:, :, 0], both[:, :, 1]))
    return torch.stack(coordinates, dim=2)


def log_joint(parameters: Parameters, batch: Observations, state: Tensor, common: Tensor, wavenumber: float) -> Tensor:
    """Log density of states and observations under each member.

    `state` is (M, S, N, 3) in absolute coordinates, `common` (M, S, N) the calibration offset in its own widths; the
    result is (M, S, N).
    """
    centre, width = sample_prior(parameters, wavenumber)
    scaled = (state - centre[:, None, None]) / width[:, None, None]
    prior = -0.5 * scaled.square().sum(dim=-1) - width.log().sum(dim=-1)[:, None, None] - 0.5 * common.square()
    decoded = expected_db(
        state, batch.incidence_angle[:, None], parameters.log_a[:, None, None], parameters.log_b[:, None, None]
    )
    error_db = total_error_db(parameters, batch.speckle_db).transpose(1, 2)[:, None]
    observed = (batch.power_db - parameters.offset_db[:, :, None]).transpose(1, 2)[:, None]
    residual = (observed - decoded - COMMON_OFFSET_SD_DB * common[..., None]) / error_db
    return prior - 0.5 * residual.square().sum(dim=-1) - error_db.log().sum(dim=-1)


def evidence_step(
    flat: Tensor, batch: Observations, encoder: AmortisedEncoder, wavenumber: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a surrogate whose gradient is that of the mean log evidence, and the log evidence itself; both (M,)."""
    parameters = Parameters.of_flat(flat)
    with torch.no_grad():
        centre, width = sample_prior(parameters, wavenumber)
        features = features_of(
            batch.power_db - parameters.offset_db[:, :, None],
            batch.incidence_angle,
            total_error_db(parameters, batch.speckle_db),
        )
        posterior = encoder.fold(context_of(parameters, wavenumber))(features)
        coordinates = draw(posterior, DRAWS, generator)
        log_proposal = posterior.log_density(coordinates) - width.log().sum(dim=-1)[:, None, None]
        state = (centre[:, None, :, None] + width[:, None, :, None] * coordinates[:, :, 1:]).transpose(2, 3)
    joint = log_joint(parameters, batch, state, coordinates[:, :, 0], wavenumber)
    log_weight = joint.detach() - log_proposal
    weight = torch.softmax(log_weight, dim=1)
    surrogate = (weight * joint).sum(dim=1).mean(dim=1)
    constant = 0.5 * (COORDINATES + 3) * math.log(2 * math.pi)
    evidence = (torch.logsumexp(log_weight, dim=1) - math.log(DRAWS) - constant).mean(dim=1)
    return surrogate, evidence


def self_calibrate(
    observations: Observations,
    anchors: Parameters,
    encoder: AmortisedEncoder,
    wavenumber: float,
    generator: torch.Generator,
    *,
    progress: Callable[[float], None],
) -> Calibration:
    """Learn the members' parameters from samples of a scene.

    Parameters
    ----------
    observations
        At least one sample.
    anchors
        Each member's draw from the prior over scenes, on the observations' device.
    encoder
        On the same device.
    wavenumber
        rad/m.
    generator
        CPU source of randomness.
    progress
        Told the share done.

    Notes
    -----
    Stops when for every member the mean parameters of a round differ from those of the round before by less than
    `CONVERGED_SHIFT` prior widths, and after `MAX_ROUNDS` otherwise.
    """
    count = observations.incidence_angle.numel()
    device = observations.incidence_angle.device
    members = anchors.members
    pool = torch.randint(count, (members, min(count, MAX_SAMPLES)), generator=generator)
    effective = min(count, EFFECTIVE_SAMPLES_FACTOR * math.sqrt(count))
    anchor, width = anchors.flat(), WIDTH.to(device)
    shift = torch.zeros_like(anchor, requires_grad=True)
    optimizer = torch.optim.Adam([shift], LEARNING_RATE, betas=(0.9, 0.98))
    before: Tensor | None = None
    moved = torch.full((members,), math.inf)
    evidence = torch.zeros(members)
    rounds = 0
    for rounds in range(1, MAX_ROUNDS + 1):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE / math.sqrt(rounds)
        mean, evidence = torch.zeros_like(anchor), torch.zeros(members, device=device)
        for _ in range(ROUND_STEPS):
            index = torch.gather(pool, 1, torch.randint(pool.shape[1], (members, BATCH), generator=generator))
            flat = anchor + width * shift
            surrogate, batch_evidence = evidence_step(
                flat, observations.take(index.to(device)), encoder, wavenumber, generator
            )
            loss = (anchor_penalty(flat, anchor) - effective * surrogate).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            mean += shift.detach() / ROUND_STEPS
            evidence += batch_evidence.detach() / ROUND_STEPS
        if before is not None:
            moved = (mean - before).square().mean(dim=1).sqrt().cpu()
        before = mean
        progress(rounds / MAX_ROUNDS)
        if bool((moved < CONVERGED_SHIFT).all()):
            break
    assert before is not None
    found = Parameters.of_flat((anchor + width * before).detach()).to(torch.device("cpu"))
    return Calibration(found, rounds, tuple(moved.tolist()), tuple(evidence.cpu().tolist()))
