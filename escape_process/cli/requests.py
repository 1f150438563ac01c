"""Commands that answer a request and publish its results: run, publish."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from escape_process.cli.group import CONFIG, JSON, main, shown_progress
from escape_process.errors import InvalidInputError
from escape_process.request import RetrievalRequest

if TYPE_CHECKING:
    from escape_process.pipeline import Outcome


def _json_value(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Read an option that takes JSON, or @FILE."""
    if value is None:
        return None
    try:
        text = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"Option --{parameter.name} = {value!r}: not readable as JSON.") from error


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> list[float] | None:
    if value is None:
        return None
    try:
        return [float(part) for part in value.replace(",", " ").split()]
    except ValueError as error:
        raise InvalidInputError(f"Option --{parameter.name} = {value!r}: not a list of numbers.") from error


@main.command()
@CONFIG
@click.option("--catalog", help="A configured name, an http(s) or s3 URL, or a static catalogue: its file or folder.")
@click.option("--bbox", callback=_numbers, help="west,south,east,north in degrees; west > east crosses 180 degrees.")
@click.option("--geometry", callback=_json_value, help="GeoJSON polygon, or @FILE.")
@click.option("--ids", multiple=True, help="Item id of a scene to use; repeatable.")
@click.option("--datetime", help="RFC 3339 instant or interval, '..' for an open end.")
@click.option("--collections", multiple=True, help="Collection to search in; repeatable.")
@click.option("--filter", callback=_json_value, help="CQL2-JSON, or @FILE.")
@click.option("--max-scenes", type=int, help="Most scenes to use.")
@click.option("--resolution", type=float, help="Pixel of the result, m.")
@click.option("--crs", help="EPSG code of the result.")
@click.option("--mode", help="variational or deterministic.")
@click.option("--members", type=int, help="Size of the ensemble.")
@click.option("--seed", type=int, help="Start of the random numbers.")
@click.option("--radiometry", help="sigma0, gamma0 or beta0, for scenes whose metadata is silent.")
@click.option("--incidence-angle-deg", type=float, help="Degrees, for scenes that come without an angle.")
@click.option("--looks", type=float, help="Looks of a pixel, for scenes that do not state them.")
@click.option("--frequency", type=float, help="Hz, for scenes that do not state it.")
@click.option("--zones", callback=_json_value, help="GeoJSON FeatureCollection of polygons, or @FILE.")
@click.option(
    "--table", type=click.Path(path_type=Path, dir_okay=False), help="Write the zones' values: .csv, .geojson."
)
@click.option("--publish/--no-publish", default=None, help="List the results in the catalogue.")
@click.option("--reuse/--no-reuse", default=None, help="Answer from the catalogue where possible.")
@click.option("--dry-run", is_flag=True, default=None, help="Only list the scenes that would be used or refused.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Data folder, instead of the configured.")
@click.option(
    "--stac-out",
    type=click.Path(path_type=Path),
    help="Write the results, too, to this new folder: a STAC catalogue that holds all it links to.",
)
@JSON
def run(
    config: Path,
    out: Path | None,
    as_json: bool,
    catalog: str | None,
    table: Path | None,
    stac_out: Path | None,
    **inputs: Any,
) -> None:
    """Answer one request without a server.

    \b
    Examples:
      escape-process run --bbox -5.48,41.23,-5.40,41.29 --datetime 2024-05-01/2024-05-31
      escape-process run --catalog my/collection.json --ids my-scene --out results
      escape-process run --catalog staged-in --bbox -5.48,41.23,-5.40,41.29 --stac-out results
      escape-process run --bbox -5.48,41.23,-5.40,41.29 --dry-run --json
      escape-process run --bbox -5.48,41.23,-5.40,41.29 --zones @fields.geojson --table fields.csv
    """
    from escape_process import pipeline
    from escape_process.catalogue.directory import check_vacant, write_directory
    from escape_process.objects import is_object
    from escape_process.process import load_config
    from escape_process.zones import write_table

    _, settings = load_config(config)
    if out is not None:
        settings = settings.model_copy(update={"data_dir": out.resolve()})
    if catalog is not None and "://" in catalog and not is_object(catalog):
        settings = settings.allowing(catalog)  # whoever types the command is the operator
    elif catalog is not None and catalog not in settings.catalogs:
        place = catalog if is_object(catalog) else str(_static_catalogue(Path(catalog)))
        settings = settings.model_copy(update={"catalogs": {**settings.catalogs, catalog: place}})
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
    request = RetrievalRequest.from_inputs(
        {name: value for name, value in {**asked, "catalog": catalog}.items() if value not in (None, [])}
    )
    if table is not None and request.zones is None:
        raise InvalidInputError(f"Option --table = {str(table)!r}: it needs --zones.")
    if stac_out is not None:
        if settings.object_storage is not None:
            raise InvalidInputError(
                f"Option --stac-out = {str(stac_out)!r}: the settings send results to object storage."
            )
        check_vacant(stac_out)
    with shown_progress(quiet=as_json) as progress:
        outcome = pipeline.run(request, settings, progress)
    if stac_out is not None and not request.dry_run:
        files = settings.results_dir if request.publish else settings.unpublished_dir
        write_directory(outcome.items["features"], files, stac_out, settings)
    if table is not None and request.zones is not None:
        rows = [row for stack in outcome.report["stacks"] for row in stack["zones"]]
        write_table(rows, request.zones, table)
    if as_json:
        click.echo(json.dumps({"items": outcome.items, "report": outcome.report}, indent=2, allow_nan=False))
    else:
        _print_outcome(outcome)


def _static_catalogue(path: Path) -> Path:
    """Return the file that a static catalogue begins with, given that or its folder."""
    names = ("catalog.json", "collection.json") if path.is_dir() else ()
    return next((path / name for name in names if (path / name).is_file()), path).resolve()


def _print_outcome(outcome: "Outcome") -> None:
    for scene in outcome.report["scenes"]:
        click.echo(f"used     {scene['id']}")
        for warning in scene["warnings"]:
            click.echo(f"         {warning}")
    for refused in outcome.report["refused"]:
        click.echo(f"refused  {refused['id']}: {refused['reason']}")
    for note in outcome.report["notes"]:
        click.echo(f"note     {note}")
    for warning in outcome.report.get("warnings", []):
        click.echo(f"warning  {warning}")
    for item in outcome.items["features"]:
        click.echo(f"result   {item['id']}")
        links = {link["rel"]: link["href"] for link in item["links"]}
        click.echo(f"         {links.get('self', item['assets']['soil_moisture']['href'])}")


@main.command()
@CONFIG
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Data folder of the results.")
@JSON
def publish(config: Path, data_dir: Path | None, as_json: bool) -> None:
    """Publish finished results that the STAC API of the settings could not take before; repeat it at will.

    Exits with 1 while a result still waits.

    \b
    Examples:
      escape-process publish
      escape-process publish --json
    """
    from escape_process.process import load_config
    from escape_process.publishing import publish_waiting

    _, settings = load_config(config)
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir.resolve()})
    deliveries = publish_waiting(settings)
    done = [one.id for one in deliveries if one.reason is None]
    waiting = [{"id": one.id, "reason": one.reason} for one in deliveries if one.reason is not None]
    if as_json:
        click.echo(json.dumps({"published": done, "waiting": waiting}, indent=2))
    else:
        for name in done:
            click.echo(f"published  {name}")
        for one in waiting:
            click.echo(f"waits      {one['id']}: {one['reason']}")
        if not deliveries:
            click.echo("Nothing waits to be published.")
    if waiting:
        sys.exit(1)
