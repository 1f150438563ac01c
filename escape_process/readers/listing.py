"""Which files a user's products consist of: lists folders and groups their files into products."""

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name, list_hrefs
from escape_process.readers import geotiff
from escape_process.readers.computed import id_from
from escape_process.records import Family
from escape_process.settings import Settings

MOST_FILES = 200_000
"""In one place: more is no folder of products but, say, a whole disk."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

_FAMILIES: Sequence[Family] = ("ceos", "nisar", "covariance")
_JAXA = re.compile(r"(ALOS[24][A-Z0-9]{5,20}-\d{6})[-_]([A-Z]{3}[LR]\d\.\d[A-Z_]{2}[AD])", re.ASCII | re.IGNORECASE)
"""Scene id and product id, which all files of one of JAXA's products have in their names."""
_LONE = re.compile(r"\.(h5|hdf5|he5|dim)$", re.IGNORECASE)
"""Files that are a product by themselves, a .dim with its folder of rasters."""
_MATRIX = re.compile(r"(^|[_.-])[CT]3([_.-].*)?\.tiff?$", re.IGNORECASE)
"""GeoTIFFs of a whole matrix, as in scene_C3.tif."""
_RASTER_LIKE = re.compile(r"\.(tiff?|h5|hdf5|he5|bin|img|dim)$|^IMG-", re.IGNORECASE)
_NAMED_WORDS = frozenset({"sl", "slp", "msk", "mask", "lin", "linci", "lia", "inc", "date", "local", "ellipsoid"})
_NAMED_WORDS |= frozenset({"incidence", "angle", "incidenceangle", "localincidenceangle", "theta"})


@dataclass(frozen=True)
class ProductFiles:
    """The files of one product."""

    name: str
    """What a message says of it, and its id where it has none of its own."""
    hrefs: tuple[str, ...]
    family: Family | None
    """None: GeoTIFFs."""


def is_archive(href: str) -> bool:
    """Tell from its name whether a file is an archive that is unpacked."""
    return file_name(href).lower().endswith(ARCHIVES)


def is_geotiff(href: str) -> bool:
    """Tell from its name whether a file is a GeoTIFF."""
    return file_name(href).lower().endswith((".tif", ".tiff"))


def list_files(place: str, settings: Settings, skip: Path | None = None) -> list[str]:
    """Return the files of a place, in order: of a folder all below it, of an address all under it.

    Parameters
    ----------
    place
        A file, a folder, the address of a file, or one that ends with a slash, where addresses can be listed: of object
        storage, then also without the slash.
    skip
        A folder left out with all below it.

    Raises
    ------
    InvalidInputError
        where there is nothing of that name, or more files than products can have.
    UpstreamError
        where a remote place cannot be listed.
    """
    if "://" in place:
        return _list_addresses(place, settings)
    path = Path(place)
    if path.is_file():
        return [str(path.resolve())]
    if not path.is_dir():
        raise InvalidInputError(f"{place!r} is not a folder or a file.")
    return _bounded(place, _walk(path.resolve(), None if skip is None else skip.resolve()))


def _list_addresses(place: str, settings: Settings) -> list[str]:
    """Object storage has no folders: an address under which there is something is one."""
    if not place.endswith("/") and not place.startswith("s3://"):
        return [place]
    if not place.startswith("s3://"):
        raise InvalidInputError(f"{file_name(place)!r} cannot be listed: give the addresses of its files.")
    return _bounded(place, list_hrefs(place.rstrip("/") + "/", settings)) or [place]


def _walk(root: Path, skip: Path | None) -> Iterable[str]:
    """Yield the files below a folder, through links too, but each folder once: links may lead in a circle."""
    seen = {_identity(one) for one in (root, skip) if one is not None}
    for folder, folders, names in os.walk(root, followlinks=True):
        below = []
        for name in sorted(folders, key=lambda name: (Path(folder, name).is_symlink(), name)):
            identity = _identity(Path(folder, name))
            if name[0] != "." and identity not in seen:
                seen.add(identity)
                below.append(name)
        folders[:] = below
        for name in sorted(names):
            if name[0] != ".":
                yield posixpath.join(folder, name)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what is the same for all paths to one folder; None where there is none."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _bounded(place: str, found: Iterable[str]) -> list[str]:
    files = []
    for href in found:
        files.append(href)
        if len(files) > MOST_FILES:
            raise InvalidInputError(
                f"{file_name(place)!r} holds more than {MOST_FILES} files: name the folders to use."
            )
    return files


def family_module(family: Family | None) -> Any:
    """Return the module that describes products of a family; None: GeoTIFFs."""
    return geotiff if family is None else import_module(f"escape_process.readers.{family}")


def family_of(names: Sequence[str]) -> tuple[bool, Family | None]:
    """Tell whether files of these names are a product, and of which family."""
    for family in _FAMILIES:
        if family_module(family).recognises(names):
            plain = family == "ceos" and geotiff.recognises(names)  # GeoTIFFs with their leader beside them
            return True, None if plain else family
    return geotiff.recognises(names), None


def group_products(files: Sequence[str]) -> list[ProductFiles]:
    """Group files into products: those of one folder and one product id, or of one common name, belong together.

    Files that belong to no product are left out. A folder `NAME.data` belongs to the `NAME.dim` beside it.
    """
    headers = {posixpath.splitext(href)[0] for href in files if href.lower().endswith(".dim")}
    folders: dict[str, list[str]] = defaultdict(list)
    for href in files:
        folder = posixpath.dirname(href)
        held = folder.removesuffix(".data")
        folders[posixpath.dirname(held) if folder != held and held in headers else folder].append(href)
    return [product for folder in folders for product in _products_of_folder(folder, folders[folder])]


def group_stacks(files: Sequence[str], products: Sequence[ProductFiles], settings: Settings) -> list[ProductFiles]:
    """Group GeoTIFFs of several bands that no product holds into products: what they are is told inside them.

    Folders with another product are left out. Angle and mask belong to the stack that they share a folder with.
    """
    used = {posixpath.dirname(href) for product in products for href in product.hrefs}
    found: dict[str, list[str]] = defaultdict(list)
    beside: dict[str, list[str]] = defaultdict(list)
    for href in files:
        folder = posixpath.dirname(href)
        if folder not in used:
            known = geotiff.kind_of(file_name(href)) is not None
            (beside if known or not geotiff.is_stack(href, settings) else found)[folder].append(href)
    return [
        ProductFiles(posixpath.splitext(file_name(href))[0], (href, *beside[folder]), None)
        for folder, stacks in found.items()
        for href in stacks
    ]


def _products_of_folder(folder: str, files: Sequence[str]) -> list[ProductFiles]:
    by_id: dict[str, list[str]] = defaultdict(list)
    others = []
    for href in files:
        name = file_name(href)
        found = _JAXA.search(name)
        if found is not None:
            by_id["_".join(found.groups()).upper()].append(href)
        elif _LONE.search(name) is not None or _MATRIX.search(name) is not None:
            inside = href[:-4] + ".data/"
            by_id[name].extend([href, *(one for one in files if one.startswith(inside))])
        elif not re.search(r"\.data/[^/]*$", href):
            others.append(href)
    beside = [href for href in others if geotiff.kind_of(file_name(href)) not in geotiff.POLARIZATIONS]
    known = [href for href in beside if geotiff.kind_of(file_name(href)) is not None]
    products = []
    for key, own in by_id.items():
        held, family = family_of([file_name(href) for href in own])
        if held:
            lone = _LONE.search(key) or _MATRIX.search(key)
            name = key if lone is None else posixpath.splitext(key)[0]
            near = beside if lone is None else known if len(by_id) == 1 else ()
            products.append(ProductFiles(name, (*own, *near), family))
    held, family = family_of([file_name(href) for href in others]) if others else (False, None)
    name = file_name(folder) or "scene"
    if held and family is not None:
        products.append(ProductFiles(name, tuple(others), family))
    elif held:
        products.extend(_split_by_name(name, others))
    return products


def _split_by_name(folder: str, files: Sequence[str]) -> list[ProductFiles]:
    """Split GeoTIFFs of several scenes that share a folder by what their names have in common."""
    kinds = {href: geotiff.kind_of(file_name(href)) for href in files}
    bands = [href for href in files if kinds[href] in geotiff.POLARIZATIONS]
    if len({kinds[href] for href in bands}) == len(bands):
        return [ProductFiles(folder, tuple(files), None)]
    scenes: Mapping[tuple[str, ...], list[str]] = defaultdict(list)
    for href in bands:
        scenes[_common_words(href)].append(href)
    beside = [href for href in files if href not in bands]
    products = []
    for key, own in scenes.items():
        near = [href for href in beside if _common_words(href) == key or _common_words(href) not in scenes]
        products.append(ProductFiles("_".join(key) or folder, (*own, *near), None))
    return products


def _common_words(href: str) -> tuple[str, ...]:
    """Return the words of a file's name that tell nothing of what it holds: those of its scene."""
    words = re.split(r"[^A-Za-z0-9]+", posixpath.splitext(file_name(href))[0])
    named = _NAMED_WORDS | {name.lower() for name in geotiff.POLARIZATIONS}
    return tuple(word for word in words if word and word.lower() not in named)


def tell_apart(products: Sequence[ProductFiles]) -> list[ProductFiles]:
    """Give products of one name the names of the folders above, as many as it takes, each of them: a/HH.tif, b/HH.tif.

    Names count as one where ids made of them would be.
    """
    names = [product.name for product in products]
    for above in range(1, 5):
        count = Counter(map(id_from, names))
        if max(count.values(), default=0) < 2:
            break
        for number, product in enumerate(products):
            if count[id_from(names[number])] > 1:
                folders = posixpath.dirname(product.hrefs[0]).split("/")
                within = folders[:-1] if folders[-1] == product.name else folders
                names[number] = "_".join([*within[-above:], product.name])
    return [replace(product, name=name) for product, name in zip(products, names, strict=True)]


def folders_without_product(place: str, files: Sequence[str], products: Sequence[ProductFiles]) -> list[str]:
    """Return the names of a folder's own sub-folders that hold rasters but no product."""
    root = (place if "://" in place else str(Path(place).resolve())).rstrip("/") + "/"
    branches = defaultdict(list)
    for href in files:
        first, below, _ = href.removeprefix(root).partition("/")
        if href.startswith(root) and below:
            branches[first].append(href)
    used = {href for product in products for href in product.hrefs}
    return [
        name
        for name, inside in branches.items()
        if not used & set(inside) and any(_RASTER_LIKE.search(file_name(href)) for href in inside)
    ]
