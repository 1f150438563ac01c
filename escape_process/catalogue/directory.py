"""Results as a catalogue of their own: a folder with all that its links lead to, which may be moved anywhere.

It is what EO platforms take from an application: `catalog.json`, a folder for each item with its assets, and the
collection that the items belong to. All links are relative. Scenes are linked to where they have a public address.
"""

import copy
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from escape_process.catalogue.collection import LICENSE_FILE, LICENSE_TEXT, STAC_VERSION, results_collection
from escape_process.catalogue.extent import with_item
from escape_process.engine import storage_faults_told
from escape_process.errors import InvalidInputError, StorageError
from escape_process.folders import partial_folder
from escape_process.hrefs import file_name, is_remote
from escape_process.settings import Settings

_JSON = "application/json"


def check_vacant(folder: Path) -> None:
    """Refuse a folder that holds anything, before the work whose results it is to hold.

    Raises
    ------
    InvalidInputError
        naming the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInputError(
            f"Folder {folder.name}: it is to hold the results alone, but it exists and is not empty."
        )


def write_directory(items: Iterable[Mapping[str, Any]], files: Path, folder: Path, settings: Settings) -> None:
    """Write results to a new folder: all of them, whole and on the disk, or nothing.

    Parameters
    ----------
    items
        STAC items of results.
    files
        Folder in which a folder by each item's id holds its files.
    folder
        What is made; it may exist if it is empty.

    Raises
    ------
    InvalidInputError
        where the folder holds anything.
    StorageError
        where it cannot be written, or a file of a result is missing.
    """
    with storage_faults_told("results"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with partial_folder(folder.parent, folder.name) as partial:
            _fill(partial, items, files, settings)
            check_vacant(folder)  # the work took its time
            partial.rename(folder)  # onto an empty folder, too


def _fill(folder: Path, items: Iterable[Mapping[str, Any]], files: Path, settings: Settings) -> None:
    collection = results_collection(settings)
    collection["links"] = [_link("root", "./catalog.json"), _link("parent", "./catalog.json"), _license("./")]
    listed = []
    for given in items:
        item = _item(given)
        id = item["id"]
        (folder / id).mkdir()
        for asset in item["assets"].values():
            _copy(files / id / asset["href"], folder / id / asset["href"], id)
        _write_json(folder / id / f"{id}.json", item)
        listed.append(
            _link("item", f"./{id}/{id}.json", "application/geo+json") | {"title": item["properties"]["title"]}
        )
        collection = with_item(collection, item, f"./{id}/{id}.json")
    _write_json(folder / "collection.json", collection)
    _write(folder / LICENSE_FILE, LICENSE_TEXT)
    catalog = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": f"{settings.results_collection}-results",
        "title": collection["title"],
        "description": "Results of one request.",
        "links": [_link("root", "./catalog.json"), *listed],
    }
    _write_json(folder / "catalog.json", catalog)


def _item(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as it stands in the folder."""
    item = copy.deepcopy(dict(given))
    for asset in item["assets"].values():
        asset["href"] = f"./{file_name(asset['href'])}"
    item["links"] = [
        _link("root", "../catalog.json"),
        _link("parent", "../catalog.json"),
        _link("collection", "../collection.json"),
        _license("../"),
        *(link for link in item["links"] if link["rel"] not in _REPLACED and is_remote(link["href"])),
    ]
    return item


_REPLACED = frozenset({"self", "root", "parent", "collection", "license"})


def _license(folder: str) -> dict[str, Any]:
    return _link("license", f"{folder}{LICENSE_FILE}", "text/plain") | {"title": "Terms of use"}


def _link(rel: str, href: str, type: str = _JSON) -> dict[str, Any]:
    return {"rel": rel, "href": href, "type": type}


def _copy(source: Path, target: Path, id: str) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise StorageError(f"The result {id} cannot be written: its file {target.name} is missing.") from error
    _sync(target)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    _write(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
