"""What holds for every answer: the size of a request's body, headers for browsers, and tokens where they are asked for.

Bodies and headers are seen to in front of the whole application, since the STAC API beside pygeoapi's is no Flask.
"""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from escape_process.errors import InvalidInputError
from escape_process.jobs.auth import Authenticator, TokenError, install_auth
from escape_process.jobs.manager import JobManager
from escape_process.jobs.problems import problem_response
from escape_process.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CDNS = "https://unpkg.com https://cdn.jsdelivr.net https://cdnjs.cloudflare.com"
_PAGES = "; ".join(
    [
        "default-src 'self'",
        f"script-src 'self' 'unsafe-inline' {_CDNS}",  # pygeoapi's pages hold scripts of their own
        f"style-src 'self' 'unsafe-inline' {_CDNS} https://fonts.googleapis.com",
        f"font-src 'self' data: {_CDNS} https://fonts.gstatic.com",
        "img-src 'self' data: https:",  # tiles of whichever map the operator configured
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
_FILES = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""For data, and for files whatever they hold: a page among them runs no script in this server's name."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",  # map tiles are not served without the origin
}
_FILE_ROUTES = ("/catalog/", "/unpublished/")
_STAC_API = "/stac-api"


def install_guards(app: Flask, manager: JobManager, settings: Settings) -> None:
    """Ask for tokens in pygeoapi's application, and refuse its administration interface."""
    if "admin" in app.blueprints:
        raise InvalidInputError("The configuration sets server.admin, which nothing protects: unset it.")
    install_auth(app, manager, settings.auth)


class Guarded:
    """An application whose requests have a bounded body and whose answers have security headers."""

    def __init__(self, application: "WSGIApplication", settings: Settings) -> None:
        self._application = application
        self._max_body = settings.max_body
        auth = settings.auth
        self._stac_tokens = Authenticator(auth) if auth is not None and auth.catalog else None

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, _secured(headers, path), *more)

        refusal = self._refusal(environ, path)
        return (self._application if refusal is None else refusal)(environ, start)

    def _refusal(self, environ: "WSGIEnvironment", path: str) -> Response | None:
        if not _is_utf8(path):
            return problem_response(400, "InvalidParameterValue", "The address is not valid UTF-8.")
        wrong_body = self._read_body(environ)
        if wrong_body is not None:
            return wrong_body
        in_stac_api = path == _STAC_API or path.startswith(f"{_STAC_API}/")
        if self._stac_tokens is not None and in_stac_api and environ["REQUEST_METHOD"] != "OPTIONS":
            try:
                self._stac_tokens.owner_of(environ.get("HTTP_AUTHORIZATION"))
            except TokenError as error:
                return error.response()
        return None

    def _read_body(self, environ: "WSGIEnvironment") -> Response | None:
        """Read a request's body whole, since the bridge to the STAC API asks for ever for one that ends early.

        Returns the refusal of such a one, and of one that is too long.
        """
        length = environ.get("CONTENT_LENGTH") or ""
        if not length and "HTTP_TRANSFER_ENCODING" not in environ:
            return None
        expected = int(length) if length.isdecimal() else self._max_body + 1
        body = environ["wsgi.input"].read(expected) if not length or expected <= self._max_body else None
        if body is None or len(body) > self._max_body:
            limit = f"{self._max_body / 2**20:g} MiB" if self._max_body >= 2**20 else f"{self._max_body} bytes"
            return problem_response(
                413, "RequestTooLarge", f"The request's body is longer than {limit}: simplify its geometry or zones."
            )
        if length and len(body) < expected:
            return problem_response(400, "InvalidParameterValue", "The request's body is shorter than it says.")
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        return None


def _is_utf8(path: str) -> bool:
    try:
        path.encode("latin-1").decode("utf-8")  # WSGI hands bytes as text, one character a byte
    except UnicodeError:
        return False
    return True


def _secured(headers: list[tuple[str, str]], path: str) -> list[tuple[str, str]]:
    """Return an answer's headers with the missing ones added; the page comes with a stricter policy of its own."""
    kept = [(name, value) for name, value in headers if name.lower() not in {known.lower() for known in _HEADERS}]
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    is_page = kind.startswith("text/html") and not path.startswith(_FILE_ROUTES)
    if any(name.lower() == "content-security-policy" for name, _ in kept):
        return [*kept, *_HEADERS.items()]
    return [*kept, *_HEADERS.items(), ("Content-Security-Policy", _PAGES if is_page else _FILES)]
