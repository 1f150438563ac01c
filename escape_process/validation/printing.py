"""A validation as tables on a terminal."""

from rich.console import Console
from rich.table import Table

from escape_process.validation.verdict import Grouping, Score, Scores, Validation

_ROWS = {
    "pearson_r": ("R (Pearson)", 2),
    "spearman_r": ("R (Spearman)", 2),
    "ubrmsd": ("ubRMSD, m3 m-3", 3),
    "constant_guess_ubrmsd": ("ubRMSD of a constant guess", 3),
    "rmsd": ("RMSD, m3 m-3", 3),
    "bias": ("bias, m3 m-3", 3),
}
_TITLES = {"all": "All samples", "unflagged": "Unflagged samples"}


def print_validation(validation: Validation, console: Console) -> None:
    """Print accuracy and reliability of each subset, then what was left out."""
    console.print(
        f"{validation.estimates} against {validation.reference} ({validation.options['timing']})", markup=False
    )
    if validation.kept_share is not None:
        console.print(f"The flags keep {validation.kept_share:.0%} of {len(validation.samples)} samples.")
    for subset, scores in validation.scores.items():
        console.print()
        console.print(_accuracy(_TITLES[subset], scores))
        console.print(_reliability(scores))
        if scores.bins:
            console.print(_bins(scores))
    for note in validation.notes:
        console.print(f"note  {note}", highlight=False, markup=False)
    console.print("[dim]In brackets: 95 % interval, from drawing whole sites and whole dates.[/dim]")


def _accuracy(title: str, scores: Scores) -> Table:
    table = Table(
        title=f"{title}: n = {scores.n}, {scores.sites} sites, {scores.dates} dates, reference sd"
        f" {_number(scores.reference_sd, 3)}",
        title_justify="left",
    )
    table.add_column("")
    groupings = {
        "pooled": scores.pooled,
        f"temporal\nmedian of {scores.temporal.groups} sites": scores.temporal,
        f"spatial\nmedian of {scores.spatial.groups} dates": scores.spatial,
    }
    for heading in groupings:
        table.add_column(heading, justify="right")
    for name, (label, digits) in _ROWS.items():
        table.add_row(label, *(_cell(grouping, name, digits) for grouping in groupings.values()))
    return table


def _cell(grouping: Grouping, name: str, digits: int) -> str:
    return _number(grouping.figures[name], digits)


def _reliability(scores: Scores) -> Table:
    table = Table("stated uncertainty", "right", "found")
    table.columns[2].justify = "right"
    table.add_row("|error| <= sigma", "68 %", _percent(scores.within_sigma))
    if scores.within_combined_sigma.value is not None:
        table.add_row("|error| <= sigma with the reference's", "68 %", _percent(scores.within_combined_sigma))
    table.add_row("reference between p05 and p95", "90 %", _percent(scores.within_p05_p95))
    table.add_row("rank correlation of |error| with sigma", "> 0", _number(scores.error_sigma_rank_correlation, 2))
    table.add_row("mean sigma, m3 m-3", "", _number(scores.mean_sigma, 3))
    return table


def _bins(scores: Scores) -> Table:
    table = Table("bin of sigma, m3 m-3", *(f"{one.low:.3f} to {one.high:.3f}" for one in scores.bins))
    table.add_row("RMSE / mean sigma (right: 1)", *(f"{one.ratio:.2f}" for one in scores.bins))
    table.add_row("n", *(str(one.n) for one in scores.bins))
    return table


def _number(score: Score, digits: int) -> str:
    if score.value is None:
        return "-"
    return f"{score.value:.{digits}f}" + (
        "" if score.low is None else f" [{score.low:.{digits}f}, {score.high:.{digits}f}]"
    )


def _percent(score: Score) -> str:
    if score.value is None or score.low is None or score.high is None:
        return "-" if score.value is None else f"{score.value:.0%}"
    return f"{score.value:.0%} [{score.low:.0%}, {score.high:.0%}]"
