"""What a remote host is told beside the request: the operator's headers for it, and a signature on addresses.

Both go on the wire alone. No address that the rest of the package knows is a signed one, so that neither messages nor
logs nor results can show a secret; and each hop of a redirect gets what its own host is due, nothing of the last one's.
A signature is the operator's own, or one that a signing service gives for a while: it is kept until shortly before it
expires.
"""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from escape_process.errors import UpstreamError
from escape_process.settings import SIGNED_ADDRESS, HostAccess, Settings

MARGIN = dt.timedelta(seconds=60)
"""A signature is not used any more so shortly before it expires."""
KEPT_UNDATED = dt.timedelta(minutes=5)
"""How long a signature is kept that does not say when it expires."""
MOST_KEPT = 1000
"""Signatures kept by a process: some services give one for each address."""


@dataclass(frozen=True)
class _Signature:
    """What signs an address."""

    query: str
    until: dt.datetime
    """It is used until then."""
    whole: bool = False
    """Whether it is all of the address's query, not a part to be added."""


_kept: dict[str, _Signature] = {}
"""By the address of the service that gave it."""

Ask = Callable[[str], bytes]
"""Returns what is read at the address of a signing service."""


def present(request: httpx.Request, settings: Settings, ask: Ask) -> None:
    """Add to a request what the operator set for its host: headers, and the signature where it has none yet.

    Raises
    ------
    UpstreamError
        where a signing service gives no signature.
    """
    access = _access_to(request.url, settings)
    if access is None:
        return
    for name, value in access.headers.items():
        request.headers[name] = value.get_secret_value()
    if access.sign is not None:
        signature = _signature(_service(access.sign, request.url), ask)
    elif access.query is not None:
        signature = _Signature(access.query.get_secret_value(), dt.datetime.max)
    else:
        return
    if signature.whole:
        request.url = request.url.copy_with(query=signature.query.encode())
    elif not set(httpx.QueryParams(signature.query)) & set(request.url.params):
        address, _, given = str(request.url).partition("?")
        request.url = httpx.URL(f"{address}?{given}&{signature.query}" if given else f"{address}?{signature.query}")


def forget(url: httpx.URL, settings: Settings) -> bool:
    """Keep no longer the signature that a service gave for an address; tell whether there is such a service."""
    access = _access_to(url, settings)
    if access is None or access.sign is None:
        return False
    _kept.pop(_service(access.sign, url), None)
    return True


def of_service(address: str, settings: Settings) -> Settings:
    """Return the settings to ask a signing service with: the operator names it, and it is not signed for itself."""
    hosts = {host: access.model_copy(update={"sign": None}) for host, access in settings.hosts.items()}
    return settings.allowing(address).model_copy(update={"hosts": hosts, "http_attempts": 1})


def withdraw(request: httpx.Request, before: httpx.Request, settings: Settings) -> None:
    """Take from the request that follows a redirect the headers that were meant for the host before."""
    access = _access_to(before.url, settings)
    for name in () if access is None else access.headers:
        request.headers.pop(name, None)


def known(href: str, settings: Settings) -> bool:
    """Tell whether the operator set anything for the host of an address."""
    return _access_to(httpx.URL(href), settings) is not None


def _access_to(url: httpx.URL, settings: Settings) -> HostAccess | None:
    return settings.access_to(url.scheme, url.raw_host.decode("ascii"), url.port)


def _service(sign: str, url: httpx.URL) -> str:
    return sign.replace(SIGNED_ADDRESS, quote(str(url), safe=""))


def _signature(service: str, ask: Ask) -> _Signature:
    """Return what a signing service gave: as it was kept, or asked for anew."""
    now = dt.datetime.now(dt.UTC)
    signature = _kept.get(service)
    if signature is None or now >= signature.until:
        signature = _read_answer(ask(service), httpx.URL(service).host, now)
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[service] = signature
    return signature


def _read_answer(content: bytes, host: str, now: dt.datetime) -> _Signature:
    try:
        answer = json.loads(content)
        whole = "token" not in answer
        query = httpx.URL(answer["href"]).query.decode("ascii") if whole else answer["token"].lstrip("?")
        expiry = answer.get("msft:expiry")
        until = now + KEPT_UNDATED if expiry is None else dt.datetime.fromisoformat(expiry) - MARGIN
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, httpx.InvalidURL) as error:
        raise UpstreamError(
            f"The signing service at {host} answered with neither a token nor an href, or an unreadable expiry;"
            " check the setting sign of the host."
        ) from error
    return _Signature(query, until if until.tzinfo is not None else until.replace(tzinfo=dt.UTC), whole)
