"""From checked samples to an ensemble: calibrated, specialised for its scene, its bad members rejected."""

import platform
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from escape_process.physics.radiometry import wavenumber as wavenumber_of
from escape_process.retrieval.calibration import MAX_SAMPLES, Calibration, Observations, self_calibrate
from escape_process.retrieval.deterministic import train_autoencoders
from escape_process.retrieval.encoder import MemberNetworks, context_of, load_warm_start
from escape_process.retrieval.ensemble import Ensemble
from escape_process.retrieval.inputs import Samples
from escape_process.retrieval.priors import Parameters, draw_anchors
from escape_process.retrieval.screening import Conditions, reject
from escape_process.retrieval.specialisation import specialise
from escape_process.retrieval.threads import one_thread

Progress = Callable[[float, str], None]


def assemble(
    samples: Samples,
    *,
    frequency: float,
    members: int,
    seed: int,
    device: torch.device,
    mode: str,
    progress: Progress,
) -> Ensemble:
    """Return an ensemble calibrated on samples whose arguments were checked; `progress` as in `calibrate`."""
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
