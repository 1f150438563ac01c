"""Map tiles of a result's layers, by rio-tiler: 256 pixels of the web's Mercator grid, coloured as the item says.

A pixel of a tile has the colour of the cell that its centre lies in, from the zoom at which it is no larger than a
cell. Farther out the overviews of the file are read, so that a tile takes the same time whatever the raster's size.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from rasterio.warp import calculate_default_transform
from werkzeug.exceptions import NotFound

from escape_process import __version__
from escape_process.layers import LAYER, LAYERS, Layer
from escape_process.settings import Settings
from escape_process.viewer.colours import colours_of, indices_of
from escape_process.viewer.rasters import Rasters
from escape_process.viewer.results import Result

SIZE = 256
MOST_ZOOM = 24
"""A pixel is then some centimetres wide."""
_WIDEST_PIXEL = 2 * math.pi * 6_378_137 / SIZE
"""Of the one tile of zoom 0, in metres of the projection."""


@dataclass(frozen=True)
class TileAddress:
    """A tile of a layer."""

    layer: Layer
    z: int
    x: int
    y: int

    @classmethod
    def parse(cls, layer: str, z: str, x: str, y: str) -> Self:
        """Read the parts of an address.

        Raises
        ------
        NotFound
            where there is no such layer or tile.
        """
        if layer not in LAYER:
            raise NotFound(f"There is no layer {layer!r}; there are {', '.join(LAYER)}.")
        if not all(part.isascii() and part.isdigit() and len(part) <= 8 for part in (z, x, y)):
            raise NotFound("The address of a tile is three whole numbers: z/x/y.")
        place = cls(LAYER[layer], int(z), int(x), int(y))
        if place.z > MOST_ZOOM or max(place.x, place.y) >= 2**place.z:
            raise NotFound(f"There is no tile {z}/{x}/{y}: z goes to {MOST_ZOOM}, x and y to 2^z - 1.")
        return place


class Tiler:
    """Draws tiles. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.rasters = Rasters(settings)

    def zooms(self, result: Result) -> tuple[int, int]:
        """Return the zooms that tiles are worth asking for: the last shows each cell as several pixels."""
        with self.rasters.open(result, LAYERS[0]) as raster:
            transform, _, _ = calculate_default_transform(
                raster.crs, "EPSG:3857", raster.width, raster.height, *raster.bounds
            )
        native = math.ceil(math.log2(_WIDEST_PIXEL / transform.a))
        return 0, min(max(native, 0) + 2, MOST_ZOOM)

    @staticmethod
    def etag(result: Result, place: TileAddress) -> str:
        """Return what changes with a tile: with its layer's bytes, and with how this software draws them.

        Raises
        ------
        NotFound
            where the result has no such layer.
        """
        content = [result.checksum(place.layer), __version__, *map(str, (place.z, place.x, place.y))]
        colours = colours_of(place.layer).tobytes()
        return hashlib.sha256(" ".join(content).encode() + colours).hexdigest()[:32]

    def tile(self, result: Result, place: TileAddress) -> bytes:
        """Return a tile as PNG; transparent where the result has no data.

        Raises
        ------
        NotFound
            where the result has no such layer.
        UpstreamError, SceneError
            where its file cannot be read.
        """
        from rio_tiler.errors import TileOutsideBounds  # noqa: PLC0415  # slow to import
        from rio_tiler.io import Reader  # noqa: PLC0415
        from rio_tiler.utils import render  # noqa: PLC0415

        layer = place.layer
        colours = np.zeros((4, SIZE, SIZE), np.uint8)
        with self.rasters.open(result, layer) as raster, Reader(None, dataset=raster) as reader:
            try:
                image = reader.tile(place.x, place.y, place.z, tilesize=SIZE, indexes=1)
            except TileOutsideBounds:
                return bytes(render(colours[:3], colours[3]))
        values = image.array.data[0]
        colours = np.moveaxis(colours_of(layer)[indices_of(layer, values)], 2, 0)
        missing = image.array.mask[0] | (values == 0 if layer.name == "members_used" else False)
        return bytes(render(colours[:3], np.where(missing, 0, colours[3]).astype(np.uint8)))
