"""The array API: what comes back, and what must not change it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from retrieval.simulated import ARRAYS, assert_identical, simulate_scene

from escape_process import retrieval
from escape_process.layers import FLAG, UNUSABLE


def score(result, truth):
    error = result.soil_moisture - truth
    inside = (result.soil_moisture_p05 <= truth) & (truth <= result.soil_moisture_p95)
    return {
        "r": np.corrcoef(result.soil_moisture, truth)[0, 1],
        "ub": error.std(),
        "bias": error.mean(),
        "within_1_sigma": (np.abs(error) <= result.soil_moisture_uncertainty).mean(),
        "within_90": inside.mean(),
    }


def test_shapes_and_types(result, scene):
    for name in ARRAYS:
        expected = {"flags": np.uint16, "members_used": np.uint8}.get(name, np.float32)
        assert getattr(result, name).dtype == expected, name
        assert getattr(result, name).shape == scene.hh.shape, name
    assert json.loads(json.dumps(result.report))["members_kept"] == 10


def test_inputs_broadcast(ensemble):
    found = retrieval.retrieve(np.full((2, 1, 3), 0.04), 0.004, 0.05, np.full((4, 1), 0.6), ensemble=ensemble)
    assert found.soil_moisture.shape == (2, 4, 3)
    assert np.unique(found.soil_moisture).size == 1
    assert retrieval.retrieve(0.04, 0.004, 0.05, 0.6, ensemble=ensemble).soil_moisture.shape == ()


def test_accuracy_and_coverage_over_scenes():
    """The truth lies within the stated uncertainty as often as stated, over scenes with unknown coefficients."""
    scores = []
    for seed in range(3):
        scene = simulate_scene(count=2000, seed=100 + seed)
        scores.append(score(retrieval.retrieve(**scene.arguments()), scene.soil_moisture))
    mean = {name: np.mean([each[name] for each in scores]) for name in scores[0]}
    assert mean["r"] > 0.6
    assert mean["ub"] < 0.075
    assert abs(mean["bias"]) < 0.04
    assert 0.55 < mean["within_1_sigma"] < 0.8
    assert 0.82 < mean["within_90"] < 0.97


def test_uncertainty_adds_up_and_orders_errors(result, scene):
    total = result.soil_moisture_aleatoric**2 + result.soil_moisture_epistemic**2
    np.testing.assert_allclose(result.soil_moisture_uncertainty**2, total, rtol=1e-4)
    assert (result.soil_moisture_p05 < result.soil_moisture).all()
    assert (result.soil_moisture < result.soil_moisture_p95).all()
    error = result.soil_moisture - scene.soil_moisture
    sure = result.soil_moisture_uncertainty < np.median(result.soil_moisture_uncertainty)
    assert np.abs(error[sure]).mean() < np.abs(error[~sure]).mean()
    own = np.abs(error - error.mean())  # the level's error is common to all samples: it has no order among them
    assert own[sure].mean() < 0.9 * own[~sure].mean()


def test_roughness_is_told(result, scene):
    assert np.corrcoef(np.log(result.rms_height), np.log(scene.rms_height))[0, 1] > 0.5
    error = np.abs(result.rms_height - scene.rms_height)
    assert 0.5 < (error <= result.rms_height_uncertainty).mean() < 0.95


def test_more_looks_never_blur(ensemble, scene):
    few = retrieval.retrieve(**(scene.arguments() | {"looks": 5.0}), ensemble=ensemble)
    many = retrieval.retrieve(**scene.arguments(), ensemble=ensemble)
    assert few.soil_moisture_aleatoric.mean() > many.soil_moisture_aleatoric.mean()


def test_invalid_samples_change_nothing_else(scene, result, ensemble):
    """Bit for bit, in calibration and retrieval."""
    arguments = scene.arguments(slice(0, 500))
    alone = retrieval.retrieve(**arguments, members=3)
    rows = np.sort(np.random.default_rng(0).choice(600, 500, replace=False))
    padded = {}
    for name in ("hh", "hv", "vv", "incidence_angle"):
        padded[name] = np.full(600, {"hh": np.nan, "hv": -1.0, "vv": np.inf, "incidence_angle": 0.5}[name])
        padded[name][rows] = arguments[name]
    mixed = retrieval.retrieve(**padded, looks=scene.looks, members=3)
    assert_identical(mixed, alone, rows)
    others = np.setdiff1d(np.arange(600), rows)
    assert np.isnan(mixed.soil_moisture[others]).all()
    assert (mixed.flags[others] == FLAG["no_data"].mask).all()
    assert (mixed.members_used[others] == 0).all()


def test_results_do_not_depend_on_the_other_samples(scene, result, ensemble):
    """Blocks agree bit for bit, whatever their size and order."""
    for rows in (slice(1234, 1235), slice(100, 4242), np.random.default_rng(2).permutation(6000)):
        assert_identical(result, retrieval.retrieve(**scene.arguments(rows), ensemble=ensemble), rows)


def test_chunks_agree(scene, result, ensemble):
    tiled = {name: np.tile(value, 3) if np.ndim(value) else value for name, value in scene.arguments().items()}
    found = retrieval.retrieve(**tiled, ensemble=ensemble)
    for part in range(3):
        assert_identical(found, result, slice(6000 * part, 6000 * (part + 1))) if part == 0 else None
        np.testing.assert_array_equal(found.soil_moisture[6000 * part : 6000 * (part + 1)], result.soil_moisture)


@pytest.mark.parametrize("mode", ["variational", "deterministic"])
def test_equal_seeds_give_equal_results(scene, mode):
    arguments = scene.arguments(slice(0, 300)) | {"mode": mode, "members": 2}
    first, again = retrieval.retrieve(**arguments, seed=5), retrieval.retrieve(**arguments, seed=5)
    assert_identical(first, again)
    other = retrieval.retrieve(**arguments, seed=6)
    assert (other.soil_moisture != first.soil_moisture).any()


def test_global_state_is_left_as_found(scene):
    torch.manual_seed(1)
    np.random.seed(1)
    threads, torch_state, numpy_state = torch.get_num_threads(), torch.get_rng_state(), np.random.get_state()[1].copy()
    retrieval.retrieve(**scene.arguments(slice(0, 50)), members=2)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert torch.is_grad_enabled()


def test_progress_is_told(scene):
    told = []
    retrieval.retrieve(
        **scene.arguments(slice(0, 50)), members=2, progress=lambda share, text: told.append((share, text))
    )
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert {text for _, text in told} == {"calibrating the ensemble", "retrieving"}


def test_no_valid_sample_is_no_error():
    found = retrieval.retrieve(np.full(3, np.nan), 0.01, 0.1, 0.6)
    assert np.isnan(found.soil_moisture).all()
    assert (found.flags == FLAG["no_data"].mask).all()


@pytest.mark.parametrize("mode", ["variational", "deterministic"])
@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_samples(mode, count):
    found = retrieval.retrieve([0.03] * count, 0.004, 0.045, 0.6, mode=mode, members=3)
    assert np.isfinite(found.soil_moisture).all()
    assert (found.soil_moisture_uncertainty > 0.02).all()


@pytest.mark.parametrize("looks", [1, 1e6])
def test_extreme_looks(looks):
    scene = simulate_scene(count=400, looks=looks)
    found = retrieval.retrieve(**scene.arguments(), members=3)
    assert np.isfinite(found.soil_moisture).all()
    assert ((found.flags & FLAG["few_looks"].mask) != 0).all() == (looks == 1)


def test_powers_from_another_world_are_flagged_not_trusted(ensemble):
    """Water, forest, corner reflectors and noise: finite values, and a flag."""
    hh = np.array([10 ** (-2.6), 10 ** (-0.6), 10.0, 1e-6])
    hv = np.array([10 ** (-3.7), 10 ** (-1.1), 0.01, 1e-7])
    vv = np.array([10 ** (-2.3), 10 ** (-0.7), 10.0, 1e-6])
    found = retrieval.retrieve(hh, hv, vv, 0.6, ensemble=ensemble)
    assert np.isfinite(found.soil_moisture).all()
    assert ((found.flags & UNUSABLE) != 0).all()
    assert found.flags[0] & FLAG["open_water"].mask


def test_deterministic_mode(deterministic, scene, result):
    found = retrieval.retrieve(**scene.arguments(), ensemble=deterministic)
    points, full = score(found, scene.soil_moisture), score(result, scene.soil_moisture)
    assert points["r"] > 0.4
    assert points["ub"] < 0.12
    assert deterministic.mode == "deterministic"
    assert full["within_90"] > points["within_90"]


def test_package_does_not_import_torch_early():
    assert "import torch" not in Path(retrieval.__file__).parent.parent.joinpath("__init__.py").read_text()
