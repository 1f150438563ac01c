"""Layers of a product as rasters on its grid: what the block reader asks of a scene's rasters."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import is_remote
from escape_process.readers.ceos.faraday import estimate_faraday
from escape_process.readers.ceos.multilook import multilook
from escape_process.readers.ceos.names import POLARIZATIONS, files_of_assets
from escape_process.readers.ceos.placing import Placed, Placer
from escape_process.readers.ceos.product import Product, open_product
from escape_process.records import Source, Window
from escape_process.settings import Settings

TILE_EDGE = 512
"""Cells along each side of what is placed and read at once, which bounds memory."""
TILES_KEPT = 8
"""Placed tiles kept for the other layers of a product, which ask for the same window one after another."""
LOCAL_ANGLE, ELLIPSOID_ANGLE, MASK = "local_incidence_angle", "ellipsoid_incidence_angle", "mask"


class _Opened:
    """An open product and the tiles of it that were placed last."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._tiles: OrderedDict[Window, tuple[Placed, dict[str, NDArray[np.float32]]]] = OrderedDict()
        files = files_of_assets(source.files)
        with ExitStack() as opening:
            self.product: Product = opening.enter_context(open_product(files, settings))
            self._resources = opening.pop_all()
        self._placer = Placer(self.product)
        self.angle = ELLIPSOID_ANGLE if files.dem is None else LOCAL_ANGLE

    def place(self, window: Window) -> Placed:
        return self._tile(window)[0]

    def power(self, window: Window, name: str) -> NDArray[np.float32]:
        """Return sigma0 of one polarization; of all at once where undoing a rotation takes them all."""
        placed, powers = self._tile(window)
        if name not in powers:
            names = POLARIZATIONS if self._rotation_deg else (name,)
            remote = is_remote(self.product.files.images[name])
            powers |= multilook(self.product, placed, names, self._rotation_deg, whole_lines=remote)
        return powers[name]

    @cached_property
    def _rotation_deg(self) -> float:
        """Faraday rotation to undo, 0 for none: estimated anew, from the same lines as where it was described."""
        rotation = estimate_faraday(self.product.images) if self.product.is_complex else None
        return rotation.angle_deg if rotation is not None and rotation.is_corrected else 0.0

    def _tile(self, window: Window) -> tuple[Placed, dict[str, NDArray[np.float32]]]:
        if window in self._tiles:
            self._tiles.move_to_end(window)
        else:
            self._tiles[window] = (self._placer.place(window), {})
            if len(self._tiles) > TILES_KEPT:
                self._tiles.popitem(last=False)
        return self._tiles[window]

    def close(self) -> None:
        self._tiles.clear()
        self._resources.close()


class _Shared:
    """A product that the layers of it which are open at one time share; opened by the first of them."""

    def __init__(self, settings: Settings) -> None:
        self.users = 0
        self.lock = threading.RLock()
        """Held while the product is opened and read."""
        self.opened: _Opened | None = None
        self._settings = settings  # kept alive, because its id is part of the key

    def open(self, source: Source) -> _Opened:
        with self.lock:
            if self.opened is None:
                self.opened = _Opened(source, self._settings)
            return self.opened


_shared: dict[tuple[Any, ...], _Shared] = {}
_counting = threading.Lock()


@dataclass(frozen=True)
class Layer:
    """One layer of an open product."""

    opened: _Opened
    lock: threading.RLock
    name: str

    @property
    def crs(self) -> CRS:
        """CRS of the product's grid."""
        return CRS.from_string(self.opened.product.grid.crs)

    @property
    def transform(self) -> Affine:
        """Pixel to CRS coordinates."""
        return self.opened.product.grid.transform

    @property
    def width(self) -> int:
        """In cells."""
        return self.opened.product.grid.width

    @property
    def height(self) -> int:
        """In cells."""
        return self.opened.product.grid.height

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
        with self.lock:
            for row in range(0, window.height, TILE_EDGE):
                for column in range(0, window.width, TILE_EDGE):
                    height, width = min(TILE_EDGE, window.height - row), min(TILE_EDGE, window.width - column)
                    tile = Window(window.row_off + row, window.col_off + column, height, width)
                    out[row : row + height, column : column + width] = self._tile(tile)
        return out

    def _tile(self, tile: Window) -> NDArray[Any]:
        if self.name == MASK:
            return self.opened.place(tile).mask
        if self.name in (LOCAL_ANGLE, ELLIPSOID_ANGLE):
            return np.degrees(self.opened.place(tile).angle)
        return self.opened.power(tile, self.name)


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
    with _counting:
        shared = _shared.setdefault(key, _Shared(settings))
        shared.users += 1
    try:
        opened = shared.open(source)
        if source.layer not in (*POLARIZATIONS, opened.angle, MASK):
            raise SceneError(
                f"{opened.product.leader.scene_id} has no layer {source.layer[:40]!r}: it has"
                f" {', '.join(POLARIZATIONS)}, {opened.angle} and {MASK}."
            )
        yield Layer(opened, shared.lock, source.layer)
    finally:
        with _counting:
            shared.users -= 1
            last = shared.users == 0
            if last:
                del _shared[key]
        if last and shared.opened is not None:
            shared.opened.close()
