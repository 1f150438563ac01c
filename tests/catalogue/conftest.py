"""Synthetic items, and catalogues served over a real socket."""

import contextlib
import copy
import http.server
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from loopback import Quiet, in_thread

from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

Item = dict[str, Any]


def make_item(name: str = "scene", west: float = 10.0, south: float = 45.0, **properties: Any) -> Item:
    """Describe a half-degree quad-pol scene as a careful producer would; properties of None are left out."""
    east, north = west + 0.5, south + 0.5
    known = {
        "datetime": "2024-05-01T12:00:00Z",
        "platform": "alos-2",
        "sar:frequency_band": "L",
        "sar:center_frequency": 1.2365,
        "sar:polarizations": ["HH", "HV", "VH", "VV"],
        "sat:absolute_orbit": 54321,
        **properties,
    }
    assets: dict[str, Any] = {
        polarization: {
            "href": f"./{name}_{polarization}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data", "sigma0"],
            "bands": [{"name": polarization, "data_type": "uint16", "nodata": 0}],
        }
        for polarization in ("HH", "HV", "VH", "VV")
    }
    assets["angle"] = {
        "href": f"./{name}_LIN.tif",
        "type": "image/tiff; application=geotiff",
        "roles": ["data", "local-incidence-angle"],
        "bands": [{"unit": "deg", "raster:scale": 0.01, "data_type": "uint16"}],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "bbox": [west, south, east, north],
        "properties": {key: value for key, value in known.items() if value is not None},
        "links": [],
        "assets": assets,
    }


@pytest.fixture
def item() -> Callable[..., Item]:
    return make_item


@pytest.fixture
def request_of() -> Callable[..., RetrievalRequest]:
    """Check inputs; the whole world where no area is given."""

    def build(**inputs: Any) -> RetrievalRequest:
        if not {"bbox", "geometry", "ids"} & set(inputs):
            inputs["bbox"] = [-180, -90, 180, 90]
        return RetrievalRequest.from_inputs(inputs)

    return build


class CatalogueServer(http.server.ThreadingHTTPServer):
    """Serves JSON documents by path, and a STAC API's search where `search` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.documents: dict[str, Any] = {}
        self.search: Callable[[dict[str, Any]], tuple[int, Any]] | None = None
        self.read: list[str] = []
        self.queries: list[dict[str, list[str]]] = []
        self.searches: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def settings(self, path: str = "/catalog.json", **more: Any) -> Settings:
        """Return settings whose default catalogue is a document of this server."""
        known: dict[str, Any] = {"http_timeout": 5.0, "http_attempts": 2}
        return Settings(catalogs={"here": self.url + path}, default_catalog="here", **known | more)

    def serve_folder(self, folder: Path) -> None:
        for path in folder.rglob("*.json"):
            self.documents["/" + path.relative_to(folder).as_posix()] = json.loads(path.read_text())


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CatalogueServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.read.append(path)
        self.server.queries.append(parse_qs(query))
        if path in self.server.documents:
            self._send(200, self.server.documents[path])
        else:
            self._send(404, {"code": "NotFound"})

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.searches.append(query)
        status, answer = (404, {}) if self.server.search is None else self.server.search(query)
        self._send(status, answer)

    def _send(self, status: int, document: Any) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogueServer]:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    with in_thread(CatalogueServer()) as server:
        yield server


@pytest.fixture
def serve_api(server: CatalogueServer) -> Callable[..., CatalogueServer]:
    """Make the server a STAC API over items: bbox, datetime, ids, collections and paging, as the specification says.

    `filters` is what it does with a filter: "no" (not declared), "yes", "empty", "error".
    """

    def build(items: list[Item], filters: str = "no", page: int = 2) -> CatalogueServer:
        declared = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
        if filters != "no":
            declared.append("https://api.stacspec.org/v1.0.0/item-search#filter")
        search = {"rel": "search", "type": "application/geo+json", "href": f"{server.url}/search", "method": "POST"}
        server.documents["/"] = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "An API.",
            "conformsTo": declared,
            "links": [search],
        }

        def answer(query: dict[str, Any]) -> tuple[int, Any]:
            found = [one for one in items if _answers(one, query)]
            if "filter" in query:
                if filters == "error":
                    return 500, {"code": "InternalServerError"}
                if filters == "empty":
                    return 200, {"type": "FeatureCollection", "features": [], "links": []}
                operator, (left, right) = query["filter"]["op"], query["filter"]["args"]
                assert operator == "="
                found = [one for one in found if one["properties"].get(left["property"]) == right]
            start = query.get("token", 0)
            links = []
            if start + page < len(found):
                following = {**query, "token": start + page}
                links.append({"rel": "next", "href": f"{server.url}/search", "method": "POST", "body": following})
            features = copy.deepcopy(found[start : start + page])
            return 200, {"type": "FeatureCollection", "features": features, "links": links}

        server.search = answer
        return server

    return build


def _answers(item: Item, query: dict[str, Any]) -> bool:
    west, south, east, north = query.get("bbox", [-180, -90, 180, 90])
    assert west <= east, "few servers understand a box across the antimeridian"
    left, bottom, right, top = item["bbox"]
    return (
        (left <= east and right >= west and bottom <= north and top >= south)
        and item["id"] in query.get("ids", [item["id"]])
        and item.get("collection") in query.get("collections", [item.get("collection")])
    )
