"""The `escape-process` command. Exit codes: 0 done, 2 bad input, 1 failed."""

import datetime as dt
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from escape_process import __version__
from escape_process.errors import EscapeError, InvalidInputError
from escape_process.request import RetrievalRequest

if TYPE_CHECKING:
    from escape_process.pipeline import Outcome

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("pygeoapi-config.yml"),
    show_default=True,
    envvar="PYGEOAPI_CONFIG",
    help="Configuration of the server and the process.",
)
_MASK_NAMES = frozenset({"no_data", "valid", "layover", "shadow", "water", "invalid"})
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


class _Command(click.Group):
    """Turns every EscapeError into its sentence and exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EscapeError as error:
            _fail(error)


def _fail(error: EscapeError) -> NoReturn:
    click.echo(f"escape-process: {error}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="escape-process")
@click.option("-v", "--verbose", is_flag=True, help="Log each step.")
def main(verbose: bool) -> None:
    """Soil moisture and roughness, with uncertainty, from full-polarimetric L-band SAR, without in-situ labels."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")


@contextmanager
def _shown_progress(quiet: bool) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on a terminal, plain lines in a log, nothing where `quiet`."""
    console = Console(stderr=True)
    if quiet:
        yield lambda share, message: None
    elif console.is_terminal:
        columns = (
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("Starting", total=1.0)
            yield lambda share, message: bar.update(task, completed=share, description=message)
    else:
        last = ""

        def line(share: float, message: str) -> None:
            nonlocal last
            if message != last:
                click.echo(f"{share:4.0%} {message}", err=True)
                last = message

        yield line


@main.command()
@CONFIG
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where results go, instead of var.")
@JSON
def demo(config: Path, data_dir: Path | None, as_json: bool) -> None:
    """Run the whole job on the simulated sample scenes, through a real server on a free loopback port.

    \b
    Examples:
      escape-process demo
      escape-process demo --json
    """
    from escape_process.demo import run_demo

    with _shown_progress(quiet=as_json) as progress:
        result = run_demo(config, data_dir, progress)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        result.print(Console())


@main.command()
@CONFIG
@click.option("--host", help="Address to listen on.  [default: the configuration's]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0: a free one.  [default: the configuration's]")
@click.option(
    "--threads",
    type=click.IntRange(2, 64),
    default=32,
    show_default=True,
    help="Requests answered at once; three in four may wait for results.",
)
@click.option("--worker/--no-worker", default=True, show_default=True, help="Run jobs beside the server.")
@click.option("--echo", is_flag=True, help="Offer the process 'echo' too, for tests of clients and of conformance.")
def serve(config: Path, host: str | None, port: int | None, threads: int, worker: bool, echo: bool) -> None:
    """Serve the OGC API, the STAC catalogue and the STAC API until stopped.

    \b
    Examples:
      escape-process serve
      escape-process serve --host 0.0.0.0 --port 8080
      escape-process serve --no-worker
    """
    from escape_process.jobs.serve import serve as serve_until_stopped

    if echo:
        os.environ["ESCAPE_ECHO"] = "true"  # the worker reads it, too
    serve_until_stopped(config, host=host, port=port, threads=threads, with_worker=worker)


@main.command()
@CONFIG
def worker(config: Path) -> None:
    """Run the jobs of a server that was started without a worker, until stopped.

    Needs the server's configuration, environment and data folder; several may share the queue.

    \b
    Examples:
      escape-process worker
      CUDA_VISIBLE_DEVICES=1 escape-process worker
    """
    from escape_process.jobs.startup import configure_logging
    from escape_process.jobs.worker import work

    configure_logging()
    work(config)


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
@click.option("--catalog", help="A configured name, an http(s) or s3 URL, or the path of a static catalogue.")
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
@JSON
def run(config: Path, out: Path | None, as_json: bool, catalog: str | None, table: Path | None, **inputs: Any) -> None:
    """Answer one request without a server.

    \b
    Examples:
      escape-process run --bbox -5.48,41.23,-5.40,41.29 --datetime 2024-05-01/2024-05-31
      escape-process run --catalog my/collection.json --ids my-scene --out results
      escape-process run --bbox -5.48,41.23,-5.40,41.29 --dry-run --json
      escape-process run --bbox -5.48,41.23,-5.40,41.29 --zones @fields.geojson --table fields.csv
    """
    from escape_process import pipeline
    from escape_process.objects import is_object
    from escape_process.process import load_config
    from escape_process.zones import write_table

    _, settings = load_config(config)
    if out is not None:
        settings = settings.model_copy(update={"data_dir": out.resolve()})
    if catalog is not None and "://" in catalog and not is_object(catalog):
        settings = settings.allowing(catalog)  # whoever types the command is the operator
    elif catalog is not None and catalog not in settings.catalogs:
        place = catalog if is_object(catalog) else str(Path(catalog).resolve())
        settings = settings.model_copy(update={"catalogs": {**settings.catalogs, catalog: place}})
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
    request = RetrievalRequest.from_inputs(
        {name: value for name, value in {**asked, "catalog": catalog}.items() if value not in (None, [])}
    )
    if table is not None and request.zones is None:
        raise InvalidInputError(f"Option --table = {str(table)!r}: it needs --zones.")
    with _shown_progress(quiet=as_json) as progress:
        outcome = pipeline.run(request, settings, progress)
    if table is not None and request.zones is not None:
        rows = [row for stack in outcome.report["stacks"] for row in stack["zones"]]
        write_table(rows, request.zones, table)
    if as_json:
        click.echo(json.dumps({"items": outcome.items, "report": outcome.report}, indent=2, allow_nan=False))
    else:
        _print_outcome(outcome)


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
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--date", "dates", multiple=True, help="Time of a pass, RFC 3339; repeatable.  [default: one of 2024]")
@click.option("--place", nargs=2, type=float, default=(-5.44, 41.26), show_default=True, help="Longitude, latitude.")
@click.option("--size", type=click.IntRange(32, 20_000), default=384, show_default=True, help="Pixels along each side.")
@click.option("--pixel", type=click.FloatRange(1, 1000), default=25.0, show_default=True, help="Pixel, m.")
@click.option("--looks", type=float, default=28.0, show_default=True, help="Looks of a pixel.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--name", default="simulated", show_default=True, help="Start of the item ids.")
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), help="Where the truth goes, outside FOLDER.")
@click.option("--sample-catalog", is_flag=True, help="Write the catalogue that comes with the software instead.")
def simulate(
    folder: Path,
    dates: tuple[str, ...],
    place: tuple[float, float],
    size: int,
    pixel: float,
    looks: float,
    seed: int,
    name: str,
    truth: Path | None,
    sample_catalog: bool,
) -> None:
    """Simulate quad-pol L-band scenes by the forward model into FOLDER, with STAC items.

    \b
    Examples:
      escape-process simulate scenes --date 2024-05-04T23:28Z --date 2024-05-18T23:28Z --truth truth
      escape-process simulate catalog --sample-catalog --truth tests/data/sample_truth
    """
    from escape_process.samples import build_sample_catalogue, write_simulated
    from escape_process.simulate import Sensor, utm_grid

    if sample_catalog:
        build_sample_catalogue(folder, truth)
        click.echo(folder / "catalog.json")
        return
    with _shown_progress(quiet=False) as progress:
        path = write_simulated(
            folder,
            utm_grid(*place, width=size, height=size, pixel_size=pixel),
            [_instant(text) for text in dates or ("2024-05-04T23:28:31Z",)],
            name=name,
            seed=seed,
            sensor=Sensor(looks=looks),
            truth_folder=truth,
            progress=progress,
        )
    click.echo(path)


def _instant(text: str) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(f"Date {text!r} is not an RFC 3339 instant such as 2024-05-04T23:28:31Z.") from error
    return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)


def _mask_classes(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[int, str] | None:
    """Read the meaning of a mask's values, such as 0=no_data,2=layover."""
    if value is None:
        return None
    pairs = re.findall(r"(\d{1,9})=([a-z_]+)(?:,|$)", value, re.ASCII)
    classes = {int(number): name for number, name in pairs}
    if ",".join("=".join(pair) for pair in pairs) != value or not set(classes.values()) <= _MASK_NAMES:
        raise InvalidInputError(
            f"Option --mask-classes = {value!r}: give VALUE=NAME,..., with names of {', '.join(sorted(_MASK_NAMES))}."
        )
    return classes


@main.command("make-item")
@click.argument("places", nargs=-1, required=True)
@CONFIG
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Collection to write into."
)
@click.option("--collection", default="scenes", show_default=True, help="Id of the collection.")
@click.option("--id", "item_id", help="Item id; for one product.")
@click.option("--datetime", "when", help="Time of acquisition, RFC 3339.")
@click.option("--radiometry", type=click.Choice(["sigma0", "gamma0", "beta0"]), help="Convention of the backscatter.")
@click.option("--encoding", type=click.Choice(["dn", "amplitude", "linear", "db"]), help="How power is stored.")
@click.option("--calibration-factor-db", type=float, help="For dn: power_db = 20 log10(DN) + factor.")
@click.option("--incidence-angle-deg", type=float, help="Of the whole scene, where there is no raster of it.")
@click.option("--looks", type=float, help="Equivalent number of looks of a pixel.")
@click.option("--noise-floor-db", type=float, help="Noise-equivalent backscatter.")
@click.option("--frequency", type=float, help="Centre frequency, Hz.")
@click.option("--platform", help="Platform, such as alos-2 or nisar.")
@click.option("--instrument-mode", help="Mode, such as HBQ.")
@click.option("--mask-classes", callback=_mask_classes, help="VALUE=NAME,...: no_data, valid, layover, shadow, water.")
@click.option("--dem", help="Path or address of a terrain model, for products in radar geometry.")
@click.option("--geoid", help="Path or address of the geoid's height, where the terrain model counts from it.")
@click.option(
    "--format-test", is_flag=True, help="Mark results as a test of the format: no L-band, or no scene at all."
)
@click.option("--property", "properties", multiple=True, help="KEY=VALUE: a further item property; repeatable.")
@JSON
def make_item(
    places: tuple[str, ...],
    config: Path,
    out: Path,
    collection: str,
    item_id: str | None,
    when: str | None,
    dem: str | None,
    geoid: str | None,
    properties: tuple[str, ...],
    as_json: bool,
    **declared: Any,
) -> None:
    """Make STAC items of the products in PLACES, in the static collection OUT.

    A place is a folder of one or many products, a file, a zip or tar archive, or the address of one. Products are
    told by their names: rasters named by polarization (HH.tif, scene_HV.tif, IMG-VV-ALOS2...tif), with an angle and a
    mask beside them, and the other families that the user's guide lists. A product that cannot be described is
    reported; the others are made. The same command twice changes nothing.

    \b
    Examples:
      escape-process make-item scene/ --out my --radiometry gamma0 --incidence-angle-deg 38
      escape-process make-item 2024-*/ --out my --radiometry sigma0
      escape-process make-item orders/ 0000022708_001001_ALOS2015976960-140909.zip --out my
      escape-process make-item https://example.com/scene/HH.tif https://example.com/scene/VV.tif --out my
      escape-process make-item s3://bucket/2024/ --out my --config pygeoapi-config.yml
      escape-process make-item scene/ --out my --property sat:relative_orbit=137
    """
    from escape_process.catalogue.sources import Declaration
    from escape_process.make_items import make_items
    from escape_process.process import load_config
    from escape_process.settings import Settings

    settings = load_config(config)[1] if config.is_file() else Settings()
    for place in places:
        settings = settings.allowing(place)  # whoever types the command is the operator
    declaration = Declaration(
        id=item_id,
        datetime=None if when is None else _instant(when),
        collection=collection,
        properties=dict(map(_property, properties)),
        **declared,
    )
    with _shown_progress(quiet=as_json) as progress:
        made = make_items(
            places,
            out,
            settings,
            declared=declaration,
            collection_id=collection,
            dem=dem,
            geoid=geoid,
            progress=progress,
        )
    if made.collection is None and len(made.failures) == 1:
        raise made.failures[0].error
    for one in made.items:
        for warning in one.warnings:
            click.echo(f"{one.id}: {warning}", err=True)
    for failure in made.failures:
        click.echo(f"escape-process: {failure.name}: {failure.error}", err=True)
    if as_json:
        answer = {
            "collection": None if made.collection is None else str(made.collection),
            "items": [one.item for one in made.items],
            "warnings": {one.id: list(one.warnings) for one in made.items},
            "failures": [{"name": failure.name, "reason": str(failure.error)} for failure in made.failures],
        }
        click.echo(json.dumps(answer, indent=2))
    elif made.collection is not None:
        click.echo(made.collection)
    sys.exit(made.exit_code)


def _property(text: str) -> tuple[str, Any]:
    """Read KEY=VALUE; a value that is JSON is what it says, any other is a text."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise InvalidInputError(f"Option --property = {text!r}: give KEY=VALUE, such as sat:relative_orbit=137.")
    try:
        return key, json.loads(value, parse_constant=str)
    except ValueError:
        return key, value


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


if __name__ == "__main__":
    main()
