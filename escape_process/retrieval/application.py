"""Applies a calibrated ensemble to samples, chunk by chunk.

Each sample's result is a function of that sample and the ensemble alone. Chunks have one fixed shape, the last padded,
so that it is so bit for bit: matrix products of other shapes may round differently.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escape_process.physics.radiometry import wavenumber as wavenumber_of
from escape_process.retrieval import dates
from escape_process.retrieval.calibration import Observations, total_error_db
from escape_process.retrieval.decoder import expected_db_and_soil_share
from escape_process.retrieval.deterministic import point_marginals
from escape_process.retrieval.devices import Fetched, chunk_of, pipelined, sent, tensor_cores
from escape_process.retrieval.encoder import Components, MemberNetworks, features_of
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
        self.chunk = chunk_of(device)
        self.parameters = Parameters.of_flat(ensemble.parameters.flat()[index]).to(device)
        weights, biases = ([part[index].to(device) for part in parts] for parts in _layers(ensemble.networks))
        self.networks = MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))
        self.centre, self.width = sample_prior(self.parameters, wavenumber_of(ensemble.frequency))
        self.prior_sd = prior_soil_moisture_sd(self.centre, self.width)
        self.variational = ensemble.mode == "variational"

    def observations(self, samples: Samples, start: int) -> Observations:
        """One chunk on the device, the last sample repeated up to the fixed shape."""
        index = np.minimum(np.arange(start, start + self.chunk), samples.size - 1)
        return Observations(
            sent(samples.power_db[index].T, self.device),
            sent(samples.speckle_db[index].T, self.device),
            sent(samples.incidence_angle[index], self.device),
        )

    def encode(self, chunk: Observations) -> Marginals:
        """The members' posteriors of a chunk."""
        if not self.variational:
            return point_marginals(self.networks, self.parameters, chunk, self.centre, self.width)
        return marginals_of(self._components(chunk), self.centre, self.width)

    def encode_joint(self, chunk: Observations) -> dates.Joint:
        """The members' posteriors of a chunk, each as one Gaussian with full covariance."""
        if not self.variational:
            return dates.joint_of_marginals(self.encode(chunk))
        return dates.joint_of_components(self._components(chunk), self.centre, self.width)

    def _components(self, chunk: Observations) -> Components:
        with tensor_cores(self.device):
            return self.networks(self._features(chunk))

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
        return _apply(_applier(ensemble, device), samples, threads if device.type == "cpu" else 1, progress)


@lru_cache(maxsize=1)
def _applier(ensemble: Ensemble, device: torch.device) -> Applier:
    """Put an ensemble on a device once, and not for each block of a scene."""
    return Applier(ensemble, device)


def _apply(
    applier: Applier, samples: Samples, threads: int, progress: Callable[[float], None]
) -> tuple[Applied, dict[str, object]]:
    starts = list(range(0, samples.size, applier.chunk))
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
    parts = []
    for part in _estimates(applier, samples, coupled, starts, threads):
        parts.append(part)
        progress(begun + (1 - begun) * len(parts) / len(starts))
    return _join(parts), report


def _estimates(
    applier: Applier, samples: Samples, coupled: Marginals | None, starts: list[int], threads: int
) -> Iterator[Applied]:
    """Estimate chunk by chunk: on the CPU one a thread, on a GPU one while the host finishes the chunk before."""

    def begin(start: int) -> Fetched:
        chunk = applier.observations(samples, start)
        marginals = applier.encode(chunk) if coupled is None else dates.take(coupled, start, applier.chunk)
        found = {**vars(summarise(marginals)), **vars(applier.diagnose(chunk, marginals))}
        return Fetched(found, applier.device)

    def finish(start: int, fetched: Fetched) -> Applied:
        found = fetched.wait()
        estimate = Estimate(**{field.name: found[field.name] for field in fields(Estimate)})
        diagnosis = Diagnosis(found["misfit"], found["soil_share"])
        count = min(applier.chunk, samples.size - start)
        return _to_numpy(estimate, diagnosis, samples, start, count=count, prior_sd=applier.prior_sd)

    if applier.device.type == "cpu":
        return map_in_order(lambda start: finish(start, begin(start)), starts, threads)
    return pipelined(begin, finish, starts)


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
        field.name: getattr(trimmed, field.name).numpy() for field in fields(Applied) if hasattr(trimmed, field.name)
    }
    return Applied(**values, members_used=trimmed.usable.sum(dim=0).numpy().astype(np.uint8), flags=flags)


def _join(parts: list[Applied]) -> Applied:
    if not parts:
        empty = np.zeros(0, np.float32)
        floats = {field.name: empty for field in fields(Applied) if field.name not in ("members_used", "flags")}
        return Applied(**floats, members_used=np.zeros(0, np.uint8), flags=np.zeros(0, np.uint16))
    return Applied(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Applied)}
    )
