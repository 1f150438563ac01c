"""The served static catalogue: seeded once, then grown by one item a result, whole at every moment.

Links inside the tree are relative, so it can be browsed from disk, moved, and served under any address. Every document
is written under a temporary name and renamed, under one lock, so that readers and other jobs never meet half of one.
"""

import contextlib
import copy
import filecmp
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import filelock

from escape_process.catalogue.collection import LICENSE_FILE, LICENSE_TEXT, STAC_VERSION, results_collection
from escape_process.catalogue.extent import with_item
from escape_process.engine import storage_faults_told
from escape_process.errors import StorageError
from escape_process.hrefs import file_name
from escape_process.objects import sizes_of_results
from escape_process.settings import Settings

_LOCK_SECONDS = 120.0
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_SERVED = ("catalog", "unpublished", "processes")
"""What the server's addresses begin with; the folders of the first two lie in the data folder under the same names."""
_TREE_RELATIONS = frozenset({"self", "root", "parent", "collection"})


def ensure_catalogue(settings: Settings) -> None:
    """Bring the committed seed's documents and files into the served catalogue; published results stay.

    Repeating it changes nothing, and jobs may do it at once.

    Raises
    ------
    StorageError
        where the data folder cannot be written.
    """
    with _locked(settings):
        seed = settings.catalog_seed
        if seed is not None and seed.is_dir():
            _copy_seed(seed, settings)
        _ensure_collection(settings)
        _ensure_root(settings)


def publish(item: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Make a result visible whose files lie in `results_dir / <id>` already; return the item as stored.

    Publishing the same id again replaces the item. Safe when several processes publish at once.

    Raises
    ------
    StorageError
        where a file of the item is missing or incomplete, or the catalogue cannot be written.
    """
    id = item["id"]
    if not _ID.fullmatch(id):
        raise ValueError(f"item id {id!r} cannot be the name of a folder")
    missing = missing_file(item, settings)
    if missing is not None:
        raise StorageError(f"The result {id} cannot be published: its file {missing} is missing or incomplete.")
    stored = _with_links(item, lambda href: _href_in_tree(href, settings.results_dir / id, settings))
    stored["links"] = [link for link in stored["links"] if link["rel"] != "self"]
    if not (settings.results_dir / "collection.json").exists():
        ensure_catalogue(settings)
    with _locked(settings):
        _write_json(settings.results_dir / id / f"{id}.json", stored)
        path = settings.results_dir / "collection.json"
        _write_json(path, with_item(_read_json(path), stored, _item_href(id)))
    return stored


def find_published(id: str, settings: Settings) -> dict[str, Any] | None:
    """Return a published item by id; None unless the collection lists it and all its files are there and whole."""
    if not _ID.fullmatch(id):
        return None
    try:
        item = _read_json(settings.results_dir / id / f"{id}.json")
        collection = _read_json(settings.results_dir / "collection.json")
    except (OSError, ValueError):
        return None
    listed = any(link.get("rel") == "item" and link.get("href") == _item_href(id) for link in collection["links"])
    return item if listed and missing_file(item, settings) is None else None


def missing_file(item: Mapping[str, Any], settings: Settings) -> str | None:
    """Return the name of a file of a published result that is missing or incomplete; None where all are whole.

    Raises
    ------
    UpstreamError
        where object storage does not say.
    """
    sizes: Mapping[str, int] = _sizes_on_disk(settings.results_dir / item["id"])
    if settings.object_storage is not None:
        folder = f"{settings.object_storage.place}/{settings.results_collection}/{item['id']}"
        sizes = {**sizes_of_results(folder, settings), **sizes}
    for asset in item["assets"].values():
        name = file_name(asset["href"])
        if name not in sizes or sizes[name] != asset.get("file:size", sizes[name]):
            return name
    return None


def _sizes_on_disk(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}
    except OSError:
        return {}


def public_item(item: Mapping[str, Any], settings: Settings, published: bool = True) -> dict[str, Any]:
    """Return an item as clients get it: every href absolute, under `public_url` where there is one.

    Parameters
    ----------
    published
        False: the files lie in the folder of unpublished results, and no catalogue lists the item.
    """
    id = item["id"]
    at_home = settings.results_dir / id
    folder = at_home if published else settings.unpublished_dir / id
    public = _with_links(item, lambda href: public_href(_absolute(href, at_home), settings))
    for asset in public["assets"].values():
        asset["href"] = public_href(_absolute(asset["href"], folder), settings)
    collection = public_href(str(settings.results_dir / "collection.json"), settings)
    links = [
        {"rel": "root", "href": public_href(str(settings.catalog_dir / "catalog.json"), settings)},
        {"rel": "collection", "href": collection},
    ]
    if published:
        links += [
            {"rel": "parent", "href": collection},
            {"rel": "self", "href": public_href(str(folder / f"{id}.json"), settings)},
        ]
    types = {"self": "application/geo+json"}
    public["links"] = [
        *({**link, "type": types.get(link["rel"], "application/json")} for link in links),
        *(link for link in public["links"] if link["rel"] not in _TREE_RELATIONS),
    ]
    return public


def public_href(path_or_url: str | Path, settings: Settings) -> str:
    """Return the public address of a local path that the server serves, or of one in the seed.

    Other addresses, and all where the operator set no public address, come back as they are.
    """
    href = str(path_or_url)
    if settings.public_url is None:
        return href
    path = _local_path(href)
    places = [(settings.data_dir / name, name) for name in _SERVED]
    places += [(settings.catalog_seed, "catalog")] if settings.catalog_seed is not None else []
    for folder, name in places:
        inside = None if path is None else _inside(path, folder)
        if inside is not None:
            return f"{settings.public_url.rstrip('/')}/{name}/{quote(inside)}"
    return href


def _href_in_tree(href: str, folder: Path, settings: Settings) -> str:
    """Return an href as it stands in a document in `folder`: relative where it leads to this server.

    So the tree survives another address: relative links reach the process description as well as the tree.
    """
    target = None
    public = None if settings.public_url is None else f"{settings.public_url.rstrip('/')}/"
    path = _local_path(href)
    if public is not None and href.startswith(public):
        target = settings.data_dir / unquote(href.removeprefix(public))
    elif path is not None and path.is_absolute():
        for home in (settings.catalog_dir, settings.catalog_seed):
            inside = None if home is None else _inside(path, home)
            if inside is not None:
                target = settings.catalog_dir / inside
                break
    return href if target is None else Path(os.path.relpath(target, folder)).as_posix()


def _local_path(href: str) -> Path | None:
    parts = urlsplit(href)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(href) if "://" not in href and parts.scheme != "urn" else None


def _inside(path: Path, folder: Path) -> str | None:
    """Return a path as seen from a folder that holds it."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100, resolve() would follow links out of the tree
    home = Path(os.path.abspath(folder))  # noqa: PTH100
    return absolute.relative_to(home).as_posix() if absolute.is_relative_to(home) else None


def _absolute(href: str, folder: Path) -> str:
    path = _local_path(href)
    if path is None:
        return href
    return os.path.abspath(folder / path)  # noqa: PTH100, resolve() would follow links out of the tree


def _with_links(item: Mapping[str, Any], translate: Callable[[str], str]) -> dict[str, Any]:
    copied = copy.deepcopy(dict(item))
    for link in copied["links"]:
        link["href"] = translate(link["href"])
    return copied


def _item_href(id: str) -> str:
    return f"./{id}/{id}.json"


def _copy_seed(seed: Path, settings: Settings) -> None:
    kept = {Path("catalog.json")}
    if _has_items(settings.results_dir / "collection.json"):
        kept.add(Path(settings.results_collection) / "collection.json")
    for source in sorted(seed.rglob("*")):
        relative = source.relative_to(seed)
        if relative in kept or not source.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        target = settings.catalog_dir / relative
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            with _appearing(target) as partial:
                shutil.copyfile(source, partial)


def _ensure_collection(settings: Settings) -> None:
    terms = settings.results_dir / LICENSE_FILE
    if not terms.exists():
        with _appearing(terms) as partial:
            partial.write_text(LICENSE_TEXT, encoding="utf-8")
    path = settings.results_dir / "collection.json"
    seed = settings.catalog_seed
    seeded = seed is not None and (seed / settings.results_collection / "collection.json").exists()
    if not seeded and not _has_items(path):
        _write_json(path, results_collection(settings))


def _has_items(collection: Path) -> bool:
    return collection.exists() and any(link.get("rel") == "item" for link in _read_json(collection)["links"])


def _ensure_root(settings: Settings) -> None:
    """Write the root: the seed's, with the results and the children that the served one has besides."""
    path = settings.catalog_dir / "catalog.json"
    seeded = None if settings.catalog_seed is None else settings.catalog_seed / "catalog.json"
    served = _read_json(path) if path.exists() else None
    root = _read_json(seeded) if seeded is not None and seeded.exists() else _empty_root()
    children = [link for link in (served or {}).get("links", []) if link.get("rel") == "child"]
    results = f"./{settings.results_collection}/collection.json"
    title = _read_json(settings.results_dir / "collection.json").get("title", settings.results_collection)
    children.append({"rel": "child", "href": results, "type": "application/json", "title": title})
    known = {os.path.normpath(link["href"]) for link in root["links"]}
    for child in children:
        place = os.path.normpath(child["href"])
        if place not in known and (settings.catalog_dir / place).exists():
            root["links"].append(child)
            known.add(place)
    _write_json(path, root)


def _empty_root() -> dict[str, Any]:
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "escape",
        "title": "ESCAPE",
        "description": "Soil moisture and surface roughness from full-polarimetric L-band SAR.",
        "links": [{"rel": "root", "href": "./catalog.json", "type": "application/json"}],
    }


@contextlib.contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    with storage_faults_told("catalogue"):
        settings.catalog_dir.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(settings.catalog_dir / ".lock", timeout=_LOCK_SECONDS)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise StorageError(
                f"The catalogue cannot be written: another job has been writing it for {_LOCK_SECONDS:g} s. Repeat the"
                " request later."
            ) from error
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Give a hidden file to fill; it becomes `path` once it is whole and on the disk.

    Called under the lock only, so its name may always be the same: what a killed process left is written over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document unless the file says the same already."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    with _appearing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
