"""The HTTP side of `hrefs`: one client a process, retries, and remote files read by ranges.

Only `hrefs` calls this module; everything else asks `hrefs`.
"""

import atexit
import contextlib
import datetime as dt
import io
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import IO, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import httpx
import tenacity

from escape_process import credentials, sources
from escape_process.errors import StorageError, TransientError, UpstreamError, upstream_error
from escape_process.guard import RefusedAddressError, check_form, guarded_client
from escape_process.settings import Settings

SPOOLED_IN_MEMORY = 8 * 1024 * 1024
"""Files up to this size are kept in memory where a server cannot serve ranges."""

SLOWEST = 1024
"""Bytes a second that a host must send after the first `http_timeout` seconds of a body."""

MOST_REDIRECTS = 5
LONGEST_COMPLAINT = 4096
"""Bytes of a failure's body that the log may get."""

LONGEST_WAIT = 30.0
"""Most seconds that a host is waited for before the next attempt."""

_BACK_OFF = tenacity.wait_random_exponential(multiplier=0.25, max=5)
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})
_clients: dict[tuple[int, tuple[str, ...]], httpx.Client] = {}
_T = TypeVar("_T")

# httpx logs each full address at level INFO, with the signature of signed ones.
logging.getLogger("httpx").setLevel(logging.WARNING)


class StatusError(UpstreamError):
    """A host answered with an HTTP status that is no success."""

    answer: str = ""
    """Start of the body of an answer to what was sent: for the log, since what a host writes is not ours to tell."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _TransientStatusError(StatusError, TransientError):
    """A status that may be gone at the next attempt."""


class RemoteSource(sources.BlockSource):
    """A file behind an http(s) address."""

    def __init__(self, href: str, settings: Settings, first: httpx.Response, start: bytes) -> None:
        super().__init__(cast(int, _total_size(first)), _version(first), start)
        self._href = href
        self._settings = settings

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`.

        Raises
        ------
        UpstreamError
            where the host does not give them, or those of another version.
        """

        def read(response: httpx.Response) -> bytes:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                raise UpstreamError(f"{describe(self._href)} stopped answering requests for parts of it; try again.")
            if _total_size(response) != self.size or _version(response) != self.version:
                raise UpstreamError(f"{describe(self._href)} changed while it was read; try again.")
            return _range_body(self._href, response, stop - start)

        return exchange(self._href, self._settings, read, headers=_range_header(start, stop))


def open_source(href: str, settings: Settings) -> sources.Source:
    """Open a remote file, by ranges where its server can.

    Raises
    ------
    UpstreamError
        where the host does not give it.
    """

    def read(response: httpx.Response) -> sources.Source:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return sources.FileSource(io.BytesIO())  # an empty file has no first byte
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            return _spool(response)
        total = _total_size(response)
        if total is None:
            raise UpstreamError(f"{describe(href)} comes without its size; serve it from a host that tells it.")
        start = _range_body(href, response, min(sources.BLOCK_SIZE, total))
        return RemoteSource(href, settings, response, start)

    return exchange(href, settings, read, headers=_range_header(0, sources.BLOCK_SIZE))


def read_body(response: httpx.Response, limit: int) -> bytes | None:
    """Return the whole body of an answer, or None where it is longer than `limit` bytes."""
    return _join(_timely(response, response.iter_bytes()), limit)


def exchange(
    href: str,
    settings: Settings,
    read: Callable[[httpx.Response], _T],
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    follow: bool = True,
    **content: Any,
) -> _T:
    """Send a request until it succeeds, at most `settings.http_attempts` times, and `read` its answer.

    Without `follow` a redirect is a failure: what is written, and the secrets with it, go nowhere else.

    Raises
    ------
    UpstreamError
        where the host cannot be reached, may not be read (a `RefusedAddressError`), or answers with a failure (a
        `StatusError`).
    """

    def attempt() -> _T:
        ranged = headers is not None and "Range" in headers
        with _answer(method, href, settings, follow, headers=headers, **content) as response:
            empty = ranged and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE
            if response.is_success or empty:
                return read(response)
            failure = _status_failure(href, response, settings)
            if not follow and isinstance(failure, StatusError):
                failure.answer = (read_body(response, LONGEST_COMPLAINT) or b"").decode("utf-8", "replace")
            raise failure

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(settings.http_attempts),
        wait=_wait,
        retry=tenacity.retry_if_exception_type(TransientError),
        reraise=True,
    )
    return cast(_T, retrying(_in_our_words, href, settings, attempt))


@contextlib.contextmanager
def _answer(method: str, href: str, settings: Settings, follow: bool, **content: Any) -> Iterator[httpx.Response]:
    """Send one request, follow its redirects with each address checked, and give the answer at their end."""
    client = _client(settings)
    request = client.build_request(method, href, timeout=settings.http_timeout, **content)
    for hop in range(MOST_REDIRECTS + 1):
        try:
            check_form(str(request.url), settings)
            response = _send(client, request, settings)
        except RefusedAddressError as error:
            if hop == 0:
                raise
            raise RefusedAddressError(f"{describe(href)} redirects to where nothing is read: {error}") from error
        with contextlib.closing(response):
            if response.next_request is None or not follow:
                yield response
                return
            credentials.withdraw(response.next_request, request, settings)
            request = response.next_request
    raise UpstreamError(f"{describe(href)} redirects more than {MOST_REDIRECTS} times; give the address it leads to.")


def _send(client: httpx.Client, request: httpx.Request, settings: Settings) -> httpx.Response:
    """Send a request with what its host is due; once more where the host refuses a signature that was kept."""

    def ask(service: str) -> bytes:
        try:
            read = partial(read_body, limit=LONGEST_COMPLAINT)
            return exchange(service, credentials.of_service(service, settings), read) or b""
        except StatusError as error:  # the status is not that of the address asked for
            raise upstream_error(str(error), error) from error

    address = request.url
    credentials.present(request, settings, ask)
    response = client.send(request, stream=True, follow_redirects=False)
    if response.status_code in _REFUSED and credentials.forget(address, settings):
        response.close()
        request.url = address
        credentials.present(request, settings, ask)
        response = client.send(request, stream=True, follow_redirects=False)
    return response


def host_of(href: str) -> str:
    """Return the host of an address, or nothing."""
    try:
        return urlsplit(href).hostname or ""
    except ValueError:
        return ""


def last_part(href: str) -> str:
    """Return the last part of an address, without query or credentials; its host where it has no path."""
    try:
        path = urlsplit(href).path
    except ValueError:
        path = ""
    return unquote(path.rstrip("/").rsplit("/", 1)[-1]) or host_of(href) or "an address without a host"


def describe(href: str) -> str:
    """Return what a message says of a remote file: its name and host."""
    name, host = last_part(href), host_of(href)
    said = f"{name} at {host}" if host and host != name else name
    return said.encode(errors="replace").decode()  # JSON can hold half a surrogate pair, an answer cannot


def _in_our_words(href: str, settings: Settings, attempt: Callable[[], _T]) -> _T:
    try:
        return attempt()
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise UpstreamError(f"{describe(href)} cannot be asked for: its address is not valid.") from error
    except httpx.TimeoutException as error:
        raise TransientError(
            f"{describe(href)} did not answer within {settings.http_timeout:g} s; try again later."
        ) from error
    except httpx.TransportError as error:
        raise TransientError(
            f"{describe(href)} cannot be reached: the connection failed; check the address or try again later."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise UpstreamError(f"{describe(href)} cannot be read: its address or its answer is not valid.") from error


def _wait(state: tenacity.RetryCallState) -> float:
    """Return the seconds before the next attempt: ever more, by chance, and no fewer than the host asks for."""
    failure = state.outcome.exception() if state.outcome is not None else None
    asked = failure.retry_after if isinstance(failure, TransientError) else 0.0
    return max(_BACK_OFF(state), min(asked, LONGEST_WAIT))


def _status_failure(href: str, response: httpx.Response, settings: Settings) -> UpstreamError:
    status = response.status_code
    if status in _TRANSIENT_STATUS:
        passing = _TransientStatusError(f"{describe(href)} failed with HTTP status {status}; try again later.", status)
        passing.retry_after = _seconds_asked(response.headers.get("Retry-After", "").strip())
        return passing
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        return StatusError(f"{describe(href)} does not exist (HTTP status {status}); check the address.", status)
    if status in _REFUSED:
        set_by = "with the operator's credentials" if credentials.known(href, settings) else "without credentials"
        return StatusError(f"{describe(href)} may not be read {set_by} (HTTP status {status}).", status)
    return StatusError(f"{describe(href)} answered with HTTP status {status}; check the address.", status)


def _seconds_asked(text: str) -> float:
    """Read a Retry-After: seconds, or a date; nothing for anything else."""
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):  # the second of a date without a zone
        return 0.0


def _client(settings: Settings) -> httpx.Client:
    """Return this process's client. A forked child gets its own: two processes must not share connections.

    Its open connections were allowed by its settings, so other settings get another client.
    """
    key = (os.getpid(), _hosts(settings))
    client = _clients.get(key)
    if client is None:  # no lock, which a fork could leave held: of two threads here at once the first one's stays
        client = _clients.setdefault(key, guarded_client(settings))
    return client


def _hosts(settings: Settings) -> tuple[str, ...]:
    """Return what of the settings decides which hosts may be spoken to."""
    return (*settings.allowed_hosts, "", *settings.catalogs.values())


@atexit.register
def close_client() -> None:
    """Close this process's connections; the next request opens new ones."""
    for key in [key for key in _clients if key[0] == os.getpid()]:
        _clients.pop(key).close()


def _spool(response: httpx.Response) -> sources.Source:
    """Keep the whole body of a server that ignores ranges."""
    file = tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY)  # noqa: SIM115, closed with the source
    try:
        for chunk in _timely(response, response.iter_bytes()):
            file.write(chunk)
    except OSError as error:
        file.close()
        raise StorageError("There is no room for a temporary copy of a remote file: free some disk space.") from error
    except BaseException:
        file.close()
        raise
    return sources.FileSource(cast(IO[bytes], file))


def _range_header(start: int, stop: int) -> dict[str, str]:
    # Ranges count the bytes of the encoded form, so the file must come unencoded.
    return {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}


def _range_body(href: str, response: httpx.Response, length: int) -> bytes:
    # Read to the end even when all is there: a connection left in the middle of a body cannot be used again.
    content = _join(_timely(response, response.iter_raw()), length)
    if content is None or len(content) != length:
        raise TransientError(f"{describe(href)} sent another number of bytes than was asked for; try again later.")
    return content


def _join(chunks: Iterable[bytes], limit: int) -> bytes | None:
    kept, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            return None
        kept.append(chunk)
    return b"".join(kept)


def _timely(response: httpx.Response, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts of a body; give up on a host that only drips, which no time-out between parts notices."""
    patience: float = response.request.extensions["timeout"]["read"]
    start, size = time.monotonic(), 0
    for chunk in chunks:
        size += len(chunk)
        seconds = time.monotonic() - start
        if seconds > patience and size < SLOWEST * seconds:
            raise httpx.ReadTimeout("the body drips", request=response.request)
        yield chunk


def _total_size(response: httpx.Response) -> int | None:
    found = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
    return int(found[1]) if found else None


def _version(response: httpx.Response) -> str | None:
    etag: str | None = response.headers.get("ETag")
    return etag or response.headers.get("Last-Modified")
