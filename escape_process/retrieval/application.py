"""Applies a calibrated ensemble to samples, chunk by chunk.

Each sample's result is a function of that sample and the ensemble alone. Chunks have one fixed shape, the last padded,
so that it is so bit for bit: matrix products of other shapes may round differently.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escape_process.physics.radiometry import wavenumber as wavenumber_of
from escape_process.retrieval import dates
from escape_process.retrieval.calibration import Observations, total_error_db
from escape_process.retrieval.decoder import expected_db_and_soil_share
from escape_process.retrieval.deterministic import point_marginals
from escape_process.retrieval.encoder import MemberNetworks, features_of
from escape_process.retrieval.ensemble import Ensemble
from escape_process.retrieval.flags import Diagnosis, median, quality_flags
from escape_process.retrieval.inputs import Samples
from escape_process.retrieval.posterior import (
    Estimate,
    Marginals,
    marginals_of,
    prior_soil_moisture_sd,
    summarise,
)
from escape_process.retrieval.priors import COMMON_OFFSET_SD_DB, Parameters, sample_prior
from escape_process.retrieval.threads import map_in_order, one_thread

CHUNK = 2048
"""Samples computed at once: a member's intermediate values fit in the cache of one core."""


@dataclass(frozen=True, eq=False)
class Applied:
    """Estimates of N samples, numpy, all (N,)."""

    soil_moisture: NDArray[np.float32]
    aleatoric: NDArray[np.float32]
    epistemic: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    p05: NDArray[np.float32]
    p95: NDArray[np.float32]
    ks: NDArray[np.float32]
    ks_uncertainty: NDArray[np.float32]
    vegetation: NDArray[np.float32]
    members_used: NDArray[np.uint8]
    flags: NDArray[np.uint16]


class Applier:
    """The kept members of an ensemble on a device."""

    def __init__(self, ensemble: Ensemble, device: torch.device) -> None:
        index = torch.tensor(ensemble.kept)
        self.device = device
        self.parameters = Parameters.of_flat(ensemble.parameters.flat()[index]).to(device)
        weights, biases = ([part[index].to(device) for part in parts] for parts in _layers(ensemble.networks))
        self.networks = MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))
        self.centre, self.width = sample_prior(self.parameters, wavenumber_of(ensemble.frequency))
        self.variational = ensemble.mode == "variational"

    def observations(self, samples: Samples, start: int) -> Observations:
        """One chunk on the device, the last sample repeated up to the fixed shape."""
        index = np.minimum(np.arange(start, start + CHUNK), samples.size - 1)
        return Observations(
            torch.from_numpy(np.ascontiguousarray(samples.power_db[index].T)).to(self.device),
            torch.from_numpy(np.ascontiguousarray(samples.speckle_db[index].T)).to(self.device),
            torch.from_numpy(samples.incidence_angle[index]).to(self.device),
        )

    def encode(self, chunk: Observations) -> Marginals:
        """The members' posteriors of a chunk."""
        if not self.variational:
            return point_marginals(self.networks, self.parameters, chunk, self.centre, self.width)
        return marginals_of(self.networks(self._features(chunk)), self.centre, self.width)

    def encode_joint(self, chunk: Observations) -> dates.Joint:
        """The members' posteriors of a chunk, each as one Gaussian with full covariance."""
        if not self.variational:
            return dates.joint_of_marginals(self.encode(chunk))
        return dates.joint_of_components(self.networks(self._features(chunk)), self.centre, self.width)

    def _features(self, chunk: Observations) -> Tensor:
        observed = chunk.power_db - self.parameters.offset_db[:, :, None]
        return features_of(observed, chunk.incidence_angle, total_error_db(self.parameters, chunk.speckle_db))

    def diagnose(self, chunk: Observations, marginals: Marginals) -> Diagnosis:
        """How the fitted states reproduce the observations."""
        parameters, state = self.parameters, marginals.point()
        log_a, log_b = parameters.log_a[:, None], parameters.log_b[:, None]
        decoded, shares = expected_db_and_soil_share(state, chunk.incidence_angle, log_a, log_b)
        error_db = total_error_db(parameters, chunk.speckle_db)
        residual = chunk.power_db - parameters.offset_db[:, :, None] - decoded.transpose(1, 2)
        standard = residual.abs() / (error_db.square() + COMMON_OFFSET_SD_DB**2).sqrt()
        copolar = torch.maximum(shares[..., 0], shares[..., 2])
        return Diagnosis(median(standard.amax(dim=1)), copolar.mean(dim=0))


def _layers(networks: MemberNetworks) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return networks.weights, networks.biases


@torch.no_grad()
def apply_ensemble(
    ensemble: Ensemble, samples: Samples, device: torch.device, progress: Callable[[float], None]
) -> tuple[Applied, dict[str, object]]:
    """Estimate all samples; also returns what many dates found out, JSON-ready."""
    with one_thread() as threads:
        return _apply(Applier(ensemble, device), samples, threads if device.type == "cpu" else 1, progress)


def _apply(
    applier: Applier, samples: Samples, threads: int, progress: Callable[[float], None]
) -> tuple[Applied, dict[str, object]]:
    prior_sd = prior_soil_moisture_sd(applier.centre, applier.width)
    starts = list(range(0, samples.size, CHUNK))
    report: dict[str, object] = {}
    coupled: Marginals | None = None
    begun = 0.0
    if samples.place is not None and samples.days is not None and samples.size:
        begun, joints = 0.5, []
        for joint in map_in_order(
            lambda start: applier.encode_joint(applier.observations(samples, start)), starts, threads
        ):
            joints.append(joint)
            progress(begun * len(joints) / len(starts))
        coupled, report = dates.couple(
            dates.concatenate(joints, samples.size),
            samples.place,
            samples.days,
            samples.incidence_angle,
            centre=applier.centre,
            width=applier.width,
        )

    def estimate(start: int) -> Applied:
        chunk = applier.observations(samples, start)
        marginals = applier.encode(chunk) if coupled is None else dates.take(coupled, start, CHUNK)
        count = min(CHUNK, samples.size - start)
        diagnosis = applier.diagnose(chunk, marginals)
        return _to_numpy(summarise(marginals), diagnosis, samples, start, count=count, prior_sd=prior_sd)

    parts = []
    for part in map_in_order(estimate, starts, threads):
        parts.append(part)
        progress(begun + (1 - begun) * len(parts) / len(starts))
    return _join(parts), report


def _to_numpy(
    estimate: Estimate, diagnosis: Diagnosis, samples: Samples, start: int, *, count: int, prior_sd: float
) -> Applied:
    trimmed = Estimate(**{field.name: getattr(estimate, field.name)[..., :count] for field in fields(Estimate)})
    short = Diagnosis(diagnosis.misfit[:count], diagnosis.soil_share[:count])
    rows = slice(start, start + count)
    flags = quality_flags(
        trimmed,
        short,
        power=samples.power[rows],
        incidence_angle=samples.incidence_angle[rows],
        looks=samples.looks[rows],
        noise_floor=samples.noise_floor,
        prior_sd=prior_sd,
    )
    values = {
        field.name: getattr(trimmed, field.name).cpu().numpy()
        for field in fields(Applied)
        if hasattr(trimmed, field.name)
    }
    return Applied(**values, members_used=trimmed.usable.sum(dim=0).cpu().numpy().astype(np.uint8), flags=flags)


def _join(parts: list[Applied]) -> Applied:
    if not parts:
        empty = np.zeros(0, np.float32)
        floats = {field.name: empty for field in fields(Applied) if field.name not in ("members_used", "flags")}
        return Applied(**floats, members_used=np.zeros(0, np.uint8), flags=np.zeros(0, np.uint16))
    return Applied(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Applied)}
    )
