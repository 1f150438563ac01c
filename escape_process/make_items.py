"""From products that a user holds, wherever they lie, to STAC items in a static collection."""

import dataclasses
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from escape_process.catalogue import sources
from escape_process.catalogue.sources import Declaration, SourceItem, write_catalogue
from escape_process.errors import EscapeError, InvalidInputError, SceneError
from escape_process.hrefs import open_href
from escape_process.readers.archives import archived_names, unpack
from escape_process.readers.listing import (
    ProductFiles,
    family_module,
    folders_without_product,
    group_products,
    group_stacks,
    is_archive,
    is_geotiff,
    list_files,
    tell_apart,
)
from escape_process.records import Description
from escape_process.settings import Settings

__all__ = ["Failure", "Made", "find_products", "make_item", "make_items"]

LOGGER = logging.getLogger(__name__)

UNPACKED = "unpacked"
"""Folder beside the collection that archives are unpacked into."""

_TERRAIN = {"dem": "Terrain model", "geoid": "Height of the geoid above the ellipsoid"}

NOTHING_HERE = (
    "holds no product that is recognized: neither a GeoTIFF named by a polarization, such as HH.tif or scene_HH.tif,"
    " nor one with bands described so, nor files of another family."
)


@dataclass(frozen=True)
class Failure:
    """A product of which no item was made."""

    name: str
    error: EscapeError


@dataclass(frozen=True)
class Made:
    """What became of a user's products."""

    items: tuple[SourceItem, ...]
    failures: tuple[Failure, ...]
    collection: Path | None
    """collection.json; None where there was no item to write."""

    @property
    def exit_code(self) -> int:
        """0 where all went well, 2 where some input is bad, else 1."""
        return max((failure.error.exit_code for failure in self.failures), default=0)


def make_items(
    places: Sequence[str],
    out: Path,
    settings: Settings | None = None,
    *,
    declared: Declaration | None = None,
    collection_id: str = "scenes",
    dem: str | None = None,
    geoid: str | None = None,
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> Made:
    """Make items of all products in the places given, and write them into the static collection in `out`.

    Products that cannot be described are reported and do not keep the others from being made. The same call twice
    changes nothing.

    Parameters
    ----------
    places
        Folders of one or many products, files, archives, or addresses of them.
    out
        Folder of the collection; archives are unpacked beside it.
    declared
        What the products do not tell, the same for all.
    dem
        Path or address of a terrain model, for products in radar geometry.
    geoid
        The same of the geoid's height, where those of the terrain model count from it.

    Raises
    ------
    InvalidInputError
        where an id is declared for several products.
    StorageError
        where files cannot be written.
    """
    settings = Settings() if settings is None else settings
    declared = Declaration() if declared is None else declared
    terrain = {"dem": dem, "geoid": geoid}
    absent = [folder for folder in (out / UNPACKED, out) if not folder.exists()]
    fresh: list[Path] = []
    made = Made((), (), None)
    try:
        products = list(find_products(places, out, settings, fresh))
        made = _make_all(products, settings, declared, terrain, progress)
        path = write_catalogue(made.items, out, collection_id=collection_id) if made.items else None
        return dataclasses.replace(made, collection=path)
    finally:
        _remove_unused(fresh, absent, made.items)


def _make_all(
    looked_for: Sequence[ProductFiles | Failure],
    settings: Settings,
    declared: Declaration,
    terrain: Mapping[str, str | None],
    progress: Callable[[float, str], None],
) -> Made:
    products = iter(tell_apart([one for one in looked_for if isinstance(one, ProductFiles)]))
    found = [one if isinstance(one, Failure) else next(products) for one in looked_for]
    if declared.id is not None and len(found) > 1:
        raise InvalidInputError(f"id = {declared.id!r} is for one product, but {len(found)} were found.")
    made: dict[str, SourceItem] = {}
    failures = []
    for number, product in enumerate(found):
        if len(found) > 1:
            progress(number / len(found), f"Describing {product.name}")
        answer = product if isinstance(product, Failure) else _made_or_not(product, declared, settings, terrain)
        if isinstance(answer, Failure):
            failures.append(answer)
        elif answer.id in made and _files_of(answer) == _files_of(made[answer.id]):
            copy = f"{product.name} is a copy of it and is left out."
            made[answer.id] = dataclasses.replace(made[answer.id], warnings=(*made[answer.id].warnings, copy))
        elif answer.id in made:
            twice = f"Another product gave the item id {answer.id!r}: make them one by one, with an id each."
            failures.append(Failure(product.name, InvalidInputError(twice)))
        else:
            made[answer.id] = answer
    return Made(tuple(made.values()), tuple(failures), None)


def _remove_unused(fresh: Sequence[Path], absent: Sequence[Path], items: Sequence[SourceItem]) -> None:
    """Remove what this call unpacked of archives of which no item was made, and folders that it leaves empty."""
    hrefs = [asset["href"] for one in items for asset in one.item["assets"].values()]
    for folder in fresh:
        if not any(href.startswith(f"{folder.resolve()}/") for href in hrefs):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in absent:
        with suppress(OSError):  # it holds something, or was never made
            folder.rmdir()


def _files_of(one: SourceItem) -> list[Any]:
    """Return what is the same for copies; of files elsewhere their addresses."""
    return sorted(str(asset.get("file:checksum") or asset["href"]) for asset in one.item["assets"].values())


def _made_or_not(
    product: ProductFiles, declared: Declaration, settings: Settings, terrain: Mapping[str, str | None]
) -> SourceItem | Failure:
    try:
        return make_item(product, declared, settings, **terrain)
    except EscapeError as error:
        return Failure(product.name, error)
    except Exception:  # one product must not keep a hundred others from being made
        LOGGER.exception("Describing %s failed", product.name)
        return Failure(product.name, InvalidInputError("It cannot be described: an internal error, see the log."))


def find_products(
    places: Sequence[str], out: Path, settings: Settings, fresh: list[Path] | None = None
) -> Iterator[ProductFiles | Failure]:
    """Yield the products in the places given; archives are unpacked into a folder in `out`.

    Loose files count as one place, so that a product's files may be given one by one. Folders of archives that were not
    unpacked before are added to `fresh`.
    """
    fresh = [] if fresh is None else fresh
    unpacked = out / UNPACKED
    loose: list[str] = []
    for place in places:
        try:
            files = list_files(place, settings, skip=unpacked)
        except EscapeError as error:
            yield Failure(_name(place), error)
            continue
        if len(files) == 1 and not Path(place).is_dir() and not is_archive(files[0]):
            loose += files
            continue
        any_found = False
        plain = [href for href in files if not is_archive(href)]
        products = _products_of(plain, settings)
        yield from products
        for name in folders_without_product(place, plain, products):
            any_found = True
            yield Failure(name, InvalidInputError(f"The folder {name!r} {NOTHING_HERE}"))
        for archive in files:
            if is_archive(archive):
                any_found = True
                yield from _products_of_archive(archive, unpacked, settings, fresh)
        if not products and not any_found:
            yield Failure(_name(place), InvalidInputError(f"The folder {_name(place)!r} {NOTHING_HERE}"))
    if loose:
        products = _products_of(loose, settings)
        yield from products
        if not products:
            names = ", ".join(_name(href) for href in loose[:3])
            yield Failure(names, InvalidInputError(f"Of {names} none is recognized as (a part of) a product."))


def _products_of(files: Sequence[str], settings: Settings) -> list[ProductFiles]:
    """Group files into products: by their names, then by what GeoTIFFs of several bands say of them."""
    products = group_products(files)
    return products + group_stacks(files, products, settings)


def _products_of_archive(
    archive: str, folder: Path, settings: Settings, fresh: list[Path]
) -> Iterator[ProductFiles | Failure]:
    name = _name(archive)
    try:
        nothing = InvalidInputError(f"The archive {name} {NOTHING_HERE}")
        names = archived_names(archive, settings)
        if not group_products(names) and not any(map(is_geotiff, names)):
            raise nothing
        before = set(folder.iterdir()) if folder.is_dir() else set()
        files = unpack(archive, folder, settings)
        if files.parent not in before:
            fresh.append(files.parent)
        products = _products_of(list_files(str(files), settings), settings)
        if not products:
            raise nothing
        yield from products
    except EscapeError as error:
        yield Failure(name, error)


def make_item(
    product: ProductFiles | Path,
    declared: Declaration | None = None,
    settings: Settings | None = None,
    *,
    dem: str | None = None,
    geoid: str | None = None,
) -> SourceItem:
    """Describe one product as a STAC item.

    Parameters
    ----------
    product
        A product's files, or the folder that holds one product.
    declared
        What the files do not tell.
    dem
        Path or address of a terrain model, for products in radar geometry.
    geoid
        The same of the geoid's height, where those of the terrain model count from it.

    Returns
    -------
    The item and a sentence for everything that a retrieval needs and nothing tells.

    Raises
    ------
    InvalidInputError
        where the product is not usable, or nothing tells the date.
    UpstreamError
        where a file is missing or its host fails.
    """
    settings = Settings() if settings is None else settings
    if isinstance(product, Path):
        product = _only_product(product, settings)
    terrain = {key: _absolute(href) for key, href in (("dem", dem), ("geoid", geoid)) if href is not None}
    try:
        described = _describe(product, settings, terrain)
        return sources.make_item(described, declared)
    except SceneError as error:  # of a user's own file: bad input
        raise InvalidInputError(str(error)) from error


def _only_product(folder: Path, settings: Settings) -> ProductFiles:
    products = _products_of(list_files(str(folder), settings), settings)
    if len(products) != 1:
        few = f"The folder {folder.name!r} {NOTHING_HERE}"
        raise InvalidInputError(
            few if not products else f"The folder {folder.name!r} holds {len(products)} products, but one is needed."
        )
    return products[0]


def _absolute(href: str) -> str:
    return href if "://" in href else str(Path(href).resolve())


def _describe(product: ProductFiles, settings: Settings, terrain: Mapping[str, str]) -> Description:
    module = family_module(product.family)
    options: dict[str, str | None] = {"dem": terrain.get("dem")}
    if product.family is None:
        options["name"] = product.name
    elif product.family == "ceos" and "geoid" in terrain:
        options["geoid"] = terrain["geoid"]
    described: Description = module.describe(product.hrefs, settings, **options)
    assets = {key: dict(asset) for key, asset in described.assets.items()}
    for key, href in terrain.items():
        if product.family is not None and key not in assets:
            assets[key] = {"href": href, "title": _TERRAIN[key], "roles": ["metadata"]}
    for key, asset in assets.items():
        assets[key] = {"href": asset["href"], **_file_fields(asset["href"], settings), **asset}
    return dataclasses.replace(described, assets=assets)


def _file_fields(href: str, settings: Settings) -> dict[str, Any]:
    """Return the size of a file and, where it is at hand, its checksum."""
    with open_href(href, settings) as stream:
        if "://" in href:
            return {"file:size": stream.seek(0, 2)}
        digest = hashlib.sha256()
        while chunk := stream.read(2**20):
            digest.update(chunk)
        return {"file:size": stream.tell(), "file:checksum": f"1220{digest.hexdigest()}"}


def _name(place: str) -> str:
    return place.rstrip("/").rsplit("/", 1)[-1] or place
