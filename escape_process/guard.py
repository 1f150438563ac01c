"""Which addresses may be spoken to: those that the operator names, and public ones.

A client names catalogues and subscribers, an item names its assets, a host answers with a redirect: none of them may
lead this server into its own network. A host that the settings do not name must resolve to public addresses only, and
the connection goes to the very address that was checked, so that a name cannot change its mind in between. Proxies of
the environment are not used: behind one, it and not this check would decide where a connection ends.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpcore
import httpx

from escape_process.errors import InvalidInputError, UpstreamError
from escape_process.settings import DEFAULT_PORTS, Settings

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All other IPv6 space is local, multicast, reserved or holds an IPv4 address (mapped, compatible, NAT64)."""
_NOT_PUBLIC: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    ipaddress.IPv6Network("2002::/16"),  # 6to4 holds an IPv4 address
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)
"""What the standard library's `is_global` lets by in some releases."""


class RefusedAddressError(UpstreamError):
    """An address that this server does not speak to: raise it before anything is sent."""

    http_status = 400
    code = "InvalidParameterValue"


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to a host of the public internet."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False  # one with a zone, such as fe80::1%eth0, too
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return False
    if parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local:
        return False
    return parsed.is_global and not any(parsed.version == net.version and parsed in net for net in _NOT_PUBLIC)


def resolve(host: str, port: int) -> list[str]:
    """Return all IP addresses of a host, as the system's resolver gives them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_form(href: str, settings: Settings) -> None:
    """Refuse an address by what is written in it: its scheme, credentials, or no host.

    Raises
    ------
    RefusedAddressError
        naming the address or its host.
    """
    host, port, scheme, has_credentials = _parts(href)
    if scheme not in DEFAULT_PORTS or not host:
        raise RefusedAddressError(f"The address {_shown(href)} is not read here: give an http or https address.")
    if has_credentials and not settings.names_host(host, port):
        raise RefusedAddressError(f"The address of {host} holds credentials: leave them out.")


def check_public_url(url: str, settings: Settings) -> None:
    """Refuse a URL that a client names, before anything is sent to it.

    For subscribers' URLs too. What is sent later must still go through `hrefs` or `guarded_client`: only there is the
    address checked that a connection goes to.

    Raises
    ------
    InvalidInputError
        naming the address or its host.
    UpstreamError
        where the host has no address.
    """
    host, port, _, has_credentials = _parts(url)
    if has_credentials:
        raise InvalidInputError(f"The address of {host} holds credentials: leave them out.")
    try:
        check_form(url, settings)
        checked_addresses(host, port, settings)
    except RefusedAddressError as error:
        raise InvalidInputError(str(error)) from error
    except OSError as error:
        raise UpstreamError(f"The host {host} cannot be found; check the address or try again later.") from error


def checked_addresses(host: str, port: int, settings: Settings) -> list[str]:
    """Return the IP addresses of a host, all of which may be spoken to.

    Raises
    ------
    RefusedAddressError
        where the operator does not name the host and one of its addresses is not public.
    OSError
        where it has none.
    """
    try:
        addresses = resolve(host, port)
    except UnicodeError as error:  # a label of a name is too long
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from error
    if not settings.names_host(host, port) and not all(map(is_public, addresses)):
        raise RefusedAddressError(
            f"The host {host} is not a public one and is not read here; ask the operator to allow it."
        )
    return addresses


def guarded_client(settings: Settings) -> httpx.Client:
    """Return an HTTP client that connects only to what `checked_addresses` lets by, and follows no redirect."""
    return httpx.Client(
        headers={"User-Agent": "escape-process"}, transport=_GuardedTransport(settings), trust_env=False
    )


class _GuardedTransport(httpx.HTTPTransport):
    """httpx's transport over connections of `_GuardedBackend`; TLS and the Host header still see the host's name."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        context: ssl.SSLContext = httpx.create_ssl_context()
        # httpx offers no argument for the backend; tests prove that this is the pool in use.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(settings),
        )


class _GuardedBackend(httpcore.NetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = checked_addresses(host, port, self._settings)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _parts(href: str) -> tuple[str, int, str, bool]:
    """Return host, port and scheme of an address and whether it holds credentials; nothing for what is no address."""
    try:
        url = httpx.URL(href)  # what will be connected to, not another parser's reading of it
        scheme, host = url.scheme, url.raw_host.decode("ascii")
        return host, url.port or DEFAULT_PORTS.get(scheme, 0), scheme, bool(url.userinfo)
    except (httpx.InvalidURL, ValueError, TypeError):
        return "", 0, "", False


def _shown(href: str) -> str:
    """Return what a message may say of an address that has no host: neither query nor credentials."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return "given"
    text = f"{parts.scheme}:{parts.path}" if not parts.netloc else f"{parts.scheme}://{parts.netloc.split('@')[-1]}"
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= 100 else text[:97] + "..."
