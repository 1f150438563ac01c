"""What a remote host is told beside the request: the operator's headers for it, and its signature on addresses.

Both go on the wire alone. No address that the rest of the package knows is a signed one, so that neither messages nor
logs nor results can show a secret; and each hop of a redirect gets what its own host is due, nothing of the last one's.
"""

import httpx

from escape_process.settings import HostAccess, Settings


def present(request: httpx.Request, settings: Settings) -> None:
    """Add to a request what the operator set for its host: headers, and the signature where it has none yet."""
    access = _access_to(request.url, settings)
    if access is None:
        return
    for name, value in access.headers.items():
        request.headers[name] = value.get_secret_value()
    if access.query is not None:
        signature = access.query.get_secret_value()
        if not set(httpx.QueryParams(signature)) & set(request.url.params):
            address, _, given = str(request.url).partition("?")
            request.url = httpx.URL(f"{address}?{given}&{signature}" if given else f"{address}?{signature}")


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
