"""Finds the scenes of a request in a STAC API or a static catalogue."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cql2

from escape_process.catalogue.duplicates import without_duplicates
from escape_process.catalogue.footprints import footprint_of, meet, overlaps, time_of
from escape_process.catalogue.item_search import conformance_of, search_items, search_link
from escape_process.catalogue.scenes import join_passes, scene_from_item
from escape_process.catalogue.walk import FoundItem, Lose, kind_of, walk
from escape_process.errors import EscapeError, InvalidInputError, NoScenesError, UpstreamError, upstream_error
from escape_process.guard import check_public_url
from escape_process.hrefs import file_name, is_remote, read_json
from escape_process.records import Found, Refusal, Scene
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

LOGGER = logging.getLogger(__name__)

MOST_REASONS = 3
"""Reasons that a sentence gives before it says that there are more."""
_LONGEST_ID = 60
"""Characters told of what stands in place of an id."""


def find_scenes(request: RetrievalRequest, settings: Settings) -> Found:
    """Find the usable scenes of a request, and those that are not and why.

    Returns
    -------
    The newest `request.max_scenes` scenes in order of time, each acquisition and each item id once; a scene's twins are
    other items of its acquisition. Nothing usable is no error here.

    Raises
    ------
    InvalidInputError
        where the request names no known catalogue.
    UpstreamError
        where the catalogue does not answer or is no STAC, or nothing is usable of what it lists and something missing.
    """
    name, href = _catalog(request, settings)
    notes: dict[str, None] = {}  # in order, each once
    scenes: list[Scene] = []
    refused: list[Refusal] = []
    failures: list[UpstreamError] = []

    def lose(place: str, error: UpstreamError) -> None:
        LOGGER.info("refused %s: %s", file_name(place), error)
        refused.append(Refusal(file_name(place), str(error)))
        failures.append(error)

    items = _items(name, href, request, settings, note=notes.setdefault, lose=lose)
    for item, place in _matching(items, request, notes, refused):
        scene = scene_from_item(item, place, request)
        if isinstance(scene, Scene):
            scenes.append(scene)
        else:
            LOGGER.info("refused %s: %s", scene.id, scene.reason)
            refused.append(scene)
    if failures and not scenes:
        raise failures[0]
    scenes = join_passes(without_duplicates(scenes))
    if len(scenes) > request.max_scenes:
        notes[f"{len(scenes)} scenes are usable; the newest {request.max_scenes} are used (max_scenes)."] = None
    LOGGER.info("found %d usable scenes and %d others", len(scenes), len(refused))
    return Found(tuple(scenes[-request.max_scenes :]), tuple(refused), tuple(notes))


def no_scenes_error(request: RetrievalRequest, found: Found) -> NoScenesError:
    """Say what was found for a request that has no usable scene, why it was refused and what to change."""
    where, notes = _where(request), "".join(f" {note}" for note in found.notes)
    if not found.scenes and not found.refused:
        return NoScenesError(f"No scene in the catalogue {where}: {_advice(request)}.{notes}")
    count = len(found.scenes) + len(found.refused)
    were = "1 scene was found" if count == 1 else f"{count} scenes were found"
    return NoScenesError(
        f"No usable full-polarimetric scene {where}: {were}, {_reasons(found)}. {_capital(_advice(request))}.{notes}"
    )


def _reasons(found: Found) -> str:
    by_reason = Counter(_lower(refusal.reason).rstrip(".") for refusal in found.refused)
    if not by_reason:
        return "none of which can be used"
    count = len(found.scenes) + len(found.refused)
    if len(by_reason) == 1 and not found.scenes:
        return f"{'' if count == 1 else 'all '}refused: {next(iter(by_reason))}"
    told = [f"{number} because {reason}" for reason, number in by_reason.most_common(MOST_REASONS)]
    more = "" if len(by_reason) <= MOST_REASONS else "; others for further reasons"
    return f"refused: {'; '.join(told)}{more}"


def _where(request: RetrievalRequest) -> str:
    told = []
    if request.bbox is not None:
        told.append(f"covers bbox {[round(corner, 6) for corner in request.bbox]}")
    if request.geometry is not None:
        told.append("covers the geometry given")
    if request.ids is not None:
        ids = request.ids
        told.append(f"has the id {ids[0]}" if len(ids) == 1 else f"has one of the {len(ids)} ids given")
    if request.collections is not None:
        told.append(f"is in {' or '.join(request.collections)}")
    if request.filter is not None:
        told.append("matches the filter")
    where = " and ".join(told)
    start, end = (None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in request.interval)
    if start is not None and end is not None:
        return f"{where} between {start} and {end}"
    if start is not None:
        return f"{where} after {start}"
    return where if end is None else f"{where} before {end}"


def _advice(request: RetrievalRequest) -> str:
    if request.area is None:
        return "check the ids or name another catalogue"
    dates = " or the dates" if request.datetime is not None else ""
    area = "bbox" if request.bbox is not None else "geometry"
    further = [name for name in ("ids", "collections", "filter") if getattr(request, name) is not None]
    checked = f", check the {' and the '.join(further)}" if further else ""
    return f"widen the {area}{dates}{checked}, or name another catalogue"


def _lower(text: str) -> str:
    """Make a sentence a clause; a word in capitals, an id among them, stays as it is."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _catalog(request: RetrievalRequest, settings: Settings) -> tuple[str, str]:
    """Return the name and the address of the catalogue asked for."""
    name = settings.default_catalog if request.catalog is None else request.catalog
    if name in settings.catalogs:
        return name, _root_file(settings.catalogs[name])
    if not is_remote(name):
        raise InvalidInputError(
            f"Input catalog = {name[:120]!r} is neither an http(s) URL nor one of the configured catalogues:"
            f" {', '.join(sorted(settings.catalogs))}."
        )
    try:
        parts = urlsplit(name)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        raise InvalidInputError(f"Input catalog = {name[:120]!r} is not a valid URL.")
    check_public_url(name, settings)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}", name


def _root_file(href: str) -> str:
    """Return the file that a folder is the catalogue of."""
    if is_remote(href) or not Path(href).is_dir():
        return href
    names = ("catalog.json", "collection.json")
    return next((str(Path(href) / name) for name in names if (Path(href) / name).is_file()), href)


def _items(
    name: str, href: str, request: RetrievalRequest, settings: Settings, *, note: Callable[[str], None], lose: Lose
) -> Iterator[FoundItem]:
    """Yield candidates from a catalogue of whichever kind."""
    try:
        root = read_json(href, settings)
        kind = kind_of(root)
        if kind is None:
            raise UpstreamError("it is not STAC.")
        conformance = conformance_of(root, href, settings)
    except EscapeError as error:
        raise upstream_error(f"The catalogue {name} cannot be used: {_lower(str(error))}", error) from error
    link = search_link(root, href, conformance)
    if link is not None:
        return search_items(link, conformance, request, settings, note)
    return walk(root, href, request, settings, note=note, lose=lose)


def _matching(
    items: Iterable[FoundItem], request: RetrievalRequest, notes: dict[str, None], refused: list[Refusal]
) -> Iterator[FoundItem]:
    """Yield the items that answer the request, each of a collection once; stop where all ids asked for are found."""
    expression = None if request.filter is None else cql2.Expr(request.filter)
    wanted = None if request.ids is None else set(request.ids)
    seen: dict[tuple[Any, str], str] = {}
    undecided = 0
    for item, href in items:
        name = item.get("id")
        if not _answers(item, request, wanted):
            continue
        if not isinstance(name, str) or not name:
            known_as = file_name(href) if name in (None, "") else str(name)[:_LONGEST_ID]
            refused.append(Refusal(known_as, "It has no id that is a text.", item))
            continue
        key, content = (str(item.get("collection")), name), _digest(item)
        if key in seen:
            if seen[key] != content:
                refused.append(Refusal(name, "Its id is also that of another item, which is used instead.", item))
            continue
        if expression is not None:
            matches = _evaluate(expression, item)
            undecided += matches is None
            if not matches:
                continue
        seen[key] = content
        yield item, href
        if wanted is not None and wanted == {name for _, name in seen}:
            break
    absent = [] if wanted is None else sorted(wanted - {name for _, name in seen})
    if absent and seen:
        more = "" if len(absent) <= MOST_REASONS else f" and {len(absent) - MOST_REASONS} more"
        notes[f"The catalogue has nothing there under the ids {', '.join(absent[:MOST_REASONS])}{more}."] = None
    if undecided:
        items_lack = "1 item lacks" if undecided == 1 else f"{undecided} items lack"
        notes[f"{items_lack} what the filter asks about: left out."] = None


def _answers(item: Mapping[str, Any], request: RetrievalRequest, wanted: set[str] | None) -> bool:
    """Tell whether an item is one of those asked for; without a readable place or time it is let by, to be refused."""
    if wanted is not None and item.get("id") not in wanted:
        return False
    if request.collections is not None and item.get("collection") not in request.collections:
        return False
    time = time_of(item)
    if time is not None and not meet(time, request.interval):
        return False
    footprint = None if request.area is None else footprint_of(item)
    return footprint is None or request.area is None or overlaps(footprint, request.area)


def _digest(item: Mapping[str, Any]) -> str:
    """Return a hash of what an item says of its scene; its links differ from listing to listing."""
    content = [item.get(name) for name in ("geometry", "properties", "assets")]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _evaluate(expression: Any, item: Mapping[str, Any]) -> bool | None:
    """Tell whether an item matches a filter; None where it has not what the filter compares."""
    try:
        return bool(expression.matches(dict(item)))
    except Exception:  # the library has no class of its own for it
        return None
