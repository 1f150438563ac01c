"""Every method on simulated scenes: one function a scene, so that scenes can be spread over processes."""

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from accuracy.baselines import MapInversion, oh_inversion, regression_elsewhere
from accuracy.exact import exact_posterior
from accuracy.scenes import FREQUENCY, STANDARD, Scenario, Scene, simulate, simulate_season
from accuracy.scores import Estimate, correlation, of_result
from escape_process.layers import FLAG
from escape_process.physics.speckle import log_power_sd_db
from escape_process.retrieval import Ensemble, calibrate, retrieve
from escape_process.retrieval.decoder import SOIL_MOISTURE_BOUNDS
from escape_process.retrieval.encoder import MemberNetworks

LABELS = 100
"""In-situ measurements that the regression is trained on."""

CONSTANT = "constant guess"
OH = "Oh (2004) inversion"
MAP = "MAP per pixel"
REGRESSION = "regression, labels from the same scene"
MOVED = "regression, labels from another scene"
DETERMINISTIC = "deterministic ensemble"
VARIATIONAL = "variational ensemble"
ONE_DATE = "variational ensemble, one date at a time"
MANY_DATES = "variational ensemble, many dates"
EXACT = "exact posterior"


@dataclass(frozen=True)
class Sizes:
    """How much is simulated."""

    scenes: int = 8
    """Scenes of the standard scenario."""
    other_scenes: int = 4
    """Scenes of each other scenario."""
    count: int = 4096
    """Pixels of a scene."""
    exact: int = 1500
    """Pixels of a standard scene that the exact posterior is computed for."""
    other_exact: int = 500
    map: int = 300
    places: int = 400
    seasons: int = 4
    members: int = 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was found on one scene."""

    estimates: dict[str, Estimate]
    members: dict[str, list[Estimate]] = field(default_factory=dict)
    """Each kept member alone, by mode."""
    exact_rows: int = 0
    """The first rows of the scene, for which the exact posterior was computed."""
    hh_above_vv: float = math.nan
    """Share of pixels so flagged."""
    spoiled: dict[str, object] | None = None
    seconds: float = math.nan


def prior_sd(ensemble: Ensemble) -> float:
    """Standard deviation of soil moisture under the kept members' priors together, m3 m-3."""
    kept = list(ensemble.kept)
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    centre = ensemble.parameters.moisture_centre.numpy()[kept, None]
    width = np.exp(ensemble.parameters.log_moisture_width.numpy()[kept, None])
    low, high = SOIL_MOISTURE_BOUNDS
    values = low + (high - low) / (1 + np.exp(-(centre + width * nodes)))
    weights = weights / weights.sum()
    mean = float((values @ weights).mean())
    return math.sqrt(float((np.square(values) @ weights).mean()) - mean**2)


def alone(ensemble: Ensemble, member: int) -> Ensemble:
    """Reject all members but one."""
    rejected = tuple(None if index == member else "left out" for index in range(len(ensemble.rejected)))
    return replace(ensemble, rejected=rejected)


def db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decibels."""
    return np.asarray(10 * np.log10(power))


def _labelled(scene: Scene, rows: slice) -> tuple[NDArray[np.float64], ...]:
    return db(scene.power[:, rows]), scene.incidence_angle[rows], scene.soil_moisture[rows]


def run_scene(scenario: Scenario, seed: int, sizes: Sizes) -> Outcome:
    """Apply the variational ensemble, and on scenes that obey the forward model the exact posterior."""
    started = time.monotonic()
    scene = simulate(scenario, seed, sizes.count)
    ensemble = calibrate(**scene.arguments(), members=sizes.members, seed=seed)
    result = retrieve(**scene.arguments(), ensemble=ensemble)
    estimates = {VARIATIONAL: of_result(result, scene.soil_moisture, prior_sd(ensemble))}
    exact_rows = 0
    if scenario.departure is None:
        exact_rows = min(sizes.exact if scenario is STANDARD else sizes.other_exact, sizes.count)
        estimates[EXACT] = _exact(scene, exact_rows, seed)
    outcome = Outcome(
        estimates,
        exact_rows=exact_rows,
        hh_above_vv=float(((result.flags & FLAG["hh_above_vv"].mask) != 0).mean()),
    )
    if scenario.name == STANDARD.name:
        outcome = _others(outcome, scene, ensemble, seed, sizes)
    return replace(outcome, seconds=time.monotonic() - started)


def _exact(scene: Scene, rows: int, seed: int) -> Estimate:
    found = exact_posterior(scene, np.arange(rows), seed)
    truth_sd = float(scene.soil_moisture.std())
    return Estimate(scene.soil_moisture[:rows], found.mean, found.sd, found.p05, found.p95, prior_sd=truth_sd)


def _others(outcome: Outcome, scene: Scene, ensemble: Ensemble, seed: int, sizes: Sizes) -> Outcome:
    """Add the other methods on a standard scene."""
    truth, arguments = scene.soil_moisture, scene.arguments()
    deterministic = calibrate(**arguments, members=sizes.members, seed=seed, mode="deterministic")
    found = retrieve(**arguments, ensemble=deterministic)
    members = {
        name: [of_result(retrieve(**arguments, ensemble=alone(each, member)), truth) for member in each.kept]
        for name, each in ((VARIATIONAL, ensemble), (DETERMINISTIC, deterministic))
    }
    speckle_db = float(log_power_sd_db(scene.scenario.looks))
    some = slice(0, sizes.map)
    estimates = {
        CONSTANT: Estimate(truth, np.full_like(truth, truth.mean())),
        OH: Estimate(truth, oh_inversion(scene.power, scene.incidence_angle)),
        MAP: MapInversion(FREQUENCY, speckle_db).estimate(
            db(scene.power[:, some]), scene.incidence_angle[some], truth[some]
        ),
        REGRESSION: regression_elsewhere(_labelled(scene, slice(0, LABELS)), _labelled(scene, slice(LABELS, None))),
        MOVED: regression_elsewhere(
            _labelled(simulate(STANDARD, 1000 + seed, LABELS), slice(None)), _labelled(scene, slice(None))
        ),
        DETERMINISTIC: of_result(found, truth, prior_sd(deterministic)),
    }
    spoiled = _spoil(scene, ensemble, outcome.estimates[VARIATIONAL]) if len(ensemble.kept) > 7 else None
    return replace(outcome, estimates=outcome.estimates | estimates, members=members, spoiled=spoiled)


def _spoil(scene: Scene, ensemble: Ensemble, clean: Estimate) -> dict[str, object]:
    """Spoil members 2, 5 and 7: a coefficient, a prior, a network."""
    log_a = ensemble.parameters.log_a.clone()
    log_a[2] = 6.0
    centre = ensemble.parameters.roughness_centre.clone()
    centre[5] = math.nan
    weights = [part.clone() for part in ensemble.networks.weights]
    weights[1][7] = weights[1][7].flip(0)
    spoiled = replace(
        ensemble,
        parameters=replace(ensemble.parameters, log_a=log_a, roughness_centre=centre),
        networks=MemberNetworks((weights[0], weights[1], weights[2]), ensemble.networks.biases),
    )
    result = retrieve(**scene.arguments(), ensemble=spoiled)
    error = result.soil_moisture - scene.soil_moisture
    rejected = sorted(int(name) for name in result.report["rejected"])
    expected = sorted({2, 5, 7} | {index for index, reason in enumerate(ensemble.rejected) if reason})
    return {"exactly": rejected == expected, "ratio": float(error.std() / (clean.value - clean.truth).std())}


def run_season(seed: int, sizes: Sizes) -> Outcome:
    """Apply the variational ensemble to a season, date by date and with the dates coupled."""
    started = time.monotonic()
    scene = simulate_season(seed, sizes.places)
    ensemble = calibrate(**scene.arguments(), members=sizes.members, seed=seed)
    single = retrieve(**scene.arguments(), ensemble=ensemble)
    many = retrieve(**scene.arguments(), ensemble=ensemble, place=scene.place, time=scene.time)
    sd = prior_sd(ensemble)
    truth = scene.soil_moisture
    estimates = {ONE_DATE: of_result(single, truth, sd), MANY_DATES: of_result(many, truth, sd)}
    return Outcome(estimates, seconds=time.monotonic() - started)


def temporal_correlation(
    estimate: Estimate, group: NDArray[np.int64], fewest: int = 5
) -> tuple[float, NDArray[np.float64]]:
    """Median over groups of the correlation within each, and those of the groups with enough values."""
    found = []
    for each in np.unique(group):
        rows = (group == each) & np.isfinite(estimate.value)
        if rows.sum() >= fewest:
            found.append(correlation(estimate.value[rows], estimate.truth[rows]))
    values = np.array([value for value in found if np.isfinite(value)])
    return (float(np.median(values)) if values.size else math.nan), values
