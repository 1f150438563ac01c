"""What is believed before any backscatter is seen: of a scene's parameters and, given these, of one sample.

A member's parameters are what all samples of a scene share: water-cloud coefficients and offset per polarization,
centre and width of the samples' priors, and the decoder's own error. Each member starts from, and is held by a spring
to, its own draw of them. That is what makes members differ where the scene does not tell, and agree where it does.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from escape_process.retrieval.decoder import moisture_of

COMMON_OFFSET_SD_DB = 0.3
"""Absolute calibration of a scene, common to all channels, dB: it does not average down over samples."""
VEGETATION_CENTRE = math.log(0.5)
"""Centre of log V of a scene of median vegetation."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """Scene-wide parameters of M members. Axes: member, and polarization HH, HV, VV where there are two."""

    log_a: Tensor
    """(M, 3), water cloud: logarithm of the scattering coefficient."""
    log_b: Tensor
    """(M, 3), water cloud: logarithm of the attenuation coefficient."""
    offset_db: Tensor
    """(M, 3), observed less decoded."""
    moisture_centre: Tensor
    """(M,), prior centre of a sample's moisture coordinate."""
    log_moisture_width: Tensor
    """(M,), logarithm of the prior's standard deviation."""
    roughness_centre: Tensor
    """(M,), of log rms height in m."""
    log_roughness_width: Tensor
    vegetation_centre: Tensor
    """(M,), of log V."""
    log_vegetation_width: Tensor
    log_error_db: Tensor
    """(M, 3), logarithm of the decoder's own error in dB, one standard deviation."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(field.name for field in fields(cls))

    @property
    def members(self) -> int:
        """Number of members M."""
        return int(self.log_a.shape[0])

    def to(self, device: torch.device) -> Self:
        """Return a copy on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in self.names()})

    def flat(self) -> Tensor:
        """Return all parameters side by side, (M, 18)."""
        return torch.cat([getattr(self, name).reshape(self.members, -1) for name in self.names()], dim=1)

    @classmethod
    def of_flat(cls, flat: Tensor) -> Self:
        """Invert `flat`, (M, 18); gradients flow through. More axes may stand between, as in (M, 1, N, 18)."""
        widths = [3, 3, 3, 1, 1, 1, 1, 1, 1, 3]
        parts = torch.split(flat, widths, dim=-1)
        return cls(*(part if width > 1 else part[..., 0] for part, width in zip(parts, widths, strict=True)))


CENTRE = torch.tensor(
    [
        *(math.log(0.08), math.log(0.010), math.log(0.08)),
        *(math.log(0.25), math.log(0.25), math.log(0.25)),
        *(0.0, 0.0, 0.0),
        moisture_of(0.22),
        math.log(0.66),
        math.log(0.012),
        math.log(0.40),
        VEGETATION_CENTRE,
        math.log(0.7),
        *(math.log(0.8), math.log(1.2), math.log(0.8)),
    ]
)
"""Centre of the prior over scenes, in the order of `Parameters`. Coefficients for vegetation at L-band, rms heights and
widths are weak and rounded from published ranges; the decoder's own error is what Oh (2004) leaves on airborne field
means (co-polarized .6 to .8 dB). HV is trusted less: the bare-soil model's is far too low."""
WIDTH = torch.tensor([*(0.6,) * 3, *(0.6,) * 3, *(0.2,) * 3, 0.8, 0.25, 0.4, 0.25, 1.0, 0.3, *(1.2,) * 3])
"""Standard deviations around it. Channel offsets: what a calibrated polarimetric radar's channels differ by. Levels of
soil moisture, roughness and vegetation are wide: a dry, a freshly tilled or a bare scene must not look average."""


def draw_anchors(members: int, generator: torch.Generator) -> Parameters:
    """Draw each member's parameters from the prior over scenes (on the CPU).

    A Latin hypercube: each parameter takes one value from each of as many equally probable strata as there are members,
    so that a few members already span the prior.
    """
    strata = torch.stack([torch.randperm(members, generator=generator) for _ in range(CENTRE.numel())], dim=1)
    probability = (strata + torch.rand(members, CENTRE.numel(), generator=generator)) / members
    return Parameters.of_flat(CENTRE + WIDTH * torch.special.ndtri(probability.clamp(1e-3, 1 - 1e-3)))


def anchor_penalty(flat: Tensor, anchors: Tensor) -> Tensor:
    """Minus the log density of parameters around their anchors, up to a constant, per member: (M, 18) to (M,)."""
    return 0.5 * torch.square((flat - anchors) / WIDTH.to(flat.device)).sum(dim=1)


def sample_prior(parameters: Parameters, wavenumber: float) -> tuple[Tensor, Tensor]:
    """Return centre and standard deviation, each (M, 3), of the state of one sample under each member."""
    centre = torch.stack(
        [
            parameters.moisture_centre,
            parameters.roughness_centre + math.log(wavenumber),
            parameters.vegetation_centre,
        ],
        dim=-1,
    )
    logs = (parameters.log_moisture_width, parameters.log_roughness_width, parameters.log_vegetation_width)
    return centre, torch.stack(logs, dim=-1).exp()
