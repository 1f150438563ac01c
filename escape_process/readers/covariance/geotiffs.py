"""Elements of a matrix as GeoTIFFs: one of each, or one with a band each."""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, open_raster
from escape_process.readers.computed import check_edges, crs_of
from escape_process.readers.covariance.files import (
    ANGLES,
    BAND_ORDER,
    COMPLEX_ORDER,
    ELEMENTS,
    GEOREFERENCE,
    Matrix,
    MatrixFiles,
    OpenedMatrix,
    angle_named,
    canonical,
)
from escape_process.readers.geotiff.files import check_block
from escape_process.records import Grid
from escape_process.settings import Settings

LARGEST_VALUE = 16
"""Bytes, of a complex number of two doubles."""


def open_geotiffs(files: MatrixFiles, names: Sequence[str], settings: Settings, stack: ExitStack) -> OpenedMatrix:
    reference = ELEMENTS[files.matrix][0]
    grid: Grid | None = None
    readers: dict[str, Callable[[RasterWindow], NDArray[Any]]] = {}
    for name in dict.fromkeys((reference, *names)):
        if name == "mask_valid_pixels":
            raise SceneError("The mask of valid pixels is no GeoTIFF, but the elements are: leave it out.")
        raster = stack.enter_context(open_raster(files.elements[name], settings))
        found = _grid_of(raster, file_name(files.elements[name]))
        grid = grid or found
        if found.shape != grid.shape:
            raise SceneError(
                f"{name} has {found.height} x {found.width} pixels, but {reference} has {grid.height} x {grid.width}:"
                " the elements of a matrix share one size."
            )
        if found.crs != grid.crs or not found.transform.almost_equals(grid.transform, 1e-3 * grid.transform.a):
            raise SceneError(f"{name} lies elsewhere than {reference}: all lie on one grid.")
        if raster.count != 1:
            raise SceneError(f"{file_name(files.elements[name])} has {raster.count} bands: an element is one band.")
        part = file_name(files.elements[name]).rpartition(".")[0].lower()
        if part != name.lower() and not raster.dtypes[0].startswith("complex"):
            raise SceneError(
                f"{file_name(files.elements[name])} holds {raster.dtypes[0]} values: give it complex, or its real part"
                f" as {name}.tif."
            )
        readers[name] = _band_reader(raster, 1, name)
    if grid is None:
        raise ValueError("no element was asked for")
    return OpenedMatrix(grid, readers)


def open_bands(href: str, matrix: Matrix, names: Sequence[str], settings: Settings, stack: ExitStack) -> OpenedMatrix:
    raster = stack.enter_context(open_raster(href, settings))
    label = file_name(href)
    stated = [angle_named(text or "") or _element_named(text or "") for text in raster.descriptions]
    is_complex = any(kind.startswith("complex") for kind in raster.dtypes)
    usual = (COMPLEX_ORDER if is_complex else BAND_ORDER)[matrix]
    warnings: tuple[str, ...] = ()
    if not any(stated) and raster.count == len(usual):
        stated = list(usual)
        warnings = (f"The bands of {label} have no names: taken as {', '.join(usual)}.",)
    elements = [name for name in stated if name and name not in ANGLES.values()]
    if {name[0] for name in elements} - {matrix[0]} or any("4" in name for name in elements):
        raise SceneError(f"{label} is named as {matrix}, but its bands are {', '.join(str(name) for name in stated)}.")
    if is_complex:  # a band holds both parts of an element
        stated = [f"{name}_real" if name and re.fullmatch("[CT](12|13|23)", name) else name for name in stated]
    missing = [name for name in ELEMENTS[matrix] if name not in stated]
    if missing:
        raise SceneError(
            f"{label} has no band {' and no band '.join(missing)} among its {raster.count}: name its bands by element,"
            f" or give all {len(usual)} of {matrix} in their usual order."
        )
    grid = _grid_of(raster, label)
    wanted = [name for name in dict.fromkeys((*names, *ANGLES.values())) if name in stated]
    return OpenedMatrix(grid, {name: _band_reader(raster, stated.index(name) + 1, name) for name in wanted}, warnings)


def _element_named(text: str) -> str | None:
    found = re.search(r"(?:^|[^A-Za-z0-9])([CT][1-4][1-4](?:_(?:real|imag))?)(?=$|[^A-Za-z0-9])", text, re.IGNORECASE)
    return canonical(found[1]) if found else None


def _grid_of(raster: Any, label: str) -> Grid:
    check_edges(raster.height, raster.width, label)
    if raster.crs is None:
        raise SceneError(f"{label} has no reference system: {GEOREFERENCE}.")
    transform = raster.transform
    if transform.b or transform.d or transform.e >= 0 or transform.a <= 0:
        raise SceneError(f"{label} has a rotated or south-up grid: warp it to a north-up grid first.")
    return Grid(crs_of(raster.crs.to_wkt(), label), transform, raster.width, raster.height)


def _band_reader(raster: Any, index: int, name: str) -> Callable[[RasterWindow], NDArray[Any]]:
    kind = raster.dtypes[index - 1]
    if not kind.startswith(("float", "complex64", "complex128")) and name not in ANGLES.values():
        raise SceneError(f"Element {name} is stored as {kind}: powers are floats.")
    check_block(name, LARGEST_VALUE, raster.block_shapes[index - 1])
    nodata = raster.nodatavals[index - 1]

    def read(window: RasterWindow) -> NDArray[Any]:
        values: NDArray[Any] = np.real(raster.read(index, window=window))
        missing = nodata is not None and math.isfinite(nodata)
        return np.where(values == nodata, np.nan, values) if missing else values

    return read
