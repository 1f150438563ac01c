"""Results that no catalogue lists: their items lie with their files, so that whoever may read these can find them."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from escape_process.catalogue.publish import public_href
from escape_process.engine import storage_faults_told
from escape_process.folders import PARTIAL
from escape_process.objects import read_object, write_object
from escape_process.publishing.files import stored_folder
from escape_process.settings import Settings

_GEOJSON = "application/geo+json"


def describe_unpublished(item: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Store the item of an unpublished result beside its files; return it with its own address.

    Raises
    ------
    StorageError
        where the folder cannot be written.
    UpstreamError
        where object storage does not take it.
    """
    path = settings.unpublished_dir / item["id"] / f"{item['id']}.json"
    storage = settings.object_storage
    stored = None if storage is None else f"{stored_folder(item['id'], storage, settings, published=False)}/{path.name}"
    if stored is None or storage is None or storage.presign is not None:
        href = public_href(path, settings)
    elif storage.public_url is not None:
        href = storage.public_url + stored.removeprefix(storage.place)
    else:
        href = stored
    described = {**item, "links": [*item["links"], {"rel": "self", "href": href, "type": _GEOJSON}]}
    content = json.dumps(described, indent=2, ensure_ascii=False, allow_nan=False).encode()
    if stored is not None:
        write_object(stored, content, settings, _GEOJSON)
    else:
        _write(path, content)
    return described


def find_unpublished(id: str, settings: Settings) -> dict[str, Any] | None:
    """Return the item of an unpublished result of the owner whose settings these are; None where there is none.

    Raises
    ------
    UpstreamError
        where object storage does not answer.
    """
    path = settings.unpublished_dir / id / f"{id}.json"
    storage = settings.object_storage
    try:
        content: bytes | None = path.read_bytes()
    except OSError:
        stored = "" if storage is None else stored_folder(id, storage, settings, published=False)
        content = read_object(f"{stored}/{path.name}", settings) if stored else None
    try:
        item = json.loads(content or b"")
    except ValueError:
        return None
    return item if isinstance(item, dict) and item.get("id") == id else None


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        with storage_faults_told(f"result {path.stem}"):
            part.write_bytes(content)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
