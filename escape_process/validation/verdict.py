"""What a validation says: frozen records, JSON-ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

__all__ = ["Bin", "Grouping", "Score", "Scores", "Validation"]


@dataclass(frozen=True)
class Score:
    """One figure with its 95 % interval."""

    value: float | None
    """None: undefined, and `why` says why."""
    low: float | None = None
    high: float | None = None
    """Interval from the bootstrap; None where there is none."""
    why: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the figure JSON-ready."""
        figure: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high}
        return figure if self.why is None else {**figure, "why": self.why}


@dataclass(frozen=True)
class Grouping:
    """The comparison figures of one way to group the samples."""

    groups: int
    """Sites, dates, or 1 where pooled, that the figures are medians over."""
    figures: Mapping[str, Score]
    """pearson_r, spearman_r, ubrmsd, rmsd, bias, and constant_guess_ubrmsd: what one value everywhere would score, the
    reference's own sd."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures JSON-ready."""
        return {"groups": self.groups, **{name: one.as_dict() for name, one in self.figures.items()}}


@dataclass(frozen=True)
class Bin:
    """Samples of similar stated uncertainty."""

    low: float
    high: float
    """Range of the stated 1-sigma uncertainty, m3 m-3."""
    n: int
    mean_sigma: float
    rmse: float
    ratio: float
    """rmse over mean sigma: 1 where the uncertainty is right, above 1 where it is too small."""

    def as_dict(self) -> dict[str, Any]:
        """Return the bin JSON-ready."""
        return dict(vars(self))


@dataclass(frozen=True)
class Scores:
    """What one subset of the samples gives."""

    n: int
    sites: int
    dates: int
    """Distinct UTC days."""
    reference_mean: Score
    reference_sd: Score
    """m3 m-3, ddof 0."""
    pooled: Grouping
    """Over all samples alike."""
    spatial: Grouping
    """Between sites: median over the dates."""
    temporal: Grouping
    """Within a site: median over the sites."""
    within_sigma: Score
    """Share of samples with |error| <= sigma; 0.683 is right for a normal distribution."""
    within_combined_sigma: Score
    """The same with the reference's own standard uncertainty added in quadrature."""
    within_p05_p95: Score
    """Share of samples with the reference between the quantiles; 0.90 is right."""
    mean_sigma: Score
    error_sigma_rank_correlation: Score
    """Spearman correlation of |error| with sigma: above 0 where the stated uncertainty tells errors apart."""
    bins: tuple[Bin, ...]
    """Five with equal numbers of samples, by stated uncertainty."""
    bins_why: str | None
    """Why there are none."""

    def as_dict(self) -> dict[str, Any]:
        """Return the scores JSON-ready."""
        plain: dict[str, Any] = {"n": self.n, "sites": self.sites, "dates": self.dates}
        plain |= {name: one.as_dict() for name, one in vars(self).items() if isinstance(one, Score | Grouping)}
        plain["bins"] = [one.as_dict() for one in self.bins]
        return plain if self.bins_why is None else {**plain, "bins_why": self.bins_why}


@dataclass(frozen=True, eq=False)
class Validation:
    """Scores of one set of estimates against one reference."""

    estimates: str
    reference: str
    """Names of the two files or folders."""
    options: Mapping[str, Any]
    """Window, timing, depths and flags of the reference, bootstrap."""
    scores: Mapping[str, Scores]
    """By subset: "all" and, where there are flags, "unflagged"."""
    kept_share: float | None
    """Share of the samples that the flags keep; None where there are no flags."""
    samples: pd.DataFrame
    """One row a pair: site, time, soil_moisture, sigma, p05, p95, flags, unflagged, reference, reference_sd."""
    series: pd.DataFrame
    """Measurements at these sites around these times: site, sensor, time, soil_moisture."""
    notes: tuple[str, ...] = ()
    """What was left out or assumed, one sentence each."""

    def as_dict(self) -> dict[str, Any]:
        """Return all figures and notes JSON-ready, without NaN."""
        counts = self.samples.groupby("site").size()
        return {
            "estimates": self.estimates,
            "reference": self.reference,
            "options": dict(self.options),
            "kept_share": self.kept_share,
            "scores": {name: one.as_dict() for name, one in self.scores.items()},
            "samples_by_site": {str(site): int(count) for site, count in counts.items()},
            "notes": list(self.notes),
        }

    def print(self, console: Console) -> None:
        """Print the figures as tables."""
        from escape_process.validation.printing import print_validation  # noqa: PLC0415 (it knows this class)

        print_validation(self, console)

    def draw(self, path: Path) -> None:
        """Draw scatter and time series as a PNG.

        Raises
        ------
        StorageError
            where the file cannot be written.
        """
        from escape_process.validation.figure import draw_validation  # noqa: PLC0415 (matplotlib is slow to import)

        draw_validation(self, path)
