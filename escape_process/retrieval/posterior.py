"""From the members' posteriors to one estimate with its uncertainty, in closed form or by quadrature.

Every member gives each sample a mixture of Gaussians of the unbounded state; the ensemble is the equal-weight mixture
of its usable members. Equal weights are deliberate: weighting by evidence collapses onto one member as soon as the
decoder is not the truth, and loses both accuracy and coverage.

Axes: member M, component K, pixel N.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from escape_process.retrieval.decoder import (
    LOG_KS_BOUNDS,
    MOISTURE,
    ROUGHNESS,
    SOIL_MOISTURE_BOUNDS,
    VEGETATION,
    soil_moisture_of,
    vegetation_of,
)
from escape_process.retrieval.encoder import Components

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
QUADRATURE = tuple(
    (float(node), float(weight / math.sqrt(2 * math.pi))) for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True)
)
"""Nodes and weights of a standard normal: exact for polynomials up to degree 13."""
BOUND_MARGIN = 0.01
"""m3 m-3: an estimate closer to a bound of soil moisture than this is saturated."""
LOG_KS_MARGIN = 0.2
QUANTILES = (0.05, 0.95)
_NEWTON_STEPS = 3


@dataclass(frozen=True, eq=False)
class Marginals:
    """Members' posteriors in absolute coordinates. All of shape (M, K, N) unless stated."""

    log_weight: Tensor
    mean: tuple[Tensor, Tensor, Tensor]
    """Of the moisture, roughness and vegetation coordinates."""
    variance: tuple[Tensor, Tensor, Tensor]
    """Calibration included."""
    calibration_share: Tensor
    """Part of the moisture's variance that is due to the common calibration offset."""

    def point(self) -> Tensor:
        """Mean state of each member, (M, N, 3)."""
        weight = self.log_weight.exp()
        return torch.stack([(weight * mean).sum(dim=1) for mean in self.mean], dim=-1)


def marginals_of(components: Components, centre: Tensor, width: Tensor) -> Marginals:
    """Scale network outputs to absolute coordinates; `centre` and `width` are the priors' (M, 3)."""
    factor = components.factor()
    mean, variance = [], []
    for index in (MOISTURE, ROUGHNESS, VEGETATION):
        mean.append(centre[:, index, None, None] + width[:, index, None, None] * components.mean(index + 1))
        entries = factor[index + 1]
        square = sum((entry.square() for entry in entries[1:]), start=entries[0].square())
        variance.append(width[:, index, None, None].square() * square)
    offset, own = factor[MOISTURE + 1]
    share = offset.square() / (offset.square() + own.square())
    return Marginals(
        components.log_weights, (mean[0], mean[1], mean[2]), (variance[0], variance[1], variance[2]), share
    )


@dataclass(frozen=True, eq=False)
class Estimate:
    """The ensemble's estimate for N samples; all (N,) unless stated."""

    soil_moisture: Tensor
    aleatoric: Tensor
    """Standard deviation, m3 m-3."""
    epistemic: Tensor
    uncertainty: Tensor
    within: Tensor
    """Root mean square of the members' posterior standard deviations, calibration included."""
    p05: Tensor
    p95: Tensor
    ks: Tensor
    ks_uncertainty: Tensor
    vegetation: Tensor
    usable: Tensor
    """(M, N), bool: members that are finite and unsaturated."""


def summarise(marginals: Marginals) -> Estimate:
    """Combine the members.

    aleatoric^2 is the mean of the members' posterior variances without the calibration's part; epistemic^2 is the
    variance of the members' means plus the calibration's part; uncertainty^2 is their sum, the variance of the mixture.
    """
    weight = marginals.log_weight.exp()
    u, spread = marginals.mean[MOISTURE], marginals.variance[MOISTURE].sqrt()
    first, second = torch.zeros_like(u), torch.zeros_like(u)
    for node, node_weight in QUADRATURE:
        value = soil_moisture_of(u + node * spread)
        first += node_weight * value
        second += node_weight * value.square()
    within = (second - first.square()).clamp(min=0.0)
    mean = (weight * first).sum(dim=1)
    variance = ((weight * second).sum(dim=1) - mean.square()).clamp(min=0.0)
    calibration = torch.minimum((weight * within * marginals.calibration_share).sum(dim=1), variance)

    log_ks, log_ks_variance = marginals.mean[ROUGHNESS], marginals.variance[ROUGHNESS]
    component_ks = torch.exp((log_ks + 0.5 * log_ks_variance).clamp(*LOG_KS_BOUNDS))
    ks = (weight * component_ks).sum(dim=1)
    component_square = component_ks.square() * torch.exp(log_ks_variance.clamp(max=2.0))
    ks_square = (weight * component_square).sum(dim=1)
    half_variance = 0.5 * marginals.variance[VEGETATION]
    vegetation = (weight * vegetation_of(marginals.mean[VEGETATION] + half_variance)).sum(dim=1)

    usable = _usable(mean, ks, variance)
    share = _shares(usable)
    soil_moisture = _average(share, mean)
    aleatoric = _average(share, variance - calibration)
    epistemic = _average(share, (mean - soil_moisture).square() + calibration)
    ks_mean = _average(share, ks)
    ks_variance = _average(share, ks_square) - ks_mean.square()
    low, high = (_quantile(level, weight * share[:, None], u, spread) for level in QUANTILES)
    return Estimate(
        soil_moisture=soil_moisture,
        aleatoric=aleatoric.sqrt(),
        epistemic=epistemic.sqrt(),
        uncertainty=(aleatoric + epistemic).sqrt(),
        within=_average(share, variance).sqrt(),
        p05=low,
        p95=high,
        ks=ks_mean,
        ks_uncertainty=ks_variance.clamp(min=0.0).sqrt(),
        vegetation=_average(share, vegetation),
        usable=usable,
    )


def prior_soil_moisture_sd(centre: Tensor, width: Tensor) -> float:
    """Root mean square of the members' prior standard deviations of soil moisture, m3 m-3; arguments are (M, 3)."""
    values = torch.stack([soil_moisture_of(centre[:, 0] + node * width[:, 0]) for node, _ in QUADRATURE])
    weights = values.new_tensor([weight for _, weight in QUADRATURE])[:, None]
    mean = (weights * values).sum(dim=0)
    return float(((weights * values.square()).sum(dim=0) - mean.square()).mean().sqrt())


def _usable(mean: Tensor, ks: Tensor, variance: Tensor) -> Tensor:
    low, high = SOIL_MOISTURE_BOUNDS
    lowest, highest = math.exp(LOG_KS_BOUNDS[0] + LOG_KS_MARGIN), math.exp(LOG_KS_BOUNDS[1] - LOG_KS_MARGIN)
    inside = (mean > low + BOUND_MARGIN) & (mean < high - BOUND_MARGIN) & (ks > lowest) & (ks < highest)
    return inside & torch.isfinite(variance)


def _shares(usable: Tensor) -> Tensor:
    """Equal shares of the usable members, or of all finite ones where none is usable; (M, N)."""
    count = usable.sum(dim=0)
    chosen = torch.where(count > 0, usable, torch.ones_like(usable))
    return chosen / chosen.sum(dim=0)


def _average(share: Tensor, values: Tensor) -> Tensor:
    return (share * values).sum(dim=0)


def _quantile(level: float, weight: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Quantile of soil moisture of the mixture: safeguarded Newton in the unbounded coordinate.

    It runs on probit(cumulative) - z, which is a straight line for one Gaussian and nearly one for a mixture.
    """
    z = math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * level - 1.0, dtype=torch.float64)))
    each = mean + z * spread
    present = weight > 0
    low = torch.where(present, each, math.inf).amin(dim=(0, 1))
    high = torch.where(present, each, -math.inf).amax(dim=(0, 1))
    total = weight.sum(dim=(0, 1))
    centre = (weight * mean).sum(dim=(0, 1)) / total
    square = (weight * (spread.square() + (mean - centre).square())).sum(dim=(0, 1)) / total
    root = torch.minimum(torch.maximum(centre + z * square.sqrt(), low), high)
    inverse = 1 / spread
    for _ in range(_NEWTON_STEPS):
        standard = (root - mean) * inverse
        cumulative = (weight * torch.special.ndtr(standard)).sum(dim=(0, 1)) / total
        slope = (weight * inverse * torch.exp(-0.5 * standard.square())).sum(dim=(0, 1)) / total
        above = cumulative > level
        high, low = torch.where(above, root, high), torch.where(above, low, root)
        probit = torch.special.ndtri(cumulative.clamp(1e-6, 1 - 1e-6))
        newton = root - (probit - z) * torch.exp(-0.5 * probit.square()) / slope.clamp(min=1e-9)
        root = torch.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
    return soil_moisture_of(root)
