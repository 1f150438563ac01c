"""Every byte that the package reads by address comes through here; GDAL never opens an address by itself.

So time-outs, retries and the sentences for what can fail are the same for items, rasters and masks, and there is one
place that decides which addresses may be read at all.
"""

import contextlib
import errno
import io
import itertools
import json
import os
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit, urlunsplit

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError, WarpOperationError

from escape_process import objects, remote
from escape_process.errors import EscapeError, SceneError, UpstreamError
from escape_process.remote import StatusError
from escape_process.settings import Settings
from escape_process.sources import FileSource, Source

__all__ = [
    "GDAL_CACHE_BYTES",
    "StatusError",
    "about",
    "fetch",
    "file_name",
    "is_remote",
    "list_hrefs",
    "open_href",
    "open_raster",
    "open_source",
    "parse_json",
    "read_bytes",
    "read_json",
    "send",
]

LONGEST_DOCUMENT = 64 * 1024 * 1024
"""Most bytes of a JSON document, so that no host fills the memory."""

GDAL_CACHE_BYTES = 32 * 2**20
"""For decoded blocks. GDAL's default is a share of the machine's memory, which holds whole rasters on a large one."""

_serial = itertools.count(1)


def is_remote(href: str) -> bool:
    """Tell whether an href is an http(s) address, or one of object storage."""
    return href.lower().startswith(("http://", "https://", "s3://"))


def file_name(href: str) -> str:
    """Return what a message may say of an href: its last part, without folders, query or credentials."""
    name = remote.last_part(href) if is_remote(href) else href.rstrip("/").rsplit("/", 1)[-1]
    name = "".join(character for character in name if character.isprintable())
    return name if len(name) <= 100 else name[:97] + "..."


def without_secrets(href: str) -> str:
    """Return an address as others may see it: without a signature or credentials."""
    if not is_remote(href) or objects.is_object(href):
        return href
    parts = urlsplit(href)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def open_href(href: str, settings: Settings) -> BinaryIO:
    """Open the bytes behind an href for reading, seekable.

    A remote file is read by ranges as it is needed, or fetched whole where its server ignores ranges.

    Raises
    ------
    UpstreamError
        where the file is missing or its host does not give it; later reads of the file may raise it too.
    SceneError
        where the href is neither a path nor an http(s) address, nor in a bucket that the operator configured.
    """
    return io.BufferedReader(_View(open_source(href, settings)))


def about(href: str, settings: Settings) -> tuple[int, str | None]:
    """Return the size of a file in bytes, and what its host says of its version: an ETag or a time.

    Raises
    ------
    UpstreamError, SceneError
        as `open_href`.
    """
    with contextlib.closing(open_source(href, settings)) as source:
        return source.size, getattr(source, "version", None)


def list_hrefs(prefix: str, settings: Settings) -> list[str]:
    """Return the addresses of all objects under an s3 address, sorted, as if it were a folder.

    Raises
    ------
    SceneError
        where it is no s3 address, or the operator configured no bucket that it lies in.
    UpstreamError
        where the storage does not answer, or has more there than is read.
    """
    if not objects.is_object(prefix):
        raise SceneError(f"The files at {_place(prefix)} cannot be listed: only those of object storage can.")
    return objects.list_hrefs(prefix, settings)


def read_bytes(href: str, settings: Settings, limit: int = LONGEST_DOCUMENT) -> bytes:
    """Read a whole small file.

    Raises
    ------
    UpstreamError
        as `open_href`, and where the file is longer than `limit` bytes.
    """
    if is_remote(href) and not objects.is_object(href):
        return fetch(href, settings, limit=limit)
    with contextlib.closing(open_source(href, settings)) as source:
        if source.size > limit:
            raise _too_long(href, limit)
        return source.read_at(0, source.size)


def read_json(href: str, settings: Settings) -> Any:
    """Read a JSON document.

    Raises
    ------
    UpstreamError
        as `read_bytes`, and where the document is not JSON.
    """
    return parse_json(read_bytes(href, settings), href)


def parse_json(content: bytes | str, href: str) -> Any:
    """Decode a JSON document that came from `href`.

    Raises
    ------
    UpstreamError
        where it is not JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(f"{_place(href)} is not JSON; check that it is the address of STAC metadata.") from error


def fetch(
    href: str,
    settings: Settings,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    limit: int = LONGEST_DOCUMENT,
) -> bytes:
    """Send one request to an http(s) address and return the body of its answer.

    `parameters` are the query of a GET and the JSON body of a POST. Only for requests that may be repeated.

    Raises
    ------
    UpstreamError
        where the host does not answer, answers with more than `limit` bytes or (a `StatusError`) with a failure.
    """
    if method == "POST":
        content: dict[str, Any] = {"json": dict(parameters or {})}
    else:  # an empty `params` would cut the query that an address brings along
        content = {"params": dict(parameters)} if parameters else {}
    body = remote.exchange(
        href,
        settings,
        lambda response: remote.read_body(response, limit),
        method=method,
        headers=headers,
        **content,
    )
    if body is None:
        raise _too_long(href, limit)
    return body


def send(
    href: str,
    settings: Settings,
    *,
    method: Literal["GET", "POST", "PUT"],
    headers: Mapping[str, str],
    document: Mapping[str, Any] | None = None,
) -> bytes:
    """Send a request to a host that the operator trusts with secrets; return the body of its answer.

    No redirect is followed. Only for requests that may be repeated.

    Raises
    ------
    UpstreamError
        as `fetch`; a `StatusError` knows the start of the answer.
    """
    content: dict[str, Any] = {}
    if document is not None:
        content["content"] = json.dumps(document, allow_nan=False).encode()
        headers = {**headers, "Content-Type": "application/json"}
    body = remote.exchange(
        href,
        settings,
        lambda response: remote.read_body(response, LONGEST_DOCUMENT),
        method=method,
        headers=headers,
        follow=False,
        **content,
    )
    if body is None:
        raise _too_long(href, LONGEST_DOCUMENT)
    return body


def open_source(href: str, settings: Settings) -> Source:
    """Open a file to be read at any place by several threads; to be closed by the caller.

    Raises
    ------
    UpstreamError, SceneError
        as `open_href`.
    """
    if objects.is_object(href):
        return objects.open_source(href, settings)
    return remote.open_source(href, settings) if is_remote(href) else _open_local(href)


@contextlib.contextmanager
def open_raster(href: str, settings: Settings, source: Source | None = None) -> Iterator[Any]:
    """Open a GeoTIFF as a rasterio dataset for the duration of a `with` block.

    GDAL gets our own file object under a made-up name and sees no other file, so that neither the raster nor its
    sidecars can lead it to an address. Failed reads inside the block become the sentences below.

    Parameters
    ----------
    source
        The file behind the href where it is open already; it stays open.

    Raises
    ------
    UpstreamError
        where the file is missing or its host fails, at opening or later.
    SceneError
        where the file is not a GeoTIFF, is truncated or damaged.
    """
    failures: list[EscapeError] = []
    serial = next(_serial)
    name = "raster/" + _mark(serial) + re.sub(r"[^A-Za-z0-9._-]", "_", file_name(href))
    with contextlib.ExitStack() as ours:
        if source is None:
            source = ours.enter_context(contextlib.closing(open_source(href, settings)))

        def opener(path: str, mode: str = "rb", **_: Any) -> BinaryIO:
            if path != name or "r" not in mode:
                raise FileNotFoundError(errno.ENOENT, "only the raster itself can be opened", path)
            return cast(BinaryIO, _View(source, failures))

        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the reader refuses it with a sentence
                    dataset = rasterio.open(name, driver="GTiff", opener=opener)
            except (RasterioError, UnicodeDecodeError) as error:  # the latter of texts in the header
                damaged = SceneError(
                    f"The file {file_name(href)} is not a GeoTIFF or its header is damaged: give a readable GeoTIFF"
                    " or COG."
                )
                raise (failures or [damaged])[0] from error
            with contextlib.closing(dataset):
                try:
                    yield dataset
                except (RasterioIOError, WarpOperationError, UnicodeDecodeError, EscapeError) as error:
                    if failures:
                        raise failures[0] from error
                    if isinstance(error, EscapeError) or _blames_another(error, serial):
                        raise
                    raise SceneError(
                        f"The raster {file_name(href)} is truncated or damaged, its pixels cannot be decoded:"
                        " replace the file."
                    ) from error
        if failures:
            raise failures[0]


def _mark(serial: int) -> str:
    """Return what tells a raster from others of its name in GDAL's messages."""
    return f"escape{serial}-"


def _blames_another(error: BaseException, serial: int) -> bool:
    """Tell whether GDAL's messages name another raster that is open at the same time."""
    text = ""
    link: BaseException | None = error
    while link is not None:
        text += f"{link} "
        link = link.__cause__ or link.__context__
    return _mark(serial) not in text and re.search(r"escape\d+-", text) is not None


class _View(io.RawIOBase):
    """One reader's place in a source.

    Where `failures` is given, a failed read is noted there and looks like the end of the file: an exception inside
    GDAL's call-back would end as a SystemError. The source then belongs to whoever reads `failures`.
    """

    def __init__(self, source: Source, failures: list[EscapeError] | None = None) -> None:
        self._source = source
        self._failures = failures
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek position")
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        # No more than the file holds is ever allocated, whatever a damaged TIFF asks for.
        rest = max(self._source.size - self._position, 0)
        length = rest if size is None or size < 0 else min(size, rest)
        try:
            content = self._source.read_at(self._position, length)
        except (EscapeError, OSError) as error:
            if self._failures is None:
                raise
            unreadable = UpstreamError("A raster cannot be read from disk any more; check the disk.")
            self._failures.append(error if isinstance(error, EscapeError) else unreadable)
            return b""
        self._position += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed and self._failures is None:
            self._source.close()
        super().close()


def _open_local(href: str) -> Source:
    if "://" in href or href.lower().startswith(("/vsi", "file:")) or "\0" in href:
        raise SceneError(f"The address of {file_name(href)} is not one that is read here: give it by http or https.")
    try:
        if stat.S_ISFIFO(Path(href).stat().st_mode):  # to open one waits for whoever writes to it
            raise UpstreamError(f"The file {file_name(href)} cannot be opened: it is a pipe.")
        return FileSource(Path(href).open("rb"))
    except FileNotFoundError as error:
        raise UpstreamError(
            f"The file {file_name(href)} does not exist; check what the catalogue says of it."
        ) from error
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can hold and a path cannot
        raise UpstreamError(
            f"The file {file_name(href)!a} does not exist; check what the catalogue says of it."
        ) from error
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else "unknown reason"
        raise UpstreamError(f"The file {file_name(href)} cannot be opened: {why}.") from error


def _place(href: str) -> str:
    return remote.describe(href) if is_remote(href) else file_name(href)


def _too_long(href: str, limit: int) -> UpstreamError:
    return UpstreamError(f"{_place(href)} is longer than the {limit // (1024 * 1024)} MiB that are read of it.")
