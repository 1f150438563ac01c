"""Scores of the pairs of one subset: accuracy, and whether the stated uncertainty is right.

Intervals come from a bootstrap over two crossed factors: whole sites and whole dates are drawn with replacement, and a
pair counts as often as its site times its date (Owen 2007, doi:10.1214/07-AOAS122). Drawing single samples would treat
neighbours in space and time as independent and give intervals that are far too narrow.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from escape_process.validation.metrics import FEWEST, FIGURES, Values, figures_of, quick_figures, undefined
from escape_process.validation.verdict import Bin, Grouping, Score, Scores

LEVEL = 95.0
"""Of the intervals, percent."""
BINS = 5
FEWEST_CLUSTERS = 3
"""Sites or dates below which drawing among them says nothing."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The columns of a subset as arrays."""

    estimate: Values
    reference: Values
    sigma: Values
    reference_sd: Values
    p05: Values
    p95: Values
    site: Indices
    """Number of the site."""
    date: Indices
    """Number of the UTC day."""

    @classmethod
    def of(cls, table: pd.DataFrame) -> "_Pairs":
        columns = {name: table[column].to_numpy(dtype=np.float64) for name, column in _COLUMNS.items()}
        site, date = (pd.factorize(values)[0].astype(np.int64) for values in (table["site"], table["time"].dt.date))
        return cls(**columns, site=site, date=date)

    @property
    def sites(self) -> int:
        return int(self.site.max(initial=-1)) + 1

    @property
    def dates(self) -> int:
        return int(self.date.max(initial=-1)) + 1


_COLUMNS = {
    "estimate": "soil_moisture",
    "reference": "reference",
    "sigma": "sigma",
    "reference_sd": "reference_sd",
    "p05": "p05",
    "p95": "p95",
}


def score(table: pd.DataFrame, bootstrap: int, seed: int) -> Scores:
    """Score pairs.

    Parameters
    ----------
    table
        site, time, soil_moisture, sigma, p05, p95, reference, reference_sd; m3 m-3, NaN where unknown.
    bootstrap
        Draws; 0: no intervals.
    seed
        The same seed gives the same intervals.
    """
    pairs = _Pairs.of(table)
    draws = _Draws.of(pairs, bootstrap, seed)
    pooled = _pooled(pairs, draws)
    bins, bins_why = _bins(pairs)
    return Scores(
        n=len(table),
        sites=pairs.sites,
        dates=pairs.dates,
        reference_mean=_statistic(pairs.reference, np.mean, draws),
        reference_sd=_statistic(pairs.reference, np.std, draws),
        pooled=pooled,
        spatial=_grouped(pairs, pairs.date, draws, by_site=False),
        temporal=_grouped(pairs, pairs.site, draws, by_site=True),
        within_sigma=_coverage(_error(pairs), pairs.sigma, draws),
        within_combined_sigma=_coverage(_error(pairs), np.hypot(pairs.sigma, pairs.reference_sd), draws),
        within_p05_p95=_share_between(pairs, draws),
        mean_sigma=_statistic(pairs.sigma, np.mean, draws),
        error_sigma_rank_correlation=_rank_correlation(pairs, draws),
        bins=bins,
        bins_why=bins_why,
    )


def _error(pairs: _Pairs) -> Values:
    size: Values = np.abs(pairs.estimate - pairs.reference)
    return size


@dataclass(frozen=True, eq=False)
class _Draws:
    """How often each site and each date is drawn, one row a draw."""

    site_counts: Indices
    date_counts: Indices
    pairs: _Pairs
    why: str | None
    """Why no interval can be given."""

    @classmethod
    def of(cls, pairs: _Pairs, draws: int, seed: int) -> "_Draws":
        random = np.random.default_rng(seed)
        why = None
        if draws == 0:
            why = "No interval: the bootstrap is switched off."
        elif max(pairs.sites, pairs.dates) < FEWEST_CLUSTERS:
            why = f"No interval: fewer than {FEWEST_CLUSTERS} sites and fewer than {FEWEST_CLUSTERS} dates."
        counts = [
            random.multinomial(one, np.full(one, 1 / one), size=draws if why is None else 0)
            for one in (max(pairs.sites, 1), max(pairs.dates, 1))
        ]
        return cls(counts[0], counts[1], pairs, why)

    def indices(self) -> Iterator[Indices]:
        """Yield the indices of the pairs of each draw."""
        number = np.arange(len(self.pairs.estimate))
        for sites, dates in zip(self.site_counts, self.date_counts, strict=True):
            yield np.repeat(number, sites[self.pairs.site] * dates[self.pairs.date])

    def score(self, value: float, drawn: Values, why: str | None = None) -> Score:
        """Return a figure with the interval of its draws."""
        if self.why is not None:
            return Score(value, why=why or self.why)
        defined = drawn[np.isfinite(drawn)]
        if len(defined) < len(drawn) / 2:
            return Score(value, why="No interval: undefined in most draws of the bootstrap.")
        low, high = np.percentile(defined, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
        return Score(value, float(low), float(high))


def _pooled(pairs: _Pairs, draws: _Draws) -> Grouping:
    drawn = [quick_figures(pairs.estimate[one], pairs.reference[one]) for one in draws.indices()]
    figures = {}
    for name, value in figures_of(pairs.estimate, pairs.reference).items():
        if value is None:
            figures[name] = Score(None, why=undefined(name, pairs.estimate, pairs.reference))
        else:
            figures[name] = draws.score(value, np.array([one[name] for one in drawn]))
    return Grouping(1, MappingProxyType(figures))


def _grouped(pairs: _Pairs, group: Indices, draws: _Draws, *, by_site: bool) -> Grouping:
    """Return medians over the groups that have enough samples; the others are drawn within each group."""
    members = [np.flatnonzero(group == one) for one in range(int(group.max(initial=-1)) + 1)]
    members = [one for one in members if len(one) >= FEWEST]
    kind, across = ("site", "dates") if by_site else ("date", "sites")
    if not members:
        why = f"Undefined: no {kind} has {FEWEST} samples, one for each of {FEWEST} {across}."
        return Grouping(0, MappingProxyType(dict.fromkeys(FIGURES, Score(None, why=why))))
    each = [figures_of(pairs.estimate[one], pairs.reference[one]) for one in members]
    medians = _drawn_medians(pairs, members, draws, by_site=by_site)
    figures = {}
    for name in FIGURES:
        values = [value for one in each if (value := one[name]) is not None]
        if not values:
            why = f"Undefined: estimate or reference is constant at every {kind}."
            figures[name] = Score(None, why=why)
        else:
            figures[name] = draws.score(float(np.median(values)), medians[name])
    return Grouping(len(members), MappingProxyType(figures))


def _drawn_medians(pairs: _Pairs, members: list[Indices], draws: _Draws, *, by_site: bool) -> Mapping[str, Values]:
    """Return each figure's median over the groups in every draw, NaN where undefined."""
    group = pairs.site if by_site else pairs.date
    inner = pairs.date if by_site else pairs.site
    group_counts, inner_counts = draws.site_counts, draws.date_counts
    if not by_site:
        group_counts, inner_counts = inner_counts, group_counts
    medians = {name: np.full(len(group_counts), np.nan) for name in FIGURES}
    for draw, (counts, within) in enumerate(zip(group_counts, inner_counts, strict=True)):
        rows = []
        for one in members:
            times = int(counts[group[one[0]]])
            if times and np.count_nonzero(within[inner[one]]) >= FEWEST:
                drawn = np.repeat(one, within[inner[one]])
                rows += [list(quick_figures(pairs.estimate[drawn], pairs.reference[drawn]).values())] * times
        columns = np.array(rows).reshape(-1, len(FIGURES))
        for name, column in zip(FIGURES, columns.T, strict=True):
            defined = column[np.isfinite(column)]
            if defined.size:
                medians[name][draw] = np.median(defined)
    return medians


def _statistic(values: Values, statistic: Callable[[Values], float], draws: _Draws) -> Score:
    """Return a statistic of one column over the samples that have it."""
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return Score(None, why=f"Undefined: fewer than {FEWEST} samples have it.")
    drawn = np.full(len(draws.site_counts), np.nan)
    for draw, one in enumerate(draws.indices()):
        chosen = values[one[known[one]]]
        if chosen.size:
            drawn[draw] = statistic(chosen)
    return draws.score(float(statistic(values[known])), drawn)


def _coverage(error: Values, sigma: Values, draws: _Draws) -> Score:
    return _statistic(np.where(np.isfinite(sigma), error <= sigma, np.nan), np.mean, draws)


def _share_between(pairs: _Pairs, draws: _Draws) -> Score:
    known = np.isfinite(pairs.p05) & np.isfinite(pairs.p95)
    inside = (pairs.p05 <= pairs.reference) & (pairs.reference <= pairs.p95)
    return _statistic(np.where(known, inside, np.nan), np.mean, draws)


def _rank_correlation(pairs: _Pairs, draws: _Draws) -> Score:
    error, known = _error(pairs), np.isfinite(pairs.sigma)
    why = undefined("spearman_r", error[known], pairs.sigma[known])
    if why is not None:
        return Score(None, why="Undefined: the error or the uncertainty is constant, or has fewer than 3 samples.")
    drawn = []
    for one in draws.indices():
        chosen = one[known[one]]
        drawn.append(quick_figures(error[chosen], pairs.sigma[chosen])["spearman_r"])
    return draws.score(float(FIGURES["spearman_r"](error[known], pairs.sigma[known])), np.array(drawn))


def _bins(pairs: _Pairs) -> tuple[tuple[Bin, ...], str | None]:
    """Return five bins of stated sigma with equal numbers of samples."""
    known = np.flatnonzero(np.isfinite(pairs.sigma))
    if len(known) < BINS * FEWEST:
        return (), f"Fewer than {BINS * FEWEST} samples state an uncertainty."
    if len(np.unique(pairs.sigma[known])) < BINS:
        return (), f"The stated uncertainty takes fewer than {BINS} values."
    bins = []
    for chosen in np.array_split(known[np.argsort(pairs.sigma[known], kind="stable")], BINS):
        sigma = pairs.sigma[chosen]
        rmse = float(FIGURES["rmsd"](pairs.estimate[chosen], pairs.reference[chosen]))
        mean = float(sigma.mean())
        if mean == 0:
            return (), "A fifth of the samples state an uncertainty of zero."
        bins.append(Bin(float(sigma.min()), float(sigma.max()), len(chosen), mean, rmse, rmse / mean))
    return tuple(bins), None
