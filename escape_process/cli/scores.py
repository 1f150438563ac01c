"""The command that scores results: validate."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from escape_process.cli.group import JSON, main
from escape_process.errors import InvalidInputError


@main.command()
@click.argument("estimates")
@click.argument("reference", type=click.Path(path_type=Path))
@click.option("--window", type=int, default=1, show_default=True, help="Odd number of pixels averaged around a site.")
@click.option("--hours", type=float, help="Farthest measurement in time.  [default: 6; same day where there are dates]")
@click.option("--depth", nargs=2, type=float, default=(0.0, 0.1), show_default=True, help="Depths of the sensors, m.")
@click.option("--flags", default="both", show_default=True, help="Samples to score: all, unflagged or both.")
@click.option(
    "--ismn-flag",
    "ismn_flags",
    multiple=True,
    default=("G",),
    show_default=True,
    help="Quality flag of ISMN values that count; repeatable.",
)
@click.option("--column", "columns", multiple=True, help="OURS=THEIRS: name of a column of the reference; repeatable.")
@click.option("--bootstrap", type=int, default=1000, show_default=True, help="Draws for the intervals; 0: none.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@click.option(
    "--figure", type=click.Path(path_type=Path, dir_okay=False), help="Also draw scatter and time series, PNG."
)
@JSON
def validate(
    estimates: str, reference: Path, columns: tuple[str, ...], figure: Path | None, as_json: bool, **options: Any
) -> None:
    """Score ESTIMATES (result items, a STAC catalogue or a CSV table) against the in-situ REFERENCE (ISMN or CSV).

    \b
    Examples:
      escape-process validate results stations.csv --figure scores.png
      escape-process validate results/catalog/catalog.json ISMN_archive.zip --window 3 --json
      escape-process validate mine.csv field_days.csv --column site=field_id --column soil_moisture=sm_insitu_m3m3
    """
    from escape_process.validation import validate as score

    pairs = [column.partition("=") for column in columns]
    for ours, _, theirs in pairs:
        if not (ours and theirs):
            raise InvalidInputError(f"Option --column = {ours + theirs!r}: give OURS=THEIRS, such as site=field_id.")
    hours = options.pop("hours")
    names = {ours: theirs for ours, _, theirs in pairs}
    validation = score(estimates, reference, time_window_hours=hours, columns=names, **options)
    if figure is not None:
        validation.draw(figure)
    if as_json:
        click.echo(json.dumps(validation.as_dict(), indent=2, allow_nan=False))
    else:
        validation.print(Console())
