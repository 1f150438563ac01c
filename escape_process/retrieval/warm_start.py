"""Fits the encoder offline on simulated priors: `python -m escape_process.retrieval.warm_start [steps]`.

Each training step draws scenes (parameters far wider than the prior of `priors`, so that self-calibration never leaves
the range), a few states and observations for each, and raises the log density that the encoder gives to the true
state (neural posterior estimation: Papamakarios and Murray, 2016). Nothing real enters. One core needs about 20
minutes; the result is deterministic on one machine and thread count.
"""

import math
import sys

import numpy as np
import torch
from torch import Tensor

from escape_process.retrieval.decoder import expected_db
from escape_process.retrieval.encoder import (
    COORDINATES,
    ERROR_RANGE_DB,
    INCIDENCE_RANGE,
    WARM_START,
    AmortisedEncoder,
    context_of,
    features_of,
)
from escape_process.retrieval.priors import COMMON_OFFSET_SD_DB, VEGETATION_CENTRE, Parameters, sample_prior

SCENES, SAMPLES = 256, 32
"""Per step."""
LEARNING_RATE = 2e-3
_WAVENUMBER = 26.0
_WIDTHS = {"log_a": 1.0, "log_b": 1.0, "moisture": 0.6, "roughness": 0.55, "vegetation": 1.2, "width": 0.35}


def draw_scenes(scenes: int, generator: torch.Generator) -> Parameters:
    """Draw scene parameters from a distribution that covers the prior generously."""

    def normal(centre: float, width: float, *shape: int) -> Tensor:
        return centre + width * torch.randn(scenes, *shape, generator=generator)

    zero = torch.zeros(scenes, 3)
    centres = torch.tensor([math.log(0.08), math.log(0.010), math.log(0.08)])
    return Parameters(
        log_a=centres + normal(0.0, _WIDTHS["log_a"], 3),
        log_b=normal(math.log(0.25), _WIDTHS["log_b"], 3),
        offset_db=zero,
        moisture_centre=normal(-0.6, _WIDTHS["moisture"]),
        log_moisture_width=normal(math.log(0.75), _WIDTHS["width"]),
        roughness_centre=normal(math.log(0.012), _WIDTHS["roughness"]),
        log_roughness_width=normal(math.log(0.45), _WIDTHS["width"]),
        vegetation_centre=normal(VEGETATION_CENTRE - 0.6, _WIDTHS["vegetation"]),
        log_vegetation_width=normal(math.log(0.8), _WIDTHS["width"]),
        log_error_db=zero,
    )


def simulate(parameters: Parameters, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw states and their observations under each member: coordinates (M, 4, N), features (M, 7, N), angle (M, N)."""
    members = parameters.members
    coordinates = torch.randn(members, COORDINATES, samples, generator=generator)
    low, high = INCIDENCE_RANGE
    angle = low + (high - low) * torch.rand(members, samples, generator=generator)
    common = torch.randn(members, 1, samples, generator=generator)
    error_db = torch.exp(
        math.log(0.4) + 0.7 * common + 0.4 * torch.randn(members, 3, samples, generator=generator)
    ).clamp(*ERROR_RANGE_DB)
    centre, width = sample_prior(parameters, _WAVENUMBER)
    state = centre[:, :, None] + width[:, :, None] * coordinates[:, 1:]
    clean = expected_db(
        state.transpose(1, 2),
        angle,
        parameters.log_a[:, None].expand(-1, samples, -1),
        parameters.log_b[:, None].expand(-1, samples, -1),
    ).transpose(1, 2)
    noise = torch.randn(members, 3, samples, generator=generator)
    power_db = clean + COMMON_OFFSET_SD_DB * coordinates[:, :1] + error_db * noise
    return coordinates, features_of(power_db, angle, error_db), angle


def fit(steps: int, seed: int = 0) -> AmortisedEncoder:
    """Fit the encoder, printing its mean log density as it goes."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    encoder = AmortisedEncoder()
    with torch.no_grad():
        encoder.head.bias.normal_(0.0, 0.3)
    optimizer = torch.optim.Adam(encoder.parameters(), LEARNING_RATE)
    total = 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                LEARNING_RATE * min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-6
            )
        scenes = draw_scenes(SCENES, generator)
        with torch.no_grad():
            coordinates, features, _ = simulate(scenes, SAMPLES, generator)
        posterior = encoder.fold(context_of(scenes, _WAVENUMBER))(features)
        loss = -posterior.log_density(coordinates[:, None]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 5.0)
        optimizer.step()
        total += loss.item()
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}: mean log density {-total / 500:.4f}", flush=True)
            total = 0.0
    return encoder


def main(arguments: list[str]) -> None:
    """Fit and store."""
    steps = int(arguments[0]) if arguments else 24000
    path = arguments[1] if len(arguments) > 1 else WARM_START
    encoder = fit(steps)
    np.savez_compressed(path, **{name: values.numpy() for name, values in encoder.state_dict().items()})


if __name__ == "__main__":
    main(sys.argv[1:])
