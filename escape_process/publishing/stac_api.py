"""Writing to a STAC API with the Transaction extension: POST, on 409 PUT, and a GET that must show what was sent.

Whatever is sent twice changes nothing, so a lost answer is no harm.
"""

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from escape_process.catalogue.collection import results_collection
from escape_process.catalogue.publish import public_href, public_item
from escape_process.errors import UpstreamError
from escape_process.hrefs import StatusError, parse_json, send
from escape_process.settings import Settings

LOGGER = logging.getLogger(__name__)

_OF_THE_SERVER = frozenset({"self", "root", "parent", "collection"})
"""Relations of links that say where a document is: in the API."""
_NO_SUCH = frozenset({404, 410})
_EXISTS = 409


class TransactionApi:
    """The STAC API that the operator names, as somebody who may write to it sees it."""

    def __init__(self, settings: Settings) -> None:
        if settings.stac_api is None:
            raise ValueError("no STAC API is configured")
        api = settings.stac_api
        self._url = api.url
        self._host = urlsplit(api.url).hostname or "STAC API"
        self._settings = settings.allowing(api.url)  # the operator names it, so it may be private
        self._headers = {name: value.get_secret_value() for name, value in api.headers.items()}
        self._headers["Accept"] = "application/json"
        if api.token is not None:
            self._headers["Authorization"] = f"Bearer {api.token.get_secret_value()}"

    def publish(self, item: Mapping[str, Any]) -> None:
        """Create an item or replace the one of its id, in a collection that is made where it is missing.

        Raises
        ------
        UpstreamError
            where the API does not take the item, or does not show it afterwards.
        """
        self._ensure_collection(item["collection"])
        items = f"{self._collection(item['collection'])}/items"
        address = f"{items}/{quote(item['id'], safe='')}"
        try:
            self._write("POST", items, item, item["id"])
        except StatusError as error:
            if error.status != _EXISTS:
                raise
            self._write("PUT", address, item, item["id"])
        if not _is_same(self._read(address), item):
            raise UpstreamError(
                f"The STAC API at {self._host} took {item['id']}, but does not show it as it was sent; try again later."
            )

    def find(self, collection: str, id: str) -> dict[str, Any] | None:
        """Return an item; None where the API has none.

        Raises
        ------
        UpstreamError
            where the API does not say.
        """
        found = self._read(f"{self._collection(collection)}/items/{quote(id, safe='')}")
        return found if found is not None and found.get("id") == id else None

    def described(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a result as it stands in the API: every href absolute, links to the API's own documents."""
        public = public_item(item, self._settings)
        collection = self._collection(item["collection"])
        places = {
            "root": (self._url, "application/json"),
            "collection": (collection, "application/json"),
            "parent": (collection, "application/json"),
            "self": (f"{collection}/items/{quote(item['id'], safe='')}", "application/geo+json"),
        }
        public["links"] = [
            *({"rel": rel, "href": href, "type": media_type} for rel, (href, media_type) in places.items()),
            *_useful_links(public["links"]),
        ]
        return public

    def _ensure_collection(self, id: str) -> None:
        if self._read(self._collection(id)) is not None:
            return
        settings = self._settings.model_copy(update={"results_collection": id})
        collection = results_collection(settings)
        folder = settings.results_dir
        for link in collection["links"]:
            link["href"] = public_href(folder / link["href"], settings)
        collection["links"] = _useful_links(collection["links"])
        try:
            self._write("POST", f"{self._url}/collections", collection, f"the collection {id}")
        except StatusError as error:
            if error.status != _EXISTS:  # another process was faster
                raise

    def _collection(self, id: str) -> str:
        return f"{self._url}/collections/{quote(id, safe='')}"

    def _read(self, address: str) -> dict[str, Any] | None:
        try:
            content = send(address, self._settings, method="GET", headers=self._headers)
        except StatusError as error:
            if error.status in _NO_SUCH:
                return None
            raise self._in_words(error, "does not answer") from error
        document = parse_json(content, address)
        if not isinstance(document, dict):
            raise UpstreamError(f"The STAC API at {self._host} answered with something else than STAC; check its url.")
        return document

    def _write(self, method: Any, address: str, document: Mapping[str, Any], what: str) -> None:
        try:
            send(address, self._settings, method=method, headers=self._headers, document=document)
        except StatusError as error:
            if error.status == _EXISTS:
                raise
            raise self._in_words(error, f"did not take {what}") from error

    def _in_words(self, error: StatusError, what: str) -> UpstreamError:
        LOGGER.warning("The STAC API at %s answered %d: %s", self._host, error.status, error.answer)
        why = {
            401: "it does not accept the token or the headers of the settings",
            403: "the token or the headers of the settings do not allow it",
            404: "it offers no transactions there, or the url of the settings is wrong",
            405: "it offers no transactions",
        }.get(error.status, "the log has its answer" if error.status < 500 else "it fails; try again later")
        return UpstreamError(f"The STAC API at {self._host} {what} (HTTP status {error.status}): {why}.")


def _useful_links(links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the links that hold in another catalogue, too: a path on this host leads nobody anywhere."""
    return [
        link
        for link in links
        if link["rel"] not in _OF_THE_SERVER and ("://" in link["href"] or link["rel"] == "derived_from")
    ]


def _is_same(found: Mapping[str, Any] | None, item: Mapping[str, Any]) -> bool:
    """Tell whether an API shows an item's files as they are, and the same processing of them."""
    if found is None:
        return False
    return found.get("id") == item["id"] and _files(found) == _files(item) and _made(found) == _made(item)


def _files(item: Mapping[str, Any]) -> Any:
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        return None
    return {
        key: (asset.get("href"), asset.get("file:size"), asset.get("file:checksum"))
        for key, asset in assets.items()
        if isinstance(asset, Mapping)
    }


def _made(item: Mapping[str, Any]) -> dt.datetime | None:
    """Return when the files were made; servers may write a time in another form."""
    properties = item.get("properties")
    text = properties.get("processing:datetime") if isinstance(properties, Mapping) else None
    try:
        return dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
