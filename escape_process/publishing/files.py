"""The files of a result on their way to object storage, and where they are afterwards."""

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from escape_process import objects
from escape_process.errors import CancelledError, SceneError, UpstreamError
from escape_process.folders import held, is_old, unheld
from escape_process.hrefs import file_name
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.targets import ObjectStorage

_NOTE = ".upload.json"
"""In a staged folder while it is uploaded: what was not in storage before, and the mark of the upload."""
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
    with contextlib.suppress(UpstreamError):
        sweep_uploads(settings)
    staged = settings.staging_dir / item["id"]
    folder = stored_folder(item["id"], storage, settings, published=published)
    moved = {**item, "assets": {key: dict(asset) for key, asset in item["assets"].items()}}
    with held(staged):
        try:
            earlier = objects.sizes_of_results(folder, settings)
            names = [file_name(asset["href"]) for asset in moved["assets"].values()]
            new, mark = [f"{folder}/{name}" for name in names if name not in earlier], uuid.uuid4().hex
            (staged / _NOTE).write_text(json.dumps({"new": new, "mark": mark}), encoding="utf-8")
            for name, asset in zip(names, moved["assets"].values(), strict=True):
                _check(cancelled)
                href = f"{folder}/{name}"
                sha256 = asset["file:checksum"].removeprefix(_MULTIHASH)
                objects.upload(staged / name, href, settings, media_type=asset["type"], sha256=sha256, mark=mark)
                asset["href"] = href_of_stored(href, storage, asset["href"])
            _check(cancelled)
            (staged / _NOTE).unlink()
        except BaseException:
            with contextlib.suppress(UpstreamError):
                _take_back(staged, settings)
            raise
        finally:
            if not (staged / _NOTE).exists():
                shutil.rmtree(staged, ignore_errors=True)
                _remove_abandoned(settings.staging_dir)
    return moved


def sweep_uploads(settings: Settings) -> None:
    """Remove what uploads left, in object storage and on the disk, whose processes were killed.

    Uploads under way are known by the hold on their folder, those of hosts with a data folder of their own by their
    mark. Parts of a file that the storage never put together are not listed to anybody here: the bucket's own rule
    for unfinished uploads removes them.

    Raises
    ------
    UpstreamError
        where the storage does not answer: the rest is left for another time.
    """
    for note in settings.staging_dir.glob(f"[!.]*/{_NOTE}"):
        with unheld(note.parent, if_unknown=is_old(note)) as free:
            if free:
                _take_back(note.parent, settings)
                shutil.rmtree(note.parent, ignore_errors=True)


def _take_back(staged: Path, settings: Settings) -> None:
    """Remove the objects that an upload began, unless they were there before or are another's by now."""
    try:
        noted = json.loads((staged / _NOTE).read_text(encoding="utf-8"))
        new, mark = list(noted["new"]), str(noted["mark"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # nothing was begun
        return
    with contextlib.suppress(SceneError):  # lies in no bucket of these settings
        if settings.object_storage is not None:
            objects.delete_marked(new, settings, mark)
    (staged / _NOTE).unlink()


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


def href_of_stored(href: str, storage: ObjectStorage, relative: str) -> str:
    """Return the address by which a file in object storage is read: this server's, which signs, is `relative`."""
    if storage.public_url is not None:
        return f"{storage.public_url}/{quote(href.removeprefix(f'{storage.place}/'))}"
    return href if storage.presign is None else relative


def _remove_abandoned(folder: Path) -> None:
    for one in folder.glob("*"):
        if is_old(one):
            shutil.rmtree(one, ignore_errors=True)
    with contextlib.suppress(OSError):  # another job's result is in there
        folder.rmdir()
