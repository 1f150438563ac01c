"""SMAPVEX12: airborne L-band field means with measured soil moisture. The development set, not an independent test."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from accuracy.baselines import fit_regression, regression_features
from accuracy.scores import Estimate, figures, of_normal, of_result
from accuracy.simulated import prior_sd, temporal_correlation
from escape_process.retrieval import calibrate, calibration, dates, priors, retrieve
from escape_process.retrieval.decoder import SOIL_MOISTURE_BOUNDS

Array = NDArray[np.float64]

ROOT = Path(__file__).parent.parent.parent
FILE = Path("smapvex12_pals_lband") / "field_days.csv"
DEFAULT = "default"


@dataclass(frozen=True, eq=False)
class Campaign:
    """Field-days; (N,) unless stated."""

    field: NDArray[np.int64]
    date: NDArray[np.datetime64]
    crop: NDArray[np.str_]
    angle: Array
    power_db: Array
    """(3, N), median over the field, HH, HV, VV."""
    soil_moisture: Array
    frequency: float


def find_campaign(folder: Path | None = None) -> Path | None:
    """Return the table's path, or None where there is none."""
    folder = folder or Path(os.environ.get("ESCAPE_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder / FILE if (folder / FILE).is_file() else None


def load_campaign(path: Path) -> Campaign:
    """Read the table."""
    rows = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
    return Campaign(
        field=rows["field_id"].astype(np.int64),
        date=rows["date"].astype("datetime64[D]"),
        crop=rows["crop"],
        angle=np.radians(rows["incidence_deg"].astype(float)),
        power_db=np.stack([rows[f"{name}_median_db"].astype(float) for name in ("hh", "hv", "vv")]),
        soil_moisture=rows["sm_insitu_m3m3"].astype(float),
        frequency=1e9 * float(rows["frequency_ghz"][0]),
    )


@dataclass(frozen=True)
class Choice:
    """A default that was fixed with this set in view, and what else it could have been."""

    name: str
    value: str
    alternatives: tuple[str, ...]


CHOICES = (
    Choice("decoder's own error", "co-polarized {0:.2g} dB, HV {1:.2g} dB", ("error x 0.6", "error x 1.6")),
    Choice("samples that the evidence counts, per root of their number", "{6:.2g}", ("counted x 0.4", "counted x 3")),
    Choice(
        "prior spread of a scene's levels of soil moisture (logit), log roughness and log vegetation",
        "{7:.2g}, {8:.2g}, {9:.2g}",
        ("levels x 0.6", "levels x 1.6"),
    ),
    Choice("prior spread of soil moisture in a scene (logit)", "{2:.2g}", ("spread x 0.75", "spread x 1.33")),
    Choice("prior median of rms height", "{3:.2g} cm", ("height x 0.7", "height x 1.4")),
    Choice(
        "random walks of log roughness and log vegetation, per 14 days",
        "{4:.2g}, {5:.2g}",
        ("walks x 0.5", "walks x 2"),
    ),
)
LEVELS = ("moisture_centre", "roughness_centre", "vegetation_centre")
SETTINGS = (DEFAULT, *(alternative for choice in CHOICES for alternative in choice.alternatives))


def defaults() -> tuple[float, ...]:
    """The chosen values, in the order that the texts of `CHOICES` count them."""
    centre = priors.Parameters.of_flat(priors.CENTRE[None])
    error = centre.log_error_db[0].exp()
    width, height = float(centre.log_moisture_width.exp()), 100 * float(centre.roughness_centre.exp())
    spread = priors.Parameters.of_flat(priors.WIDTH[None])
    levels = (float(getattr(spread, name)) for name in LEVELS)
    walks = dates.ROUGHNESS_WALK, dates.VEGETATION_WALK
    return float(error[0]), float(error[1]), width, height, *walks, calibration.EFFECTIVE_SAMPLES_FACTOR, *levels


@contextmanager
def changed(setting: str) -> Iterator[None]:
    """Change one default of the retrieval inside the block."""
    if setting == DEFAULT:
        yield
        return
    name, factor = setting.split(" x ")
    shift = float(np.log(float(factor)))
    centre = priors.Parameters.of_flat(priors.CENTRE[None])
    with ExitStack() as stack:
        if name == "walks":
            for walk in ("ROUGHNESS_WALK", "VEGETATION_WALK"):
                stack.enter_context(patch.object(dates, walk, float(factor) * getattr(dates, walk)))
        elif name == "counted":
            counted = float(factor) * calibration.EFFECTIVE_SAMPLES_FACTOR
            stack.enter_context(patch.object(calibration, "EFFECTIVE_SAMPLES_FACTOR", counted))
        elif name == "levels":
            spread = priors.Parameters.of_flat(priors.WIDTH[None])
            wider = replace(spread, **{each: float(factor) * getattr(spread, each) for each in LEVELS}).flat()[0]
            for module in (priors, calibration):
                stack.enter_context(patch.object(module, "WIDTH", wider))
        else:
            part = {"error": "log_error_db", "spread": "log_moisture_width", "height": "roughness_centre"}[name]
            moved = replace(centre, **{part: getattr(centre, part) + torch.tensor(shift)})
            stack.enter_context(patch.object(priors, "CENTRE", moved.flat()[0]))
        yield


@dataclass(frozen=True, eq=False)
class Run:
    """The retrieval's estimates of all field-days."""

    single: Estimate
    many: Estimate
    seconds: float


def run_campaign(campaign: Campaign, setting: str = DEFAULT, seed: int = 0, members: int = 10) -> Run:
    """Retrieve with the defaults, one of them changed: one date at a time, and with the dates of a field coupled."""
    started = time.monotonic()
    hh, hv, vv = 10 ** (campaign.power_db / 10)
    arguments = {"hh": hh, "hv": hv, "vv": vv, "incidence_angle": campaign.angle, "frequency": campaign.frequency}
    with changed(setting):
        ensemble = calibrate(**arguments, members=members, seed=seed)
        single = retrieve(**arguments, ensemble=ensemble)
        many = retrieve(**arguments, ensemble=ensemble, place=campaign.field, time=campaign.date)
    sd, truth = prior_sd(ensemble), campaign.soil_moisture
    return Run(of_result(single, truth, sd), of_result(many, truth, sd), time.monotonic() - started)


def regression(campaign: Campaign, group: NDArray[np.generic]) -> Estimate:
    """The conventional approach: trained on the in-situ values of all groups but one, applied to that one."""
    features = regression_features(campaign.power_db, campaign.angle)
    value, sigma = np.empty_like(campaign.soil_moisture), np.empty_like(campaign.soil_moisture)
    for each in np.unique(group):
        left = group == each
        predict, error = fit_regression(features[~left], campaign.soil_moisture[~left])
        value[left], sigma[left] = np.clip(predict(features[left]), *SOIL_MOISTURE_BOUNDS), error
    return of_normal(campaign.soil_moisture, value, sigma)


def blank_flagged(estimate: Estimate) -> Estimate:
    """Give no value where a flag is set, keeping the rows."""
    if estimate.unflagged is None:
        return estimate
    return replace(estimate, value=np.where(estimate.unflagged, estimate.value, np.nan))


def interval_over_fields(
    estimate: Estimate, field: NDArray[np.int64], draws: int = 500
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over whole fields of the pooled figures and of the median temporal correlation."""
    rng = np.random.default_rng(12)
    names = np.unique(field)
    rows_of = {name: np.flatnonzero(field == name) for name in names}
    _, within = temporal_correlation(estimate, field)
    found: dict[str, list[float]] = {name: [] for name in ("r", "ubrmsd", "bias", "within68", "within90", "temporal")}
    for _ in range(draws):
        rows = np.concatenate([rows_of[name] for name in rng.choice(names, names.size)])
        scores = figures(estimate.where(rows))
        for name, values in found.items():
            if name != "temporal":
                values.append(scores.get(name, np.nan))
        if within.size:
            found["temporal"].append(float(np.median(rng.choice(within, within.size))))
    return {
        name: tuple(np.nanquantile(values, [0.025, 0.975])) if np.isfinite(values).any() else (np.nan, np.nan)
        for name, values in found.items()
    }


CRITERIA = ("temporal", "ubrmsd", "within90")
"""Median temporal correlation (all field-days), and of the unflagged ubRMSD and 90 % coverage."""


def criteria(estimate: Estimate, field: NDArray[np.int64]) -> Array:
    """Return the figures of `CRITERIA`."""
    unflagged = figures(estimate.usable())
    median, _ = temporal_correlation(estimate, field)
    return np.array([median, unflagged.get("ubrmsd", np.nan), unflagged.get("within90", np.nan)])


@dataclass(frozen=True)
class HeldOut:
    """A choice made on half of the fields, scored on the other half; means over random halvings."""

    choice: Choice
    chosen: tuple[float, float, float]
    """Scores on the other half of what was chosen on the first, in the order of `CRITERIA`."""
    default: tuple[float, float, float]
    """Scores of the default on the same halves."""
    default_share: float
    """Share of halvings in which the default was chosen."""


def hold_out(campaign: Campaign, runs: dict[str, Run], choice: Choice, halvings: int = 100) -> HeldOut:
    """Choose by the median temporal correlation on half of the fields; score on the others."""
    rng = np.random.default_rng(24)
    names = np.unique(campaign.field)
    options = [DEFAULT, *choice.alternatives]
    chosen, default, picks = [], [], 0
    for _ in range(halvings):
        half = np.isin(campaign.field, rng.permutation(names)[: names.size // 2])
        scores = [criteria(runs[name].many.where(half), campaign.field[half])[0] for name in options]
        best = int(np.nanargmax(scores))
        picks += best == 0
        for values, option in ((chosen, options[best]), (default, DEFAULT)):
            values.append(criteria(runs[option].many.where(~half), campaign.field[~half]))
    return HeldOut(choice, _means(chosen), _means(default), picks / halvings)


def _means(scores: list[Array]) -> tuple[float, float, float]:
    columns = [column[np.isfinite(column)] for column in np.array(scores).T]
    first, second, third = (float(column.mean()) if column.size else np.nan for column in columns)
    return first, second, third
