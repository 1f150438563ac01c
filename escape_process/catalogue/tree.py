"""The served static catalogue as it lies on disk, searched: what the STAC API answers from.

The tree is the only store: an item is found as soon as its collection links to it, and parsed files are kept until
they change.
"""

import datetime as dt
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import shapely
import shapely.errors
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from escape_process.fields import parse_interval

LOGGER = logging.getLogger(__name__)

Token = tuple[int, str, str]
"""Place of an item in the order of answers: newest first, then by collection and id."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A collection or item of the tree, with what a search asks of it."""

    path: str
    """Relative to the root of the tree, with '/'."""
    document: dict[str, Any]
    geometry: BaseGeometry | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    @property
    def token(self) -> Token:
        """Its place in the order of answers."""
        seconds = 0 if self.start is None else int(self.start.timestamp() * 1e6)
        return (-seconds, str(self.document.get("collection")), str(self.document["id"]))


class Tree:
    """The static catalogue as it lies on disk now. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._kept: dict[Path, tuple[tuple[int, int], Entry]] = {}

    def collections(self) -> dict[str, Entry]:
        """Return all collections by id, in the order of the links that lead to them."""
        found: dict[str, Entry] = {}
        waiting = [self._root / "catalog.json"]
        seen = set(waiting)
        while waiting:
            entry = self._read(waiting.pop(0))
            if entry is None:
                continue
            if entry.document.get("type") == "Collection":
                found.setdefault(entry.document["id"], entry)
            for path in self._linked(entry, "child"):
                if path not in seen:
                    seen.add(path)
                    waiting.append(path)
        return found

    def items(self, collection: Entry) -> Iterator[Entry]:
        """Give the items that a collection links to."""
        for path in self._linked(collection, "item"):
            entry = self._read(path)
            if entry is not None and entry.document.get("type") == "Feature":
                yield entry

    def _linked(self, entry: Entry, rel: str) -> Iterator[Path]:
        folder = (self._root / entry.path).parent
        for link in entry.document.get("links", ()):
            href = str(link.get("href", ""))
            if link.get("rel") == rel and "://" not in href:
                path = (folder / unquote(href)).resolve()
                if path.is_relative_to(self._root):
                    yield path

    def _read(self, path: Path) -> Entry | None:
        """Read a file of the tree; None for one that is gone or broken, which must not fail a search for others."""
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            kept = self._kept.get(path)
            if kept is not None and kept[0] == stamp:
                return kept[1]
            entry = _parse(path.relative_to(self._root).as_posix(), json.loads(path.read_bytes()))
        except FileNotFoundError:
            self._kept.pop(path, None)
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
            LOGGER.warning("Catalogue file %s is left out: %r", path.name, error)
            return None
        self._kept[path] = (stamp, entry)
        return entry


def _parse(path: str, document: dict[str, Any]) -> Entry:
    if document["type"] != "Feature":
        return Entry(path, document)
    geometry = document.get("geometry")
    properties = document["properties"]
    start = properties.get("datetime") or properties["start_datetime"]
    return Entry(
        path,
        document,
        None if geometry is None else shapely.geometry.shape(geometry),
        parse_interval(properties.get("start_datetime") or start)[0],
        parse_interval(properties.get("end_datetime") or start)[0],
    )


@dataclass(frozen=True)
class Query:
    """A search, checked."""

    collections: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    area: BaseGeometry | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether an item answers the search."""
        if self.ids is not None and entry.document["id"] not in self.ids:
            return False
        if self.start is not None and (entry.end is None or entry.end < self.start):
            return False
        if self.end is not None and (entry.start is None or entry.start > self.end):
            return False
        return self.area is None or (entry.geometry is not None and bool(shapely.intersects(self.area, entry.geometry)))


def search(tree: Tree, query: Query) -> list[Entry]:
    """Return the items that answer a search, newest first."""
    known = tree.collections()
    names = known if query.collections is None else [name for name in known if name in query.collections]
    matched = [entry for name in names for entry in tree.items(known[name]) if query.matches(entry)]
    return sorted(matched, key=lambda entry: entry.token)
