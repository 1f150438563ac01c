"""The encoder: one sample's powers to the posterior of its state, for all members in one batch.

One small network, fitted offline on states drawn from the prior and observed through the decoder (`warm_start`), takes
the observation and the parameters of a scene. Fixing a member's parameters folds them into the weights of that member's
own per-pixel network of a few thousand parameters; those of all members form one batch of matrix products.

The posterior is a mixture of Gaussians over four coordinates, each in units of its prior: the common calibration offset
first, then moisture, roughness and vegetation. Being first in the Cholesky factor, the offset's part of the moisture's
variance can be read off: it is the part that does not average down over samples.

Axes: member M, feature F, component K, coordinate 4, pixel N, which comes last so that each row is contiguous.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from escape_process.retrieval.priors import VEGETATION_CENTRE, Parameters, sample_prior

HIDDEN = 64
COMPONENTS = 2
COORDINATES = 4
OUTPUTS = 15
"""Per component: weight, 4 means, 4 log diagonal and 6 lower entries of the Cholesky factor of the precision."""
FEATURES = 7
CONTEXT = 11
_CONTEXT_HIDDEN = 96
_LEAK = 0.05
_LOWER = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))

INCIDENCE_RANGE = (math.radians(8.0), math.radians(67.0))
"""rad, fitted; angles beyond are treated as at the end of the range, and flagged by the retrieval."""
ERROR_RANGE_DB = (0.12, 8.0)
POWER_RANGE_DB = (-70.0, 15.0)

_POWER_CENTRE = (-14.0, -24.0, -14.0)
_POWER_SCALE = (6.0, 7.0, 6.0)
_CONTEXT_CENTRE = (-2.5, -4.6, -2.5, -1.4, -1.4, -1.4, -0.6, -0.25, -1.15, -0.75, -0.25)
_CONTEXT_SCALE = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.6, 0.35, 0.5, 0.4, 0.4)

WARM_START = Path(__file__).with_name("warm_start.npz")
"""Weights that `python -m escape_process.retrieval.warm_start` makes."""


def features_of(power_db: Tensor, incidence_angle: Tensor, error_db: Tensor) -> Tensor:
    """Scale observations for the network.

    Parameters
    ----------
    power_db
        (..., 3, N), dB, less the member's offset.
    incidence_angle
        (..., N), rad.
    error_db
        (..., 3, N), standard deviation of speckle and decoder error together, dB.

    Returns
    -------
    (..., 7, N).
    """
    centre, scale = _power_scale(power_db.dtype, power_db.device)
    angle = (incidence_angle.clamp(*INCIDENCE_RANGE) - 0.65) / 0.28
    return torch.cat(
        [
            (power_db.clamp(*POWER_RANGE_DB) - centre) / scale,
            angle.expand(*power_db.shape[:-2], -1).unsqueeze(-2),
            torch.log(error_db.clamp(*ERROR_RANGE_DB)),
        ],
        dim=-2,
    )


@cache
def _power_scale(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Centre and scale of the powers, (3, 1), put on a device once: each copy would wait for all its work before."""
    centre, scale = (torch.tensor(values, dtype=dtype, device=device) for values in (_POWER_CENTRE, _POWER_SCALE))
    return centre[:, None], scale[:, None]


def context_of(parameters: Parameters, wavenumber: float) -> Tensor:
    """Gather what the network must know of each member, (M, 11).

    More vegetation is the same as larger coefficients: the centre of log V needs no entry of its own.
    """
    centre, width = sample_prior(parameters, wavenumber)
    scale = (parameters.vegetation_centre - VEGETATION_CENTRE)[:, None]
    values = torch.cat(
        [
            parameters.log_a + scale,
            parameters.log_b + scale,
            centre[:, :1],
            width[:, :1].log(),
            centre[:, 1:2],
            width[:, 1:2].log(),
            width[:, 2:].log(),
        ],
        dim=1,
    )
    return (values - values.new_tensor(_CONTEXT_CENTRE)) / values.new_tensor(_CONTEXT_SCALE)


@dataclass(frozen=True, eq=False)
class Components:
    """Posterior of the samples as raw network outputs, read part by part. Axes: M members, K components, N pixels."""

    raw: Tensor
    """(M, K, 15, N)."""

    @property
    def log_weights(self) -> Tensor:
        """(M, K, N)."""
        return torch.log_softmax(self.raw[:, :, 0], dim=1)

    def mean(self, coordinate: int) -> Tensor:
        """(M, K, N), in units of the prior's width, from its centre; coordinate 0 is the common offset."""
        return self.raw[:, :, 1 + coordinate].clamp(-6.0, 6.0)

    def factor(self) -> list[list[Tensor]]:
        """Lower Cholesky factor of the covariance, row by row: rows 0 to 3 with entries of (M, K, N)."""
        inverse = [torch.exp(-self.raw[:, :, 5 + index].clamp(-3.0, 6.0)) for index in range(COORDINATES)]
        lower = {pair: self.raw[:, :, 9 + index] for index, pair in enumerate(_LOWER)}
        rows: list[list[Tensor]] = []
        for i in range(COORDINATES):
            row = []
            for j in range(i):
                total = sum((lower[i, k] * rows[k][j] for k in range(j + 1, i)), start=lower[i, j] * rows[j][j])
                row.append(-total * inverse[i])
            rows.append([*row, inverse[i]])
        return rows

    def log_density(self, coordinates: Tensor) -> Tensor:
        """Log density of (M, S, 4, N) coordinates, giving (M, S, N)."""
        distance = [coordinates[:, :, None, i] - self.mean(i)[:, None] for i in range(COORDINATES)]
        logs = [self.raw[:, None, :, 5 + i].clamp(-3.0, 6.0) for i in range(COORDINATES)]
        whitened = [logs[i].exp() * distance[i] for i in range(COORDINATES)]
        for index, (i, j) in enumerate(_LOWER):
            whitened[i] = whitened[i] + self.raw[:, None, :, 9 + index] * distance[j]
        quadratic = sum((term.square() for term in whitened[1:]), start=whitened[0].square())
        log_determinant = logs[0] + logs[1] + logs[2] + logs[3]
        constant = 0.5 * COORDINATES * math.log(2 * math.pi)
        return torch.logsumexp(self.log_weights[:, None] + log_determinant - 0.5 * quadratic - constant, dim=2)

    def log_density_of_state(self, coordinates: Tensor) -> Tensor:
        """Log density of (M, S, 3, N) moisture, roughness and vegetation, whatever the offset, giving (M, S, N)."""
        rows = self.factor()[1:]
        xx, xy, xz, yy, yz, zz = (
            sum((one * two for one, two in zip(rows[i][1:], rows[j][1:], strict=False)), start=rows[i][0] * rows[j][0])
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        )
        a = xx.rsqrt()
        ly, lz = xy * a, xz * a
        b = (yy - ly.square()).clamp(min=1e-9).rsqrt()
        m = (yz - ly * lz) * b
        c = (zz - lz.square() - m.square()).clamp(min=1e-9).rsqrt()
        x, y, z = (coordinates[:, :, None, i] - self.mean(i + 1)[:, None] for i in range(3))
        first = x * a[:, None]
        second = (y - ly[:, None] * first) * b[:, None]
        third = (z - lz[:, None] * first - m[:, None] * second) * c[:, None]
        quadratic = first.square() + second.square() + third.square()
        log_scale = self.log_weights + torch.log(a * b * c) - 1.5 * math.log(2 * math.pi)
        return torch.logsumexp(log_scale[:, None] - 0.5 * quadratic, dim=2)


@dataclass(frozen=True, eq=False)
class MemberNetworks:
    """The per-pixel networks of M members: three affine layers with leaky rectifiers between."""

    weights: tuple[Tensor, Tensor, Tensor]
    """(M, 64, 7), (M, 64, 64), (M, 30, 64)."""
    biases: tuple[Tensor, Tensor, Tensor]
    """(M, 64, 1), (M, 64, 1), (M, 30, 1)."""

    def to(self, device: torch.device) -> "MemberNetworks":
        """Return a copy on a device."""
        weights, biases = ([part.to(device) for part in parts] for parts in (self.weights, self.biases))
        return MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))

    def __call__(self, features: Tensor) -> Components:
        """(M, 7, N) features to the posterior."""
        if features.device.type == "cpu" and not (features.requires_grad or self.weights[0].requires_grad):
            raw = self._member_by_member(features)
        else:
            hidden = features
            for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
                hidden = nn.functional.leaky_relu_(torch.baddbmm(bias, weight, hidden), _LEAK)
            raw = torch.baddbmm(self.biases[-1], self.weights[-1], hidden)
        return Components(raw.view(raw.shape[0], COMPONENTS, OUTPUTS, -1))

    def _member_by_member(self, features: Tensor) -> Tensor:
        """Raw outputs, (M, 30, N): one member's hidden layers stay in a core's cache, those of all do not."""
        raw = features.new_empty(features.shape[0], COMPONENTS * OUTPUTS, features.shape[-1])
        for member in range(features.shape[0]):
            hidden = features[member]
            for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
                hidden = nn.functional.leaky_relu_(torch.addmm(bias[member], weight[member], hidden), _LEAK)
            torch.addmm(self.biases[-1][member], self.weights[-1][member], hidden, out=raw[member])
        return raw


class AmortisedEncoder(nn.Module):
    """The network of all scenes: a context of 11 numbers modulates each layer of the per-pixel network."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (FEATURES, HIDDEN, HIDDEN)
        self.layers = nn.ModuleList([nn.Linear(size, HIDDEN) for size in sizes[:-1]])
        self.head = nn.Linear(HIDDEN, COMPONENTS * OUTPUTS)
        self.modulation = nn.Sequential(
            nn.Linear(CONTEXT, _CONTEXT_HIDDEN),
            nn.SiLU(),
            nn.Linear(_CONTEXT_HIDDEN, _CONTEXT_HIDDEN),
            nn.SiLU(),
            nn.Linear(_CONTEXT_HIDDEN, 4 * HIDDEN + COMPONENTS * OUTPUTS),
        )

    def fold(self, context: Tensor) -> MemberNetworks:
        """Fix the contexts (M, 11) of M members."""
        scale_1, shift_1, scale_2, shift_2, shift_3 = torch.split(
            self.modulation(context), [HIDDEN, HIDDEN, HIDDEN, HIDDEN, COMPONENTS * OUTPUTS], dim=1
        )
        weights, biases = [], []
        for layer, scale, shift in zip(self.layers, (scale_1, scale_2), (shift_1, shift_2), strict=True):
            linear = cast(nn.Linear, layer)
            weights.append(linear.weight * (1 + scale)[:, :, None])
            biases.append((linear.bias * (1 + scale) + shift)[:, :, None])
        head = self.head.weight.expand(context.shape[0], -1, -1)
        return MemberNetworks(
            (weights[0], weights[1], head), (biases[0], biases[1], (self.head.bias + shift_3)[:, :, None])
        )


def load_warm_start() -> AmortisedEncoder:
    """Load the encoder that is shipped with the package, on the CPU, without gradients."""
    with torch.device("meta"):  # draws nothing from the global random state
        encoder = AmortisedEncoder()
    with np.load(WARM_START, allow_pickle=False) as stored:
        weights = {name: torch.from_numpy(stored[name]) for name in stored.files}
    encoder.load_state_dict(weights, assign=True)
    return encoder.requires_grad_(False).eval()
