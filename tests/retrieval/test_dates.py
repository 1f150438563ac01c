"""Many dates over the same ground."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from retrieval.simulated import ARRAYS, assert_identical, observe

from escape_process import retrieval
from escape_process.retrieval.chains import build_chains
from escape_process.retrieval.dates import Joint, couple

DATES = np.datetime64("2020-04-01") + 14 * np.arange(8)


def simulate_season(places=400, tillage=None, seed=0):
    """Draw a season: a dry-down with a rain in the middle, slow roughness and vegetation, tillage after one date."""
    rng = np.random.default_rng(seed)
    times = DATES.size
    wet = np.array([0.36, 0.30, 0.22, 0.15, 0.34, 0.26, 0.18, 0.12])
    moisture = np.clip(wet + rng.normal(0, 0.04, (places, 1)) + rng.normal(0, 0.02, (places, times)), 0.03, 0.5)
    height = np.log(0.012) + rng.normal(0, 0.4, (places, 1)) + np.cumsum(rng.normal(0, 0.1, (places, times)), axis=1)
    if tillage is not None:
        height[:, tillage:] += 0.9
    cover = np.log(0.4) + rng.normal(0, 0.6, (places, 1)) + np.cumsum(rng.normal(0, 0.2, (places, times)), axis=1)
    angle = np.radians(rng.uniform(30, 40, (places, 1))) + np.zeros(times)
    scene = observe(*(each.ravel() for each in (moisture, np.exp(height), np.exp(cover), angle)), rng=rng)
    return scene, np.repeat(np.arange(places), times), np.tile(DATES, places)


@pytest.fixture(scope="module")
def season():
    return simulate_season()


@pytest.fixture(scope="module")
def season_ensemble(season):
    scene, _, _ = season
    return retrieval.calibrate(**scene.arguments())


@pytest.fixture(scope="module")
def coupled(season, season_ensemble):
    scene, place, time = season
    return retrieval.retrieve(**scene.arguments(), place=place, time=time, ensemble=season_ensemble)


def temporal_r(found, truth):
    pairs = zip(found.soil_moisture.reshape(-1, DATES.size), truth.reshape(-1, DATES.size), strict=True)
    return np.median([np.corrcoef(one, other)[0, 1] for one, other in pairs])


def test_dates_help_each_other(season, season_ensemble, coupled):
    scene, _, _ = season
    alone = retrieval.retrieve(**scene.arguments(), ensemble=season_ensemble)
    errors = [found.soil_moisture - scene.soil_moisture for found in (alone, coupled)]
    assert errors[1].std() < 0.95 * errors[0].std()
    assert temporal_r(coupled, scene.soil_moisture) > max(0.8, temporal_r(alone, scene.soil_moisture))
    heights = [np.log(found.rms_height) - np.log(scene.rms_height) for found in (alone, coupled)]
    assert heights[1].std() < 0.9 * heights[0].std()


def test_coverage_holds_with_many_dates(season, coupled):
    scene, _, _ = season
    inside = (coupled.soil_moisture_p05 <= scene.soil_moisture) & (scene.soil_moisture <= coupled.soil_moisture_p95)
    assert 0.8 < inside.mean() < 0.99


def test_tillage_is_found_and_reported(season_ensemble, coupled):
    scene, place, time = simulate_season(tillage=4)
    found = retrieval.retrieve(**scene.arguments(), place=place, time=time, ensemble=season_ensemble)
    events = found.report["many_dates"]["chains_with_event"]
    assert events > 200
    assert coupled.report["many_dates"]["chains_with_event"] < 0.1 * events
    rise = np.diff(np.log(found.rms_height).reshape(-1, DATES.size).mean(axis=0))
    assert rise.argmax() == 3
    assert rise[3] > 3 * np.delete(rise, 3).max()


def test_places_do_not_depend_on_each_other(season, season_ensemble, coupled):
    """Blocks agree bit for bit, whatever else is in the call and in whatever order."""
    scene, place, time = season
    rows = np.random.default_rng(1).permutation(np.flatnonzero(place % 3 == 1))
    found = retrieval.retrieve(**scene.arguments(rows), place=place[rows], time=time[rows], ensemble=season_ensemble)
    assert_identical(coupled, found, rows)


def test_negative_places_share_with_none(season, season_ensemble):
    scene, _, time = season
    together = {"place": np.full(8, -1), "time": time[:8]}
    apart = {"place": np.arange(8), "time": time[:8]}
    found = [
        retrieval.retrieve(**scene.arguments(slice(0, 8)), **dates, ensemble=season_ensemble)
        for dates in (together, apart)
    ]
    assert_identical(*found)


def test_a_state_seen_twice_is_known_better(season, season_ensemble):
    scene, _, _ = season
    rows = np.tile(np.arange(50), 2)
    time = np.full(100, np.datetime64("2020-05-01T10:00"))
    twice = retrieval.retrieve(**scene.arguments(rows), place=rows, time=time, ensemble=season_ensemble)
    for name in ARRAYS:
        if name != "flags":
            np.testing.assert_array_equal(getattr(twice, name)[:50], getattr(twice, name)[50:])
    once = retrieval.retrieve(**scene.arguments(rows[:50]), place=rows[:50], time=time[:50], ensemble=season_ensemble)
    assert twice.soil_moisture_aleatoric.mean() < once.soil_moisture_aleatoric.mean()


def test_invalid_dates_change_nothing_for_the_others(season, season_ensemble):
    scene, place, time = season
    arguments = scene.arguments(slice(0, 80))
    hh = arguments["hh"].copy()
    hh[::7] = np.nan
    left = np.flatnonzero(np.isfinite(hh))
    mixed = retrieval.retrieve(**(arguments | {"hh": hh}), place=place[:80], time=time[:80], ensemble=season_ensemble)
    alone = retrieval.retrieve(**scene.arguments(left), place=place[left], time=time[left], ensemble=season_ensemble)
    assert_identical(mixed, alone, left)


def test_deterministic_mode_takes_many_dates(season, deterministic):
    scene, place, time = season
    found = retrieval.retrieve(
        **scene.arguments(slice(0, 80)), place=place[:80], time=time[:80], ensemble=deterministic
    )
    assert np.isfinite(found.soil_moisture).all()


def test_chains():
    place = np.array([5, 5, 5, 5, -1, -1, 2, 5])
    days = np.array([3.0, 1.0, 2.0, 2.2, 1.0, 1.0, 7.0, 1.0])
    angle = np.radians([35.0, 36.0, 40.0, 45.0, 35.0, 35.0, 35.0, 36.5]).astype(np.float32)
    chains = build_chains(place, days, angle)
    chain = chains.chain[chains.node]
    assert chain[0] == chain[1] == chain[2] == chain[7]
    assert chain[3] != chain[0]
    assert np.unique(chain).size == 5
    assert chains.node[1] == chains.node[7]
    moments = chains.moment[chains.node]
    assert moments[2] == moments[3] >= 0
    assert (moments[[0, 1, 4, 5, 6]] == -1).all()
    for nodes in chains.by_length():
        for row in nodes:
            assert all(chains.days[one] < chains.days[other] for one, other in pairwise(row))


def test_smoother_agrees_with_the_dense_gaussian(monkeypatch):
    """Without events the smoother is the exact posterior of a linear Gaussian model, solved here at once."""
    monkeypatch.setattr("escape_process.retrieval.dates.EVENT_PROBABILITY", 1e-12)
    times, rng = 4, np.random.default_rng(0)
    days = np.array([0.0, 14.0, 20.0, 60.0])
    centre, width = np.array([-0.6, -1.1, -0.7]), np.array([0.8, 0.5, 0.9])
    means, covariances = [], []
    for _ in range(times):
        root = rng.normal(size=(3, 3)) * 0.3
        white = root @ root.T + 0.1 * np.eye(3)
        covariances.append(white / (1 + np.linalg.eigvalsh(white)[-1]) * np.outer(width, width))
        means.append(centre + 0.3 * width * rng.normal(size=3))
    precision, vector = np.zeros((3 * times, 3 * times)), np.zeros(3 * times)
    walk = np.array([np.inf, 0.1, 0.25])
    for t in range(times):
        block = slice(3 * t, 3 * t + 3)
        own = np.linalg.inv(covariances[t])
        said = own - np.diag(1 / width**2)
        precision[block, block] += said
        vector[block] += own @ (means[t] - centre)
        precision[3 * t, 3 * t] += 1 / width[0] ** 2
        for i in (1, 2):
            if t == 0:
                precision[i, i] += 1 / width[i] ** 2
            else:
                gain = 1 / (walk[i] ** 2 * (days[t] - days[t - 1]) / 14)
                now, last = 3 * t + i, 3 * t - 3 + i
                precision[now, now] += gain
                precision[last, last] += gain
                precision[now, last] -= gain
                precision[last, now] -= gain
    exact = np.linalg.inv(precision)
    expected = (exact @ vector).reshape(times, 3) + centre
    joint = Joint(
        torch.tensor(np.array(means).T[None]),
        torch.tensor(np.moveaxis(np.array(covariances), 0, -1)[None]),
        torch.zeros(1, times, dtype=torch.float64),
    )
    found, report = couple(
        joint,
        np.zeros(times, np.int64),
        days,
        np.full(times, 0.6, np.float32),
        centre=torch.tensor(centre)[None],
        width=torch.tensor(width)[None],
    )
    assert report["chains"] == 1
    for i in range(3):
        np.testing.assert_allclose(found.mean[i][0, 0], expected[:, i], atol=2e-3)
        np.testing.assert_allclose(found.variance[i][0, 0], np.diag(exact).reshape(times, 3)[:, i], rtol=2e-2)
