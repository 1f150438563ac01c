"""Catalogues that are large, endless, dying, or list one thing twice: the search ends and says what it did."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import shapely

from escape_process.catalogue.duplicates import refusals_of_twins
from escape_process.catalogue.search import find_scenes
from escape_process.errors import UpstreamError
from escape_process.records import Found
from escape_process.request import RetrievalRequest

Make = Callable[..., dict[str, Any]]
Ask = Callable[..., RetrievalRequest]
MANY = 10_000
TRIANGLE = {"type": "Polygon", "coordinates": [[[9, 44], [21, 44], [9, 50], [9, 44]]]}


def ids(found: Found) -> list[str]:
    return [scene.id for scene in found.scenes]


def refused(found: Found) -> list[tuple[str, str]]:
    """Return id and reason of the items refused, and of those whose acquisition another is used of."""
    twins = [refusal for scene in found.scenes for refusal in refusals_of_twins(scene)]
    return [(refusal.id, refusal.reason) for refusal in (*found.refused, *twins)]


def listing(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items)}


# --- large and endless -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ten_thousand() -> list[dict[str, Any]]:
    """Items that are refused for having no assets, but for one in ten."""
    from .conftest import make_item  # noqa: PLC0415

    items = []
    for number in range(MANY):
        one = make_item(f"s{number:05}", -179 + number % 350, -80 + number // 350 * 2.0)
        one["properties"]["datetime"] = f"20{number % 20 + 10}-05-01T12:00:00Z"
        if number % 10:
            one["assets"] = {}
        items.append(one)
    return items


def test_ten_thousand_items_in_an_api(serve_api: Any, ten_thousand: list[Any], request_of: Ask) -> None:
    api = serve_api(ten_thousand, page=100)
    found = find_scenes(request_of(), api.settings("/"))
    assert (len(found.scenes), len(found.refused)) == (20, MANY - MANY // 10)
    assert found.notes == ("1000 scenes are usable; the newest 20 are used (max_scenes).",)
    cut = find_scenes(request_of(), api.settings("/", max_items=1000))
    assert len(cut.scenes) + len(cut.refused) == 1000 - 80  # 20 of 100 usable ones are taken
    assert any("1000 catalogue entries" in note for note in cut.notes)
    narrow = find_scenes(request_of(bbox=[-179, -80, -178.6, -79.6]), api.settings("/"))
    assert ids(narrow) == ["s00000"]
    assert narrow.notes == ()


def test_ten_thousand_items_in_one_document(server: Any, ten_thousand: list[Any], request_of: Ask) -> None:
    server.documents["/catalog.json"] = listing(*ten_thousand)
    found = find_scenes(request_of(max_scenes=100), server.settings())
    assert len(found.refused) == MANY - MANY // 10
    assert len(found.scenes) == 100
    assert found.notes == ("1000 scenes are usable; the newest 100 are used (max_scenes).",)


def test_a_tree_without_end(server: Any, request_of: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(dict[str, Any]):
        """Answers each address with a catalogue whose child has a further one."""

        def __contains__(self, path: object) -> bool:
            return True

        def __getitem__(self, path: str) -> dict[str, Any]:
            child = {"rel": "child", "href": f"{path.removesuffix('.json')}x.json"}
            return {"type": "Catalog", "stac_version": "1.0.0", "id": path, "links": [child]}

    monkeypatch.setattr(server, "documents", Endless())
    found = find_scenes(request_of(), server.settings(max_items=25))
    assert found.scenes == found.refused == ()
    assert any("25 catalogue entries" in note for note in found.notes)
    assert len(server.read) == 25


def test_an_api_that_pages_in_a_circle(serve_api: Any, item: Make, request_of: Ask) -> None:
    api = serve_api([])
    pages = [listing(item("a")), listing(item("b", 11.0)), listing()]

    def answer(query: dict[str, Any]) -> tuple[int, Any]:
        place = query.get("token", 0)
        following = {"rel": "next", "href": f"{api.url}/search", "method": "POST", "body": {"token": (place + 1) % 2}}
        return 200, {**copy.deepcopy(pages[place]), "links": [following]}

    api.search = answer
    found = find_scenes(request_of(), api.settings("/"))
    assert ids(found) == ["a", "b"]
    assert found.notes == ("The catalogue repeats its pages; the search ended there.",)
    assert len(api.searches) == 3
    pages[0] = listing()
    assert ids(find_scenes(request_of(), api.settings("/"))) == ["b"]


def test_an_api_that_dies_between_pages(serve_api: Any, item: Make, request_of: Ask) -> None:
    api = serve_api([item("a"), item("b", 11.0), item("c", 12.0)], page=1)
    whole = api.search
    api.search = lambda query: (503, {}) if query.get("token") == 2 else whole(query)
    with pytest.raises(UpstreamError, match=r"^search at 127\.0\.0\.1 failed with HTTP status 503"):
        find_scenes(request_of(), api.settings("/"))
    assert [query.get("token", 0) for query in api.searches] == [0, 1, 2, 2]


# --- a geometry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["understands", "fails", "ignores", "finds nothing"])
def test_a_geometry_on_servers_of_all_kinds(serve_api: Any, item: Make, request_of: Ask, kind: str) -> None:
    items = [item("inside"), item("beside", 20.0, 49.0), item("far", 100.0)]
    api = serve_api(items)
    by_box = api.search

    def answer(query: dict[str, Any]) -> tuple[int, Any]:
        asked = query.pop("intersects", None)
        if asked is None:
            return by_box(query)
        assert "bbox" not in query
        assert asked == TRIANGLE
        if kind == "fails":
            return 500, {}
        triangle = shapely.geometry.shape(asked)
        kept = [one for one in items if triangle.intersects(shapely.geometry.shape(one["geometry"]))]
        return 200, listing(*{"understands": kept, "ignores": items, "finds nothing": []}[kind])

    api.search = answer
    found = find_scenes(request_of(geometry=TRIANGLE), api.settings("/"))
    assert ids(found) == ["inside"]
    boxes = [query["bbox"] for query in api.searches if "bbox" in query]
    assert boxes == ([] if kind == "understands" else [[9, 44, 21, 50]])
    failed = ("The catalogue failed on the geometry; it was applied here instead.",)
    assert found.notes == (failed if kind == "fails" else ())


# --- one thing twice -------------------------------------------------------------------------------------------------


def test_one_acquisition_at_two_levels(server: Any, item: Make, request_of: Ask) -> None:
    slant = item("ALOS2014555550-140829-L1.5", **{"product:type": "L1.5"})
    ready = item("ALOS2014555550-140829-L2.1", west=10.05, datetime="2024-05-01T12:00:30Z")
    next_frame = item("ALOS2014555560-140829-L2.1", datetime="2024-05-01T12:00:05Z")
    for features in ([slant, ready, next_frame], [next_frame, ready, slant]):
        server.documents["/catalog.json"] = listing(*features)
        found = find_scenes(request_of(), server.settings())
        assert ids(found) == [next_frame["id"], ready["id"]]
        reason = f"It is the same acquisition as {ready['id']}, which is terrain-corrected and is used."
        assert refused(found) == [(slant["id"], reason)]


def test_the_same_ground_at_the_same_time(server: Any, item: Make, request_of: Ask) -> None:
    tilted = item("tilted", datetime="2024-05-01T12:00:04Z")
    tilted["geometry"]["coordinates"] = [[[10.1, 45], [10.5, 45.1], [10.4, 45.5], [10, 45.4], [10.1, 45]]]
    del tilted["assets"]["angle"]
    tilted["properties"]["view:incidence_angle"] = 30.0
    server.documents["/catalog.json"] = listing(tilted, item("upright"))
    found = find_scenes(request_of(), server.settings())
    assert ids(found) == ["upright"]
    assert refused(found) == [("tilted", "It is the same acquisition as upright, which is used.")]


def test_an_acquisition_across_the_antimeridian(server: Any, item: Make, request_of: Ask) -> None:
    def box(west: float, east: float) -> list[list[list[float]]]:
        return [[[west, -20], [east, -20], [east, -19], [west, -19], [west, -20]]]

    written = [
        {"type": "MultiPolygon", "coordinates": [box(179.7, 180), box(-180, -179.1)]},
        {"type": "Polygon", "coordinates": box(179.7, 180.9)},
        {"type": "Polygon", "coordinates": box(-180.3, -179.1)},
        {"type": "Polygon", "coordinates": box(179.7, -179.1)},
    ]
    features = [{**item(f"s{number}"), "geometry": geometry} for number, geometry in enumerate(written)]
    server.documents["/catalog.json"] = listing(*features)
    found = find_scenes(request_of(), server.settings())
    assert ids(found) == ["s0"]
    assert [name for name, _ in refused(found)] == ["s1", "s2", "s3"]


@pytest.mark.parametrize(
    "other",
    [
        {"south": 45.3, "datetime": "2024-05-01T12:00:05Z"},  # frames of one pass, which overlap
        {"datetime": "2024-05-01T12:00:10Z"},
        {"datetime": "2024-05-15T12:00:00Z"},
    ],
)
def test_other_acquisitions_are_no_duplicates(server: Any, item: Make, request_of: Ask, other: dict[str, Any]) -> None:
    server.documents["/catalog.json"] = listing(item("one"), item("other", **other))
    found = find_scenes(request_of(), server.settings())
    assert (ids(found), refused(found)) == (["one", "other"], [])


def test_a_part_of_a_scene_is_no_duplicate(server: Any, item: Make, request_of: Ask) -> None:
    part = item("part")
    part["geometry"]["coordinates"] = [[[10, 45], [10.2, 45], [10.2, 45.2], [10, 45.2], [10, 45]]]
    server.documents["/catalog.json"] = listing(item("whole"), part)
    assert sorted(ids(find_scenes(request_of(), server.settings()))) == ["part", "whole"]


@pytest.mark.parametrize("collection", ["first", "second"])
def test_an_id_given_twice(server: Any, item: Make, request_of: Ask, collection: str) -> None:
    one, other = ({**item("a", **said), "collection": "first"} for said in ({}, {"gsd": 6.0}))
    other["collection"] = collection
    again = copy.deepcopy(one)
    again["links"] = [{"rel": "self", "href": "https://data.example.com/a.json"}]
    server.documents["/catalog.json"] = listing(one, other, again)
    found = find_scenes(request_of(), server.settings())
    assert ids(found) == ["a"]
    assert refused(found) == [("a", "Its id is also that of another item, which is used instead.")]
