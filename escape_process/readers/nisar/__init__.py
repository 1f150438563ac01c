"""NISAR products as HDF5: GCOV on its map grid, RSLC multilooked and geocoded."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from escape_process.errors import SceneError
from escape_process.hrefs import file_name
from escape_process.readers.computed import ComputedRaster
from escape_process.readers.nisar import gcov, rslc
from escape_process.readers.nisar.hdf5 import open_hdf5
from escape_process.readers.nisar.identification import identify
from escape_process.records import Description, Source
from escape_process.settings import Settings

__all__ = ["describe", "open_layer", "recognises"]

_FILE = re.compile(r".+\.(?:h5|hdf5|he5)", re.IGNORECASE)
_PRODUCTS = {"GCOV": gcov, "RSLC": rslc}
DEM = "dem"
"""Key of the asset that holds a terrain model."""


def recognises(names: Sequence[str]) -> bool:
    """Tell whether file names are those of a product in HDF5; what it is stands inside."""
    return any(_FILE.fullmatch(name) for name in names)


def describe(hrefs: Sequence[str], settings: Settings, dem: str | None = None) -> Description:
    """Describe the NISAR product among some files.

    Parameters
    ----------
    dem
        Terrain model for the angles, kept by the caller as the asset "dem".

    Raises
    ------
    SceneError
        where it is damaged, not full-polarimetric, or another product.
    UpstreamError
        where it is missing or its host does not give it.
    """
    href = _only(hrefs)
    with open_hdf5(href, settings) as file:
        described: Description = _reader_of(identify(file).product, file.name).describe(file, href)
    return described


@contextmanager
def open_layer(source: Source, settings: Settings) -> Iterator[ComputedRaster]:
    """Open one layer of a product: "HH", "HV", "VH", "VV", "ellipsoid_incidence_angle", "mask".

    Raises
    ------
    SceneError, UpstreamError
        as `describe`; reads raise them too.
    """
    href = _only([one for key, one in source.files.items() if key != DEM])
    with open_hdf5(href, settings) as file:
        reader = _reader_of(identify(file).product, file.name)
        with reader.open_layer(file, source.layer, settings, source.files.get(DEM)) as raster:
            yield raster


def _only(hrefs: Sequence[str]) -> str:
    found = [href for href in dict.fromkeys(hrefs) if _FILE.fullmatch(file_name(href))]
    if len(found) != 1:
        names = ", ".join(file_name(href) for href in found[:5])
        raise SceneError(
            f"{len(found) or 'No'} HDF5 files are there{f' ({names})' if names else ''}: give one product."
        )
    return found[0]


def _reader_of(product: str, name: str) -> ModuleType:
    if product not in _PRODUCTS:
        raise SceneError(f"{name} is a NISAR {product} product: GCOV and RSLC are read.")
    return _PRODUCTS[product]
