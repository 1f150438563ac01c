"""Reads the items of a static catalogue, going only where a collection's extent allows what was asked."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlencode

from escape_process.catalogue.footprints import may_hold
from escape_process.catalogue.item_assets import as_list, as_mapping, is_usable, resolve
from escape_process.errors import EscapeError, TransientError, UpstreamError, upstream_error
from escape_process.hrefs import file_name, is_remote, read_json
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

READ_AT_ONCE = 8
"""Items of a remote catalogue that are asked for side by side."""

PAGE_SIZE = 100

_ITEM_KINDS = frozenset({"Feature", "FeatureCollection"})
_ALL_KINDS = _ITEM_KINDS | {"Catalog", "Collection"}

FoundItem = tuple[Mapping[str, Any], str]
"""An item and where it was found."""

Lose = Callable[[str, UpstreamError], None]
"""Told of a listed document that is missing or wrong."""


def kind_of(document: Any) -> str | None:
    """Return what a STAC document is: Catalog, Collection, Feature or FeatureCollection; None where it is not STAC."""
    if not isinstance(document, Mapping):
        return None
    if _is_item(document):
        return "Feature"
    kind, features = document.get("type"), document.get("features")
    if kind == "FeatureCollection" and isinstance(features, list):
        return "FeatureCollection" if not features or any(map(_is_item, features)) else None
    if "stac_version" not in document or not isinstance(document.get("links"), list):
        return None
    return "Collection" if kind == "Collection" or "extent" in document else "Catalog"


def _is_item(document: Any) -> bool:
    return (
        isinstance(document, Mapping)
        and document.get("type") == "Feature"
        and isinstance(document.get("assets"), Mapping)
        and isinstance(document.get("properties"), Mapping)
    )


def walk(
    root: Mapping[str, Any],
    href: str,
    request: RetrievalRequest,
    settings: Settings,
    *,
    note: Callable[[str], None],
    lose: Lose,
) -> Iterator[FoundItem]:
    """Yield the items under a root that was read from `href`, at most `settings.max_items`.

    What is listed but missing or no STAC is told to `lose`, and the others are read on.

    Raises
    ------
    TransientError
        where a host fails for the moment.
    """
    waiting, seen = [href], {href}
    items_left = documents_left = settings.max_items
    while waiting:
        place = waiting.pop()
        documents_left -= 1
        document = root if place == href else _read(place, settings)
        if isinstance(document, UpstreamError):
            lose(place, document)
            continue
        kind = kind_of(document)
        if kind == "Collection" and not may_hold(document, request.area, request.interval):
            continue
        count = 0
        children = _targets(document, place, "child")
        if kind in _ITEM_KINDS:
            features = [(document, place)] if kind == "Feature" else _features(document, place)
            count = len(features)
            yield from features[:items_left]
            children += _targets(document, place, "next")
        elif kind == "Catalog" or request.collections is None or document.get("id") in request.collections:
            targets = [target for target in _targets(document, place, "item") if target not in seen]
            targets.sort(key=lambda target: not _names_one(target, request.ids))
            seen.update(targets)
            count = len(targets)
            owner = {"collection": document.get("id")} if kind == "Collection" else {}
            for item, target in _read_items(targets[:items_left], settings, lose):
                yield {**owner, **item}, target
            if not targets:
                children += [_narrowed(target, request) for target in _targets(document, place, "items")]
        children = [target for target in children if target not in seen]
        seen.update(children)
        waiting += reversed(children)
        more = count > items_left
        items_left = max(items_left - count, 0)
        if more or (waiting and 0 in (items_left, documents_left)):
            note(limit_note(settings))
            return


def interval_text(request: RetrievalRequest) -> str | None:
    """Return the dates asked for as every API takes them: instants in full, always an interval."""
    start, end = request.interval
    if start is None and end is None:
        return None
    return f"{_stamp(start)}/{_stamp(end)}"


def _stamp(time: dt.datetime | None) -> str:
    return ".." if time is None else time.isoformat().replace("+00:00", "Z")


def limit_note(settings: Settings) -> str:
    """Return what a user is told where the search ended before the catalogue did."""
    return (
        f"The search ended after {settings.max_items} catalogue entries, the operator's limit;"
        " narrow the area, the dates or the collections to see all."
    )


def self_href(item: Mapping[str, Any], otherwise: str) -> str:
    """Return the address that an item gives as its own, where it is one."""
    for link in map(as_mapping, as_list(item.get("links"))):
        target = link.get("href")
        if link.get("rel") == "self" and isinstance(target, str) and is_remote(target):
            return target
    return otherwise


def _targets(document: Mapping[str, Any], href: str, rel: str) -> list[str]:
    """Return the absolute addresses that links of a kind lead to, each once."""
    found: dict[str, None] = {}
    for link in map(as_mapping, as_list(document.get("links"))):
        target = link.get("href")
        if link.get("rel") == rel and isinstance(target, str) and target and link.get("method", "GET") == "GET":
            absolute = resolve(target, href)
            if is_usable(absolute, href):
                found[absolute] = None
    return list(found)


def _names_one(href: str, ids: list[str] | None) -> bool:
    """Tell whether an address looks like that of an item asked for, which is then read first."""
    return ids is not None and any(name in unquote(href) for name in ids)


def _narrowed(href: str, request: RetrievalRequest) -> str:
    """Return the address of a collection's items in an API, asking for those of an area and time."""
    if not href.startswith(("http://", "https://")):
        return href
    asked = {"limit": str(PAGE_SIZE)}
    if request.area is not None and (request.bbox is None or request.bbox[0] < request.bbox[2]):
        asked["bbox"] = ",".join(map(str, request.area.bounds))
    interval = interval_text(request)
    if interval is not None:
        asked["datetime"] = interval
    return f"{href}{'&' if '?' in href else '?'}{urlencode(asked)}"


def _features(document: Mapping[str, Any], place: str) -> list[FoundItem]:
    features = [feature for feature in document["features"] if isinstance(feature, Mapping)]
    return [(feature, self_href(feature, place)) for feature in features]


def _read_items(hrefs: list[str], settings: Settings, lose: Lose) -> Iterator[FoundItem]:
    """Read items in order, a few of them at once."""

    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        for start in range(0, len(hrefs), READ_AT_ONCE):
            batch = hrefs[start : start + READ_AT_ONCE]
            documents = pool.map(lambda href: _read(href, settings, _ITEM_KINDS), batch)
            for href, document in zip(batch, documents, strict=True):
                if isinstance(document, UpstreamError):
                    lose(href, document)
                elif _is_item(document):
                    yield document, href
                else:
                    yield from _features(document, href)


def _read(href: str, settings: Settings, kinds: frozenset[str] = _ALL_KINDS) -> Mapping[str, Any] | UpstreamError:
    """Read a document that the catalogue lists; return why it is of no use where that will be so the next time, too.

    Raises
    ------
    TransientError
        where a host fails for the moment.
    """
    name = file_name(href)
    try:
        document = read_json(href, settings)
    except TransientError as error:
        raise upstream_error(f"The catalogue lists {name}, which cannot be read: {error}", error) from error
    except UpstreamError as error:
        return UpstreamError(f"The catalogue lists {name}, which cannot be read: {error}")
    except EscapeError:
        return UpstreamError(f"The catalogue lists {name} at an address that is not read here.")
    if kind_of(document) in kinds:
        return as_mapping(document)
    if kinds == _ITEM_KINDS:
        return UpstreamError(f"The catalogue lists the item {name}, but that is not a STAC item.")
    return UpstreamError(f"The catalogue lists {name}, but that is not STAC; correct its link.")
