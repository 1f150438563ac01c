"""Files in S3-compatible object storage: read by ranges, written in parts and compared with what was meant.

Only buckets that the operator configures are ever asked. Their hosts are the operator's choice, so they may be private.
"""

import contextlib
import datetime as dt
import hashlib
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import S3Store

from escape_process.errors import SceneError, TransientError, UpstreamError
from escape_process.remote import describe
from escape_process.settings import Settings
from escape_process.sources import BlockSource
from escape_process.targets import Bucket

PART_SIZE = 8 * 1024 * 1024
"""Bytes of one part of an upload; files up to this size go in one piece."""
PARTS_AT_ONCE = 4
_MARK: Any = "upload"
"""Name of the metadata of an object that says which upload it came by."""
MOST_LISTED = 10_000
"""Objects that one listing gives."""

_STATUS = re.compile(r"status code: (\d{3})")
_CLOSED = "is not open to the credentials of the settings."
_FAILS = "cannot be reached: the object storage fails; try again later."

_stores: dict[tuple[int, Bucket, float, int], S3Store] = {}


def is_object(href: str) -> bool:
    """Tell whether an href is an s3 address."""
    return href.lower().startswith("s3://")


class ObjectSource(BlockSource):
    """An object read by ranges, all of one version."""

    def __init__(self, href: str, store: S3Store, key: str) -> None:
        with _told(href):
            about = obstore.head(store, key)
        super().__init__(about["size"], about["e_tag"])
        self._href, self._store_of_it, self._key = href, store, key

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`.

        Raises
        ------
        UpstreamError
            where the storage does not give them, or those of another version.
        """
        options: Any = {"range": (start, stop)}
        if self.version is not None:
            options["if_match"] = self.version
        with _told(self._href):
            content = bytes(obstore.get(self._store_of_it, self._key, options=options).bytes())
        if len(content) != stop - start:
            raise UpstreamError(f"{describe(self._href)} gave another number of bytes than was asked for; try again.")
        return content


def open_source(href: str, settings: Settings) -> ObjectSource:
    """Open an object for reading.

    Raises
    ------
    SceneError
        where the operator configured no bucket that it lies in.
    UpstreamError
        where the storage does not give it.
    """
    readable = _readable(href, settings)
    return ObjectSource(href, *_place(href, readable, settings))


def list_hrefs(prefix: str, settings: Settings) -> list[str]:
    """Return the addresses of the objects under an s3 address, sorted, as if it were a folder.

    Raises
    ------
    SceneError
        where the operator configured no bucket that it lies in.
    UpstreamError
        where the storage does not answer, or has more than `MOST_LISTED` there.
    """
    readable = _readable(prefix, settings)
    return sorted(f"{prefix.rstrip('/')}/{name}" for name in _sizes(prefix, readable, settings))


def sizes_of_results(folder: str, settings: Settings) -> dict[str, int]:
    """Return the sizes in bytes of the files in a folder of the results' storage by their names in it.

    Raises
    ------
    UpstreamError
        where the storage does not answer.
    """
    return _sizes(folder, _results(settings), settings)


def read_object(href: str, settings: Settings) -> bytes | None:
    """Return a small object of the results' storage; None where there is none.

    Raises
    ------
    UpstreamError
        where the storage does not answer.
    """
    store, key = _place(href, _results(settings), settings)
    try:
        with _told(href, absence_too=False):
            return bytes(obstore.get(store, key).bytes())
    except FileNotFoundError:
        return None


def write_object(href: str, content: bytes, settings: Settings, media_type: str) -> None:
    """Store a small object in the results' storage.

    Raises
    ------
    UpstreamError
        where the storage does not take it.
    """
    store, key = _place(href, _results(settings), settings)
    with _told(href):
        obstore.put(store, key, content, attributes={"Content-Type": media_type})


def upload(path: Path, href: str, settings: Settings, *, media_type: str, sha256: str, mark: str) -> None:
    """Store a file in the results' storage, large ones in parts, and read it back to see that it arrived.

    Parameters
    ----------
    mark
        Kept with the object: by it `delete_marked` knows whose it is.
    sha256
        What the bytes must hash to, in hex.

    Raises
    ------
    UpstreamError
        where the storage does not take it, or holds something else afterwards; that is then removed.
    """
    store, key = _place(href, _results(settings), settings)
    attributes: Any = {"Content-Type": media_type, _MARK: mark}
    with _told(href):
        obstore.put(store, key, path, attributes=attributes, chunk_size=PART_SIZE, max_concurrency=PARTS_AT_ONCE)
        digest = hashlib.sha256()
        for chunk in obstore.get(store, key).stream(min_chunk_size=PART_SIZE):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        delete([href], settings)
        raise UpstreamError(
            f"{describe(href)} was stored with other bytes than were sent; try again, and have the storage checked."
        )


def delete(hrefs: list[str], settings: Settings) -> None:
    """Remove objects of the results' storage; those that are not there are no error.

    Raises
    ------
    UpstreamError
        where the storage does not remove them.
    """
    for href in hrefs:
        store, key = _place(href, _results(settings), settings)
        with contextlib.suppress(FileNotFoundError), _told(href, absence_too=False):
            obstore.delete(store, key)


def delete_marked(hrefs: list[str], settings: Settings, mark: str) -> None:
    """Remove those objects of the results' storage that were uploaded under a mark and not replaced since.

    Raises
    ------
    UpstreamError
        where the storage does not answer or does not remove them.
    """
    for href in hrefs:
        store, key = _place(href, _results(settings), settings)
        with contextlib.suppress(FileNotFoundError), _told(href, absence_too=False):
            if obstore.get(store, key, options={"head": True}).attributes.get(_MARK) == mark:
                obstore.delete(store, key)


def sign(href: str, settings: Settings, seconds: int) -> str:
    """Return an http(s) address under which anybody reads an object of the results' storage for some time."""
    store, key = _place(href, _results(settings), settings)
    with _told(href):
        return obstore.sign(store, "GET", key, dt.timedelta(seconds=seconds))


def _readable(href: str, settings: Settings) -> Bucket:
    """Return the bucket that an href lies in: one that may be read, or the published part of the results' own."""
    own = settings.object_storage
    published = None if own is None else f"{own.place}/{settings.results_collection}/"
    if own is not None and published is not None and href.startswith(published):
        return own
    for bucket in settings.buckets:
        if bucket.holds(href):
            return bucket
    raise SceneError(
        f"The address of {describe(href)} lies in no bucket that is read here; ask the operator to add it to buckets."
    )


def _results(settings: Settings) -> Bucket:
    if settings.object_storage is None:
        raise ValueError("no object storage is configured")
    return settings.object_storage


def _place(href: str, bucket: Bucket, settings: Settings) -> tuple[S3Store, str]:
    """Return the store and key of an href. Only its own spelling is a key: no empty part, no `.` or `..`."""
    key = href[len(f"s3://{bucket.name}/") :]
    if not bucket.holds(href) or not key or posixpath.normpath(key) != key or key.startswith("../"):
        raise SceneError(f"The address of {describe(href)} is no valid address of an object: correct it.")
    return _store(bucket, settings), key


def _sizes(folder: str, bucket: Bucket, settings: Settings) -> dict[str, int]:
    store = _store(bucket, settings)
    start = folder.rstrip("/")[len(f"s3://{bucket.name}/") :]
    found: dict[str, int] = {}
    with _told(folder):
        for batch in obstore.list(store, prefix=start or None):
            for about in batch:
                name = about["path"].removeprefix(start).lstrip("/")
                found[name] = about["size"]
            if len(found) > MOST_LISTED:
                raise UpstreamError(f"{describe(folder)} holds more than {MOST_LISTED} files; name a folder in it.")
    return found


def _store(bucket: Bucket, settings: Settings) -> S3Store:
    """Return this process's connections to a bucket: a forked child must not share them."""
    key = (os.getpid(), bucket, settings.http_timeout, settings.http_attempts)
    if key not in _stores:
        options: dict[str, Any] = {"skip_signature": True} if bucket.anonymous else {}
        if bucket.key_id is not None and bucket.secret is not None:
            options["access_key_id"] = bucket.key_id.get_secret_value()
            options["secret_access_key"] = bucket.secret.get_secret_value()
        if bucket.endpoint is not None:
            options["endpoint"] = bucket.endpoint
        _stores[key] = S3Store(
            bucket.name,
            region=bucket.region,
            client_options={
                "allow_http": (bucket.endpoint or "").startswith("http://"),
                "connect_timeout": dt.timedelta(seconds=settings.http_timeout),
                "timeout": dt.timedelta(seconds=10 * settings.http_timeout),  # of a whole part
            },
            retry_config={
                "max_retries": settings.http_attempts - 1,
                "backoff": {
                    "base": 2,
                    "init_backoff": dt.timedelta(seconds=0.25),
                    "max_backoff": dt.timedelta(seconds=5),
                },
                "retry_timeout": dt.timedelta(seconds=10 * settings.http_timeout * settings.http_attempts),
            },
            **options,
        )
    return _stores[key]


@contextlib.contextmanager
def _told(href: str, absence_too: bool = True) -> Iterator[None]:
    """Turn what the storage's client raises into a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        if not absence_too:
            raise
        raise UpstreamError(f"{describe(href)} does not exist; check the address.") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise UpstreamError(f"{describe(href)} {_CLOSED}") from error
    except PreconditionError as error:
        raise UpstreamError(f"{describe(href)} changed while it was read; try again.") from error
    except GenericError as error:
        raise _of_status(href, str(error)) from error
    except (BaseError, ValueError, OSError) as error:
        kind = TransientError if isinstance(error, OSError) else UpstreamError
        raise kind(f"{describe(href)} {_FAILS}") from error


def _of_status(href: str, text: str) -> UpstreamError:
    """Return the failure that the storage's client has no class of its own for, such as that of any listing."""
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if status in (401, 403):
        return UpstreamError(f"{describe(href)} {_CLOSED}")
    if status == 404:
        return UpstreamError(f"{describe(href)} does not exist; check the address.")
    if status not in (408, 429) and 400 <= status < 500:
        why = "check the credentials and the region of the settings"
        return UpstreamError(f"{describe(href)} is refused by the object storage (HTTP status {status}); {why}.")
    if "redirect without LOCATION" in text:
        return UpstreamError(f"{describe(href)} lies in another region than the settings say; correct region.")
    return TransientError(f"{describe(href)} {_FAILS}")
