"""The figures of the document."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from accuracy.scores import Estimate, Summary, bins_of_sigma

BLUE, ORANGE, GREY, GREEN = "#1f5a8a", "#c8641e", "#888888", "#3d7f4f"
_STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110}
_METADATA = {"Software": None}
"""Leave out the version, so that equal figures are equal files."""


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata=_METADATA)
    plt.close(figure)


def plot_reliability(path: Path, methods: Mapping[str, Sequence[Estimate]]) -> None:
    """RMSE against stated sigma in five bins."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.4, 4.0))
        top = 0.02
        for (name, estimates), colour in zip(methods.items(), (BLUE, ORANGE, GREEN), strict=False):
            sigma, rmse = bins_of_sigma(estimates)
            axes.plot(sigma, rmse, "o-", color=colour, label=name, markersize=5)
            top = max(top, *np.nan_to_num([*sigma, *rmse]))
        line = np.array([0, 1.1 * top])
        axes.fill_between(line, 0.8 * line, 1.25 * line, color=GREY, alpha=0.15, linewidth=0, label="0.8 to 1.25")
        axes.plot(line, line, color=GREY, linewidth=1)
        axes.set(xlim=(0, line[1]), ylim=(0, line[1]), xlabel="stated sigma (m³ m⁻³)", ylabel="RMSE (m³ m⁻³)")
        axes.set_title("Simulated standard scenes, five bins of sigma", fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        _save(figure, path)


def plot_coverage(path: Path, rows: Mapping[str, tuple[Mapping[str, Summary], Mapping[str, Summary]]]) -> None:
    """Coverage of the 68 and 90 % intervals by scenario; `rows` holds all pixels and the unflagged of each."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(6.6, 0.28 * len(rows) + 1.3))
        places = np.arange(len(rows))[::-1]
        for name, colour, nominal in (("within68", BLUE, 0.68), ("within90", ORANGE, 0.90)):
            axes.axvline(nominal, color=colour, linewidth=1, linestyle=":")
            for part, (offset, face) in enumerate(((0.12, colour), (-0.12, "white"))):
                shown = [(place, row[part][name]) for place, row in zip(places, rows.values(), strict=True)
                         if name in row[part]]  # fmt: skip
                means = np.array([summary.mean for _, summary in shown])
                bars = np.abs(np.array([[summary.low, summary.high] for _, summary in shown]).reshape(-1, 2).T - means)
                label = f"{nominal:.0%}, {'unflagged' if part else 'all pixels'}"
                heights = np.array([place for place, _ in shown]) + offset
                axes.errorbar(means, heights, xerr=bars, fmt="o", color=colour, markerfacecolor=face, markersize=4.5,
                              linewidth=1, label=label)  # fmt: skip
        axes.set_yticks(places, list(rows))
        axes.set(xlim=(0.15, 1.0), xlabel="share of truth within the interval")
        axes.set_title("Simulated scenes: coverage of the stated intervals", fontsize=9)
        axes.legend(
            frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.6 / (0.28 * len(rows)))
        )
        _save(figure, path)


def plot_campaign(path: Path, panels: Mapping[str, Estimate]) -> None:
    """Retrieved against measured, with 1-sigma bars, flagged ones apart."""
    with plt.rc_context(_STYLE):
        figure, all_axes = plt.subplots(1, len(panels), figsize=(4.1 * len(panels), 4.0), sharey=True, squeeze=False)
        for axes, (name, estimate) in zip(all_axes[0], panels.items(), strict=True):
            good = estimate.unflagged if estimate.unflagged is not None else np.ones(len(estimate.truth), bool)
            for chosen, colour, label in ((~good, GREY, "flagged"), (good, BLUE, "unflagged")):
                some = estimate.where(chosen)
                axes.errorbar(some.truth, some.value, yerr=some.sigma, fmt="o", color=colour, markersize=3,
                              elinewidth=0.4, alpha=0.7, label=f"{label} ({chosen.sum()})")  # fmt: skip
            axes.plot([0, 0.6], [0, 0.6], color="black", linewidth=0.8)
            axes.set(xlim=(0, 0.6), ylim=(0, 0.6), xlabel="measured soil moisture (m³ m⁻³)")
            axes.set_title(name, fontsize=9)
            axes.legend(frameon=False, fontsize=8, loc="upper left")
        all_axes[0, 0].set_ylabel("retrieved (m³ m⁻³)")
        figure.suptitle("SMAPVEX12 (development set, seen while choosing defaults)", fontsize=9)
        _save(figure, path)
