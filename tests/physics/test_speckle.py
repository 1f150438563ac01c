"""Statistics of speckle, against scipy and by drawing."""

import numpy as np
import pytest
from scipy import special, stats

from escape_process.physics import speckle

LOOKS = np.array([0.5, 1.0, 3.0, 20.0, 300.0, 1e6])


def test_moments_of_log_power():
    neper = 10 / np.log(10)
    assert speckle.log_power_sd_db(LOOKS) == pytest.approx(neper * np.sqrt(special.polygamma(1, LOOKS)), rel=1e-9)
    assert speckle.log_power_bias_db(LOOKS) == pytest.approx(neper * (special.digamma(LOOKS) - np.log(LOOKS)), rel=1e-9)
    assert speckle.log_power_sd_db(1.0) == pytest.approx(5.57, abs=5e-3)
    assert speckle.log_power_sd_db(100.0) == pytest.approx(0.436, abs=1e-3)


def test_likelihood():
    for looks in (1.0, 4.0, 300.0):
        expected = stats.gamma(looks, scale=0.2 / looks).logpdf(0.3)
        assert speckle.log_likelihood(0.3, 0.2, looks) == pytest.approx(expected, abs=1e-9)


def test_drawn_speckle_has_the_stated_moments():
    drawn = speckle.gamma_speckle(np.full(200_000, 0.05), 10.0, np.random.default_rng(0))
    decibel = 10 * np.log10(drawn)
    assert drawn.mean() == pytest.approx(0.05, rel=3e-3)
    assert decibel.std() == pytest.approx(speckle.log_power_sd_db(10.0), rel=1e-2)
    assert decibel.mean() - 10 * np.log10(0.05) == pytest.approx(speckle.log_power_bias_db(10.0), abs=0.01)


@pytest.mark.parametrize("looks", [20.0, 300.0])
def test_hh_above_vv_marks_at_most_5_percent_of_equal_powers(looks):
    rng = np.random.default_rng(1)
    hh, vv = (speckle.gamma_speckle(np.full(100_000, 0.1), looks, rng) for _ in range(2))
    marked = speckle.hh_above_vv(hh, vv, looks).mean()
    assert 0.045 < marked < 0.055
    assert speckle.hh_above_vv(0.2, 0.1, looks)
    assert not speckle.hh_above_vv(0.1, 0.2, looks)
