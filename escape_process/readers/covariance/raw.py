"""Elements of a matrix as raw files with ENVI headers, PolSARpro's and SNAP's way."""

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, open_href, read_bytes
from escape_process.readers.covariance.envi import LONGEST_HEADER, Config, Header, Placed, read_config, read_header
from escape_process.readers.covariance.files import ELEMENTS, GEOREFERENCE, MatrixFiles, OpenedMatrix
from escape_process.settings import Settings


def open_raw(files: MatrixFiles, names: Sequence[str], settings: Settings, stack: ExitStack) -> OpenedMatrix:
    configs = [read_config(_read_text(href, settings), file_name(href)) for href in files.configs]
    _check_configs(configs, files)
    every = (*ELEMENTS[files.matrix], *(name for name in names if name not in ELEMENTS[files.matrix]))
    headers = {name: _header_of(name, files, configs, settings) for name in every}
    placed = _agreed_place(headers, configs, files)
    reference = ELEMENTS[files.matrix][0]
    size = (headers[reference].height, headers[reference].width)
    readers: dict[str, Callable[[RasterWindow], NDArray[Any]]] = {}
    for name, header in headers.items():
        if (header.height, header.width) != size:
            raise SceneError(
                f"{name} has {header.height} x {header.width} pixels, but {reference} has {size[0]} x {size[1]}: the"
                " elements of a matrix share one size."
            )
        if name in names:
            href = files.mask if name == "mask_valid_pixels" else files.angles.get(name) or files.elements[name]
            readers[name] = _raw_reader(str(href), header, settings, stack)
    assumed = (f"The datum of {files.matrix} is not stated: taken as WGS-84.",) if placed.datum_assumed else ()
    return OpenedMatrix(placed.grid(*size), readers, assumed)


def _read_text(href: str, settings: Settings) -> bytes:
    return read_bytes(href, settings, LONGEST_HEADER)


def _check_configs(configs: Sequence[Config], files: MatrixFiles) -> None:
    for config in configs:
        if config.case not in ("", "monostatic"):
            raise SceneError(
                f"config.txt says PolarCase {config.case[:40]!r}: a {files.matrix} matrix is of monostatic data."
            )
        if config.kind not in ("", "full"):
            raise SceneError(f"config.txt says PolarType {config.kind[:40]!r}: only full polarimetry is read.")


def _header_of(name: str, files: MatrixFiles, configs: Sequence[Config], settings: Settings) -> Header:
    """Return what is said of an element: by its header, else by config.txt."""
    sized = next((one for one in configs if one.height is not None and one.width is not None), None)
    if name in files.headers:
        label = file_name(files.headers[name])
        header = read_header(_read_text(files.headers[name], settings), label)
        if name in files.elements and header.dtype.kind != "f":
            raise SceneError(f"{label} says that {name} holds integers: powers are floats (data type = 4 or 5).")
        if sized is not None and (sized.height, sized.width) != (header.height, header.width):
            raise SceneError(
                f"{label} says {header.height} lines and {header.width} samples, but config.txt Nrow {sized.height} and"
                f" Ncol {sized.width}: one of them belongs to another product."
            )
        return header
    if sized is None:
        raise SceneError(f"Nothing tells the size of {name}: neither a header beside it nor config.txt.")
    return Header(int(sized.height or 0), int(sized.width or 0), np.dtype("<f4"), 0, None)


def _agreed_place(headers: Mapping[str, Header], configs: Sequence[Config], files: MatrixFiles) -> Placed:
    """Return where the matrix lies: not each file says it, but those that do must agree."""
    said = [(name, header.placed) for name, header in headers.items() if header.placed is not None]
    said += [("config.txt", config.placed) for config in configs if config.placed is not None]
    if not said:
        raise SceneError(f"Nothing tells where the {files.matrix} matrix lies: {GEOREFERENCE}.")
    reference, place = said[0]
    for name, other in said[1:]:
        close = all(
            math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-3 * abs(place.transform.a))
            for one, two in zip(place.transform[:6], other.transform[:6], strict=True)
        )
        if place.crs != other.crs or not close:
            raise SceneError(f"{name} lies elsewhere than {reference} by their headers: all lie on one grid.")
    return place


def _raw_reader(
    href: str, header: Header, settings: Settings, stack: ExitStack
) -> Callable[[RasterWindow], NDArray[Any]]:
    file = stack.enter_context(contextlib.closing(open_href(href, settings)))
    size = file.seek(0, os.SEEK_END)
    if size != header.size:
        kind = "cut short" if size < header.size else "longer than it should be"
        raise SceneError(
            f"{file_name(href)} is {kind}: {header.height} lines of {header.width} samples need {header.size} bytes, it"
            f" has {size}."
        )
    return lambda window: _read_raw(file, href, header, window)


def _read_raw(file: BinaryIO, href: str, header: Header, window: RasterWindow) -> NDArray[Any]:
    item = header.dtype.itemsize
    values = np.empty((window.height, window.width), dtype=header.dtype)
    for row in range(window.height):
        file.seek(header.offset + ((window.row_off + row) * header.width + window.col_off) * item)
        content = file.read(window.width * item)
        if len(content) != window.width * item:
            raise SceneError(f"{file_name(href)} became shorter while it was read: replace the file.")
        values[row] = np.frombuffer(content, dtype=header.dtype)
    return values
