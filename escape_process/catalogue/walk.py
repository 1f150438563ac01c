"""Reads the items of a static catalogue, going only where a collection's extent allows what was asked."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from escape_process.catalogue.footprints import may_hold
from escape_process.catalogue.item_assets import as_list, as_mapping, is_usable, resolve
from escape_process.errors import EscapeError, UpstreamError, upstream_error
from escape_process.hrefs import file_name, is_remote, read_json
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

READ_AT_ONCE = 8
"""Items of a remote catalogue that are asked for side by side."""

FoundItem = tuple[Mapping[str, Any], str]
"""An item and where it was found."""


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
    root: Mapping[str, Any], href: str, request: RetrievalRequest, settings: Settings, note: Callable[[str], None]
) -> Iterator[FoundItem]:
    """Yield the items under a root that was read from `href`, at most `settings.max_items`.

    Raises
    ------
    UpstreamError
        where a document that the catalogue lists is missing or is no STAC.
    """
    waiting, seen = [href], {href}
    items_left = documents_left = settings.max_items
    while waiting:
        place = waiting.pop()
        document = root if place == href else _read(place, settings)
        documents_left -= 1
        kind = kind_of(document)
        if kind is None:
            raise UpstreamError(f"The catalogue lists {file_name(place)}, but that is not STAC; correct its link.")
        if kind == "Collection" and not may_hold(document, request.area, request.interval):
            continue
        count = 0
        if kind in ("Feature", "FeatureCollection"):
            features = [document] if kind == "Feature" else list(filter(_is_item, document["features"]))
            count = len(features)
            for feature in features[:items_left]:
                yield feature, place if kind == "Feature" else self_href(feature, place)
        elif kind == "Catalog" or request.collections is None or document.get("id") in request.collections:
            targets = [target for target in _targets(document, place, "item") if target not in seen]
            seen.update(targets)
            count = len(targets)
            owner = {"collection": document.get("id")} if kind == "Collection" else {}
            for item, target in _read_items(targets[:items_left], settings):
                yield {**owner, **item}, target
        children = [target for target in _targets(document, place, "child") if target not in seen]
        seen.update(children)
        waiting += reversed(children)
        more = count > items_left
        items_left = max(items_left - count, 0)
        if more or (waiting and 0 in (items_left, documents_left)):
            note(limit_note(settings))
            return


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
        if link.get("rel") == rel and isinstance(target, str) and target:
            absolute = resolve(target, href)
            if is_usable(absolute, href):
                found[absolute] = None
    return list(found)


def _read_items(hrefs: list[str], settings: Settings) -> Iterator[FoundItem]:
    """Read items in order, a few of them at once."""
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        for start in range(0, len(hrefs), READ_AT_ONCE):
            batch = hrefs[start : start + READ_AT_ONCE]
            yield from zip(pool.map(lambda href: _read_item(href, settings), batch), batch, strict=True)


def _read_item(href: str, settings: Settings) -> Mapping[str, Any]:
    document = _read(href, settings)
    if not _is_item(document):
        raise UpstreamError(f"The catalogue lists the item {file_name(href)}, but that is not a STAC item.")
    return document


def _read(href: str, settings: Settings) -> Mapping[str, Any]:
    try:
        document = read_json(href, settings)
    except UpstreamError as error:
        raise upstream_error(f"The catalogue lists {file_name(href)}, which cannot be read: {error}", error) from error
    except EscapeError as error:
        raise UpstreamError(f"The catalogue lists {file_name(href)} at an address that is not read here.") from error
    return as_mapping(document)
