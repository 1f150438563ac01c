"""Results that no catalogue lists: their items lie with their files, so that whoever may read these can find them."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from escape_process.catalogue.publish import public_href, public_item
from escape_process.engine import storage_faults_told
from escape_process.folders import PARTIAL
from escape_process.objects import read_object, write_object
from escape_process.publishing.files import href_of_stored, stored_folder
from escape_process.settings import Settings

_GEOJSON = "application/geo+json"


def describe_unpublished(item: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Store the item of an unpublished result beside its files; return it as clients get it.

    What is stored is right under another address of the server, too: hrefs of files on this server stay relative.

    Raises
    ------
    StorageError
        where the folder cannot be written.
    UpstreamError
        where object storage does not take it.
    """
    public = _with_address(public_item(item, settings, published=False), settings)
    content = json.dumps({**public, "assets": item["assets"]}, indent=2, ensure_ascii=False, allow_nan=False).encode()
    stored = _stored(item["id"], settings)
    if stored is None:
        _write(_path(item["id"], settings), content)
    else:
        write_object(stored, content, settings, _GEOJSON)
    return public


def find_unpublished(id: str, settings: Settings) -> dict[str, Any] | None:
    """Return the item of an unpublished result of the owner whose settings these are; None where there is none.

    Raises
    ------
    UpstreamError
        where object storage does not answer.
    """
    stored = _stored(id, settings)
    try:
        content: bytes | None = _path(id, settings).read_bytes()
    except OSError:
        content = None if stored is None else read_object(stored, settings)
    try:
        item = json.loads(content or b"")
    except ValueError:
        return None
    if not isinstance(item, dict) or item.get("id") != id:
        return None
    return _with_address(public_item(item, settings, published=False), settings)


def _path(id: str, settings: Settings) -> Path:
    return settings.unpublished_dir / id / f"{id}.json"


def _stored(id: str, settings: Settings) -> str | None:
    """Return the item's address in object storage; None where there is none."""
    storage = settings.object_storage
    return None if storage is None else f"{stored_folder(id, storage, settings, published=False)}/{id}.json"


def _with_address(item: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Add the link to the item itself, which lies where its files are."""
    storage, stored = settings.object_storage, _stored(item["id"], settings)
    relative = public_href(_path(item["id"], settings), settings)
    href = relative if storage is None or stored is None else href_of_stored(stored, storage, relative)
    return {**item, "links": [*item["links"], {"rel": "self", "href": href, "type": _GEOJSON}]}


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        with storage_faults_told(f"result {path.stem}"):
            part.write_bytes(content)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
