"""The same searches against every back end that users have: what a user expects of each."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stac_servers import Pgstac, StacServer, make_collection, own_api, rustac_memory, static_catalogue

from escape_process import remote
from escape_process.catalogue import item_search
from escape_process.catalogue.duplicates import refusals_of_twins
from escape_process.catalogue.search import find_scenes
from escape_process.records import Found
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

from .conftest import Item, make_item

COLLECTIONS = [make_collection("west"), make_collection("east")]
WORLD = [-180, -90, 180, 90]
DUAL = ("dual", "It is dual-pol (HH, HV), VV is missing.")
TWIN = ("may-slant", "It is the same acquisition as may, which is terrain-corrected and is used.")

Search = Callable[..., Found]


def _in(collection: str, name: str, west: float, time: str | None, **properties: Any) -> Item:
    """Describe a scene whose rasters nobody serves."""
    item = make_item(name, west, datetime=time, **properties)
    item["properties"]["datetime"] = time
    item["collection"] = collection
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace("./", "https://data.example.com/")
    return item


def _items() -> list[Item]:
    """Full-pol scenes in two places, one of them described oddly; a dual-pol one; one acquisition at two levels."""
    may = _in("west", "may", 10.0, "2024-05-01T12:00:00Z", **{"sar:instrument_mode": "HBQ"})
    june = _in("west", "june", 10.0, "2024-06-01T12:00:00Z", **{"sar:instrument_mode": "FBQ"})
    dual = _in("west", "dual", 10.0, "2024-05-15T12:00:00Z", **{"sar:instrument_mode": "FBD"})
    dual["properties"]["sar:polarizations"] = ["HH", "HV"]
    del dual["assets"]["VV"], dual["assets"]["VH"]
    slant = _in("east", "may-slant", 10.0, "2024-05-01T12:00:02Z", **{"product:type": "L1.5"})
    times = {"start_datetime": "2024-05-02T12:00:00Z", "end_datetime": "2024-05-02T12:00:10Z"}
    odd = _in("east", "odd", 20.0, None, **times, **{"proj:epsg": 32630, "proj:shape": [300, 200]})
    for name in ("HH", "HV", "VH", "VV"):
        odd["assets"][name]["role"] = "sigma0"
        del odd["assets"][name]["roles"]
    return [may, june, dual, slant, odd]


@pytest.fixture(scope="module", params=["static", "own", "rustac", "pgstac"])
def back_end(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StacServer]:
    if request.param == "pgstac":
        api: Pgstac = request.getfixturevalue("pgstac")
        api.clear()
        api.load(COLLECTIONS, _items())
        yield api
        api.clear()
    else:
        start = {"static": static_catalogue, "own": own_api, "rustac": rustac_memory}[request.param]
        with start(tmp_path_factory.mktemp(request.param), COLLECTIONS, _items()) as server:
            yield server
    remote.close_client()


@pytest.fixture
def search(back_end: StacServer) -> Search:
    def find(max_items: int = 1000, **inputs: Any) -> Found:
        settings = Settings(catalogs={"here": back_end.url}, default_catalog="here", max_items=max_items)
        return find_scenes(RetrievalRequest.from_inputs({"bbox": WORLD, **inputs}), settings)

    return find


def _ids(found: Found) -> list[str]:
    return [scene.id for scene in found.scenes]


def _refused(found: Found) -> list[tuple[str, str]]:
    twins = [refusal for scene in found.scenes for refusal in refusals_of_twins(scene)]
    return sorted((refusal.id, refusal.reason) for refusal in (*found.refused, *twins))


def _compare(operator: str, name: str, value: Any) -> dict[str, Any]:
    return {"op": operator, "args": [{"property": name}, value]}


def _triangle(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[west, south], [east, south], [west, north], [west, south]]]}


def test_the_usable_the_refused_and_why(search: Search) -> None:
    found = search()
    assert _ids(found) == ["may", "odd", "june"]
    assert _refused(found) == [DUAL, TWIN]
    assert found.notes == ()
    scene = found.scenes[1]
    assert scene.bands["HH"].href == "https://data.example.com/odd_HH.tif"
    assert scene.bands["HH"].convention == "sigma0"
    assert scene.datetime.isoformat() == "2024-05-02T12:00:00+00:00"
    assert scene.item["collection"] == "east"


@pytest.mark.parametrize(
    ("inputs", "usable", "refused"),
    [
        ({"bbox": [20.1, 45.1, 20.2, 45.2]}, ["odd"], []),
        ({"bbox": [10.1, 45.1, 20.2, 45.2]}, ["may", "odd", "june"], [DUAL, TWIN]),
        ({"bbox": [-60, 0, -50, 10]}, [], []),
        ({"bbox": None, "geometry": _triangle(10.1, 45.1, 10.2, 45.2)}, ["may", "june"], [DUAL, TWIN]),
        ({"bbox": None, "geometry": _triangle(9.0, 44.0, 21.0, 50.0)}, ["may", "june"], [DUAL, TWIN]),
        ({"bbox": None, "geometry": _triangle(-60.0, 0.0, -50.0, 10.0)}, [], []),
        ({"datetime": "2024-05-02T00:00:00Z/2024-05-31T00:00:00Z"}, ["odd"], [DUAL]),
        ({"datetime": "2024-05-20T00:00:00Z/.."}, ["june"], []),
        ({"datetime": "../2024-05-01T12:00:00Z"}, ["may"], []),
        ({"datetime": "2024-06-01T12:00:00Z"}, ["june"], []),
        ({"datetime": "2023-01-01"}, [], []),
        ({"bbox": None, "ids": ["june", "dual", "none"]}, ["june"], [DUAL]),
        ({"bbox": None, "ids": ["none"]}, [], []),
        ({"collections": ["west"]}, ["may", "june"], [DUAL]),
        ({"collections": ["none"]}, [], []),
        ({"collections": ["east"], "datetime": "2024-05-01/2024-05-01"}, ["may-slant"], []),
    ],
)  # fmt: skip
def test_where_when_and_which(
    search: Search, inputs: dict[str, Any], usable: list[str], refused: list[tuple[str, str]]
) -> None:
    found = search(**inputs)
    assert (_ids(found), _refused(found)) == (usable, refused)
    partly = usable and "none" in inputs.get("ids", [])
    assert found.notes == (("The catalogue has nothing there under the ids none.",) if partly else ())


@pytest.mark.parametrize(
    ("asked", "usable", "refused"),
    [
        (_compare("=", "sar:instrument_mode", "HBQ"), ["may"], []),
        (_compare("like", "sar:instrument_mode", "%BQ"), ["may", "june"], []),
        (_compare("in", "sar:instrument_mode", ["FBQ", "FBD"]), ["june"], [DUAL]),
        (_compare("<", "datetime", {"timestamp": "2024-05-10T00:00:00Z"}), ["may"], [TWIN]),
        (_compare("a_contains", "sar:polarizations", ["HH", "VV"]), ["may", "odd", "june"], [TWIN]),
        (_compare("a_equals", "sar:polarizations", ["HH", "HV"]), [], [DUAL]),
        (_compare("a_containedBy", "sar:polarizations", ["HH", "HV"]), [], [DUAL]),
        (_compare("=", "sar:instrument_mode", "none"), [], []),
        ({"op": "and", "args": [_compare("=", "platform", "alos-2"), _compare("=", "sar:instrument_mode", "FBQ")]},
         ["june"], []),
        ({"op": "not", "args": [_compare("=", "sar:instrument_mode", "FBQ")]}, ["may"], [DUAL]),
    ],
)  # fmt: skip
def test_filters(
    search: Search, back_end: StacServer, asked: dict[str, Any], usable: list[str], refused: list[tuple[str, str]]
) -> None:
    found = search(filter=asked)
    assert (_ids(found), _refused(found)) == (usable, refused)
    failing = asked["op"] == "a_containedBy"
    said = {
        "static": None,
        "own": "The catalogue does not take filters; the filter was applied here.",
        "rustac": "The catalogue does not take filters; the filter was applied here.",
        "pgstac": "The catalogue failed on the filter; it was applied here instead." if failing else None,
    }
    if said[back_end.kind]:
        assert said[back_end.kind] in found.notes


def test_many_pages(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_search, "PAGE_SIZE", 2)
    found = search()
    assert (_ids(found), _refused(found)) == (["may", "odd", "june"], [DUAL, TWIN])


def test_the_operators_limit_is_told(search: Search) -> None:
    found = search(max_items=2)
    assert len(found.scenes) + len(found.refused) == 2
    assert [note for note in found.notes if "2 catalogue entries, the operator's limit" in note]


def test_the_newest_are_used(search: Search) -> None:
    found = search(max_scenes=1)
    assert _ids(found) == ["june"]
    assert found.notes == ("3 scenes are usable; the newest 1 are used (max_scenes).",)
