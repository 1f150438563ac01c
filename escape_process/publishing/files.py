"""The files of a result on their way to object storage, and where they are afterwards."""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from escape_process import objects
from escape_process.errors import CancelledError, UpstreamError
from escape_process.hrefs import file_name
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.targets import ObjectStorage

_ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which a staged result belongs to a process that was killed."""
_MULTIHASH = "1220"
"""What a SHA-256 begins with in `file:checksum`."""


def results_folder(request: RetrievalRequest, settings: Settings) -> Path:
    """Return the folder that the folders of a request's results are written to."""
    if settings.object_storage is not None:
        return settings.staging_dir
    return settings.results_dir if request.publish else settings.unpublished_dir


def stored_folder(id: str, storage: ObjectStorage, settings: Settings, *, published: bool) -> str:
    """Return the s3 address of the folder that a result's files lie in."""
    return f"{storage.place}/{settings.results_collection if published else settings.unpublished_place}/{id}"


def upload_files(
    item: Mapping[str, Any], settings: Settings, *, published: bool, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Move a staged result's files to object storage, each compared with its checksum; return the item with its hrefs.

    Where links are to be signed the hrefs stay relative: to the item's own place on this server, which signs.

    Raises
    ------
    UpstreamError
        where the storage fails. Neither this nor a dismissal leaves files that were not there before.
    """
    storage = settings.object_storage
    if storage is None:
        return dict(item)
    staged = settings.staging_dir / item["id"]
    folder = stored_folder(item["id"], storage, settings, published=published)
    moved = {**item, "assets": {key: dict(asset) for key, asset in item["assets"].items()}}
    earlier = objects.sizes_of_results(folder, settings)
    new = []
    try:
        for asset in moved["assets"].values():
            _check(cancelled)
            name = file_name(asset["href"])
            href = f"{folder}/{name}"
            if name not in earlier:
                new.append(href)
            digest = asset["file:checksum"].removeprefix(_MULTIHASH)
            objects.upload(staged / name, href, settings, asset["type"], digest)
            asset["href"] = _href(href, storage, asset["href"])
        _check(cancelled)
    except BaseException:
        with contextlib.suppress(UpstreamError):
            objects.delete(new, settings)
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        _remove_abandoned(settings.staging_dir)
    return moved


def with_signed_links(item: Mapping[str, Any], settings: Settings, *, published: bool) -> dict[str, Any]:
    """Return an item as its reader needs it where there is no server to sign links: signed now."""
    storage = settings.object_storage
    if storage is None or storage.presign is None or settings.public_url is not None:
        return dict(item)
    folder = stored_folder(item["id"], storage, settings, published=published)
    assets = {
        key: {**asset, "href": objects.sign(f"{folder}/{file_name(asset['href'])}", settings, storage.presign)}
        for key, asset in item["assets"].items()
    }
    return {**item, "assets": assets}


def _check(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise CancelledError("The job was dismissed.")


def _href(href: str, storage: ObjectStorage, relative: str) -> str:
    if storage.public_url is not None:
        return f"{storage.public_url}/{quote(href.removeprefix(f'{storage.place}/'))}"
    return href if storage.presign is None else relative


def _remove_abandoned(folder: Path) -> None:
    for one in folder.glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - one.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(one, ignore_errors=True)
    with contextlib.suppress(OSError):  # another job's result is in there
        folder.rmdir()
