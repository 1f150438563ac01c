"""The static catalogue and result files over HTTP: byte for byte as written, with Range, readable from any web page."""

import json
import mimetypes
import re
from pathlib import Path
from typing import cast

from flask import Flask, Response, redirect, request, send_file
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from escape_process.jobs.auth import owner
from escape_process.objects import sign, sizes_of_results
from escape_process.publishing.files import stored_folder
from escape_process.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""Of a result and of a file of it."""
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
        collection, _, inside = path.partition("/")
        published = collection == settings.results_collection
        return (signed_link(inside, settings, published=True) if published else None) or _serve(
            settings.catalog_dir, path
        )

    def unpublished(path: str) -> Response:
        if settings.auth is None:
            return signed_link(path, settings, published=False) or _serve(settings.unpublished_dir, path)
        mine = settings.of_owner(owner())
        folder, _, inside = path.partition("/")
        if folder != mine.unpublished_dir.name:
            raise NotFound("There is no such file.")
        return signed_link(inside, mine, published=False) or _serve(mine.unpublished_dir, inside)

    def allow_any_origin(response: Response) -> Response:
        if request.endpoint in ("catalog_file", "unpublished_file"):
            response.headers.update(_ANY_ORIGIN)
        return response

    app.add_url_rule("/catalog/<path:path>", "catalog_file", catalog)
    app.add_url_rule("/unpublished/<path:path>", "unpublished_file", unpublished)
    app.after_request(allow_any_origin)


def signed_link(path: str, settings: Settings, *, published: bool) -> Response | None:
    """Lead to a result's file in object storage by a link that ends; None where it is not there."""
    storage = settings.object_storage
    folder, _, name = path.partition("/")
    if storage is None or storage.presign is None or not _NAME.fullmatch(folder) or not _NAME.fullmatch(name):
        return None
    place = settings.results_dir if published else settings.unpublished_dir
    if (place / folder / name).exists():
        return None
    stored = stored_folder(folder, storage, settings, published=published)
    if name not in sizes_of_results(stored, settings):
        return None
    response = cast(Response, redirect(sign(f"{stored}/{name}", settings, storage.presign), 307))
    response.headers["Cache-Control"] = "no-store"
    return response


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
