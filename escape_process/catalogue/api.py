"""A STAC API over the served static catalogue, by stac-fastapi: Core, Collections, Features and Item Search.

Made to be mounted beside the tree that it searches: `<server>/stac-api/` and `<server>/catalog/`.
"""

import base64
import copy
import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urljoin

import attr
import shapely
import shapely.errors
import shapely.geometry
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, model_validator
from shapely.geometry.base import BaseGeometry
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import ItemCollectionUri, create_get_request_model
from stac_fastapi.extensions.pagination import TokenPaginationExtension
from stac_fastapi.types import stac
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient
from stac_fastapi.types.errors import InvalidQueryParameter, NotFoundError
from stac_fastapi.types.extension import ApiExtension
from stac_fastapi.types.links import CollectionLinks, ItemLinks, filter_links
from stac_fastapi.types.requests import get_base_url
from stac_fastapi.types.search import BaseSearchPostRequest
from stac_pydantic.shared import BBox
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from escape_process import __version__
from escape_process.catalogue.tree import Entry, Query, Token, Tree, search
from escape_process.fields import parse_interval

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
"""What reading coordinates that are none raises in shapely, besides its own errors."""


def _area_of_bbox(bbox: Sequence[float]) -> BaseGeometry:
    """Turn a bbox, in 2D or 3D, into a geometry; west > east crosses the antimeridian."""
    middle = len(bbox) // 2
    west, south, east, north = bbox[0], bbox[1], bbox[middle], bbox[middle + 1]
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise InvalidQueryParameter(
            f"bbox {list(bbox)} is not [west, south, east, north] in degrees, with south not above north."
        )
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.MultiPolygon([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _area(bbox: Sequence[float] | None, intersects: Any) -> BaseGeometry | None:
    if bbox is not None and intersects is not None:
        raise InvalidQueryParameter("bbox and intersects exclude each other: give one of them.")
    if bbox is not None:
        return _area_of_bbox(bbox)
    if intersects is None:
        return None
    try:
        if isinstance(intersects, str):
            intersects = json.loads(intersects)
        area = shapely.geometry.shape(intersects)
    except (*_MALFORMED, shapely.errors.ShapelyError) as error:
        raise InvalidQueryParameter("intersects is not a GeoJSON geometry.") from error
    if area.is_empty or not area.is_valid:
        raise InvalidQueryParameter(f"intersects is not a valid geometry: {shapely.is_valid_reason(area)}.")
    return area


def _interval(text: str | None) -> tuple[dt.datetime | None, dt.datetime | None]:
    try:
        return (None, None) if text is None else parse_interval(text)
    except ValueError as error:
        raise InvalidQueryParameter(f"datetime {error}.") from error


def _write_token(token: Token) -> str:
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode()


def _read_token(text: str) -> Token:
    try:
        time, collection, item = json.loads(base64.urlsafe_b64decode(text))
        return (int(time), str(collection), str(item))
    except (ValueError, TypeError) as error:
        raise InvalidQueryParameter("token is not one that this catalogue gave: start again without it.") from error


class _SearchBody(BaseSearchPostRequest):
    """Body of POST /search. What it does not know it refuses: an ignored filter would look like an answer."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, values: Any) -> Any:
        if not isinstance(values, dict):  # else the parent's own validator fails on it
            raise ValueError("must be a JSON object")  # noqa: TRY004, pydantic wants ValueError
        return values


_SEARCH_PARAMETERS = frozenset({"collections", "ids", "bbox", "intersects", "datetime", "limit", "token"})
_ITEMS_PARAMETERS = frozenset({"bbox", "datetime", "limit", "token", "collections"})
"""pystac-client repeats the collection as a parameter."""


@attr.s
class _Client(BaseCoreClient):
    """Answers of the STAC API from the tree."""

    tree: Tree = attr.ib(kw_only=True)

    def all_collections(self, **kwargs: Any) -> Any:
        request = kwargs["request"]
        base = get_base_url(request)
        found = [self._collection(entry, base) for entry in self.tree.collections().values()]
        links = [
            {"rel": "self", "type": "application/json", "href": urljoin(base, "collections")},
            {"rel": "root", "type": "application/json", "href": base},
        ]
        return {"collections": found, "links": links, "numberMatched": len(found), "numberReturned": len(found)}

    def get_collection(self, collection_id: str, **kwargs: Any) -> Any:
        return self._collection(self._find(collection_id), get_base_url(kwargs["request"]))

    def get_item(self, item_id: str, collection_id: str, **kwargs: Any) -> Any:
        for entry in self.tree.items(self._find(collection_id)):
            if entry.document["id"] == item_id:
                return self._item(entry, get_base_url(kwargs["request"]))
        raise NotFoundError(f"Collection {collection_id!r} has no item {item_id!r}.")

    def item_collection(
        self,
        collection_id: str,
        bbox: BBox | None = None,
        datetime: str | None = None,
        limit: int | None = None,
        token: str | None = None,
        **kwargs: Any,
    ) -> Any:
        request = kwargs["request"]
        _check_parameters(request, _ITEMS_PARAMETERS)
        self._find(collection_id)
        query = Query([collection_id], None, _area(bbox, None), *_interval(datetime))
        return self._page(request, query, limit, token)

    def get_search(  # noqa: PLR0917  # stac-fastapi's signature
        self,
        collections: list[str] | None = None,
        ids: list[str] | None = None,
        bbox: BBox | None = None,
        intersects: Any = None,
        datetime: str | None = None,
        limit: int | None = None,
        token: str | None = None,
        **kwargs: Any,
    ) -> Any:
        request = kwargs["request"]
        _check_parameters(request, _SEARCH_PARAMETERS)
        query = Query(collections, ids, _area(bbox, intersects), *_interval(datetime))
        return self._page(request, query, limit, token)

    def post_search(self, search_request: BaseSearchPostRequest, **kwargs: Any) -> Any:
        body = search_request.model_dump(mode="json", exclude_none=True)
        query = Query(
            body.get("collections"),
            body.get("ids"),
            _area(body.get("bbox"), body.get("intersects")),
            *_interval(body.get("datetime")),
        )
        return self._page(kwargs["request"], query, body.get("limit"), body.get("token"), body)

    def _find(self, collection_id: str) -> Entry:
        try:
            return self.tree.collections()[collection_id]
        except KeyError as error:
            raise NotFoundError(f"There is no collection {collection_id!r}.") from error

    def _page(
        self, request: Request, query: Query, limit: int | None, token: str | None, body: Any = None
    ) -> dict[str, Any]:
        """Answer one page of a search; it goes on behind the last item given, whatever is published meanwhile."""
        left = matched = search(self.tree, query)
        if token is not None:
            last = _read_token(token)
            left = [entry for entry in matched if entry.token > last]
        size = limit or 10
        page = left[:size]
        base = get_base_url(request)
        links: list[dict[str, Any]] = [
            {"rel": "self", "type": "application/geo+json", "href": _url(request), "method": request.method},
            {"rel": "root", "type": "application/json", "href": base},
        ]
        if len(left) > size:
            following = _write_token(page[-1].token)
            href = _url(request) if body is not None else _url(request, token=following)
            link = {"rel": "next", "type": "application/geo+json", "href": href, "method": request.method}
            links.append(link if body is None else {**link, "body": {**body, "token": following}})
        return {
            "type": "FeatureCollection",
            "features": [self._item(entry, base) for entry in page],
            "links": links,
            "numberMatched": len(matched),
            "numberReturned": len(page),
        }

    @staticmethod
    def _item(entry: Entry, base: str) -> stac.Item:
        item = copy.deepcopy(entry.document)
        static = _static_url(entry, base)
        links = ItemLinks(item["collection"], base, item["id"]).create_links()
        item["links"] = [*links, _canonical(static, "application/geo+json"), *_absolute(item.get("links", []), static)]
        for asset in item.get("assets", {}).values():
            asset["href"] = urljoin(static, asset["href"])
        return cast(stac.Item, item)

    @staticmethod
    def _collection(entry: Entry, base: str) -> stac.Collection:
        collection = copy.deepcopy(entry.document)
        static = _static_url(entry, base)
        links = CollectionLinks(collection["id"], base).create_links()
        kept = [link for link in collection.get("links", []) if link["rel"] != "child"]
        collection["links"] = [*links, _canonical(static, "application/json"), *_absolute(kept, static)]
        for asset in collection.get("assets", {}).values():
            asset["href"] = urljoin(static, asset["href"])
        return cast(stac.Collection, collection)


def _static_url(entry: Entry, base: str) -> str:
    return urljoin(base, f"../catalog/{quote(entry.path)}")


def _canonical(href: str, media_type: str) -> dict[str, str]:
    return {"rel": "canonical", "type": media_type, "title": "The file in the static catalogue", "href": href}


def _absolute(links: list[dict[str, Any]], static: str) -> list[dict[str, Any]]:
    """Return the links that the API does not make itself, absolute."""
    return [{**link, "href": urljoin(static, link["href"])} for link in filter_links(links)]


def _url(request: Request, **parameters: str) -> str:
    return str(request.url.include_query_params(**parameters) if parameters else request.url)


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    for name in request.query_params:
        if name not in known:
            raise InvalidQueryParameter(f"Unknown parameter {name!r}; there are {', '.join(sorted(known))}.")


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    first = cast(RequestValidationError, error).errors()[0]
    name = ".".join(str(part) for part in first["loc"] if part not in ("query", "body"))
    said = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    sentence = f"{name or 'The request'}: {said}."
    return JSONResponse({"code": "InvalidParameterValue", "description": sentence}, 400)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    raised = cast(HTTPException, error)
    code = "InvalidParameterValue" if raised.status_code == 400 else "NotFound"
    return JSONResponse({"code": code, "description": str(raised.detail)}, raised.status_code, raised.headers)


def _internal_error(request: Request, error: Exception) -> JSONResponse:
    sentence = "Internal error; the operator finds its cause in the server's log."
    return JSONResponse({"code": "NoApplicableCode", "description": sentence}, 500)


def create_stac_api(catalog_dir: Path) -> FastAPI:
    """Make the STAC API of a static catalogue, whose root is `catalog.json` in that folder."""
    title, description = "ESCAPE", "Full-polarimetric L-band scenes, and soil moisture retrieved from them"
    paging: list[ApiExtension] = [TokenPaginationExtension()]
    api = StacApi(
        settings=ApiSettings(
            stac_fastapi_title=title,
            stac_fastapi_description=description,
            stac_fastapi_landing_id="escape",
            stac_fastapi_version=__version__,
            root_path="",
        ),
        client=_Client(landing_page_id="escape", tree=Tree(catalog_dir)),
        extensions=paging,
        search_get_request_model=create_get_request_model(paging),
        search_post_request_model=_SearchBody,
        items_get_request_model=create_get_request_model(paging, base_model=ItemCollectionUri),
        middlewares=[
            Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"])
        ],
    )
    app: FastAPI = api.app
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)
    return app
