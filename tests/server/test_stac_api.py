"""The STAC API over the served tree: search as pystac-client and as plain HTTP see it."""

import json
from pathlib import Path

import httpx
import pystac
import pystac_client
import pytest


@pytest.fixture(scope="module")
def api(url: str) -> pystac_client.Client:
    """Return the API as its usual client opens it."""
    return pystac_client.Client.open(f"{url}/stac-api")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("search", "ids"),
    [
        ({"bbox": [1.2, 40, 3.2, 41]}, ["scene-3", "scene-2", "scene-1"]),
        ({"bbox": [1.2, 40, -100, 3.2, 41, 100]}, ["scene-3", "scene-2", "scene-1"]),
        ({"bbox": [170, -20, -179.5, -10]}, ["fiji"]),
        ({"bbox": [178, -20, 179.5, -10]}, ["fiji"]),
        ({"bbox": [-179.2, -20, -170, -10]}, ["fiji"]),
        ({"bbox": [0, 0, 10, 10]}, []),
        ({"datetime": "2024-05-02/2024-05-03"}, ["scene-2", "scene-1"]),
        ({"datetime": "2024-05-06T12:00:00Z/.."}, ["fiji", "scene-6", "scene-5"]),
        ({"datetime": "2024-05-02T12:00:00Z"}, ["scene-1"]),
        ({"ids": ["scene-4", "fiji", "none"]}, ["fiji", "scene-4"]),
        ({"collections": ["pacific"]}, ["fiji"]),
        ({"collections": ["none"]}, []),
        ({"intersects": {"type": "Point", "coordinates": [5.1, 40.5]}}, ["scene-5"]),
        ({"bbox": [0, 40, 9, 41], "datetime": "../2024-05-02", "collections": ["scenes"]}, ["scene-1", "scene-0"]),
    ],
)
def test_search(api: pystac_client.Client, method: str, search: dict[str, object], ids: list[str]) -> None:
    found = api.search(method=method, **search)
    assert [item.id for item in found.items()] == ids
    assert found.matched() == len(ids)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages(api: pystac_client.Client, method: str) -> None:
    search = api.search(method=method, limit=3, bbox=[-180, -90, 180, 90])
    pages = [[item["id"] for item in page["features"]] for page in search.pages_as_dicts()]
    assert pages == [["fiji", "scene-6", "scene-5"], ["scene-4", "scene-3", "scene-2"], ["scene-1", "scene-0"]]


def test_an_answer_is_a_whole_item_with_absolute_hrefs(api: pystac_client.Client, url: str, folder: Path) -> None:
    (item,) = api.search(ids=["scene-0"]).items()
    assert item.assets["HH"].href == f"{url}/catalog/scenes/scene-0/hh.tif"
    data = (folder / "data" / "catalog" / "scenes" / "scene-0" / "hh.tif").read_bytes()
    assert httpx.get(item.assets["HH"].href, headers={"Range": "bytes=0-9"}).content == data[:10]
    assert all(link.get_href().startswith(url) for link in item.links)
    itself = item.get_single_link("self").get_href()
    assert itself == f"{url}/stac-api/collections/scenes/items/scene-0"
    answer = httpx.get(itself)
    assert answer.headers["Content-Type"].startswith("application/geo+json")
    assert answer.json()["properties"] == item.to_dict()["properties"]
    canonical = httpx.get(item.get_single_link("canonical").get_href())
    assert canonical.json()["id"] == "scene-0"


def test_collections(api: pystac_client.Client, url: str) -> None:
    known = {collection.id: collection for collection in api.get_collections()}
    assert {"scenes", "pacific"} <= set(known)
    assert known["scenes"].get_single_link("self").get_href() == f"{url}/stac-api/collections/scenes"
    assert [item.id for item in known["pacific"].get_items()] == ["fiji"]
    items = httpx.get(f"{url}/stac-api/collections/scenes/items", params={"bbox": "0,40,1.2,41", "limit": "1"}).json()
    assert (items["numberMatched"], items["numberReturned"]) == (2, 1)
    following = next(link["href"] for link in items["links"] if link["rel"] == "next")
    assert [item["id"] for item in httpx.get(following).json()["features"]] == ["scene-0"]


def test_landing_page(url: str) -> None:
    page = httpx.get(f"{url}/stac-api").json()
    assert page["type"] == "Catalog"
    links = {link["rel"]: link["href"] for link in page["links"]}
    assert links["search"] == f"{url}/stac-api/search"
    assert httpx.get(links["service-desc"]).status_code == 200
    assert "https://api.stacspec.org/v1.0.0/item-search" in httpx.get(links["conformance"]).json()["conformsTo"]
    assert httpx.get(links["search"], headers={"Origin": "https://example.com"}).headers["Access-Control-Allow-Origin"]


def test_what_is_published_is_found_at_once(api: pystac_client.Client, folder: Path) -> None:
    root = folder / "data" / "catalog" / "pacific"
    before = (root / "collection.json").read_text()
    collection = json.loads(before)
    item = json.loads((root / "fiji" / "fiji.json").read_text())
    (root / "new.json").write_text(json.dumps({**item, "id": "new"}))
    collection["links"] += [{"rel": "item", "href": "./new.json"}, {"rel": "item", "href": "./lost.json"}]
    (root / "collection.json").write_text(json.dumps(collection))
    try:
        assert {found.id for found in api.search(collections=["pacific"]).items()} == {"fiji", "new"}
        (root / "new.json").write_text("{ half of a")
        assert {found.id for found in api.search(collections=["pacific"]).items()} == {"fiji"}
    finally:
        (root / "collection.json").write_text(before)
        (root / "new.json").unlink()
    assert [found.id for found in api.search(collections=["pacific"]).items()] == ["fiji"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bbox": "1,2,3"}, ["4 or 6"]),
        ({"bbox": "1,2,3,x"}, ["bbox"]),
        ({"bbox": "0,41,1,40"}, ["bbox", "south"]),
        ({"bbox": "0,0,181,1"}, ["bbox"]),
        ({"bbox": "nan,0,1,1"}, ["bbox"]),
        ({"intersects": "{}"}, ["intersects"]),
        ({"intersects": "nonsense"}, ["intersects"]),
        ({"intersects": '{"type": "Point", "coordinates": [0, 0]}', "bbox": "0,0,1,1"}, ["bbox", "intersects"]),
        ({"datetime": "yesterday"}, ["RFC3339"]),
        ({"datetime": "2024-05-02T00:00:00Z/2024-05-01T00:00:00Z"}, ["datetime"]),
        ({"limit": "0"}, ["limit"]),
        ({"limit": "many"}, ["limit"]),
        ({"token": "made-up"}, ["token"]),
        ({"colour": "red"}, ["colour", "bbox"]),
    ],
)
def test_wrong_parameters(url: str, parameters: dict[str, str], words: list[str]) -> None:
    answer = httpx.get(f"{url}/stac-api/search", params=parameters)
    assert answer.status_code == 400
    for word in words:
        assert word in answer.json()["description"]


@pytest.mark.parametrize(
    "body",
    ["[]", "{", '{"bbox": [1]}', '{"limit": 0}', '{"query": {}}', '{"token": 3}', '{"datetime": "x"}', '{"ids": "a"}'],
)
def test_wrong_bodies(url: str, body: str) -> None:
    answer = httpx.post(f"{url}/stac-api/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert isinstance(answer.json()["description"], str)


@pytest.mark.parametrize("path", ["collections/none", "collections/none/items", "collections/scenes/items/none", "x"])
def test_nothing_there(url: str, path: str) -> None:
    answer = httpx.get(f"{url}/stac-api/{path}")
    assert answer.status_code == 404
    assert answer.json()["description"]


def test_the_static_tree_reads_as_stac(url: str) -> None:
    catalog = pystac.Catalog.from_file(f"{url}/catalog/catalog.json")
    assert {item.id for item in catalog.get_items(recursive=True)} >= {"fiji", "scene-0"}
