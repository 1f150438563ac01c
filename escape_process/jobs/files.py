"""The static catalogue and result files over HTTP: byte for byte as written, with Range, readable from any web page."""

import json
import mimetypes
from pathlib import Path

from flask import Flask, Response, request, send_file
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from escape_process.jobs.auth import owner
from escape_process.settings import Settings

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA_TYPES = {".tif": _COG, ".tiff": _COG, ".geojson": "application/geo+json", ".png": "image/png"}
_ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
    "X-Content-Type-Options": "nosniff",
}


def install_files(app: Flask, settings: Settings) -> None:
    """Serve the catalogue under /catalog and results that were not to be published under /unpublished.

    Where tokens are asked for, the latter are served to their owner; another's are as little there as none.
    """

    def catalog(path: str) -> Response:
        return _serve(settings.catalog_dir, path)

    def unpublished(path: str) -> Response:
        if settings.auth is None:
            return _serve(settings.unpublished_dir, path)
        mine = settings.of_owner(owner()).unpublished_dir
        folder, _, inside = path.partition("/")
        if folder != mine.name:
            raise NotFound("There is no such file.")
        return _serve(mine, inside)

    def allow_any_origin(response: Response) -> Response:
        if request.endpoint in ("catalog_file", "unpublished_file"):
            response.headers.update(_ANY_ORIGIN)
        return response

    app.add_url_rule("/catalog/<path:path>", "catalog_file", catalog)
    app.add_url_rule("/unpublished/<path:path>", "unpublished_file", unpublished)
    app.after_request(allow_any_origin)


def _serve(root: Path, path: str) -> Response:
    """Send one file; nothing outside `root`, nothing whose name or folder begins with a dot."""
    joined = safe_join(str(root), path)
    if joined is None or "\0" in path or any(part.startswith(".") for part in path.split("/")):
        raise NotFound("There is no such file.")
    file = Path(joined).resolve()
    if not file.is_relative_to(root.resolve()) or not file.is_file():
        raise NotFound("There is no such file.")
    return send_file(file, mimetype=_media_type(file), conditional=True)


def _media_type(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix == ".json":
        return "application/geo+json" if _is_item(file) else "application/json"
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _is_item(file: Path) -> bool:
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("type") in ("Feature", "FeatureCollection")
