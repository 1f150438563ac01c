"""A validation as one picture: scatter with error bars, and a time series a site.

Drawn through matplotlib's object API on an Agg canvas: no global state.
"""

from pathlib import Path
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from escape_process.errors import StorageError
from escape_process.validation.verdict import Validation

_MOST_COLOURS = 10
"""Sites that get a colour of their own; with more, colour tells the flags."""
_MOST_SERIES = 6
"""Sites whose time series are drawn: those with the most samples."""
_FLAGGED, _UNFLAGGED = "#9a9a9a", "#1f5fa8"
_GAP_STEPS = 24
"""The line of a dense series breaks where it misses more than this many steps."""
_UNIT = "m³ m⁻³"


def draw_validation(validation: Validation, path: Path) -> None:
    """Draw a validation as a PNG about 1400 pixels wide.

    Raises
    ------
    StorageError
        where the file cannot be written.
    """
    samples = validation.samples
    shown = list(samples.groupby("site").size().sort_values(ascending=False, kind="stable").index[:_MOST_SERIES])
    figure = Figure(figsize=(14, max(6.2, 1.5 * len(shown) + 0.8)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    left, right = halves
    colours = _colours(samples)
    _draw_scatter(left.subplots(), validation, colours)
    panels = np.atleast_1d(right.subplots(len(shown), 1, sharex=True, sharey=True))
    for panel, site in zip(panels, shown, strict=True):
        _draw_series(panel, validation, site, colours.get(site, _UNFLAGGED))
    _label_time(panels[-1], samples["time"])
    right.supylabel(f"soil moisture, {_UNIT}", fontsize=10)
    right.legend(handles=_series_legend(samples), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    try:
        figure.savefig(path, format="png", metadata={"Software": None})
    except OSError as error:
        raise StorageError(
            f"The figure {path.name} cannot be written: {error.strerror or 'unknown reason'}."
        ) from error


def _colours(samples: pd.DataFrame) -> dict[str, Any]:
    """Return a colour a site, or none where there are too many sites."""
    sites = sorted(samples["site"].unique())
    return {} if len(sites) > _MOST_COLOURS else {site: colormaps["tab10"](number) for number, site in enumerate(sites)}


def _draw_scatter(axes: Axes, validation: Validation, colours: dict[str, Any]) -> None:
    samples = validation.samples
    for (site, unflagged), some in samples.groupby(["site", "unflagged"]):
        own = colours.get(site, _UNFLAGGED if unflagged else _FLAGGED)
        axes.errorbar(
            some["reference"],
            some["soil_moisture"],
            xerr=_bars(some["reference_sd"]),
            yerr=_bars(some["sigma"]),
            fmt="o",
            markersize=4.5,
            color=own,
            markerfacecolor=own if unflagged else "white",
            ecolor=to_rgba(own, 0.35 if unflagged else 0.2),
            elinewidth=0.6,
            zorder=3 if unflagged else 2,
        )
    values = np.concatenate([samples["reference"], samples["soil_moisture"]])
    low, high = max(0.0, values.min() - 0.04), values.max() + 0.04
    axes.plot([low, high], [low, high], color="0.3", linewidth=1, zorder=1)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(f"measured soil moisture, {_UNIT}")
    axes.set_ylabel(f"estimated soil moisture, {_UNIT} (bars: 1 sigma)")
    axes.set_title(_summary(validation), fontsize=9, loc="left")
    axes.legend(handles=_scatter_legend(samples, colours), fontsize=8, loc="upper left", framealpha=0.8)
    axes.grid(alpha=0.25)


def _bars(values: pd.Series) -> Any:
    return None if values.isna().all() else values.fillna(0).to_numpy()


def _summary(validation: Validation) -> str:
    lines = []
    for subset, scores in validation.scores.items():
        figures = scores.pooled.figures
        parts = [f"{label} {_told(figures[name].value)}" for name, label in _SUMMARY.items()]
        lines.append(f"{subset}: n {scores.n}, " + ", ".join(parts))
    return "\n".join(lines)


_SUMMARY = {"pearson_r": "R", "ubrmsd": "ubRMSD", "bias": "bias"}


def _told(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _scatter_legend(samples: pd.DataFrame, colours: dict[str, Any]) -> list[Line2D]:
    if colours:
        handles = [_dot(colour, site) for site, colour in colours.items()]
        return handles if samples["unflagged"].all() else [*handles, _dot("0.4", "flagged", hollow=True)]
    handles = [_dot(_UNFLAGGED, "unflagged")] if samples["unflagged"].any() else []
    return handles if samples["unflagged"].all() else [*handles, _dot(_FLAGGED, "flagged", hollow=True)]


def _dot(colour: Any, label: str, hollow: bool = False) -> Line2D:
    fill = "white" if hollow else colour
    return Line2D([], [], linestyle="", marker="o", markersize=5, color=colour, markerfacecolor=fill, label=label)


def _draw_series(axes: Axes, validation: Validation, site: str, colour: Any) -> None:
    series = validation.series[validation.series["site"] == site]
    for _, sensor in series.groupby("sensor"):
        times = sensor.sort_values("time")
        dense = len(times) > 2 * (validation.samples["site"] == site).sum()
        step = times["time"].diff()
        line = times["soil_moisture"].mask(dense & (step > _GAP_STEPS * step.median()))
        axes.plot(times["time"], line, color="0.35", linewidth=0.9, marker="" if dense else ".")
    here = validation.samples[validation.samples["site"] == site]
    for unflagged, some in here.groupby("unflagged"):
        axes.vlines(some["time"], some["p05"], some["p95"], color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(
            some["time"],
            some["soil_moisture"],
            linestyle="",
            marker="o",
            markersize=4.5,
            color=colour,
            markerfacecolor=colour if unflagged else "white",
        )
    axes.set_title(site, fontsize=8, loc="left", pad=2)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _series_legend(samples: pd.DataFrame) -> list[Any]:
    handles = [
        Line2D([], [], color="0.35", linewidth=0.9, label="measured"),
        Line2D([], [], color="0.2", marker="o", linewidth=1.2, label="estimated, p05 to p95"),
    ]
    return handles if samples["unflagged"].all() else [*handles, _dot("0.2", "flagged", hollow=True)]


def _label_time(axes: Axes, times: pd.Series) -> None:
    margin = max(pd.Timedelta(days=1), 0.03 * (times.max() - times.min()))
    axes.set_xlim(times.min() - margin, times.max() + margin)
    dates: Any = mdates
    locator = dates.AutoDateLocator(minticks=3)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
