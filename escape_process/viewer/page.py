"""The page and its files, which load nothing from any other host.

The page is the same at `/`, at the process, at the jobs and at one of them, and its addresses are relative. What they
are relative to is written into it by how deep its own address lies (`<base href="../">`), so that it works behind a
proxy that serves this server under a path, without knowing that path.
"""

import re
from pathlib import Path

from flask import Response, send_file
from werkzeug.exceptions import NotFound

FOLDER = Path(__file__).parent / "static"

POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)

_BASE = b'<base href="/">'
"""As it stands in the page's file."""
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""What may be among the files, whatever this machine says of suffixes. A file without one is a licence."""


def page_response(path: str) -> Response:
    """Return the page as it is served at a path of this server."""
    up = "../" * (path.count("/") - 1)
    content = (FOLDER / "index.html").read_bytes().replace(_BASE, f'<base href="{up or "./"}">'.encode(), 1)
    response = Response(content, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response


def file_response(name: str) -> Response:
    """Return a file of the page; 304 where the client has it."""
    path = FOLDER / name
    known = all(_PART.fullmatch(part) for part in name.split("/"))
    media_type = _MEDIA_TYPES.get(path.suffix) if path.suffix else "text/plain; charset=utf-8"
    if not known or media_type is None or not path.is_file():
        raise NotFound("The page has no such file.")
    response: Response = send_file(path, mimetype=media_type, conditional=True, max_age=0)
    response.headers["Content-Security-Policy"] = POLICY
    return response
