"""The addresses that the page uses: its files, its settings, and results as descriptions, tiles and values."""

import json
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from escape_process.settings import Settings
from escape_process.viewer.describe import map_document, settings_document
from escape_process.viewer.page import file_response
from escape_process.viewer.results import Result, Results
from escape_process.viewer.tiles import TileAddress, Tiler
from escape_process.viewer.values import parse_place, values_at

PUBLIC = frozenset({"page_file", "page_settings"})
"""Endpoints that anybody may ask."""
RESULTS = frozenset({"map_description", "map_tile", "map_values"})
"""Endpoints that answer published results to whoever may read the catalogue, and unpublished ones to their owner."""

SECONDS = 3600
"""For how long a browser shows a tile of an open result without asking again."""


def install_viewer(app: Flask, settings: Settings, address: str, owner: Callable[[], str | None]) -> None:
    """Serve the page's files and what it shows of results.

    Parameters
    ----------
    address
        Under which the server is reached; addresses in the answers start with it.
    owner
        Tells whose token the request at hand holds.
    """
    results = Results(settings)
    tiler = Tiler(settings)

    def page_settings() -> Response:
        return _json(settings_document(settings), "no-cache")

    def describe(item: str) -> Response:
        result = results.find(item, owner())
        return _json(map_document(result, tiler.zooms(result), address), _unless_open(result, settings, "no-cache"))

    def tile(item: str, layer: str, z: str, x: str, y: str) -> Response:
        result = results.find(item, owner())
        place = TileAddress.parse(layer, z, x, y)
        response = Response(content_type="image/png")
        response.headers["Cache-Control"] = _unless_open(result, settings, f"public, max-age={SECONDS}")
        etag = tiler.etag(result, place)
        response.set_etag(etag)
        if request.if_none_match.contains(etag):
            response.status_code = 304
        else:
            response.data = tiler.tile(result, place)
        return response

    def values(item: str) -> Response:
        result = results.find(item, owner())
        place = parse_place(request.args.get("lon"), request.args.get("lat"))
        return _json(values_at(result, place, tiler.rasters), _unless_open(result, settings, "no-cache"))

    app.add_url_rule("/page/settings.json", "page_settings", page_settings)
    app.add_url_rule("/page/<path:name>", "page_file", file_response)
    app.add_url_rule("/maps/<item>", "map_description", describe)
    app.add_url_rule("/maps/<item>/<layer>/<z>/<x>/<y>.png", "map_tile", tile)
    app.add_url_rule("/maps/<item>/values", "map_values", values)


def _unless_open(result: Result, settings: Settings, otherwise: str) -> str:
    """Return how an answer may be kept: by nobody unasked where it is not for everybody."""
    closed = settings.auth is not None and settings.auth.catalog
    return otherwise if result.published and not closed else "private, no-cache"


def _json(document: Any, cache: str) -> Response:
    response = Response(json.dumps(document, allow_nan=False), content_type="application/json")
    response.headers["Cache-Control"] = cache
    return response
