"""The array API: `calibrate` and `retrieve`."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from escape_process.errors import InvalidInputError
from escape_process.layers import FLAG, FLAGS, UNUSABLE
from escape_process.physics.radiometry import rms_height_from_ks
from escape_process.physics.radiometry import wavenumber as wavenumber_of
from escape_process.retrieval.application import Applied, apply_ensemble
from escape_process.retrieval.calibration import MAX_SAMPLES, Calibration, Observations, self_calibrate
from escape_process.retrieval.deterministic import train_autoencoders
from escape_process.retrieval.encoder import MemberNetworks, context_of, load_warm_start
from escape_process.retrieval.ensemble import Ensemble
from escape_process.retrieval.inputs import (
    MAX_MEMBERS,
    Samples,
    check_frequency,
    check_mode,
    check_samples,
    check_whole_number,
)
from escape_process.retrieval.priors import Parameters, draw_anchors
from escape_process.retrieval.screening import Conditions, reject
from escape_process.retrieval.specialisation import specialise
from escape_process.retrieval.threads import one_thread

Progress = Callable[[float, str], None]
DEFAULT_FREQUENCY = 1.2365e9
"""Hz: ALOS-2 PALSAR-2 in its high-resolution modes."""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What `retrieve` gives: numpy arrays of the inputs' broadcast shape, NaN where there is no valid sample."""

    soil_moisture: NDArray[np.float32]
    """Posterior mean, m3 m-3."""
    soil_moisture_uncertainty: NDArray[np.float32]
    """Total standard uncertainty: root of aleatoric squared plus epistemic squared."""
    soil_moisture_aleatoric: NDArray[np.float32]
    """From speckle, noise and what three powers cannot tell apart."""
    soil_moisture_epistemic: NDArray[np.float32]
    """From the members' disagreement and the radiometric calibration; does not average down over samples."""
    soil_moisture_p05: NDArray[np.float32]
    """5 % quantile of the total distribution."""
    soil_moisture_p95: NDArray[np.float32]
    rms_height: NDArray[np.float32]
    """Effective, m."""
    rms_height_uncertainty: NDArray[np.float32]
    vegetation: NDArray[np.float32]
    """Descriptor V of the water cloud model, on the scale of the ensemble's coefficients."""
    flags: NDArray[np.uint16]
    """Bits of `escape_process.layers.FLAGS`; usable where `flags & UNUSABLE == 0`."""
    members_used: NDArray[np.uint8]
    report: Mapping[str, Any]
    """What was done, JSON-ready."""


def calibrate(
    hh: ArrayLike,
    hv: ArrayLike,
    vv: ArrayLike,
    incidence_angle: ArrayLike,
    *,
    frequency: float = DEFAULT_FREQUENCY,
    looks: ArrayLike = 100.0,
    noise_floor: ArrayLike | None = None,
    place: ArrayLike | None = None,
    time: ArrayLike | None = None,
    members: int = 10,
    seed: int = 0,
    device: str = "auto",
    mode: str = "variational",
    progress: Progress | None = None,
) -> Ensemble:
    """Calibrate an ensemble on a scene's own backscatter.

    Parameters are those of `retrieve`; a few thousand samples drawn over the whole scene are enough, and at most
    4096 of those given are used. `place` and `time` are checked but not needed.

    Returns
    -------
    The ensemble, to be passed to `retrieve` or saved.

    Raises
    ------
    InvalidInputError
        Naming the argument that is wrong; also when no sample is valid.
    """
    check_frequency(frequency)
    check_mode(mode)
    check_whole_number("members", members, 1, MAX_MEMBERS)
    check_whole_number("seed", seed, 0, None)
    target = _device(device)
    samples = check_samples(hh, hv, vv, incidence_angle, looks=looks, noise_floor=noise_floor, place=place, time=time)
    if not samples.size:
        raise InvalidInputError(
            "hh, hv and vv hold no sample that is finite and positive in all three: nothing to calibrate on."
        )
    return _calibrate(
        samples,
        frequency=float(frequency),
        members=int(members),
        seed=int(seed),
        device=target,
        mode=mode,
        progress=progress or _silent,
    )


def _silent(share: float, text: str) -> None:
    del share, text


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise InvalidInputError(
            f"device is {device!r}: it must be auto, cpu, or a GPU that is there (cuda)."
        ) from error
    return found


def peak_device_memory() -> int | None:
    """Return the most bytes that tensors of this process took on a GPU; None where it used none."""
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.max_memory_allocated() if used else None


def _calibrate(
    samples: Samples,
    *,
    frequency: float,
    members: int,
    seed: int,
    device: torch.device,
    mode: str,
    progress: Progress,
) -> Ensemble:
    with one_thread():
        generator = torch.Generator().manual_seed(seed)
        anchors = draw_anchors(members, generator)
        chosen = np.sort(torch.randperm(samples.size, generator=generator)[:MAX_SAMPLES].numpy())
        observations = Observations(
            torch.from_numpy(np.ascontiguousarray(samples.power_db[chosen].T)).to(device),
            torch.from_numpy(np.ascontiguousarray(samples.speckle_db[chosen].T)).to(device),
            torch.from_numpy(samples.incidence_angle[chosen]).to(device),
        )
        encoder = load_warm_start().to(device)
        wavenumber = wavenumber_of(frequency)

        def told(share: float) -> None:
            progress(share, "calibrating the ensemble")

        variational = mode == "variational"
        if variational:
            calibration = self_calibrate(
                observations,
                anchors.to(device),
                encoder,
                wavenumber,
                generator,
                progress=lambda share: told(0.5 * share),
            )
            start = _folded(calibration.parameters, wavenumber)
            networks = specialise(
                start.to(device),
                calibration.parameters.to(device),
                observations,
                wavenumber,
                generator,
                progress=lambda share: told(0.5 + 0.5 * share),
            ).to(torch.device("cpu"))
        else:
            calibration, networks = train_autoencoders(
                observations, anchors.to(device), encoder, wavenumber, generator, progress=told
            )
        looks, angles = np.log(samples.looks.astype(float)).mean(), np.degrees(samples.incidence_angle)
        conditions = Conditions(float(np.exp(looks)), [float(angles.min()), float(angles.max())])
        rejected = reject(
            calibration.parameters,
            networks,
            wavenumber,
            conditions,
            variational=variational,
            unconverged=calibration.unconverged,
        )
        report = _calibration_report(
            samples, calibration, rejected, seed=seed, device=device, mode=mode, frequency=frequency
        ) | {"conditions": asdict(conditions)}
        return Ensemble(calibration.parameters, networks, rejected, frequency, mode, report)


def _folded(parameters: Parameters, wavenumber: float) -> MemberNetworks:
    networks = load_warm_start().fold(context_of(parameters, wavenumber))
    weights = [part.detach().contiguous() for part in networks.weights]
    biases = [part.detach().contiguous() for part in networks.biases]
    return MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))


def _numbers(values: torch.Tensor) -> list[Any]:
    rounded: list[Any] = np.round(values.double().numpy(), 5).tolist()
    return rounded


def _calibration_report(
    samples: Samples,
    calibration: Calibration,
    rejected: tuple[str | None, ...],
    *,
    seed: int,
    device: torch.device,
    mode: str,
    frequency: float,
) -> dict[str, Any]:
    parameters = calibration.parameters
    a, b, offset = _numbers(parameters.log_a.exp()), _numbers(parameters.log_b.exp()), _numbers(parameters.offset_db)
    error, low = _numbers(parameters.log_error_db.exp()), _numbers(parameters.log_moisture_width.exp())
    centre, rough = _numbers(parameters.moisture_centre), _numbers(parameters.roughness_centre.exp())
    return {
        "mode": mode,
        "seed": seed,
        "device": device.type,
        "frequency_hz": frequency,
        "samples": samples.size,
        "samples_used": min(samples.size, MAX_SAMPLES),
        "looks": [float(samples.looks.min()), float(samples.looks.max())],
        "rounds": calibration.rounds,
        "members_kept": sum(reason is None for reason in rejected),
        "members_rejected": sum(reason is not None for reason in rejected),
        "members": [
            {
                "rejected": reason,
                "a": a[member],
                "b": b[member],
                "offset_db": offset[member],
                "decoder_error_db": error[member],
                "moisture_prior_centre_logit": centre[member],
                "moisture_prior_width_logit": low[member],
                "rms_height_prior_median_m": rough[member],
                "last_shift": round(calibration.shifts[member], 4) if np.isfinite(calibration.shifts[member]) else None,
                "log_evidence": round(calibration.log_evidence[member], 4),
            }
            for member, reason in enumerate(rejected)
        ],
        "polarizations": ["HH", "HV", "VV"],
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def retrieve(
    hh: ArrayLike,
    hv: ArrayLike,
    vv: ArrayLike,
    incidence_angle: ArrayLike,
    *,
    frequency: float = DEFAULT_FREQUENCY,
    looks: ArrayLike = 100.0,
    noise_floor: ArrayLike | None = None,
    place: ArrayLike | None = None,
    time: ArrayLike | None = None,
    members: int = 10,
    seed: int = 0,
    device: str = "auto",
    mode: str = "variational",
    ensemble: Ensemble | None = None,
    progress: Progress | None = None,
) -> Retrieval:
    """Retrieve soil moisture and roughness, with uncertainty, from L-band backscatter in three polarizations.

    Parameters
    ----------
    hh, hv, vv
        Linear sigma0, broadcast with all other arrays; `hv` is the mean of the HV and VH powers. Samples where any is
        not finite or not positive give NaN and flag `no_data`, and change nothing for the others.
    incidence_angle
        rad, local, 0 to pi/2.
    frequency
        Hz, 1e9 to 2e9.
    looks
        Equivalent number of looks, scalar or array.
    noise_floor
        Noise-equivalent sigma0, linear, one value or three (HH, HV, VV). It is subtracted. None: none is known.
    place, time
        Whole numbers and datetime64: samples of one place are the same ground at several times; their roughness and
        vegetation change slowly. A negative place shares with none. Give both or neither.
    members
        Size of the ensemble, 1 to 100.
    seed
        Of all randomness; equal arguments give equal results.
    device
        "auto" (a GPU where there is one), "cpu", "cuda", ...
    mode
        "variational" (posterior distributions) or "deterministic" (point autoencoders).
    ensemble
        A calibrated ensemble to apply instead of calibrating on these samples; `members`, `seed` and `mode` are then
        those that it was made with. Without `place`, each sample's result then depends on that sample alone; with it,
        on the samples of the same place.
    progress
        Called with the share done (0 to 1) and what is being done.

    Returns
    -------
    Arrays of the broadcast shape, and a report.

    Raises
    ------
    InvalidInputError
        Naming the argument that is wrong.
    """
    check_frequency(frequency)
    check_mode(mode)
    check_whole_number("members", members, 1, MAX_MEMBERS)
    check_whole_number("seed", seed, 0, None)
    if ensemble is not None and not isinstance(ensemble, Ensemble):
        raise InvalidInputError(
            f"ensemble is a {type(ensemble).__name__}: give what calibrate or load_ensemble returns."
        )
    target = _device(device)
    told = progress or _silent
    samples = check_samples(hh, hv, vv, incidence_angle, looks=looks, noise_floor=noise_floor, place=place, time=time)
    if not samples.size:
        return _result(None, samples, float(frequency), {"samples": 0, "valid": 0})
    share_before = 0.0
    if ensemble is None:
        share_before = 0.7

        def calibrating(share: float, text: str) -> None:
            told(0.7 * share, text)

        ensemble = _calibrate(
            samples,
            frequency=float(frequency),
            members=int(members),
            seed=int(seed),
            device=target,
            mode=mode,
            progress=calibrating,
        )
    with one_thread():
        ensemble = _screened(ensemble)
    report: dict[str, Any] = {
        "samples": int(samples.valid.size),
        "valid": samples.size,
        "calibration": dict(ensemble.report),
        "members_kept": len(ensemble.kept),
        "rejected": {str(member): reason for member, reason in enumerate(ensemble.rejected) if reason is not None},
    }
    if not ensemble.kept:
        return _result(None, samples, float(frequency), report)

    def applying(share: float) -> None:
        told(share_before + (1 - share_before) * share, "retrieving")

    applied, many_dates = apply_ensemble(ensemble, samples, target, applying)
    if many_dates:
        report["many_dates"] = many_dates
    return _result(applied, samples, float(frequency), report)


@lru_cache(maxsize=1)
def _screened(ensemble: Ensemble) -> Ensemble:
    """Apply the rejection rule again: an ensemble may have been changed since it was calibrated.

    Once for all blocks of a scene, which come with the same ensemble.
    """
    again = reject(
        ensemble.parameters,
        ensemble.networks,
        wavenumber_of(ensemble.frequency),
        Conditions(**ensemble.report["conditions"]),
        variational=ensemble.mode == "variational",
        unconverged=set(),
    )
    reasons = tuple(before or now for before, now in zip(ensemble.rejected, again, strict=True))
    return Ensemble(ensemble.parameters, ensemble.networks, reasons, ensemble.frequency, ensemble.mode, ensemble.report)


def _result(applied: Applied | None, samples: Samples, frequency: float, report: dict[str, Any]) -> Retrieval:
    """Put the samples' values back into the input's shape. Without values (no member is left) all valid are flagged."""
    valid = samples.valid

    def spread(name: str, factor: float = 1.0) -> NDArray[np.float32]:
        full = np.full(valid.shape, np.nan, np.float32)
        if applied is not None:
            full[valid] = getattr(applied, name) * np.float32(factor)
        return full

    flags = np.full(valid.shape, FLAG["no_data"].mask, np.uint16)
    flags[valid] = applied.flags if applied is not None else FLAG["few_members"].mask
    used = np.zeros(valid.shape, np.uint8)
    if applied is not None:
        used[valid] = applied.members_used
    count = max(samples.size, 1)
    report["flag_shares"] = {
        flag.name: round(float(((flags & flag.mask) != 0)[valid].sum() / count), 5) for flag in FLAGS[1:12]
    }
    report["unflagged_share"] = round(float(((flags & UNUSABLE) == 0).sum() / count), 5)
    ks_to_height = float(rms_height_from_ks(1.0, frequency))
    return Retrieval(
        soil_moisture=spread("soil_moisture"),
        soil_moisture_uncertainty=spread("uncertainty"),
        soil_moisture_aleatoric=spread("aleatoric"),
        soil_moisture_epistemic=spread("epistemic"),
        soil_moisture_p05=spread("p05"),
        soil_moisture_p95=spread("p95"),
        rms_height=spread("ks", ks_to_height),
        rms_height_uncertainty=spread("ks_uncertainty", ks_to_height),
        vegetation=spread("vegetation"),
        flags=flags,
        members_used=used,
        report=report,
    )
