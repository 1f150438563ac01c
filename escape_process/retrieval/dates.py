"""Many dates over the same ground.

Each date's posterior is taken as a Gaussian; divided by its prior it is what that date alone says. Log roughness and
log vegetation then follow random walks through time, along which what all dates say is combined by a Kalman smoother.
Soil moisture is free: it follows at each date from what its own observation says once roughness and vegetation are
better known. A rare event (tillage, harvest) may break the walk: every chain is smoothed once without and once with an
event in each interval, and the results are averaged by their posterior probabilities.

Axes: member M, pixel or node N, hypothesis H, chain P.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escape_process.retrieval.chains import Chains, build_chains
from escape_process.retrieval.encoder import Components
from escape_process.retrieval.posterior import Marginals

ROUGHNESS_WALK = 0.1
"""Standard deviation of the change of log roughness in 14 days."""
VEGETATION_WALK = 0.25
"""Likewise of log vegetation."""
WALK_DAYS = 14.0
MIN_DAYS = 0.25
"""Shortest interval counted."""
EVENT_PROBABILITY = 0.02
"""Prior probability of an event in 14 days."""
EVENT_SD = (0.6, 0.8)
"""Change of log roughness and log vegetation in an event."""
MAX_FACTOR_MEAN = 3.0
"""What one date says may lie at most this many prior widths from the prior's centre."""
_ELEMENTS = 600_000
"""Members times hypotheses times chains times dates smoothed at once: bounds memory."""


_State = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Of two coordinates x and y: entries xx, xy, yy of a matrix, and x, y of a vector."""


@dataclass(frozen=True, eq=False)
class Joint:
    """Members' posteriors as Gaussians of (moisture, roughness, vegetation)."""

    mean: Tensor
    """(M, 3, N)."""
    covariance: Tensor
    """(M, 3, 3, N)."""
    calibration_share: Tensor
    """(M, N)."""


def joint_of_components(components: Components, centre: Tensor, width: Tensor) -> Joint:
    """Match the moments of a mixture; `centre` and `width` are the priors' (M, 3)."""
    factor, weight = components.factor(), components.log_weights.exp()
    means = [components.mean(index + 1) for index in range(3)]
    mean = torch.stack([(weight * each).sum(dim=1) for each in means], dim=1)
    rows = []
    for i in range(3):
        row = []
        for j in range(3):
            shared = min(i, j) + 2
            within = sum(
                (factor[i + 1][k] * factor[j + 1][k] for k in range(1, shared)),
                start=factor[i + 1][0] * factor[j + 1][0],
            )
            between = (means[i] - mean[:, i : i + 1]) * (means[j] - mean[:, j : j + 1])
            row.append((weight * (within + between)).sum(dim=1))
        rows.append(torch.stack(row, dim=1))
    covariance = torch.stack(rows, dim=1)
    share = (weight * factor[1][0].square()).sum(dim=1) / covariance[:, 0, 0]
    scale = width[:, :, None] * width[:, None, :]
    return Joint(centre[:, :, None] + width[:, :, None] * mean, covariance * scale[..., None], share)


def joint_of_marginals(marginals: Marginals) -> Joint:
    """Take one-component marginals as independent: what the deterministic mode knows."""
    covariance = torch.diag_embed(torch.stack([each[:, 0] for each in marginals.variance], dim=-1)).permute(0, 2, 3, 1)
    mean = torch.stack([each[:, 0] for each in marginals.mean], dim=1)
    return Joint(mean, covariance, marginals.calibration_share[:, 0])


def concatenate(joints: list[Joint], count: int) -> Joint:
    """Join chunks and drop the padding beyond `count` pixels."""
    return Joint(
        torch.cat([joint.mean for joint in joints], dim=-1)[..., :count],
        torch.cat([joint.covariance for joint in joints], dim=-1)[..., :count],
        torch.cat([joint.calibration_share for joint in joints], dim=-1)[..., :count],
    )


def take(marginals: Marginals, start: int, chunk: int) -> Marginals:
    """One chunk of fixed shape, the last pixel repeated."""
    count = marginals.log_weight.shape[-1]
    index = torch.arange(start, start + chunk, device=marginals.log_weight.device).clamp(max=count - 1)

    def pick(values: Tensor) -> Tensor:
        return values[..., index]

    mean, variance = marginals.mean, marginals.variance
    return Marginals(
        pick(marginals.log_weight),
        (pick(mean[0]), pick(mean[1]), pick(mean[2])),
        (pick(variance[0]), pick(variance[1]), pick(variance[2])),
        pick(marginals.calibration_share),
    )


def couple(
    joint: Joint,
    place: NDArray[np.int64],
    days: NDArray[np.float64],
    incidence_angle: NDArray[np.float32],
    *,
    centre: Tensor,
    width: Tensor,
) -> tuple[Marginals, dict[str, object]]:
    """Combine the dates of each place.

    Parameters
    ----------
    joint
        Posteriors of N samples, each date by itself.
    place, days, incidence_angle
        (N,).
    centre, width
        Priors of the members, (M, 3).

    Returns
    -------
    The coupled posteriors of the N samples, and a report: number of chains, and the events found.
    """
    chains = build_chains(place, days, incidence_angle)
    device = joint.mean.device
    centre, width = centre.double(), width.double()
    mean, covariance, share = _merge(joint, chains, centre, width)
    smoothed_mean, smoothed_variance = mean.clone(), torch.diagonal(covariance, dim1=1, dim2=2).transpose(1, 2).clone()
    events = 0
    members = mean.shape[0]
    for group in chains.by_length():
        length = group.shape[1]
        if length == 1:
            continue
        step = max(1, _ELEMENTS // (members * length * length))
        for start in range(0, group.shape[0], step):
            nodes = group[start : start + step]
            index = torch.from_numpy(nodes).to(device)
            gaps = torch.from_numpy(np.diff(chains.days[nodes], axis=1)).to(device)
            new_mean, new_variance, event = _smooth(mean[:, :, index], covariance[..., index], gaps, centre, width)
            smoothed_mean[:, :, index], smoothed_variance[:, :, index] = new_mean, new_variance
            events += int((event.mean(dim=0) > 0.5).any(dim=-1).sum())
    _share_moisture(smoothed_mean, smoothed_variance, chains, centre, width)
    node = torch.from_numpy(chains.node).to(device)
    means, variances = smoothed_mean[:, :, node].float(), smoothed_variance[:, :, node].float()
    marginals = Marginals(
        log_weight=torch.zeros_like(means[:, :1]),
        mean=(means[:, :1], means[:, 1:2], means[:, 2:]),
        variance=(variances[:, :1], variances[:, 1:2], variances[:, 2:]),
        calibration_share=share[:, None, node].float(),
    )
    lengths = np.bincount(chains.chain)
    report: dict[str, object] = {
        "chains": int((lengths > 1).sum()),
        "single_dates": int((lengths == 1).sum()),
        "chains_with_event": events,
    }
    return marginals, report


def _merge(joint: Joint, chains: Chains, centre: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Posteriors of the nodes in double precision: a state that was seen several times combines what all say."""
    device = joint.mean.device
    counts = np.bincount(chains.node, minlength=chains.nodes)
    first = np.full(chains.nodes, -1, np.int64)
    first[chains.node[::-1]] = np.arange(chains.node.size)[::-1]
    pick = torch.from_numpy(first).to(device)
    mean, covariance = joint.mean[..., pick].double(), joint.covariance[..., pick].double()
    share = joint.calibration_share[..., pick].double()
    repeated = np.flatnonzero(counts > 1)
    for node in repeated.tolist():
        rows = torch.from_numpy(np.flatnonzero(chains.node == node)).to(device)
        white = ((joint.mean[..., rows].double() - centre[:, :, None]) / width[:, :, None]).permute(0, 2, 1)
        scale = (width[:, :, None] * width[:, None, :])[:, None]
        spread = joint.covariance[..., rows].double().permute(0, 3, 1, 2) / scale
        values, vectors = torch.linalg.eigh(spread)
        pull = (vectors.transpose(-1, -2) @ white[..., None])[..., 0] / values
        gain = torch.maximum(1 / values - 1, pull.abs() / MAX_FACTOR_MEAN).clamp(min=1e-3)
        information = torch.eye(3, dtype=torch.float64, device=device) + (
            vectors @ torch.diag_embed(gain) @ vectors.transpose(-1, -2)
        ).sum(dim=1)
        combined = torch.linalg.inv(information)
        total = (vectors @ pull[..., None])[..., 0].sum(dim=1)
        mean[..., node] = centre + width * (combined @ total[..., None])[..., 0]
        covariance[..., node] = combined * scale[:, 0]
        share[..., node] = joint.calibration_share[..., rows].double().mean(dim=-1)
    return mean, covariance, share


def _transitions(gaps: Tensor, width: Tensor) -> tuple[list[Tensor], Tensor]:
    """Variances of the steps under each hypothesis, and the hypotheses' log prior probabilities.

    `gaps` is (P, D - 1) in days, `width` (M, 3). Returns, for roughness and vegetation, (M, H, P, D - 1) in units of
    the prior's variance, and (1, H, P). Hypothesis 0 is that of no event, hypothesis h that of one in interval h - 1.
    """
    fortnights = gaps.clamp(min=MIN_DAYS) / WALK_DAYS
    intervals = gaps.shape[1]
    happens = torch.nn.functional.pad(torch.eye(intervals, dtype=gaps.dtype, device=gaps.device), (0, 0, 1, 0))
    walks = []
    for index, (sd, event_sd) in enumerate(((ROUGHNESS_WALK, EVENT_SD[0]), (VEGETATION_WALK, EVENT_SD[1])), start=1):
        variance = sd**2 * fortnights[None] + event_sd**2 * happens[:, None]
        walks.append(variance[None] / width[:, index, None, None, None].square())
    log_event = torch.log(1 - (1 - EVENT_PROBABILITY) ** fortnights)
    log_quiet = fortnights * math.log(1 - EVENT_PROBABILITY)
    log_prior = log_quiet.sum(dim=-1)[:, None] + torch.nn.functional.pad(log_event - log_quiet, (1, 0))
    return walks, log_prior.t()[None]


def _filter(factor: _State, walks: list[Tensor]) -> tuple[list[tuple[_State, _State]], Tensor]:
    """Kalman filter of white (roughness, vegetation), forward in time.

    `factor` holds what each date says, (M, P, D); `walks` the variances of the steps, (M, H, P, D - 1). Returns for
    each date the predicted and the filtered state, each (M, H, P), and the log evidence of the hypotheses, (M, H, P).
    """
    jxx, jxy, jyy, hx, hy = factor
    pxx = pyy = torch.ones_like(jxx[:, None, :, 0]).expand(-1, jxx.shape[-1], -1)
    pxy = mx = my = evidence = torch.zeros_like(pxx)
    states = []
    for date in range(jxx.shape[-1]):
        if date:
            pxx, pyy = pxx + walks[0][..., date - 1], pyy + walks[1][..., date - 1]
        predicted = (pxx, pxy, pyy, mx, my)
        determinant = pxx * pyy - pxy * pxy
        ixx, ixy, iyy = pyy / determinant, -pxy / determinant, pxx / determinant
        gx, gy = ixx * mx + ixy * my, ixy * mx + iyy * my
        before = mx * gx + my * gy
        ixx, ixy, iyy = (old + new[:, None, :, date] for old, new in ((ixx, jxx), (ixy, jxy), (iyy, jyy)))
        after = ixx * iyy - ixy * ixy
        pxx, pxy, pyy = iyy / after, -ixy / after, ixx / after
        gx, gy = gx + hx[:, None, :, date], gy + hy[:, None, :, date]
        mx, my = pxx * gx + pxy * gy, pxy * gx + pyy * gy
        evidence = evidence - 0.5 * torch.log(determinant * after) + 0.5 * (mx * gx + my * gy - before)
        states.append((predicted, (pxx, pxy, pyy, mx, my)))
    return states, evidence


def _smooth(
    mean: Tensor, covariance: Tensor, gaps: Tensor, centre: Tensor, width: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth P chains of D dates.

    Parameters
    ----------
    mean, covariance
        (M, 3, P, D) and (M, 3, 3, P, D).
    gaps
        (P, D - 1), days.

    Returns
    -------
    Means and variances (M, 3, P, D), and the probability of an event in each interval (M, P, D - 1).
    """
    unit = width[:, :, None, None]
    white = (mean - centre[:, :, None, None]) / unit
    spread = covariance / (unit[:, :, None] * unit[:, None])
    xx, xy, yy = spread[:, 1, 1], spread[:, 1, 2], spread[:, 2, 2]
    jxx, jxy, jyy, hx, hy = _factor(xx, xy, yy, white[:, 1], white[:, 2])

    walks, log_prior = _transitions(gaps, width)
    filtered, evidence = _filter((jxx, jxy, jyy, hx, hy), walks)
    weight = torch.softmax(evidence + log_prior, dim=1)

    # Backward (Rauch, Tung and Striebel), with the moisture that follows at each date.
    sx = (spread[:, 0, 1] * yy - spread[:, 0, 2] * xy) / (xx * yy - xy * xy)
    sy = (spread[:, 0, 2] * xx - spread[:, 0, 1] * xy) / (xx * yy - xy * xy)
    own = (spread[:, 0, 0] - sx * spread[:, 0, 1] - sy * spread[:, 0, 2]).clamp(min=1e-6)
    means, variances = torch.empty_like(white), torch.empty_like(white)
    state = filtered[-1][1]
    for date in reversed(range(mean.shape[-1])):
        if date < mean.shape[-1] - 1:
            state = _backward(filtered[date][1], filtered[date + 1][0], state)
        vxx, vxy, vyy, x, y = state
        g, k = sx[:, None, :, date], sy[:, None, :, date]
        moisture = (
            white[:, None, 0, :, date] + g * (x - white[:, None, 1, :, date]) + k * (y - white[:, None, 2, :, date])
        )
        moisture_variance = own[:, None, :, date] + g * g * vxx + 2 * g * k * vxy + k * k * vyy
        for index, (value, variance) in enumerate(((moisture, moisture_variance), (x, vxx), (y, vyy))):
            average = (weight * value).sum(dim=1)
            means[:, index, :, date] = average
            variances[:, index, :, date] = (weight * (variance + (value - average[:, None]).square())).sum(dim=1)
    event = weight[:, 1:].transpose(1, 2)
    return centre[:, :, None, None] + unit * means, unit.square() * variances, event


def _backward(filtered: _State, predicted: _State, later: _State) -> _State:
    """One step of the smoother: state at a date from its filtered and the next date's predicted and smoothed states."""
    fxx, fxy, fyy, fx, fy = filtered
    pxx, pxy, pyy, px, py = predicted
    lxx, lxy, lyy, lx, ly = later
    determinant = pxx * pyy - pxy * pxy
    ixx, ixy, iyy = pyy / determinant, -pxy / determinant, pxx / determinant
    gxx, gxy = fxx * ixx + fxy * ixy, fxx * ixy + fxy * iyy
    gyx, gyy = fxy * ixx + fyy * ixy, fxy * ixy + fyy * iyy
    dxx, dxy, dyy = lxx - pxx, lxy - pxy, lyy - pyy
    dx, dy = lx - px, ly - py
    return (
        fxx + gxx * gxx * dxx + 2 * gxx * gxy * dxy + gxy * gxy * dyy,
        fxy + gxx * gyx * dxx + (gxx * gyy + gxy * gyx) * dxy + gxy * gyy * dyy,
        fyy + gyx * gyx * dxx + 2 * gyx * gyy * dxy + gyy * gyy * dyy,
        fx + gxx * dx + gxy * dy,
        fy + gyx * dx + gyy * dy,
    )


def _factor(xx: Tensor, xy: Tensor, yy: Tensor, x: Tensor, y: Tensor) -> _State:
    """What one date says of two white coordinates: its posterior divided by the standard normal prior.

    Returns the information matrix (xx, xy, yy) and vector (x, y). Along each principal axis the information is kept
    positive and large enough that what is said lies within `MAX_FACTOR_MEAN` of the prior's centre: a posterior that is
    not Gaussian may be shifted and yet as wide as the prior, which no Gaussian factor can say.
    """
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    middle, half = 0.5 * (xx + yy), torch.hypot(0.5 * (xx - yy), xy)
    total: list[Tensor] = []
    for variance, ex, ey in (
        (middle + half, cosine, sine),
        ((middle - half).clamp(min=1e-6), -sine, cosine),
    ):
        pull = (ex * x + ey * y) / variance
        gain = torch.maximum(1 / variance - 1, pull.abs() / MAX_FACTOR_MEAN).clamp(min=1e-3)
        part = [gain * ex * ex, gain * ex * ey, gain * ey * ey, pull * ex, pull * ey]
        total = [one + two for one, two in zip(total, part, strict=True)] if total else part
    return total[0], total[1], total[2], total[3], total[4]


def _share_moisture(mean: Tensor, variance: Tensor, chains: Chains, centre: Tensor, width: Tensor) -> None:
    """Combine the soil moisture of one place seen at one time under several geometries, in place."""
    shared = np.flatnonzero(chains.moment >= 0)
    if not shared.size:
        return
    _, group = np.unique(chains.moment[shared], return_inverse=True)
    index, groups = torch.from_numpy(shared).to(mean.device), torch.from_numpy(group).to(mean.device)
    square = width[:, 0, None].square()
    white = (mean[:, 0, index] - centre[:, 0, None]) / width[:, 0, None]
    pull = white * square / variance[:, 0, index]
    gain = torch.maximum(square / variance[:, 0, index] - 1, pull.abs() / MAX_FACTOR_MEAN).clamp(min=0.0)
    size = (mean.shape[0], int(group.max()) + 1)
    information = torch.ones(size, dtype=mean.dtype, device=mean.device).index_add(1, groups, gain)
    vector = torch.zeros(size, dtype=mean.dtype, device=mean.device).index_add(1, groups, pull)
    mean[:, 0, index] = centre[:, 0, None] + width[:, 0, None] * (vector / information)[:, groups]
    variance[:, 0, index] = square / information[:, groups]
