"""Layers of a product as rasters on its grid: what the block reader asks of a scene's rasters."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import is_remote
from escape_process.readers.ceos.multilook import multilook
from escape_process.readers.ceos.names import POLARIZATIONS, files_of_assets
from escape_process.readers.ceos.placing import Placed, Placer
from escape_process.readers.ceos.product import Product, open_product
from escape_process.readers.ceos.terrain import open_heights
from escape_process.records import Source, Window
from escape_process.settings import Settings

TILE_EDGE = 512
"""Cells along each side of what is placed and read at once, which bounds memory."""
TILES_KEPT = 8
"""Placed tiles kept for the other layers of a product, which ask for the same window one after another."""
LOCAL_ANGLE, ELLIPSOID_ANGLE, MASK = "local_incidence_angle", "ellipsoid_incidence_angle", "mask"


class _Shared:
    """An open product, shared by the layers of it that are open at one time."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self.settings = settings  # kept alive, because its id is part of the key
        self.users = 0
        self.lock = threading.RLock()
        self._tiles: OrderedDict[Window, Placed] = OrderedDict()
        self._resources = ExitStack()
        files = files_of_assets(source.files)
        with ExitStack() as opening:
            self.product: Product = opening.enter_context(open_product(files, settings))
            dem, geoid = (
                None if href is None else opening.enter_context(open_heights(href, settings))
                for href in (files.dem, files.geoid)
            )
            self._placer = Placer(self.product, dem, geoid)
            self.has_terrain = dem is not None
            self._resources = opening.pop_all()

    def place(self, window: Window) -> Placed:
        if window in self._tiles:
            self._tiles.move_to_end(window)
        else:
            self._tiles[window] = self._placer.place(window)
            if len(self._tiles) > TILES_KEPT:
                self._tiles.popitem(last=False)
        return self._tiles[window]

    def close(self) -> None:
        self._tiles.clear()
        self._resources.close()


_open: dict[tuple[Any, ...], _Shared] = {}
_opening = threading.Lock()


@dataclass(frozen=True)
class Layer:
    """One layer of an open product."""

    shared: _Shared
    name: str

    @property
    def crs(self) -> CRS:
        """CRS of the product's grid."""
        return CRS.from_string(self.shared.product.grid.crs)

    @property
    def transform(self) -> Affine:
        """Pixel to CRS coordinates."""
        return self.shared.product.grid.transform

    @property
    def width(self) -> int:
        """In cells."""
        return self.shared.product.grid.width

    @property
    def height(self) -> int:
        """In cells."""
        return self.shared.product.grid.height

    @property
    def count(self) -> int:
        """One band."""
        return 1

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """NaN says no data in power and angles; the mask has a class for it."""
        return (None,)

    def read(self, index: int, /, *, window: RasterWindow) -> NDArray[Any]:
        """Read a window that lies inside the grid.

        Returns
        -------
        (height, width): float32 linear sigma0, float32 degrees, or the uint8 mask.

        Raises
        ------
        SceneError
            where a file ends early or is damaged there.
        """
        if index != 1:
            raise SceneError(f"A layer of a CEOS product has one band, so band {index} cannot be read.")
        out = np.zeros((window.height, window.width), dtype=np.uint8 if self.name == MASK else np.float32)
        with self.shared.lock:
            for row in range(0, window.height, TILE_EDGE):
                for column in range(0, window.width, TILE_EDGE):
                    height, width = min(TILE_EDGE, window.height - row), min(TILE_EDGE, window.width - column)
                    tile = Window(window.row_off + row, window.col_off + column, height, width)
                    out[row : row + height, column : column + width] = self._tile(tile)
        return out

    def _tile(self, tile: Window) -> NDArray[Any]:
        placed = self.shared.place(tile)
        if self.name == MASK:
            return placed.mask
        if self.name in (LOCAL_ANGLE, ELLIPSOID_ANGLE):
            return np.degrees(placed.angle)
        product = self.shared.product
        image = product.images[self.name]
        return multilook(product, image, placed, whole_lines=is_remote(product.files.images[self.name]))


@contextmanager
def open_layer(source: Source, settings: Settings) -> Iterator[Layer]:
    """Open one layer: HH, HV, VH, VV, the incidence angle (local with a DEM, else of the ellipsoid), or the mask.

    The files are opened once for all layers of a product that are open at one time.

    Raises
    ------
    UpstreamError
        where a file is missing or its host fails, at opening or later.
    SceneError
        where a file is damaged, cut short, mislabelled or of another product, or the product has no such layer.
    """
    key = (id(settings), *sorted(source.files.items()))
    with _opening:
        if key not in _open:
            _open[key] = _Shared(source, settings)
        shared = _open[key]
        shared.users += 1
    try:
        angle = LOCAL_ANGLE if shared.has_terrain else ELLIPSOID_ANGLE
        if source.layer not in (*POLARIZATIONS, angle, MASK):
            raise SceneError(
                f"{shared.product.leader.scene_id} has no layer {source.layer[:40]!r}: it has"
                f" {', '.join(POLARIZATIONS)}, {angle} and {MASK}."
            )
        yield Layer(shared, source.layer)
    finally:
        with _opening:
            shared.users -= 1
            if shared.users == 0:
                del _open[key]
                shared.close()
