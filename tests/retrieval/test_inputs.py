"""Every wrong argument is refused by name."""

import numpy as np
import pytest

from escape_process import retrieval
from escape_process.errors import InvalidInputError
from escape_process.retrieval.inputs import check_samples

GOOD = {"hh": [0.03, 0.04], "hv": [0.004, 0.005], "vv": [0.04, 0.05], "incidence_angle": 0.6}
DATES = np.array(["2020-01-01", "2020-01-15"], dtype="datetime64[D]")

WRONG = [
    ("hh", {"hh": [-14.0, -13.0]}, "in dB"),
    ("hv", {"hv": [-24.0, -23.0]}, "in dB"),
    ("vv", {"vv": [0.0, 0.0]}, "no positive power"),
    ("hh", {"hh": ["a", "b"]}, "real numbers"),
    ("hh", {"hh": [0.1 + 1j, 0.2]}, "real numbers"),
    ("hh", {"hh": [[0.1], [0.1, 0.2]]}, "ragged"),
    ("shapes", {"vv": [0.1, 0.2, 0.3]}, "(3,)"),
    ("incidence_angle", {"incidence_angle": 35.0}, "in degrees"),
    ("incidence_angle", {"incidence_angle": -0.1}, "-0.1"),
    ("looks", {"looks": 0}, "positive"),
    ("looks", {"looks": [10, -5]}, "-5"),
    ("noise_floor", {"noise_floor": -38.0}, "in dB"),
    ("noise_floor", {"noise_floor": [1e-4, 1e-4]}, "three"),
    ("noise_floor", {"noise_floor": np.nan}, "nan"),
    ("time", {"place": [1, 1]}, "missing"),
    ("place", {"time": DATES}, "missing"),
    ("time", {"place": [1, 1], "time": np.array(["2020-01-01", "NaT"], dtype="datetime64[D]")}, "NaT"),
    ("time", {"place": [1, 1], "time": [0, 1]}, "datetime64"),
    ("place", {"place": [1.5, 1.0], "time": DATES}, "whole numbers"),
    ("shapes", {"place": [1, 1, 1], "time": DATES}, "place (3,)"),
]
WRONG_OPTIONS = [
    ("frequency", {"frequency": 5.4e9}, "5400000000"),
    ("frequency", {"frequency": 1.2365}, "GHz"),
    ("frequency", {"frequency": float("nan")}, "nan"),
    ("members", {"members": 0}, "0"),
    ("members", {"members": 101}, "101"),
    ("members", {"members": 2.5}, "2.5"),
    ("members", {"members": True}, "True"),
    ("seed", {"seed": -1}, "-1"),
    ("mode", {"mode": "bayesian"}, "bayesian"),
    ("device", {"device": "quantum"}, "quantum"),
]


@pytest.mark.parametrize("function", [retrieval.calibrate, retrieval.retrieve])
@pytest.mark.parametrize(("name", "change", "value"), WRONG + WRONG_OPTIONS)
def test_wrong_arguments_are_named(function, name, change, value):
    with pytest.raises(InvalidInputError) as caught:
        function(**(GOOD | change))
    assert name in str(caught.value)
    assert value in str(caught.value)


def test_ensemble_must_be_one():
    with pytest.raises(InvalidInputError, match="ensemble is a str"):
        retrieval.retrieve(**GOOD, ensemble="file.npz")


def test_nothing_to_calibrate_on():
    with pytest.raises(InvalidInputError, match="nothing to calibrate"):
        retrieval.calibrate(np.nan, 0.01, 0.1, 0.6)


def test_only_valid_samples_are_kept():
    power = np.array([0.03, np.nan, np.inf, 0.0, -1.0, 0.05])
    samples = check_samples(power, 0.004, 0.04, [0.6] * 5 + [np.nan])
    assert samples.valid.tolist() == [True, False, False, False, False, False]
    assert samples.size == 1


def test_noise_is_subtracted_and_widens_the_error():
    clean = check_samples(0.03, 0.002, 0.04, 0.6)
    noisy = check_samples(0.03, 0.002, 0.04, 0.6, noise_floor=(0.0, 0.001, 0.0))
    assert noisy.power_db[0, 1] == pytest.approx(clean.power_db[0, 1] + 10 * np.log10(0.5), abs=1e-5)
    assert noisy.speckle_db[0, 1] == pytest.approx(2 * clean.speckle_db[0, 1], rel=1e-6)
    assert noisy.power_db[0, 0] == clean.power_db[0, 0]
    drowned = check_samples(0.03, 0.0005, 0.04, 0.6, noise_floor=0.001)
    assert np.isfinite(drowned.power_db).all()
