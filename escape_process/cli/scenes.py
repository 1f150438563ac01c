"""Commands that make scenes: simulate, make-item."""

import datetime as dt
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from escape_process.cli.group import CONFIG, JSON, main, shown_progress
from escape_process.errors import InvalidInputError

if TYPE_CHECKING:
    from escape_process.catalogue.sources import SourceItem

MOST_NAMED = 3
"""Items that a warning names; of more it says how many."""
_MASK_NAMES = frozenset({"no_data", "valid", "layover", "shadow", "water", "invalid"})


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
    with shown_progress(quiet=False) as progress:
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
    told by their names: rasters named by polarization (HH.tif, scene_HV.tif, IMG-VV-ALOS2...tif) or with bands
    described so, with an angle and a mask beside them, and the other families that the user's guide lists. A product
    that cannot be described is reported; the others are made. What they lack is told, and the options below give it.
    The same command twice changes nothing.

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
    with shown_progress(quiet=as_json) as progress:
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
    for line in _told(made.items):
        click.echo(line, err=True)
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


def _told(items: Sequence["SourceItem"]) -> Iterator[str]:
    """Yield what items lack: each once, with whom it concerns, since hundreds of a kind lack the same."""
    concerned: dict[str, list[str]] = {}
    for one in items:
        for warning in one.warnings:
            concerned.setdefault(warning, []).append(one.id)
    for warning, ids in concerned.items():
        yield f"{', '.join(ids) if len(ids) <= MOST_NAMED else f'{len(ids)} items'}: {warning}"


def _property(text: str) -> tuple[str, Any]:
    """Read KEY=VALUE; a value that is JSON is what it says, any other is a text."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise InvalidInputError(f"Option --property = {text!r}: give KEY=VALUE, such as sat:relative_orbit=137.")
    try:
        return key, json.loads(value, parse_constant=str)
    except ValueError:
        return key, value
