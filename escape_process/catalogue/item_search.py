"""Asks a STAC API for items, with pystac-client on top of our own requests.

Servers differ in what they do with a filter or a geometry: some answer nothing, some fail, some ignore it. So a filter
is sent only where the API declares it, an empty or failed answer is asked for again without it or with the box around
the geometry, and the caller filters once more.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import shapely
from pystac import Link
from pystac_client import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from escape_process.catalogue.footprints import footprint_of, overlaps
from escape_process.catalogue.item_assets import as_list, as_mapping, as_texts, is_usable, resolve
from escape_process.catalogue.walk import PAGE_SIZE, FoundItem, interval_text, limit_note, self_href
from escape_process.errors import TransientError, UpstreamError
from escape_process.hrefs import fetch, is_remote, parse_json, read_json
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

MOST_EMPTY_PAGES = 20
"""Pages without an item that are gone through one after another: servers that filter after paging send some."""

_ITEM_SEARCH = re.compile(r"/item-search$")
_FILTER = re.compile(r"/item-search#filter(:|$)")
_SORT = re.compile(r"/item-search#sort(:|$)")


class _CheckedIO(StacApiIO):
    """pystac-client's requests, sent by `hrefs`, and answers that are what pystac-client takes them to be."""

    def __init__(self, settings: Settings, note: Callable[[str], None]) -> None:
        super().__init__(max_retries=None)
        self._settings = settings
        self._note = note

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        method = (method or "GET").upper()
        if not is_remote(href) or method not in ("GET", "POST"):
            raise UpstreamError("The catalogue's next page has no address that is read here.")
        body = fetch(href, self._settings, method=method, headers=headers, parameters=parameters)
        return body.decode("utf-8", errors="replace")

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        href = source if isinstance(source, str) else str(source.href)
        page = parse_json(self.read_text(source, *args, **kwargs), href)
        if not isinstance(page, dict) or not isinstance(page.get("features"), list):
            raise UpstreamError("The catalogue's search answered with something else than items.")
        page["features"] = [feature for feature in page["features"] if isinstance(feature, dict)]
        page["links"] = [_checked_link(link, href) for link in as_list(page.get("links")) if _is_link(link)]
        return page

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a search that hold items; past empty ones, and no further where they repeat."""
        seen: set[tuple[tuple[str, str], ...]] = set()
        empty = 0
        page = self.read_json(url, method=method, parameters=parameters)
        while True:
            content = tuple((str(item.get("collection")), str(item.get("id"))) for item in page["features"])
            if content in seen:
                self._note("The catalogue repeats its pages; the search ended there.")
                return
            empty = 0 if content else empty + 1
            if content:
                seen.add(content)
                yield page
            following = next((link for link in page["links"] if link["rel"] == "next"), None)
            if following is None:
                return
            if empty >= MOST_EMPTY_PAGES:
                raise UpstreamError("The catalogue's search sends empty pages without end.")
            page = self.read_json(Link.from_dict(following), parameters=parameters)


def _is_link(link: Any) -> bool:
    return isinstance(link, dict) and isinstance(link.get("rel"), str) and isinstance(link.get("href"), str)


def _checked_link(link: dict[str, Any], href: str) -> dict[str, Any]:
    """Return a link with an absolute address and without members of the wrong kind."""
    kinds = {"method": str, "body": dict, "headers": dict}
    fit = {name: value for name, value in link.items() if isinstance(value, kinds.get(name, object))}
    return {**fit, "href": resolve(link["href"], href)}


def conformance_of(root: Mapping[str, Any], href: str, settings: Settings) -> list[str]:
    """Return the conformance classes that an API declares, on its landing page or behind a link; none for a catalogue.

    Raises
    ------
    UpstreamError
        where the link to them leads nowhere.
    """
    if "conformsTo" in root:
        return as_texts(root["conformsTo"])
    for link in map(as_mapping, as_list(root.get("links"))):
        if link.get("rel") == "conformance" and isinstance(link.get("href"), str):
            target = resolve(link["href"], href)
            if not is_usable(target, href):
                raise UpstreamError("its link to conformance classes has no address that is read here.")
            return as_texts(as_mapping(read_json(target, settings)).get("conformsTo"))
    return []


def search_link(root: Mapping[str, Any], href: str, conformance: list[str]) -> tuple[str, str] | None:
    """Return address and method of an API's item search; None where it has none."""
    if not any(_ITEM_SEARCH.search(name) for name in conformance):
        return None
    methods: dict[str, str] = {}
    for link in map(as_mapping, as_list(root.get("links"))):
        target = link.get("href")
        if link.get("rel") == "search" and isinstance(target, str):
            method = link.get("method")
            methods.setdefault(method.upper() if isinstance(method, str) else "GET", resolve(target, href))
    for method in ("POST", "GET"):
        if method in methods and is_remote(methods[method]):
            return methods[method], method
    return None


def search_items(
    link: tuple[str, str],
    conformance: list[str],
    request: RetrievalRequest,
    settings: Settings,
    note: Callable[[str], None],
) -> Iterator[FoundItem]:
    """Yield the items that an API finds, at most `settings.max_items`; the caller filters them again.

    What an API may not understand is asked first, and left out where it fails on it, ignores it or finds nothing.

    Raises
    ------
    UpstreamError
        where the API fails on the plain question too.
    """
    order = {"sortby": [{"field": "properties.datetime", "direction": "desc"}]}
    questions = [_Question("", {})]
    if _declares(_SORT, conformance):
        questions.insert(0, _Question("order", order))
    if request.geometry is not None and link[1] == "POST":
        questions.insert(0, _Question("geometry", {**questions[0].content, "intersects": request.geometry}))
    if request.filter is not None and _declares(_FILTER, conformance):
        questions.insert(0, _Question("filter", {**questions[0].content, "filter": request.filter}))
    elif request.filter is not None:
        note("The catalogue does not take filters; the filter was applied here.")
    for question in questions:
        found = ignored = False
        try:
            for item, href in _pages(link, request, settings, note, question.content):
                ignored = "intersects" in question.content and _is_outside(item, request)
                if ignored:
                    break
                found = True
                yield item, href
        except UpstreamError as error:
            if not question.adds or (question.adds == "order" and isinstance(error, TransientError)):
                raise
            note(f"The catalogue failed on the {question.adds}; it was applied here instead.")
            continue
        if not ignored and (found or question.adds in ("order", "")):
            return
        if question.adds == "filter" and not found:
            note("The catalogue found nothing with the filter; it was asked without, and the filter applied here.")


@dataclass(frozen=True)
class _Question:
    """One way to ask for the items of a request. What several answers hold is sorted out by whoever takes it."""

    adds: str
    """What it asks more than the next one."""
    content: Mapping[str, Any]


def _is_outside(item: Mapping[str, Any], request: RetrievalRequest) -> bool:
    """Tell whether an item is far from the geometry: its server did not look at it."""
    area, shape = request.area, footprint_of(item)
    return area is not None and shape is not None and not overlaps(shape, shapely.box(*area.bounds))


def _declares(pattern: re.Pattern[str], conformance: list[str]) -> bool:
    return any(pattern.search(name) for name in conformance)


def _pages(
    link: tuple[str, str],
    request: RetrievalRequest,
    settings: Settings,
    note: Callable[[str], None],
    more: Mapping[str, Any],
) -> Iterator[FoundItem]:
    href, method = link
    left = settings.max_items
    for bbox in [None] if "intersects" in more else _boxes(request):
        search = ItemSearch(
            url=href,
            method=method,
            stac_io=_CheckedIO(settings, note),
            max_items=left + 1,  # one more tells whether the limit cut anything
            limit=min(PAGE_SIZE, settings.max_items),
            bbox=bbox,
            datetime=interval_text(request),
            ids=request.ids,
            collections=request.collections,
            **more,
        )
        for item in search.items_as_dicts():
            if left == 0:
                note(limit_note(settings))
                return
            left -= 1
            yield item, _item_href(item, href)


def _boxes(request: RetrievalRequest) -> list[list[float] | None]:
    """Return the area asked as boxes that do not cross the antimeridian, which few servers understand."""
    if request.area is None:
        return [None]
    if request.bbox is None or request.bbox[0] < request.bbox[2]:
        return [list(request.area.bounds)]
    return [list(part.bounds) for part in request.area.geoms]


def _item_href(item: Mapping[str, Any], search_href: str) -> str:
    """Return an item's own address, or the one that the API specification gives it."""
    collection, name = item.get("collection"), item.get("id")
    if not isinstance(collection, str) or not isinstance(name, str):
        return self_href(item, search_href)
    root = search_href.split("?", maxsplit=1)[0].rsplit("/", 1)[0]
    return self_href(item, f"{root}/collections/{quote(collection, safe='')}/items/{quote(name, safe='')}")
