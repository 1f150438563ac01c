"""Figures against numbers worked out by hand, laws, and the bootstrap."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytesmo", reason="the extra `validation` is not installed")

from escape_process.layers import FLAG
from escape_process.validation import Validation, validate
from escape_process.validation.metrics import figures_of, quick_figures


def write(path: Path, header: str, rows: list[Any]) -> Path:
    lines = [header, *(",".join(str(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def made(folder: Path, sites: int = 6, dates: int = 8, seed: int = 0, **options: Any) -> Validation:
    """Validate estimates whose errors are normal with the stated sigma; every fourth is flagged and far off."""
    random = np.random.default_rng(seed)
    estimates, reference = [], []
    for site in range(sites):
        for date in range(dates):
            truth = random.uniform(0.1, 0.4)
            sigma = random.uniform(0.01, 0.05)
            flagged = (site + date) % 4 == 0
            value = float(np.clip(truth + random.normal(0, sigma) + 0.2 * flagged, 0, 1))
            flags = FLAG["poor_fit"].mask if flagged else FLAG["encoding_assumed"].mask
            bounds = (max(value - 1.645 * sigma, 0), min(value + 1.645 * sigma, 1))
            estimates.append((site, f"2024-05-{date + 1:02}T05:00:00Z", value, sigma, *bounds, flags))
            reference.append((site, f"2024-05-{date + 1:02}T06:00:00Z", truth))
    names = "soil_moisture,soil_moisture_uncertainty,soil_moisture_p05,soil_moisture_p95,flags"
    return validate(
        write(folder / "estimates.csv", f"site,datetime,{names}", estimates),
        write(folder / "truth.csv", "site,datetime,soil_moisture", reference),
        **{"bootstrap": 50, **options},
    )


def test_pooled_figures_by_hand(tmp_path: Path) -> None:
    estimates = write(
        tmp_path / "a.csv",
        "site,date,soil_moisture",
        [("p", "2024-01-01", 0.1), ("p", "2024-01-02", 0.2), ("p", "2024-01-03", 0.3), ("p", "2024-01-04", 0.4)],
    )
    reference = write(
        tmp_path / "b.csv",
        "site,date,soil_moisture",
        [("p", "2024-01-01", 0.2), ("p", "2024-01-02", 0.2), ("p", "2024-01-03", 0.4), ("p", "2024-01-04", 0.4)],
    )
    scores = validate(estimates, reference, bootstrap=0).scores["all"]
    expected = {
        "pearson_r": 0.04 / np.sqrt(0.05 * 0.04),
        "spearman_r": 4 / np.sqrt(20),
        "bias": -0.05,
        "rmsd": np.sqrt(0.02 / 4),
        "ubrmsd": 0.05,
        "constant_guess_ubrmsd": 0.1,
    }
    for name, value in expected.items():
        assert scores.pooled.figures[name].value == pytest.approx(value), name
    assert scores.reference_sd.value == pytest.approx(0.1)
    assert scores.temporal.figures["bias"].value == pytest.approx(-0.05)
    assert scores.spatial.figures["bias"].value is None
    assert "no date has 3 samples" in str(scores.spatial.figures["bias"].why)


def test_space_and_time_are_told_apart(tmp_path: Path) -> None:
    """An estimate that gets every date right and the order of sites wrong."""
    cells = [(site, date) for site in range(3) for date in range(3)]
    header = "site,date,soil_moisture"
    estimates = [(site, f"2024-01-{date + 1:02}", 0.3 - 0.1 * site + 0.01 * date) for site, date in cells]
    reference = [(site, f"2024-01-{date + 1:02}", 0.1 + 0.1 * site + 0.01 * date) for site, date in cells]
    scores = validate(
        write(tmp_path / "a.csv", header, estimates), write(tmp_path / "b.csv", header, reference), bootstrap=0
    ).scores["all"]
    assert scores.temporal.groups == scores.spatial.groups == 3
    assert scores.temporal.figures["pearson_r"].value == pytest.approx(1)
    assert scores.temporal.figures["ubrmsd"].value == pytest.approx(0, abs=1e-12)
    assert scores.spatial.figures["pearson_r"].value == pytest.approx(-1)
    assert scores.spatial.figures["constant_guess_ubrmsd"].value == pytest.approx(0.1 * np.sqrt(2 / 3))
    pooled = scores.pooled.figures["pearson_r"].value
    assert pooled is not None
    assert pooled < -0.9


def test_rmsd_is_ubrmsd_and_bias(tmp_path: Path) -> None:
    figures = {name: one.value or 0 for name, one in made(tmp_path).scores["all"].pooled.figures.items()}
    assert figures["rmsd"] ** 2 == pytest.approx(figures["ubrmsd"] ** 2 + figures["bias"] ** 2)


def test_flags_keep_the_good_samples(tmp_path: Path) -> None:
    validation = made(tmp_path, sites=20, dates=20)
    assert validation.kept_share == 0.75
    everything, unflagged = validation.scores["all"], validation.scores["unflagged"]
    assert (everything.n, unflagged.n) == (400, 300)
    assert 0.62 < (unflagged.within_sigma.value or 0) < 0.74
    assert 0.86 < (unflagged.within_p05_p95.value or 0) < 0.94
    assert (everything.within_sigma.value or 1) < 0.55
    assert (unflagged.error_sigma_rank_correlation.value or 0) > 0.2
    assert len(unflagged.bins) == 5
    assert sum(one.n for one in unflagged.bins) == 300
    assert all(0.75 < one.ratio < 1.25 for one in unflagged.bins)
    assert unflagged.within_combined_sigma.value is None


def test_coverage_by_hand(tmp_path: Path) -> None:
    """Errors .01, .02, .03, .04 with sigma .025; the reference's sd of .02 lifts the limit to .032."""
    days = [f"2024-01-{day:02}" for day in (1, 2, 3, 4)]
    header = "site,date,soil_moisture,soil_moisture_uncertainty,soil_moisture_p05,soil_moisture_p95"
    rows = [("p", day, 0.2 + 0.01 * (n + 1), 0.025, 0.19, 0.5) for n, day in enumerate(days)]
    estimates = write(tmp_path / "a.csv", header, rows)
    truth = [("p", day, 0.2 if n else 0.18, 0.02) for n, day in enumerate(days)]
    truth[0] = ("p", days[0], 0.2, 0.02)
    reference = write(tmp_path / "b.csv", "site,date,soil_moisture,soil_moisture_sd", truth)
    validation = validate(estimates, reference, bootstrap=0)
    scores = validation.scores["all"]
    assert scores.within_sigma.value == 0.5
    assert scores.within_combined_sigma.value == 0.75
    assert scores.within_p05_p95.value == 1.0
    assert scores.pooled.figures["pearson_r"].value is None
    assert scores.pooled.figures["pearson_r"].why == "Undefined: the reference is constant."
    assert scores.error_sigma_rank_correlation.value is None
    assert scores.bins == ()
    assert "Fewer than 15" in str(scores.bins_why)
    assert list(validation.scores) == ["all"]
    assert validation.kept_share is None


def test_two_samples_define_nothing(tmp_path: Path) -> None:
    rows = [("p", "2024-01-01", 0.1), ("p", "2024-01-02", 0.2)]
    path = write(tmp_path / "a.csv", "site,date,soil_moisture", rows)
    scores = validate(path, path).scores["all"]
    assert all(one.value is None and "fewer than 3" in str(one.why) for one in scores.pooled.figures.values())


def test_the_bootstrap_repeats_itself_and_covers(tmp_path: Path) -> None:
    first, again, other = made(tmp_path), made(tmp_path), made(tmp_path, bootstrap=51)
    assert first.as_dict() == again.as_dict()
    assert first.as_dict()["scores"] != other.as_dict()["scores"]
    for scores in first.scores.values():
        for grouping in (scores.pooled, scores.temporal, scores.spatial):
            for name, one in grouping.figures.items():
                assert one.low is not None, name
                assert one.high is not None
                assert one.low <= one.high
        bias = scores.pooled.figures["bias"]
        assert bias.low is not None
        assert bias.high is not None
        assert bias.value is not None
        assert bias.low < bias.value < bias.high


def test_whole_sites_are_drawn(tmp_path: Path) -> None:
    """Errors that belong to sites give an interval as wide as the sites' scatter, whatever the number of dates."""
    header = "site,date,soil_moisture"
    offsets = [-0.06, -0.03, 0.0, 0.03, 0.06]
    cells = [(site, date) for site in range(5) for date in range(1, 29)]
    estimates = [(site, f"2024-01-{date:02}", 0.3 + offsets[site] + 0.001 * date) for site, date in cells]
    reference = [(site, f"2024-01-{date:02}", 0.3 + 0.001 * date) for site, date in cells]
    scores = validate(
        write(tmp_path / "a.csv", header, estimates), write(tmp_path / "b.csv", header, reference), bootstrap=300
    ).scores["all"]
    bias = scores.pooled.figures["bias"]
    assert bias.low is not None
    assert bias.high is not None
    spread = 2 * 1.96 * np.std(offsets) / np.sqrt(5)
    assert bias.high - bias.low == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("ties", [False, True])
def test_the_figures_of_a_draw_equal_pytesmos(ties: bool) -> None:
    random = np.random.default_rng(1)
    for size in (3, 10, 200):
        estimate, reference = random.uniform(0, 0.5, (2, size))
        if ties:
            estimate, reference = estimate.round(1), reference.round(1)
            estimate[:2] = (0.0, 0.7)
            reference[:2] = (0.7, 0.0)
        exact = figures_of(estimate, reference)
        quick = quick_figures(estimate, reference)
        assert list(exact) == list(quick)
        for name, value in exact.items():
            assert quick[name] == pytest.approx(value, abs=1e-10), name
