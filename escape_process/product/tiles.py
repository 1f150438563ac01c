"""One layer and one date out of a finished block, without reading the rest of its file.

A block's file holds every layer of every date. Each COG wants one layer of one date, so reading whole files would read
everything once per layer and date.
"""

import struct
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escape_process.records import Grid, Window

_LOCAL_HEADER = 30
"""Bytes of a zip entry's local header before the name and the extra field."""


@dataclass(frozen=True)
class Tile:
    """One block of one date: where it lies in the grid and where its values are."""

    window: Window
    path: Path
    """Uncompressed .npz whose arrays are named as the layers, each (date, y, x)."""
    date_index: int

    def read(self, layer: str) -> NDArray[Any]:
        """Return one layer of the tile's date, (y, x), as it was stored.

        Raises
        ------
        ValueError
            where the stored array has another shape than the window.
        """
        with zipfile.ZipFile(self.path) as archive:
            entry = archive.getinfo(f"{layer}.npy")
            with archive.open(entry) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, fortran_order, dtype = read_header(stream)
                header = stream.tell()
        height, width = self.window.height, self.window.width
        if len(shape) != 3 or shape[1:] != (height, width) or not 0 <= self.date_index < shape[0]:
            raise ValueError(f"{layer} of a block has shape {shape}, not (> {self.date_index}, {height}, {width})")
        if entry.compress_type != zipfile.ZIP_STORED or fortran_order:
            with np.load(self.path) as arrays:
                plane: NDArray[Any] = arrays[layer][self.date_index]
                return plane
        with self.path.open("rb") as file:
            file.seek(entry.header_offset + 26)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            start = entry.header_offset + _LOCAL_HEADER + name_length + extra_length + header
            file.seek(start + self.date_index * height * width * dtype.itemsize)
            values = np.fromfile(file, dtype, count=height * width)
        return values.reshape(height, width)


def tiles_of_date(grid: Grid, blocks: Sequence[tuple[Window, Path]], date_index: int) -> tuple[Tile, ...]:
    """Return the blocks as tiles of one date, from the top left on, so that results do not depend on their order.

    Raises
    ------
    ValueError
        where a block lies outside the grid or blocks overlap.
    """
    for window, _ in blocks:
        if (
            min(window.row, window.column) < 0
            or window.row + window.height > grid.height
            or window.column + window.width > grid.width
        ):
            raise ValueError(f"{window} lies outside a grid of {grid.height} x {grid.width} pixels")
    if area_of(window for window, _ in blocks) > grid.height * grid.width:
        raise ValueError("blocks overlap: they have more pixels than the grid")
    ordered = sorted(blocks, key=lambda block: (block[0].row, block[0].column))
    return tuple(Tile(window, path, date_index) for window, path in ordered)


def area_of(windows: Iterable[Window]) -> int:
    """Return the number of pixels in windows that do not overlap."""
    return sum(window.height * window.width for window in windows)
