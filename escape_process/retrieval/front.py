"""The array API: `calibrate` and `retrieve`."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from escape_process.retrieval.assembly import Progress, assemble
from escape_process.retrieval.ensemble import Ensemble
from escape_process.retrieval.inputs import (
    MAX_MEMBERS,
    Samples,
    check_frequency,
    check_mode,
    check_samples,
    check_whole_number,
)
from escape_process.retrieval.screening import Conditions, reject
from escape_process.retrieval.threads import one_thread

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
    return assemble(
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

        ensemble = assemble(
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
