"""Which results there are for whoever asks: what is published, and what is their own."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache
from werkzeug.exceptions import NotFound

from escape_process.hrefs import file_name, is_remote
from escape_process.layers import LAYERS, Layer
from escape_process.objects import sign
from escape_process.publishing import find_result, find_unpublished
from escape_process.publishing.files import stored_folder
from escape_process.settings import Settings

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_REMEMBERED = 64
_SECONDS = 5.0
"""A map asks for dozens of tiles at once, and finding a result may take a question to a catalogue."""


@dataclass(frozen=True, eq=False)
class Result:
    """A result that whoever asks may see."""

    item: Mapping[str, Any]
    """As clients get it."""
    folder: str
    """Where its files lie: a path, or an s3 address."""
    published: bool

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])

    @property
    def href(self) -> str | None:
        """Address of the item."""
        return next((str(link["href"]) for link in self.item["links"] if link.get("rel") == "self"), None)

    def raster(self, layer: Layer) -> str:
        """Return where a layer's file lies, whatever the item says."""
        return f"{self.folder}/{layer.name}.tif"

    def checksum(self, layer: Layer) -> str:
        """Return what tells the bytes of a layer from others.

        Raises
        ------
        NotFound
            where the result has no such layer.
        """
        asset = self.item["assets"].get(layer.name)
        if asset is None:
            raise NotFound(f"The result has no layer {layer.name!r}.")
        return str(asset.get("file:checksum"))


class Results:
    """Results by id. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: TTLCache[tuple[str, str | None], Result] = TTLCache(_REMEMBERED, _SECONDS)

    def find(self, id: str, owner: str | None) -> Result:
        """Return a published result, or an unpublished one of this owner.

        Raises
        ------
        NotFound
            where there is none; another's is as little there as none.
        """
        with self._lock:
            known: Result | None = self._known.get((id, owner))
        if known is None:
            known = self._look(id, owner)
            with self._lock:
                self._known[id, owner] = known
        return known

    def _look(self, id: str, owner: str | None) -> Result:
        found = None
        if _ID.fullmatch(id):
            found = self._published(id) or self._unpublished(id, owner)
        if found is None:
            raise NotFound("There is no such result.")
        return found

    def _published(self, id: str) -> Result | None:
        kept = find_result(id, self._settings)
        return None if kept is None else _result(kept.item, self._settings, published=True)

    def _unpublished(self, id: str, owner: str | None) -> Result | None:
        if self._settings.auth is not None and owner is None:
            return None
        mine = self._settings.of_owner(owner)
        item = find_unpublished(id, mine)
        return None if item is None else _result(item, mine, published=False)


def _result(item: Mapping[str, Any], settings: Settings, *, published: bool) -> Result:
    folder = _folder(item["id"], settings, published=published)
    if settings.auth is not None and is_remote(folder):
        item = _with_links_to_follow(item, folder, settings, published=published)
    return Result(item, folder, published)


def _with_links_to_follow(
    item: Mapping[str, Any], folder: str, settings: Settings, *, published: bool
) -> Mapping[str, Any]:
    """Sign the links to files now where this server would answer them with a redirect.

    A page can send a token only by fetching, and may not fetch from another host, which the redirect leads to.
    """
    storage = settings.object_storage
    if storage is None or storage.presign is None:
        return item
    seconds = storage.presign
    assets = {
        key: {**asset, "href": sign(f"{folder}/{file_name(asset['href'])}", settings, seconds)}
        for key, asset in item["assets"].items()
    }
    links = [dict(link) for link in item["links"]]
    for link in links:
        if link["rel"] == "self" and not published:
            link["href"] = sign(f"{folder}/{item['id']}.json", settings, seconds)
    return {**item, "assets": assets, "links": links}


def _folder(id: str, settings: Settings, *, published: bool) -> str:
    """Return where a result's files are: in object storage unless they were made before there was one."""
    on_disk = (settings.results_dir if published else settings.unpublished_dir) / id
    storage = settings.object_storage
    if storage is None or (on_disk / f"{LAYERS[0].name}.tif").exists():
        return str(on_disk)
    return stored_folder(id, storage, settings, published=published)
