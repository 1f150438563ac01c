import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from escape_process.product.statistics import RunningStatistics


@given(
    arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e4, 1e4, width=32)),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_parts_give_the_statistics_of_the_whole(values: np.ndarray, cuts: list[int]) -> None:
    statistics = RunningStatistics()
    for part in np.split(values, sorted(cuts)):
        statistics.add(part)
    told = statistics.summary(values.size * 2)
    exact = values.astype(np.float64)
    assert told["minimum"] == exact.min()
    assert told["maximum"] == exact.max()
    assert told["mean"] == pytest.approx(exact.mean(), rel=1e-9, abs=1e-6)
    assert told["stddev"] == pytest.approx(exact.std(), rel=1e-6, abs=1e-6)
    assert told["valid_percent"] == 50.0


def test_a_small_spread_on_a_large_mean_is_not_lost() -> None:
    statistics = RunningStatistics()
    values = 1e9 + np.array([0.0, 1.0, 2.0, 3.0])
    for value in values:
        statistics.add(np.array([value]))
    assert statistics.summary(4)["stddev"] == pytest.approx(values.std(), rel=1e-12)


def test_without_a_valid_pixel_there_is_no_number_but_their_share() -> None:
    assert RunningStatistics().summary(10) == {"valid_percent": 0.0}
