"""Writes items and static catalogues around them: relative links, files replaced as a whole, the same twice over."""

import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path
from typing import Any

from escape_process.catalogue.collection import STAC_VERSION
from escape_process.catalogue.extent import union_of_boxes
from escape_process.catalogue.sources.items import SourceItem
from escape_process.errors import InvalidInputError, StorageError

_SUMMARIES = (
    "platform",
    "instruments",
    "gsd",
    "proj:code",
    "sar:frequency_band",
    "sar:center_frequency",
    "sar:instrument_mode",
    "escape:simulated",
    "escape:format_test",
)
"""Properties whose values a collection lists. Not polarizations: what occurs somewhere tells nothing of one item."""


def _write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """Replace a file by a JSON document, whole or not at all; leave one alone that says the same."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{path.name} cannot be written: {error.strerror}.") from error
    return path


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writers of a file left; only for who alone writes it now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with suppress(OSError):  # the file itself will tell, if that cannot be written
            left.unlink()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"The existing {path.name} cannot be read: repair it or move it away.") from error
    if not isinstance(document, dict):
        raise InvalidInputError(f"The existing {path.name} is not a STAC object: repair it or move it away.")
    return document


def _relative(target: Path, folder: Path) -> str:
    text = Path(os.path.relpath(target, folder)).as_posix()
    return text if text.startswith("..") else f"./{text}"


def _placed(item: Mapping[str, Any], path: Path, near: Path) -> dict[str, Any]:
    """Return the item as it stands in `path`: hrefs of assets under the folder `near` relative, others absolute."""
    assets = {}
    for key, asset in item["assets"].items():
        raster = Path(asset["href"])
        inside = raster.is_absolute() and raster.is_relative_to(near)
        assets[key] = {**asset, "href": _relative(raster, path.parent) if inside else asset["href"]}
    return {**item, "assets": assets}


def write_item(made: SourceItem, path: Path) -> Path:
    """Write one item that stands alone.

    Assets in or below the item's folder get relative hrefs, others absolute ones. A `collection` that was declared is
    left out, because a standing-alone item links to none.

    Raises
    ------
    StorageError
        where the file cannot be written.
    """
    path = path.resolve()
    alone = {key: value for key, value in made.item.items() if key != "collection"}
    return _write_json(path, _placed(alone, path, path.parent))


def _link(relation: str, href: str, title: str | None, media_type: str = "application/json") -> dict[str, Any]:
    return {"rel": relation, "href": href, "type": media_type, **({"title": title} if title else {})}


def _existing_items(collection: Mapping[str, Any], folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Items that a collection links to and that still exist: id to href and item."""
    items = {}
    for link in collection.get("links", []):
        path = folder / str(link.get("href"))
        if link.get("rel") == "item" and "://" not in str(link.get("href")) and path.is_file():
            item = _read_json(path)
            items[str(item.get("id"))] = (str(link["href"]), item)
    return items


def _extent(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    whole = reduce(union_of_boxes, (item["bbox"] for item in items))
    times = sorted(
        value
        for item in items
        for value in (item["properties"].get(key) for key in ("datetime", "start_datetime", "end_datetime"))
        if value
    )
    return {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[times[0], times[-1]]]}}


def _summaries(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    summaries: dict[str, list[Any]] = {}
    for name in _SUMMARIES:
        for item in items:
            value = item["properties"].get(name)
            for one in value if isinstance(value, list) else [value]:
                if one is not None and one not in summaries.setdefault(name, []):
                    summaries[name].append(one)
    return {name: sorted(values) for name, values in summaries.items() if values}


def write_catalogue(
    items: Sequence[SourceItem],
    folder: Path,
    *,
    collection_id: str = "scenes",
    title: str = "Scenes",
    description: str = "Scenes held locally.",
    licence: str = "other",
    fields: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> Path:
    """Write a static collection: FOLDER/collection.json and FOLDER/ID/ID.json for each item.

    Items that an existing collection.json there links to stay; those with the same id are replaced. The same call twice
    gives the same files. Assets in or below the folder get relative hrefs, others absolute ones.

    Parameters
    ----------
    items
        At least one, unless the collection exists.
    licence
        SPDX identifier, or "other".
    fields
        Further fields of the collection, such as keywords and providers.
    root
        The catalog.json above, which must link to this collection itself; None: the collection is its own root.

    Returns
    -------
    Path of collection.json.

    Raises
    ------
    InvalidInputError
        where there is no item, or an existing collection cannot be read.
    StorageError
        where files cannot be written.
    """
    folder = folder.resolve()
    with _only_writer(folder):
        return _write_catalogue(
            items,
            folder,
            {
                "id": collection_id,
                "title": title,
                "description": description,
                "license": licence,
                **(fields or {}),
            },
            root,
        )


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the collection meanwhile: each would lose the other's items."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"The folder {folder.name} cannot be written: {error.strerror}.") from error
    try:
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_catalogue(items: Sequence[SourceItem], folder: Path, said: Mapping[str, Any], root: Path | None) -> Path:
    path = folder / "collection.json"
    _remove_leftovers(path)
    kept = _existing_items(_read_json(path), folder) if path.is_file() else {}
    placed: dict[str, tuple[str, Mapping[str, Any]]] = {**kept}
    for made in items:
        target = folder / made.id / f"{made.id}.json"
        _remove_leftovers(target)
        item = {**_placed(made.item, target, folder), "collection": said["id"]}
        above = _relative(path, target.parent)
        item["links"] = [
            _link("root", above if root is None else _relative(root.resolve(), target.parent), None),
            _link("parent", above, said["title"]),
            _link("collection", above, said["title"]),
        ]
        placed[made.id] = (_relative(_write_json(target, item), folder), item)
    if not placed:
        raise InvalidInputError("A collection needs at least one item.")
    ordered = [placed[key] for key in sorted(placed)]
    upward = [_link("root", "./collection.json", said["title"])]
    if root is not None:
        upward = [_link(relation, _relative(root.resolve(), folder), None) for relation in ("root", "parent")]
    bare = [item for _, item in ordered]
    return _write_json(
        path,
        {
            "type": "Collection",
            "stac_version": STAC_VERSION,
            **said,
            "extent": _extent(bare),
            "summaries": _summaries(bare),
            "links": upward
            + [_link("item", href, item["properties"].get("title"), "application/geo+json") for href, item in ordered],
        },
    )


def write_collection(path: Path, collection: Mapping[str, Any], root: Path) -> Path:
    """Write a collection that is complete but for its place in the tree: links to the root catalog.json are added.

    Raises
    ------
    StorageError
        where the file cannot be written.
    """
    others = [link for link in collection.get("links", []) if link.get("rel") not in ("root", "parent", "self")]
    above = _relative(root.resolve(), path.resolve().parent)
    upward = [_link(relation, above, None) for relation in ("root", "parent")]
    return _write_json(path, {**collection, "links": upward + others})


def write_root(folder: Path, *, catalogue_id: str, title: str, description: str, children: Mapping[str, str]) -> Path:
    """Write FOLDER/catalog.json, which links to child collections by relative href (and title).

    Raises
    ------
    StorageError
        where the file cannot be written.
    """
    return _write_json(
        folder / "catalog.json",
        {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "id": catalogue_id,
            "title": title,
            "description": description,
            "links": [
                _link("root", "./catalog.json", title),
                *(_link("child", href, name) for href, name in children.items()),
            ],
        },
    )
