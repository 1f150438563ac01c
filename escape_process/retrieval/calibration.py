"""Self-calibration: a scene's own backscatter teaches each member the parameters that all samples share.

Each member maximises a tempered log evidence of a fixed random subset of the scene's samples plus a spring to its own
draw from the prior over scenes (randomised maximum a posteriori: Bardsley et al., 2014). Parameters that the scene
determines are pulled together, the others stay spread. Tempering counts far fewer effective samples than there are:
neighbours are alike and the decoder is not the truth, so that the evidence of a whole scene would be over-confident.

The evidence of a sample integrates over its state by importance sampling, with the encoder as proposal: the encoder is
conditional on the parameters, so it follows them without training. Parameters move by stochastic Fisher scoring
(Titterington, 1984, for the recursive form), the evidence being counted gradually.
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
    sample_prior,
)

MAX_SAMPLES = 4096
BATCH = 256
DRAWS = 32
"""Importance draws of the state for each sample and step: with few, the gradient of a precise scene is biased."""
EFFECTIVE_SAMPLES_FACTOR = 2.0
"""The evidence of n samples counts as that of this times the root of n."""
ROUND_STEPS = 10
MAX_ROUNDS = 20
FIRST_EFFECTIVE = 3.0
"""Samples counted in the first round; doubled in each further one until all that count are."""
FIRST_ERROR_SHIFT = 1.0
"""Where the decoder's own error begins, in prior widths: a smooth evidence first, so that no member is caught in a
poor local optimum."""
FIRST_RATE = 0.5
"""Of a Fisher step in the first rounds; later it falls as one over the rounds."""
MAX_STEP = 0.5
"""Largest change of a parameter in one step, in prior widths."""
FISHER_MEMORY = 0.05
"""Weight of a step's scores in the running mean that estimates the Fisher information."""
CONVERGED_SHIFT = 0.3
"""A round's mean parameters may differ from the round before by this much: root mean square, in standard deviations of
the tempered posterior."""
DIVERGED_SHIFT = 1.5


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
    """Last shift per member, in standard deviations of the tempered posterior."""
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


def log_joint(parameters: Parameters, batch: Observations, state: Tensor, wavenumber: float) -> Tensor:
    """Log density of states and observations under each member, the common calibration offset integrated out.

    `parameters` have axes (M, 1, N), one set for each sample; `state` is (M, S, N, 3) in absolute coordinates; the
    result is (M, S, N).
    """
    centre, width = sample_prior(parameters, wavenumber)
    scaled = (state - centre) / width
    prior = -0.5 * scaled.square().sum(dim=-1) - width.log().sum(dim=-1)
    decoded = expected_db(state, batch.incidence_angle[:, None], parameters.log_a, parameters.log_b)
    speckle_db, power_db = (part.transpose(1, 2)[:, None] for part in (batch.speckle_db, batch.power_db))
    error_db = (speckle_db.square() + (2 * parameters.log_error_db).exp()).sqrt()
    residual = (power_db - parameters.offset_db - decoded) / error_db
    # Covariance of the errors: diagonal, plus the offset's variance in every entry (Sherman and Morrison).
    share = COMMON_OFFSET_SD_DB / error_db
    added = 1 + share.square().sum(dim=-1)
    quadratic = residual.square().sum(dim=-1) - (residual * share).sum(dim=-1).square() / added
    return prior - 0.5 * quadratic - error_db.log().sum(dim=-1) - 0.5 * added.log()


def scores(
    flat: Tensor, batch: Observations, encoder: AmortisedEncoder, wavenumber: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Gradient of each sample's log evidence by the parameters (M, 18), giving (M, N, 18), and its value, (M, N)."""
    members, samples = batch.incidence_angle.shape
    with torch.no_grad():
        parameters = Parameters.of_flat(flat)
        centre, width = sample_prior(parameters, wavenumber)
        features = features_of(
            batch.power_db - parameters.offset_db[:, :, None],
            batch.incidence_angle,
            total_error_db(parameters, batch.speckle_db),
        )
        posterior = encoder.fold(context_of(parameters, wavenumber))(features)
        coordinates = draw(posterior, DRAWS, generator)[:, :, 1:]
        log_proposal = posterior.log_density_of_state(coordinates) - width.log().sum(dim=-1)[:, None, None]
        state = (centre[:, None, :, None] + width[:, None, :, None] * coordinates).transpose(2, 3)
    each = flat.detach()[:, None].expand(members, samples, -1).clone().requires_grad_(True)
    joint = log_joint(Parameters.of_flat(each[:, None]), batch, state, wavenumber)
    log_weight = joint.detach() - log_proposal
    (gradient,) = torch.autograd.grad((torch.softmax(log_weight, dim=1) * joint).sum(), each)
    constant = 0.5 * (COORDINATES + 2) * math.log(2 * math.pi)
    return gradient, torch.logsumexp(log_weight, dim=1) - math.log(DRAWS) - constant


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
    Stochastic Fisher scoring: steps are scaled by the inverse of the tempered posterior's precision, which the
    samples' own scores estimate, so that directions that the scene hardly tells apart converge as fast as the others.
    Stops when all of the evidence counts and for every member the mean parameters of a round differ from those of the
    round before by less than `CONVERGED_SHIFT` of that posterior's standard deviations; after `MAX_ROUNDS` otherwise.
    """
    count = observations.incidence_angle.numel()
    device = observations.incidence_angle.device
    members = anchors.members
    pool = torch.randint(count, (members, min(count, MAX_SAMPLES)), generator=generator)
    effective = min(count, EFFECTIVE_SAMPLES_FACTOR * math.sqrt(count))
    anchor, width = anchors.flat(), WIDTH.to(device)
    shift = torch.zeros_like(anchor)
    shift[:, -3:] = FIRST_ERROR_SHIFT
    spring = torch.eye(anchor.shape[1], device=device)
    fisher = torch.zeros(members, *spring.shape, device=device)
    before: Tensor | None = None
    moved = torch.full((members,), math.inf)
    evidence = torch.zeros(members)
    rounds, steps = 0, 0
    for rounds in range(1, MAX_ROUNDS + 1):
        mean, evidence = torch.zeros_like(anchor), torch.zeros(members, device=device)
        counted = min(effective, FIRST_EFFECTIVE * 2.0 ** (rounds - 1))
        for _ in range(ROUND_STEPS):
            index = torch.gather(pool, 1, torch.randint(pool.shape[1], (members, BATCH), generator=generator))
            batch = observations.take(index.to(device))
            score, value = scores(anchor + width * shift, batch, encoder, wavenumber, generator)
            score = score * width
            steps += 1
            fisher += (score.transpose(1, 2) @ score / BATCH - fisher) * max(1 / steps, FISHER_MEMORY)
            precision = counted * fisher + spring
            uphill = counted * score.mean(dim=1) - shift
            step = torch.linalg.solve_ex(precision, uphill)[0] * min(FIRST_RATE, 1 / rounds)
            shift = shift + step * (MAX_STEP / step.abs().amax(dim=1, keepdim=True)).clamp(max=1.0)
            mean += shift / ROUND_STEPS
            evidence += value.mean(dim=1) / ROUND_STEPS
        if before is not None:
            away = mean - before
            moved = torch.einsum("mi,mij,mj->m", away, precision, away).div(away.shape[1]).sqrt().cpu()
        before = mean
        progress(rounds / MAX_ROUNDS)
        if counted == effective and bool((moved < CONVERGED_SHIFT).all()):
            break
    assert before is not None
    found = Parameters.of_flat(anchor + width * before).to(torch.device("cpu"))
    return Calibration(found, rounds, tuple(moved.tolist()), tuple(evidence.cpu().tolist()))
