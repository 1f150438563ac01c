"""Each quality bit is set where it should be and not elsewhere."""

import numpy as np
import pytest
from retrieval.simulated import observe, simulate_scene

from escape_process import retrieval
from escape_process.layers import FLAG


def marked(found, name):
    return (found.flags & FLAG[name].mask) != 0


def test_bits_of_the_pipeline_are_never_set(result):
    for name in ("layover_shadow", "encoding_assumed", "not_terrain_corrected"):
        assert not marked(result, name).any()
    assert not marked(result, "no_data").any()


def test_report_gives_the_shares(result):
    for name, share in result.report["flag_shares"].items():
        assert share == pytest.approx(marked(result, name).mean(), abs=1e-5)
    assert result.report["unflagged_share"] == pytest.approx(((result.flags & 0x0FFF) == 0).mean(), abs=1e-5)


def test_hh_above_vv_marks_few_true_samples(ensemble):
    rng = np.random.default_rng(0)
    count = 4000
    scene = observe(
        rng.uniform(0.05, 0.4, count), rng.uniform(0.005, 0.03, count), 0.3, np.full(count, 0.6), rng=rng, looks=100.0
    )
    assert marked(retrieval.retrieve(**scene.arguments(), ensemble=ensemble), "hh_above_vv").mean() < 0.05
    swapped = scene.arguments() | {"hh": 1.5 * scene.vv}
    assert marked(retrieval.retrieve(**swapped, ensemble=ensemble), "hh_above_vv").mean() > 0.95


def test_noise_floor(scene, ensemble):
    floor = (0.0, float(np.median(scene.hv)) / 1.5, 0.0)
    found = retrieval.retrieve(**scene.arguments(), noise_floor=floor, ensemble=ensemble)
    assert marked(found, "noise_floor").mean() == pytest.approx(0.5, abs=0.01)
    assert not marked(retrieval.retrieve(**scene.arguments(), ensemble=ensemble), "noise_floor").any()


def test_few_looks(scene, ensemble):
    looks = np.where(np.arange(scene.hh.size) % 2, 19.9, 20.0)
    found = retrieval.retrieve(**(scene.arguments() | {"looks": looks}), ensemble=ensemble)
    np.testing.assert_array_equal(marked(found, "few_looks"), looks < 20)


def test_incidence_outside_the_model(scene, ensemble):
    arguments = scene.arguments(slice(0, 3)) | {"incidence_angle": np.radians([9.0, 35.0, 71.0])}
    assert marked(retrieval.retrieve(**arguments, ensemble=ensemble), "outside_model")[[0, 2]].all()


def test_poor_fit(scene, ensemble):
    found = retrieval.retrieve(**scene.arguments(), ensemble=ensemble)
    assert marked(found, "poor_fit").mean() < 0.02
    odd = scene.arguments() | {"vv": scene.vv * 30}
    assert marked(retrieval.retrieve(**odd, ensemble=ensemble), "poor_fit").mean() > 0.9


def test_dense_vegetation_says_little_about_soil(ensemble):
    rng = np.random.default_rng(0)
    count = 500
    scene = observe(
        rng.uniform(0.05, 0.4, count), np.full(count, 0.01), np.full(count, 6.0), np.full(count, 0.6), rng=rng
    )
    found = retrieval.retrieve(**scene.arguments(), ensemble=ensemble)
    assert (marked(found, "vegetation_hides_soil") | marked(found, "uninformative")).mean() > 0.9


def test_unflagged_samples_are_better():
    scene = simulate_scene(count=4000, seed=3)
    found = retrieval.retrieve(**scene.arguments())
    error = np.abs(found.soil_moisture - scene.soil_moisture)
    good = (found.flags & 0x0FFF) == 0
    assert 0.15 < good.mean() < 1
    assert error[good].mean() < error[~good].mean()
