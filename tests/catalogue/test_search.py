"""Scenes found in static catalogues and STAC APIs, over a real socket and on disk."""

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pystac
import pytest

from escape_process.catalogue.search import find_scenes, no_scenes_error
from escape_process.errors import InvalidInputError, UpstreamError
from escape_process.records import Found, Refusal
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

Make = Callable[..., dict[str, Any]]
Ask = Callable[..., RetrievalRequest]
EQUALS_HBQ = {"op": "=", "args": [{"property": "sar:instrument_mode"}, "HBQ"]}


def ids(found: Found) -> list[str]:
    return [scene.id for scene in found.scenes]


def dual(item: dict[str, Any]) -> dict[str, Any]:
    for name in ("VH", "VV"):
        del item["assets"][name]
    item["properties"]["sar:polarizations"] = ["HH", "HV"]
    return item


@pytest.fixture
def tree(tmp_path: Path, item: Make) -> Path:
    """A catalogue made by pystac: two collections apart in space and time, and a catalogue in between."""
    root = pystac.Catalog("root", "A test catalogue.")
    middle = pystac.Catalog("middle", "Nothing of its own.")
    root.add_child(middle)
    for name, west, year in (("europe", 10.0, 2024), ("america", -100.0, 2020)):
        items = [item(f"{name}{n}", west + n, datetime=f"{year}-05-0{n + 1}T12:00:00Z") for n in range(3)]
        extent = pystac.Extent(
            pystac.SpatialExtent([[west, 45.0, west + 3, 46.0]]),
            pystac.TemporalExtent([[dt.datetime(year, 5, 1, tzinfo=dt.UTC), dt.datetime(year, 5, 9, tzinfo=dt.UTC)]]),
        )
        collection = pystac.Collection(name, f"Scenes of {name}.", extent)
        middle.add_child(collection)
        collection.add_items([pystac.Item.from_dict(one) for one in items])
    root.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    return tmp_path


def local(folder: Path, **more: Any) -> Settings:
    return Settings(catalogs={"here": str(folder / "catalog.json")}, default_catalog="here", **more)


# --- which catalogue -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "../catalog", "/etc/passwd", "file:///etc/passwd", "ftp://host/a"])
def test_an_unknown_catalogue_is_refused_with_the_known_names(request_of: Ask, name: str) -> None:
    settings = Settings(catalogs={"sample": "x", "archive": "y"})
    with pytest.raises(InvalidInputError, match=r"^Input catalog = '.*' is neither .*: archive, sample\.$"):
        find_scenes(request_of(catalog=name), settings)


def test_a_catalogue_by_url(server: Any, tree: Path, request_of: Ask) -> None:
    server.serve_folder(tree)
    found = find_scenes(request_of(catalog=server.url + "/catalog.json"), Settings(allowed_hosts=("127.0.0.1",)))
    assert len(found.scenes) == 6


def test_a_folder_stands_for_its_catalogue(tree: Path, request_of: Ask) -> None:
    settings = Settings(catalogs={"here": str(tree)}, default_catalog="here")
    assert len(find_scenes(request_of(), settings).scenes) == 6


def test_an_unreachable_catalogue_is_named(request_of: Ask) -> None:
    settings = Settings(http_attempts=1, http_timeout=1, allowed_hosts=("127.0.0.1",))
    with pytest.raises(UpstreamError, match=r"^The catalogue http://127\.0\.0\.1:9/c\.json cannot be used: c\.json at"):
        find_scenes(request_of(catalog="http://127.0.0.1:9/c.json?key=secret"), settings)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"<html>", "not JSON"),
        ([1, 2], "not STAC"),
        ({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}]}, "not STAC"),
        ({"type": "Topology"}, "not STAC"),
    ],
)
def test_what_is_no_catalogue_is_said(server: Any, request_of: Ask, document: Any, said: str) -> None:
    server.documents["/catalog.json"] = document
    with pytest.raises(UpstreamError, match=f"^The catalogue here cannot be used: .*{said}"):
        find_scenes(request_of(), server.settings())


def test_a_missing_local_catalogue_shows_no_folder(tmp_path: Path, request_of: Ask) -> None:
    with pytest.raises(UpstreamError, match=r"catalog\.json does not exist") as caught:
        find_scenes(request_of(), local(tmp_path))
    assert str(tmp_path) not in str(caught.value)


# --- static catalogues -----------------------------------------------------------------------------------------------


def test_local_and_served_trees_give_the_same(server: Any, tree: Path, request_of: Ask) -> None:
    server.serve_folder(tree)
    here, there = find_scenes(request_of(), local(tree)), find_scenes(request_of(), server.settings())
    assert ids(here) == ids(there) == [f"{name}{n}" for name in ("america", "europe") for n in range(3)]
    assert there.scenes[0].bands["HH"].href.startswith(server.url)
    assert here.scenes[0].bands["HH"].href.startswith(str(tree))
    assert here.scenes[0].item["collection"] == "america"


@pytest.mark.parametrize(
    "inputs",
    [
        {"bbox": [10.1, 45.1, 10.2, 45.2]},
        {"datetime": "2024-05-01T00:00:00Z/2024-05-01T23:00:00Z"},
        {"ids": ["europe0"]},
        {"collections": ["europe"], "bbox": [10.1, 45.1, 10.2, 45.2]},
        {"geometry": {"type": "Polygon", "coordinates": [[[10.1, 45.1], [10.2, 45.1], [10.2, 45.2], [10.1, 45.1]]]}},
    ],
)
def test_each_condition_alone(server: Any, tree: Path, request_of: Ask, inputs: dict[str, Any]) -> None:
    server.serve_folder(tree)
    assert ids(find_scenes(request_of(**inputs), server.settings())) == ["europe0"]
    if "ids" not in inputs:
        assert not any("america0" in path for path in server.read), "the extent of the collection excludes it"


def test_open_intervals(tree: Path, request_of: Ask) -> None:
    assert len(find_scenes(request_of(datetime="2024-05-02T00:00:00Z/.."), local(tree)).scenes) == 2
    assert len(find_scenes(request_of(datetime="../2020-05-02T23:00:00Z"), local(tree)).scenes) == 2
    assert len(find_scenes(request_of(datetime="2020-05-02T12:00:00Z"), local(tree)).scenes) == 1


def test_a_shared_edge_is_no_overlap(tree: Path, request_of: Ask) -> None:
    assert ids(find_scenes(request_of(bbox=[10.5, 45.0, 10.9, 45.5]), local(tree))) == []


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, r"^The catalogue lists europe1\.json, which cannot be read: .* 404"),
        (b"<html>", r"^The catalogue lists europe1\.json, which cannot be read: .* not JSON"),
        ({"type": "Nothing"}, r"europe1\.json, but that is not a STAC item"),
    ],
)
def test_a_broken_entry_is_refused_and_the_others_are_used(
    server: Any, tree: Path, request_of: Ask, document: Any, said: str
) -> None:
    server.serve_folder(tree)
    path = next(path for path in server.documents if path.endswith("europe1.json"))
    if document is None:
        del server.documents[path]
    else:
        server.documents[path] = document
    found = find_scenes(request_of(collections=["europe"]), server.settings())
    assert ids(found) == ["europe0", "europe2"]
    ((name, reason),) = [(one.id, one.reason) for one in found.refused]
    assert name == "europe1.json"
    assert re.search(said, reason)
    for other in ("europe0.json", "europe2.json"):
        del server.documents[next(path for path in server.documents if path.endswith(other))]
    with pytest.raises(UpstreamError, match=r"^The catalogue lists europe"):
        find_scenes(request_of(collections=["europe"]), server.settings())


def test_a_broken_part_of_a_tree_does_not_hide_the_others(server: Any, tree: Path, request_of: Ask) -> None:
    server.serve_folder(tree)
    del server.documents["/middle/america/collection.json"]
    found = find_scenes(request_of(), server.settings())
    assert ids(found) == ["europe0", "europe1", "europe2"]
    assert [one.id for one in found.refused] == ["collection.json"]


def test_items_asked_for_by_id_are_read_first(
    server: Any, tree: Path, request_of: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("escape_process.catalogue.walk.READ_AT_ONCE", 1)
    server.serve_folder(tree)
    assert ids(find_scenes(request_of(ids=["europe2"], collections=["europe"]), server.settings())) == ["europe2"]
    assert [path for path in server.read if "europe0" in path or "europe1" in path] == []


def test_ids_that_are_not_found_are_named(tree: Path, request_of: Ask) -> None:
    found = find_scenes(request_of(ids=["europe0", "x1"]), local(tree))
    assert ids(found) == ["europe0"]
    assert found.notes == ("The catalogue has nothing there under the ids x1.",)
    found = find_scenes(request_of(ids=["europe0", "x5", "x4", "x3", "x2", "x1"]), local(tree))
    assert found.notes == ("The catalogue has nothing there under the ids x1, x2, x3 and 2 more.",)


@pytest.mark.parametrize(("given", "told"), [(42, "42"), (None, "catalog.json"), ("", "catalog.json")])
def test_an_item_without_an_id_is_refused(server: Any, item: Make, request_of: Ask, given: Any, told: str) -> None:
    nameless = item() | {"id": given}
    server.documents["/catalog.json"] = {"type": "FeatureCollection", "features": [nameless, item("a", 11.0)]}
    found = find_scenes(request_of(), server.settings())
    assert ids(found) == ["a"]
    assert found.refused == (Refusal(told, "It has no id that is a text."),)


def test_an_item_of_the_wrong_form_is_refused(server: Any, item: Make, request_of: Ask) -> None:
    listed = item("listed") | {"assets": ["./HH.tif"]}
    server.documents["/catalog.json"] = {"type": "FeatureCollection", "features": [listed, item("a", 11.0)]}
    found = find_scenes(request_of(), server.settings())
    assert ids(found) == ["a"]
    assert [one.id for one in found.refused] == ["listed"]


def test_the_address_of_a_collection_of_an_api(server: Any, item: Make, request_of: Ask) -> None:
    """An API's collection links to its items by pages instead of one by one."""
    links = [{"rel": "items", "href": "./collections/c/items"}]
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    server.documents["/catalog.json"] = {"type": "Collection", "stac_version": "1.0.0", "id": "c"} | {
        "extent": extent,
        "links": links,
    }
    following = [{"rel": "next", "href": "./items2"}, {"rel": "next", "href": "./post", "method": "POST"}]
    server.documents["/collections/c/items"] = {
        "type": "FeatureCollection",
        "features": [item("a")],
        "links": following,
    }
    server.documents["/collections/c/items2"] = {"type": "FeatureCollection", "features": [item("b", 11.0)]}
    assert ids(find_scenes(request_of(datetime="2024-01-01/.."), server.settings())) == ["a", "b"]
    assert server.read == ["/catalog.json", "/collections/c/items", "/collections/c/items2"]
    (asked,) = [query for query in server.queries if query]
    assert asked == {"limit": ["100"], "bbox": ["-180.0,-90.0,180.0,90.0"], "datetime": ["2024-01-01T00:00:00Z/.."]}


def test_an_item_link_may_lead_to_several(server: Any, item: Make, request_of: Ask) -> None:
    links = [{"rel": "item", "href": "./items.geojson"}]
    server.documents["/catalog.json"] = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": links}
    server.documents["/items.geojson"] = {"type": "FeatureCollection", "features": [item("a"), item("b", 11.0)]}
    assert ids(find_scenes(request_of(), server.settings())) == ["a", "b"]


def test_loops_end_and_remote_catalogues_lead_to_no_local_file(server: Any, item: Make, request_of: Ask) -> None:
    links = [
        {"rel": "child", "href": "./catalog.json"},
        {"rel": "child", "href": "./other.json"},
        {"rel": "item", "href": "./a.json"},
        {"rel": "item", "href": "./a.json"},
        {"rel": "item", "href": "file:///etc/hostname"},
        {"rel": "child", "href": "/vsicurl/http://127.0.0.1:9/"},
        "junk",
        {"rel": "item"},
    ]
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": links}
    server.documents |= {"/catalog.json": catalog, "/other.json": catalog, "/a.json": item("a")}
    assert ids(find_scenes(request_of(), server.settings())) == ["a"]
    assert sorted(server.read) == ["/a.json", "/catalog.json", "/other.json"]


def test_the_walk_ends_at_the_operators_limit(server: Any, tree: Path, request_of: Ask) -> None:
    server.serve_folder(tree)
    found = find_scenes(request_of(), server.settings(max_items=4))
    assert len(found.scenes) == 4
    assert any("4 catalogue entries" in note for note in found.notes)
    assert find_scenes(request_of(), server.settings(max_items=6)).notes == ()


def test_the_newest_scenes_are_kept(tree: Path, request_of: Ask) -> None:
    found = find_scenes(request_of(max_scenes=2), local(tree))
    assert ids(found) == ["europe1", "europe2"]
    assert any("newest 2" in note for note in found.notes)


def test_an_id_counts_once(server: Any, item: Make, request_of: Ask) -> None:
    server.documents["/catalog.json"] = {
        "type": "FeatureCollection",
        "features": [item("a"), item("a"), item("b", 11.0)],
    }
    assert ids(find_scenes(request_of(), server.settings())) == ["a", "b"]


def test_single_items_and_item_collections_are_catalogues_too(server: Any, item: Make, request_of: Ask) -> None:
    one = item("a")
    one["links"] = [{"rel": "self", "href": "https://data.example.org/x/a.json"}]
    server.documents["/item.json"] = one
    server.documents["/items.json"] = {"type": "FeatureCollection", "features": [one]}
    single = find_scenes(request_of(), server.settings("/item.json")).scenes[0]
    listed = find_scenes(request_of(), server.settings("/items.json")).scenes[0]
    assert single.bands["HH"].href == f"{server.url}/a_HH.tif"
    assert listed.bands["HH"].href == "https://data.example.org/x/a_HH.tif"


@pytest.mark.parametrize(
    "coordinates",
    [
        [[[[179, -20], [180, -20], [180, -19], [179, -19], [179, -20]]],
         [[[-180, -20], [-179, -20], [-179, -19], [-180, -19], [-180, -20]]]],
        [[[179, -20], [181, -20], [181, -19], [179, -19], [179, -20]]],
        [[[179, -20], [-179, -20], [-179, -19], [179, -19], [179, -20]]],
    ],
    ids=["cut", "beyond", "around"],
)  # fmt: skip
def test_across_the_antimeridian(server: Any, item: Make, request_of: Ask, coordinates: Any) -> None:
    crossing = item("crossing")
    kind = "MultiPolygon" if isinstance(coordinates[0][0][0], list) else "Polygon"
    crossing["geometry"] = {"type": kind, "coordinates": coordinates}
    server.documents["/catalog.json"] = {"type": "FeatureCollection", "features": [crossing, item("far", 10.0, -20.0)]}
    for bbox in ([179.5, -21, -179.5, -18], [179.2, -20, 179.4, -19], [-179.4, -20, -179.2, -19]):
        assert ids(find_scenes(request_of(bbox=bbox), server.settings())) == ["crossing"], bbox
    for bbox in ([-179, -21, -178, -18], [0, -21, 9, -18], [179.5, 10, -179.5, 11]):
        assert ids(find_scenes(request_of(bbox=bbox), server.settings())) == [], bbox


def test_filters_apply_to_static_catalogues(server: Any, item: Make, request_of: Ask) -> None:
    items = [item("a", **{"sar:instrument_mode": "HBQ"}), item("b", **{"sar:instrument_mode": "FBQ"}), item("c")]
    server.documents["/catalog.json"] = {"type": "FeatureCollection", "features": items}
    found = find_scenes(request_of(filter=EQUALS_HBQ), server.settings())
    assert ids(found) == ["a"]
    assert found.notes == ("1 item lacks what the filter asks about: left out.",)


def test_the_sample_catalogue(request_of: Ask) -> None:
    path = Path(__file__).parents[2] / "catalog" / "samples" / "collection.json"
    found = find_scenes(request_of(), Settings(catalogs={"sample": str(path)}))
    assert len(found.scenes) == 4
    assert [refusal.reason for refusal in found.refused] == ["It is dual-pol (HH, HV), VV is missing."]
    for scene in found.scenes:
        assert scene.mask is not None
        assert (scene.mask.water, scene.mask.layover_shadow) != (frozenset(), frozenset())
        assert scene.looks is not None


# --- STAC APIs -------------------------------------------------------------------------------------------------------


def test_all_pages_of_an_api(serve_api: Any, item: Make, request_of: Ask) -> None:
    items = [item(f"s{n}", 10.0 + n, datetime=f"2024-05-0{n + 1}T12:00:00Z", collection=None) for n in range(5)]
    api = serve_api(items)
    found = find_scenes(request_of(), api.settings("/"))
    assert ids(found) == [f"s{n}" for n in range(5)]
    assert len(api.searches) == 3
    assert all("filter" not in query for query in api.searches)
    assert find_scenes(request_of(), api.settings("/", max_items=3)).notes[0].startswith("The search ended after 3")
    assert find_scenes(request_of(), api.settings("/", max_items=5)).notes == ()


def test_what_is_asked_of_an_api(serve_api: Any, item: Make, request_of: Ask) -> None:
    one = {**item("a"), "collection": "quad"}
    api = serve_api([one, {**item("b"), "collection": "other"}])
    asked = request_of(bbox=[9, 44, 11, 46], datetime="2024-05-01T00:00:00Z/..", ids=["a", "b"], collections=["quad"])
    found = find_scenes(asked, api.settings("/"))
    assert ids(found) == ["a"]
    assert api.searches[0]["bbox"] == [9, 44, 11, 46]
    assert api.searches[0]["datetime"] == "2024-05-01T00:00:00Z/.."
    assert (api.searches[0]["ids"], api.searches[0]["collections"]) == (["a", "b"], ["quad"])
    assert found.scenes[0].href == f"{api.url}/collections/quad/items/a"


def test_an_api_that_ignores_what_it_is_asked_is_filtered_here(server: Any, item: Make, request_of: Ask) -> None:
    everything = [item("a"), item("b", 50.0), item("c", datetime="2019-01-01T00:00:00Z"), item("d")]
    link = {"rel": "search", "href": "./search", "method": "GET"}
    conformance = {"conformsTo": ["https://api.stacspec.org/v1.0.0/item-search"]}
    server.documents["/api/"] = {
        "type": "Catalog", "stac_version": "1.0.0", "id": "x",
        "links": [link, {"rel": "conformance", "href": "./conformance"}],
    }  # fmt: skip
    server.documents["/api/conformance"] = conformance
    server.documents["/api/search"] = {"type": "FeatureCollection", "features": everything}
    asked = request_of(bbox=[9, 44, 11, 46], datetime="2024-01-01T00:00:00Z/..", ids=["a", "b", "c"])
    assert ids(find_scenes(asked, server.settings("/api/"))) == ["a"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("no", ([False], "does not take filters")),
        ("yes", ([True], None)),
        ("empty", ([True, False], "found nothing with the filter")),
        ("error", ([True, True, False], "failed on the filter")),
    ],
)
def test_filters_on_servers_of_all_kinds(
    serve_api: Any, item: Make, request_of: Ask, filters: str, expected: tuple[list[bool], str | None]
) -> None:
    sent, said = expected
    api = serve_api([item("a", **{"sar:instrument_mode": "HBQ"}), item("b", **{"sar:instrument_mode": "FBQ"})], filters)
    found = find_scenes(request_of(filter=EQUALS_HBQ), api.settings("/"))
    assert ids(found) == ["a"]
    assert [("filter" in query) for query in api.searches] == sent
    assert len(found.notes) == (said is not None)
    assert said is None or said in found.notes[0]


def test_an_api_is_asked_in_two_boxes_across_the_antimeridian(serve_api: Any, item: Make, request_of: Ask) -> None:
    api = serve_api([item("east", 179.0), item("west", -179.9), item("far")])
    found = find_scenes(request_of(bbox=[179.2, 45, -179.6, 46]), api.settings("/"))
    assert sorted(ids(found)) == ["east", "west"]
    assert [query["bbox"] for query in api.searches] == [[179.2, 45, 180, 46], [-180, 45, -179.6, 46]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, {}), "HTTP status 500"),
        ((200, b"<html>"), "not JSON"),
        ((200, ["junk"]), "something else than items"),
        ((200, {"type": "FeatureCollection"}), "something else than items"),
    ],
)
def test_a_failing_api_is_an_upstream_error(
    serve_api: Any, item: Make, request_of: Ask, answer: tuple[int, Any], said: str
) -> None:
    api = serve_api([item()])
    api.search = lambda query: answer
    with pytest.raises(UpstreamError, match=said):
        find_scenes(request_of(), api.settings("/"))


def test_odd_pages_do_no_harm(serve_api: Any, item: Make, request_of: Ask) -> None:
    api = serve_api([])
    next_file = {"rel": "next", "href": "file:///etc/passwd"}
    page = {"features": [item("a"), "junk", {"id": 5}], "links": ["junk", {"rel": 1}, {"href": "x"}]}
    api.search = lambda query: (200, page)
    found = find_scenes(request_of(), api.settings("/"))
    assert ids(found) == ["a"]
    api.search = lambda query: (200, {**page, "links": [next_file]})
    with pytest.raises(UpstreamError, match="next page"):
        find_scenes(request_of(), api.settings("/"))


def test_pages_without_end_are_cut(serve_api: Any, item: Make, request_of: Ask) -> None:
    api = serve_api([])
    again = {"rel": "next", "href": f"{api.url}/search", "method": "POST", "body": {}}
    api.search = lambda query: (200, {"features": [item(f"a{len(api.searches)}")], "links": [again]})
    find_scenes(request_of(), api.settings("/", max_items=7))
    assert len(api.searches) == 8


def test_empty_pages_are_gone_through(serve_api: Any, item: Make, request_of: Ask) -> None:
    api = serve_api([])
    again = {"rel": "next", "href": f"{api.url}/search", "method": "POST", "body": {}}
    api.search = lambda query: (200, {"features": [] if len(api.searches) < 15 else [item("a")], "links": [again]})
    assert ids(find_scenes(request_of(), api.settings("/"))) == ["a"]
    api.search = lambda query: (200, {"features": [], "links": [again]})
    with pytest.raises(UpstreamError, match="empty pages without end"):
        find_scenes(request_of(), api.settings("/"))


@pytest.mark.parametrize(("status", "asked"), [(400, [True, False]), (503, [True, True])])
def test_an_api_that_cannot_sort_is_asked_without(
    serve_api: Any, item: Make, request_of: Ask, status: int, asked: list[bool]
) -> None:
    api = serve_api([item("a")])
    api.documents["/"]["conformsTo"].append("https://api.stacspec.org/v1.0.0/item-search#sort")
    whole = api.search
    api.search = lambda query: (status, {}) if "sortby" in query else whole(query)
    if status == 503:  # fails for the moment, whatever it is asked
        with pytest.raises(UpstreamError, match="503"):
            find_scenes(request_of(), api.settings("/"))
    else:
        found = find_scenes(request_of(), api.settings("/"))
        assert ids(found) == ["a"]
        assert found.notes == ("The catalogue failed on the order; it was applied here instead.",)
    assert ["sortby" in query for query in api.searches] == asked


# --- what is said ----------------------------------------------------------------------------------------------------


def test_refusals_are_reported_and_summed_up(server: Any, item: Make, request_of: Ask) -> None:
    features = [dual(item(name)) for name in ("a", "b", "c")]
    server.documents["/catalog.json"] = {"type": "FeatureCollection", "features": features}
    asked = request_of(bbox=[9, 44, 11, 46], datetime="2024-05-01T00:00:00Z/2024-06-01T00:00:00Z")
    found = find_scenes(asked, server.settings())
    reason = "It is dual-pol (HH, HV), VV is missing."
    assert found == Found((), tuple(Refusal(name, reason) for name in ("a", "b", "c")))
    assert str(no_scenes_error(asked, found)) == (
        "No usable full-polarimetric scene covers bbox [9.0, 44.0, 11.0, 46.0] between 2024-05-01T00:00:00Z and"
        " 2024-06-01T00:00:00Z: 3 scenes were found, all refused: it is dual-pol (HH, HV), VV is missing."
        " Widen the bbox or the dates, or name another catalogue."
    )


def test_several_reasons_are_counted(request_of: Ask) -> None:
    refused = (Refusal("a", "It is A."), Refusal("b", "It is B."), Refusal("c", "It is A."))
    said = str(no_scenes_error(request_of(ids=["a", "b", "c"]), Found((), refused)))
    assert said == (
        "No usable full-polarimetric scene has one of the 3 ids given: 3 scenes were found, refused: 2 because it is A;"
        " 1 because it is B. Check the ids or name another catalogue."
    )


def test_a_search_that_ended_early_does_not_say_that_there_is_nothing(server: Any, tree: Path, request_of: Ask) -> None:
    server.serve_folder(tree)
    asked = request_of(bbox=[60, 0, 61, 1])
    for path, document in server.documents.items():
        if path.endswith("collection.json"):
            document["extent"]["spatial"]["bbox"] = [[-180, -90, 180, 90]]
    said = str(no_scenes_error(asked, find_scenes(asked, server.settings(max_items=3))))
    assert said.startswith("No scene in the catalogue covers bbox [60.0, 0.0, 61.0, 1.0]: ")
    assert "The search ended after 3 catalogue entries" in said


def test_all_that_narrowed_the_search_is_named(request_of: Ask) -> None:
    asked = request_of(ids=["a"], collections=["x", "y"], filter=EQUALS_HBQ, bbox=[9, 44, 11, 46])
    assert str(no_scenes_error(asked, Found((), ()))) == (
        "No scene in the catalogue covers bbox [9.0, 44.0, 11.0, 46.0] and has the id a and is in x or y and matches"
        " the filter: widen the bbox, check the ids and the collections and the filter, or name another catalogue."
    )


def test_nothing_found(tree: Path, request_of: Ask) -> None:
    asked = request_of(bbox=[60, 0, 61, 1])
    found = find_scenes(asked, local(tree))
    assert found == Found((), ())
    assert str(no_scenes_error(asked, found)) == (
        "No scene in the catalogue covers bbox [60.0, 0.0, 61.0, 1.0]: widen the bbox, or name another catalogue."
    )


def test_the_real_scansar_collection(shared_data: Path, request_of: Ask) -> None:
    path = shared_data / "alos2_l22_scansar_stac" / "ALOS2437590500-220630_WWDR2.2GUA.json"
    settings = Settings(catalogs={"here": str(path)}, default_catalog="here")
    asked = request_of(bbox=[123, 25, 124, 26])
    said = str(no_scenes_error(asked, find_scenes(asked, settings)))
    assert "1 scene was found, refused: it is dual-pol (HH, HV), VV is missing." in said
    assert json.loads(path.read_text())["id"] == find_scenes(asked, settings).refused[0].id
