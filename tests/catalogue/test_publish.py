import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pystac
import pytest
from made_results import GRID, made_arrays, made_pass, made_scene, made_tiles
from stac_validation import validate_offline

from escape_process.catalogue.items import result_item, results_collection
from escape_process.catalogue.publish import ensure_catalogue, find_published, public_href, public_item, publish
from escape_process.errors import StorageError
from escape_process.product import write_product
from escape_process.records import Grid
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

URL = "http://127.0.0.1:5000"


def settings_in(folder: Path, **options: Any) -> Settings:
    options = {"catalog_seed": None, **options}
    return Settings(data_dir=folder / "data", **options)


def small_item(id: str, settings: Settings, **changes: Any) -> dict[str, Any]:
    """Return an item of one small file, which is written."""
    folder = settings.results_dir / id
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}\n")
    properties = {
        "datetime": "2024-06-01T00:00:00Z",
        "start_datetime": "2024-06-01T00:00:00Z",
        "end_datetime": "2024-06-01T00:00:00Z",
        "title": id,
        "gsd": 50.0,
        "platform": "alos-2",
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": id,
        "geometry": None,
        "bbox": [0.0, 0.0, 1.0, 1.0],
        "links": [{"rel": "root", "href": "../../catalog.json"}, {"rel": "collection", "href": "../collection.json"}],
        "assets": {"report": {"href": "./report.json", "file:size": 3}},
        "collection": settings.results_collection,
        **changes,
        "properties": {**properties, **changes.get("properties", {})},
    }


def make_seed(folder: Path, text: str = "one") -> Path:
    """Return a seed tree of one collection and one scene."""
    (folder / "samples" / "scene").mkdir(parents=True, exist_ok=True)
    root = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "seed",
        "description": text,
        "links": [{"rel": "child", "href": "samples/collection.json"}],
    }
    samples = {**results_collection(settings_in(folder)), "id": "samples"}
    samples["links"] = [{"rel": "root", "href": "../catalog.json"}, {"rel": "item", "href": "./scene/scene.json"}]
    (folder / "catalog.json").write_text(json.dumps(root))
    (folder / "samples" / "collection.json").write_text(json.dumps(samples))
    scene = {**made_scene("scene").item, "stac_version": "1.1.0", "geometry": None}
    (folder / "samples" / "scene" / "scene.json").write_text(json.dumps(scene))
    (folder / "samples" / "scene" / "HH.tif").write_text(text)
    (folder / "samples" / ".hidden").write_text("")
    return folder


def collection_of(settings: Settings) -> dict[str, Any]:
    return json.loads((settings.results_dir / "collection.json").read_text())


def items_listed(settings: Settings) -> list[str]:
    return [link["href"] for link in collection_of(settings)["links"] if link["rel"] == "item"]


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Return each file's inode and time of change: equal only where nothing was written."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def test_a_result_is_browsable_and_valid_and_found_again(tmp_path: Path, shared_data: Path) -> None:
    settings = settings_in(tmp_path, catalog_seed=make_seed(tmp_path / "seed"), public_url=URL)
    ensure_catalogue(settings)
    grid = Grid(GRID.crs, GRID.transform, 30, 20)
    tiles = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    product = write_product(settings.results_dir, "one", grid, tiles, date_index=0, report={}, title="one")
    request = RetrievalRequest(ids=["scene"])
    item = result_item(product, made_pass(), request, settings, report={}, created=made_pass().datetime)
    stored = publish(item, settings)

    catalogue = pystac.Catalog.from_file(str(settings.catalog_dir / "catalog.json"))
    found = {one.id: one for one in catalogue.get_items(recursive=True)}
    assert set(found) == {"scene", "one"}
    assert {one.id for one in catalogue.get_children()} == {"samples", settings.results_collection}
    for asset in found["one"].assets.values():
        assert Path(asset.get_absolute_href() or "").is_file()
    for path in (settings.results_dir / "one" / "one.json", settings.results_dir / "collection.json"):
        validate_offline(json.loads(path.read_text()), shared_data / "stac_schemas")
    validate_offline(public_item(stored, settings), shared_data / "stac_schemas")
    assert find_published("one", settings) == stored
    assert not [path for path in settings.catalog_dir.rglob(".*") if path.name != ".lock"]


def test_publishing_again_adds_no_second_link(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    item = small_item("one", settings)
    publish(item, settings)
    before = files_in(settings.catalog_dir)
    publish(item, settings)
    assert files_in(settings.catalog_dir) == before
    publish({**item, "properties": {**item["properties"], "title": "anew"}}, settings)
    assert items_listed(settings) == ["./one/one.json"]
    assert (find_published("one", settings) or {})["properties"]["title"] == "anew"


def test_the_collection_grows_to_hold_its_items(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    ensure_catalogue(settings)
    assert collection_of(settings)["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]
    publish(small_item("one", settings), settings)
    assert collection_of(settings)["extent"] == {
        "spatial": {"bbox": [[0, 0, 1, 1]]},
        "temporal": {"interval": [["2024-06-01T00:00:00Z", "2024-06-01T00:00:00Z"]]},
    }
    times = {"start_datetime": "2024-06-01T00:00:00.5Z", "end_datetime": "2024-07-01T00:00:00Z"}
    two = small_item("two", settings, bbox=[2, 2, 3, 3], properties={**times, "gsd": 25.0, "platform": "nisar"})
    publish(two, settings)
    grown = collection_of(settings)
    assert grown["extent"] == {
        "spatial": {"bbox": [[0, 0, 3, 3]]},
        "temporal": {"interval": [["2024-06-01T00:00:00Z", "2024-07-01T00:00:00Z"]]},
    }
    assert grown["summaries"]["platform"] == ["alos-2", "nisar"]
    assert grown["summaries"]["gsd"] == {"minimum": 25.0, "maximum": 50.0}
    assert items_listed(settings) == ["./one/one.json", "./two/two.json"]


PUBLISH_MANY = """
import json, sys
from pathlib import Path
from escape_process.catalogue.publish import ensure_catalogue, publish
from escape_process.settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]), catalog_seed=None)
ensure_catalogue(settings)
sys.stdin.readline()
for text in sys.stdin:
    publish(json.loads(text), settings)
"""


def test_two_processes_publishing_at_once_lose_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    items = [small_item(f"item-{number}", settings) for number in range(20)]
    command = [sys.executable, "-c", PUBLISH_MANY, str(settings.data_dir)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for number, process in enumerate(processes):
        assert process.stdin is not None
        lines = [json.dumps(item) for item in items[number::2]]
        process.stdin.write("\n".join(["start", *lines]))
        process.stdin.close()
    while any(process.poll() is None for process in processes):
        if (settings.results_dir / "collection.json").exists():
            collection_of(settings)  # never half of a document
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(items_listed(settings)) == sorted(f"./item-{number}/item-{number}.json" for number in range(20))
    assert all(find_published(item["id"], settings) for item in items)


def test_an_item_whose_file_is_missing_or_incomplete_is_not_published(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    item = small_item("one", settings)
    (settings.results_dir / "one" / "report.json").write_text("{")
    with pytest.raises(StorageError, match=r"report\.json is missing or incomplete"):
        publish(item, settings)
    (settings.results_dir / "one" / "report.json").unlink()
    with pytest.raises(StorageError, match=r"report\.json is missing or incomplete"):
        publish(item, settings)
    assert find_published("one", settings) is None
    assert not (settings.results_dir / "one" / "one.json").exists()


def test_what_is_not_whole_or_not_listed_is_not_found(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert find_published("one", settings) is None
    publish(small_item("one", settings), settings)
    assert find_published("../one", settings) is None
    (settings.results_dir / "two").mkdir()
    item = (settings.results_dir / "one" / "one.json").read_text().replace('"one"', '"two"')
    (settings.results_dir / "two" / "two.json").write_text(item)
    (settings.results_dir / "two" / "report.json").write_text("{}\n")
    assert find_published("two", settings) is None
    (settings.results_dir / "one" / "report.json").unlink()
    assert find_published("one", settings) is None


def test_an_item_with_nan_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    ensure_catalogue(settings)
    item = small_item("one", settings, properties={"gsd": float("nan")})
    before = files_in(settings.catalog_dir)
    with pytest.raises(ValueError, match="JSON compliant"):
        publish(item, settings)
    assert files_in(settings.catalog_dir) == before


def test_seeding_again_changes_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, catalog_seed=make_seed(tmp_path / "seed"))
    ensure_catalogue(settings)
    publish(small_item("one", settings), settings)
    before = files_in(settings.catalog_dir)
    ensure_catalogue(settings)
    assert files_in(settings.catalog_dir) == before
    assert not (settings.catalog_dir / "samples" / ".hidden").exists()


def test_a_changed_seed_is_brought_in_and_published_results_stay(tmp_path: Path) -> None:
    seed = make_seed(tmp_path / "seed")
    settings = settings_in(tmp_path, catalog_seed=seed)
    (seed / settings.results_collection).mkdir()
    seeded = {**results_collection(settings), "title": "Seeded"}
    (seed / settings.results_collection / "collection.json").write_text(json.dumps(seeded))
    ensure_catalogue(settings)
    assert collection_of(settings)["title"] == "Seeded"
    publish(small_item("one", settings), settings)
    make_seed(seed, "two")
    ensure_catalogue(settings)
    assert (settings.catalog_dir / "samples" / "scene" / "HH.tif").read_text() == "two"
    root = json.loads((settings.catalog_dir / "catalog.json").read_text())
    assert root["description"] == "two"
    children = [link["href"] for link in root["links"] if link["rel"] == "child"]
    assert children == ["samples/collection.json", f"./{settings.results_collection}/collection.json"]
    assert items_listed(settings) == ["./one/one.json"]


def test_without_a_seed_there_is_an_empty_catalogue(tmp_path: Path, shared_data: Path) -> None:
    for seed in (None, tmp_path / "missing"):
        settings = settings_in(tmp_path, catalog_seed=seed)
        ensure_catalogue(settings)
        root = settings.catalog_dir / "catalog.json"
        validate_offline(json.loads(root.read_text()), shared_data / "stac_schemas")
        assert [one.id for one in pystac.Catalog.from_file(str(root)).get_children()] == [settings.results_collection]
        assert (settings.results_dir / "LICENSE.txt").exists()


def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from escape_process.catalogue.publish import ensure_catalogue
from escape_process.errors import StorageError
from escape_process.settings import Settings
if os.getuid() == 0:
    os.seteuid(65534)
try:
    ensure_catalogue(Settings(data_dir=Path(sys.argv[1]), catalog_seed=None))
except StorageError as error:
    print(error)
    sys.exit(7)
"""
    (tmp_path / "data").mkdir(mode=0o555)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "the folder is not writable" in done.stdout
    assert str(tmp_path) not in done.stdout


def test_scenes_of_the_served_tree_are_linked_relatively_and_others_absolutely(tmp_path: Path) -> None:
    seed = make_seed(tmp_path / "seed")
    settings = settings_in(tmp_path, catalog_seed=seed, public_url=URL)
    served = settings.catalog_dir / "samples" / "scene" / "scene.json"
    hrefs = [
        str(seed / "samples" / "scene" / "scene.json"),
        str(served),
        served.as_uri(),
        f"{URL}/catalog/samples/scene/scene.json",
        "https://example.org/scene.json",
        "urn:escape-process:scene/private",
    ]
    item = small_item("one", settings)
    item["links"] += [{"rel": "derived_from", "href": href} for href in hrefs]
    stored = publish(item, settings)
    derived = [link["href"] for link in stored["links"] if link["rel"] == "derived_from"]
    assert derived == [*4 * ["../../samples/scene/scene.json"], *hrefs[4:]]
    public = public_item(stored, settings)
    derived = [link["href"] for link in public["links"] if link["rel"] == "derived_from"]
    assert derived == [*4 * [f"{URL}/catalog/samples/scene/scene.json"], *hrefs[4:]]


def test_a_published_item_has_public_addresses(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, public_url=f"{URL}/")
    stored = publish(small_item("one", settings), settings)
    item = public_item(stored, settings)
    base = f"{URL}/catalog/{settings.results_collection}"
    assert item["assets"]["report"]["href"] == f"{base}/one/report.json"
    assert {link["rel"]: link["href"] for link in item["links"]} == {
        "root": f"{URL}/catalog/catalog.json",
        "collection": f"{base}/collection.json",
        "parent": f"{base}/collection.json",
        "self": f"{base}/one/one.json",
    }
    assert stored["assets"]["report"]["href"] == "./report.json"


def test_an_unpublished_item_has_the_address_of_its_files_and_no_place_in_the_catalogue(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, public_url=URL)
    item = public_item(small_item("one", settings), settings, published=False)
    assert item["assets"]["report"]["href"] == f"{URL}/unpublished/one/report.json"
    assert {link["rel"] for link in item["links"]} == {"root", "collection"}


def test_without_a_public_address_hrefs_are_local_paths(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    item = public_item(publish(small_item("one", settings), settings), settings)
    hrefs = [link["href"] for link in item["links"]] + [asset["href"] for asset in item["assets"].values()]
    assert all(Path(href).is_absolute() and Path(href).is_file() for href in hrefs)


def test_public_href_translates_only_what_is_served(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, catalog_seed=tmp_path / "seed", public_url=URL)
    assert public_href(settings.catalog_dir / "a b" / "c.json", settings) == f"{URL}/catalog/a%20b/c.json"
    assert public_href(tmp_path / "seed" / "c.json", settings) == f"{URL}/catalog/c.json"
    assert public_href(settings.unpublished_dir / "x" / "c.tif", settings) == f"{URL}/unpublished/x/c.tif"
    for other in ("/elsewhere/c.json", str(settings.work_dir / "c"), "https://example.org/c.json", "s3://b/c.tif"):
        assert public_href(other, settings) == other
    sly = str(settings.catalog_dir / ".." / "work" / "c")
    assert public_href(sly, settings) == sly
    assert public_href("/a/c.json", settings_in(tmp_path)) == "/a/c.json"
