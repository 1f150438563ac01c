"""The accuracy benchmark: its yardsticks are right, and it writes its page."""

import dataclasses
import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from accuracy import document, exact, simulated, smapvex12
from accuracy.baselines import oh_inversion
from accuracy.scenes import FREQUENCY, SCENARIOS, STANDARD, simulate
from accuracy.scores import Estimate, bins_of_sigma, figures, of_normal

from escape_process import retrieval
from escape_process.physics import oh2004
from escape_process.physics.radiometry import ks_from_rms_height


@pytest.fixture(scope="module")
def runner():
    """`benchmarks/accuracy.py`, loaded by its path: the package beside it bears the same name."""
    path = Path(document.__file__).parent.parent / "accuracy.py"
    spec = importlib.util.spec_from_file_location("accuracy_runner", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["accuracy_runner"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["accuracy_runner"]


def test_the_exact_posterior_is_calibrated():
    """Truth and data are drawn from the very model it inverts: coverage must be nominal, in every bin."""
    estimates = []
    for scenario in (SCENARIOS[0], SCENARIOS[1]):
        scene = simulate(scenario, 3, 250)
        found = exact.exact_posterior(scene, np.arange(250))
        assert np.median(found.effective) > 300
        estimates.append(Estimate(scene.soil_moisture, found.mean, found.sd, found.p05, found.p95))
    joined = Estimate(
        *(np.concatenate([getattr(each, name) for each in estimates])
          for name in ("truth", "value", "sigma", "p05", "p95"))
    )  # fmt: skip
    scores = figures(joined)
    assert abs(scores["within68"] - 0.68) < 0.05
    assert abs(scores["within90"] - 0.90) < 0.03
    assert scores["ubrmsd"] < 0.85 * scores["sd_truth"]
    sigma, rmse = bins_of_sigma(estimates)
    np.testing.assert_allclose(rmse / sigma, 1, atol=0.25)


def test_the_exact_posterior_agrees_with_brute_force():
    scene = simulate(STANDARD, 0, 20)
    draws = exact._prior_draws(STANDARD, 400_000, np.random.default_rng(1))
    moisture = exact._to_state(draws)[0]
    found = exact.exact_posterior(scene, np.arange(6))
    for pixel in range(6):
        log_weight = exact._log_likelihood(scene, np.array([pixel]), draws[None])[0]
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        mean = weight @ moisture
        sd = np.sqrt(weight @ (moisture - mean) ** 2)
        assert found.mean[pixel] == pytest.approx(mean, abs=0.12 * sd)
        assert found.sd[pixel] == pytest.approx(sd, rel=0.12)


def test_the_published_inversion_inverts_bare_soil():
    moisture, height = np.meshgrid([0.06, 0.12, 0.2, 0.28], [0.008, 0.015, 0.03], indexing="ij")
    angle = np.full(moisture.size, np.radians(35.0))
    power = np.stack(oh2004(moisture.ravel(), ks_from_rms_height(height.ravel(), FREQUENCY), angle))
    np.testing.assert_allclose(oh_inversion(power, angle), moisture.ravel(), rtol=0.01)


def test_figures_of_a_known_case():
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.02, 0.1, 20000)
    truth = rng.normal(0.2, 0.09, 20000)
    found = of_normal(truth, truth + 0.01 + sigma * rng.normal(size=20000), sigma)
    scores = figures(found)
    assert scores["bias"] == pytest.approx(0.01, abs=2e-3)
    assert scores["ubrmsd"] == pytest.approx(np.sqrt((sigma**2).mean()), rel=0.02)
    assert scores["within90"] == pytest.approx(0.89, abs=0.015)
    assert scores["rank"] > 0.3
    mean, rmse = bins_of_sigma([found])
    np.testing.assert_allclose(rmse / np.sqrt(mean**2 + 0.01**2), 1, atol=0.05)


def write_campaign(folder: Path) -> None:
    """Write an invented table in the form of SMAPVEX12's."""
    rng = np.random.default_rng(4)
    lines = ["date,field_id,crop,incidence_deg,frequency_ghz,sm_insitu_m3m3,hh_median_db,hv_median_db,vv_median_db"]
    for place in range(6):
        height = 0.01 + 0.001 * place
        for day in range(7):
            moisture = rng.uniform(0.08, 0.35)
            hh, hv, vv = 10 * np.log10(oh2004(moisture, ks_from_rms_height(height, 1.26e9), np.radians(40.0)))
            crop = ("wheat", "beans")[place % 2]
            lines.append(f"2012-07-{day + 1:02},{place},{crop},40.0,1.26,{moisture:.4f},{hh:.2f},{hv:.2f},{vv:.2f}")
    (folder / "smapvex12_pals_lband").mkdir()
    (folder / "smapvex12_pals_lband" / "field_days.csv").write_text("\n".join(lines) + "\n")


def test_the_page_is_written(runner, tmp_path, monkeypatch):
    @functools.cache
    def calibrated(mode):
        return retrieval.calibrate(**simulate(STANDARD, 9, 256).arguments(), members=3, mode=mode)

    def calibrate(*_, mode="variational", **__):
        return calibrated(mode)

    monkeypatch.setattr(simulated, "calibrate", calibrate)
    monkeypatch.setattr(smapvex12, "calibrate", calibrate)
    write_campaign(tmp_path)
    sizes = dataclasses.replace(runner.QUICK, count=200, exact=60, other_exact=60, map=10)
    results = runner.run(sizes, tmp_path / "docs", workers=1, quick=True, data=tmp_path)
    page = (tmp_path / "docs" / "accuracy.md").read_text()
    for name in (*runner.QUICK_SCENARIOS, simulated.OH, simulated.MAP, simulated.EXACT, simulated.MANY_DATES):
        assert f"| {name}" in page
    assert "development set" in page
    assert "simulated" in page
    for title in ("constant guess", "p05 to p95", "goal", "leave one field out", "best single member"):
        assert title in page
    for line in page.splitlines():
        if line.startswith("![") and "](" in line:
            assert (tmp_path / "docs" / line.split("](")[1].rstrip(")")).stat().st_size > 5000
    tables = [part for part in page.split("\n\n") if part.startswith("| ")]
    assert len(tables) >= 9
    for lines in (part.splitlines() for part in tables):
        assert len({line.count(" | ") for line in lines if not line.startswith("|---")}) == 1
    absent = document.write(dataclasses.replace(results, campaign=None))
    assert "ESCAPE_TEST_DATA" in absent
