"""Rasters that a product family computes by window, and what the descriptions of such products share."""

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import CRSError
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform_geom
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.records import Grid

LONGEST_EDGE = 200_000
"""Most pixels along one side of a raster: more than any swath has, and no product of two overflows."""
MOST_PIXELS = 4 * 10**9
"""Of one raster: all of them are looked at for a footprint."""
FARTHEST = 1e9
"""Coordinates, in the unit of any CRS: no ground has larger ones, and PROJ may take for ever to turn those around."""
SMALLEST_PIXEL = 1e-18
"""Area, in the square of the unit."""


@dataclass(frozen=True)
class ComputedRaster:
    """One layer of a product: a `Raster` whose windows are computed when they are read."""

    grid: Grid
    compute: Callable[[RasterWindow], NDArray[Any]]
    """Of a window inside the grid, (height, width)."""
    nodata: float | None = math.nan

    @property
    def crs(self) -> CRS:
        """Reference system of the grid."""
        return CRS.from_user_input(self.grid.crs)

    @property
    def transform(self) -> Affine:
        """Pixel to CRS coordinates."""
        return self.grid.transform

    @property
    def width(self) -> int:
        """Columns."""
        return self.grid.width

    @property
    def height(self) -> int:
        """Rows."""
        return self.grid.height

    @property
    def count(self) -> int:
        """One: each layer is a raster of its own."""
        return 1

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """The nodata value of the one band."""
        return (self.nodata,)

    def read(self, index: int, /, *, window: RasterWindow) -> NDArray[Any]:
        """Compute a window that lies inside the raster; `index` is 1."""
        row, column, height, width = (
            int(value) for value in (window.row_off, window.col_off, window.height, window.width)
        )
        inside = 0 <= row <= row + height <= self.height and 0 <= column <= column + width <= self.width
        if index != 1 or not inside:
            raise ValueError(f"band {index}, window {window}: not inside a raster of {self.height} x {self.width}")
        return self.compute(RasterWindow(column, row, width, height))


def check_edges(rows: int, columns: int, name: str) -> None:
    """Refuse a size that no scene has, before anything of it is allocated.

    Raises
    ------
    SceneError
        naming the product and the size.
    """
    if rows > 0 and columns > 0 and rows * columns > MOST_PIXELS:
        raise SceneError(f"{name} says that it has {rows} x {columns} pixels: no scene is as large.")
    if not (0 < rows <= LONGEST_EDGE and 0 < columns <= LONGEST_EDGE):
        raise SceneError(
            f"{name} says that it has {rows} x {columns} pixels: a raster has 1 to {LONGEST_EDGE} along each side."
        )


def crs_of(text: str, name: str) -> str:
    """Return a reference system, given as a code or as WKT, as an authority code where it has one.

    Raises
    ------
    SceneError
        where it is none.
    """
    try:
        found = pyproj.CRS.from_user_input(text)
        authority = found.to_authority(min_confidence=90)
        code = ":".join(authority) if authority else found.to_wkt()
        CRS.from_user_input(code)
    except (CRSError, RasterioError, ValueError) as error:
        raise SceneError(f"The reference system that {name} states is not known: georeference it anew.") from error
    return code


def maps_ground(transform: Affine, shape: tuple[int, int], crs: CRS) -> bool:
    """Tell whether a georeference puts pixels of some size where there may be ground."""
    if not np.isfinite(tuple(transform)).all() or abs(transform.determinant) < SMALLEST_PIXEL:
        return False
    rows, columns = shape
    corners = [transform @ corner for corner in ((0, 0), (columns, 0), (0, rows), (columns, rows))]
    if crs.is_geographic:
        _, latitude = transform @ (columns / 2, rows / 2)
        if abs(latitude) >= 90 or any(abs(x) > 720 or abs(y) > 90 + abs(transform.e) for x, y in corners):
            return False
    return all(abs(coordinate) <= FARTHEST for corner in corners for coordinate in corner)


def footprint_of(grid: Grid, name: str) -> Mapping[str, Any]:
    """Return the outline of a grid, GeoJSON in CRS84, cut at the antimeridian.

    Raises
    ------
    SceneError
        where the grid does not lie on the Earth.
    """
    nowhere = f"{name} does not lie on the Earth: its corner coordinates are wrong."
    if not maps_ground(grid.transform, grid.shape, CRS.from_user_input(grid.crs)):
        raise SceneError(nowhere)
    rows, columns = grid.height, grid.width
    steps = [step / 16 for step in range(16)]
    ring = [(columns * step, 0.0) for step in steps] + [(float(columns), rows * step) for step in steps]
    ring += [(columns * (1 - step), float(rows)) for step in steps] + [(0.0, rows * (1 - step)) for step in steps]
    outline = [grid.transform @ corner for corner in [*ring, ring[0]]]
    polygon = {"type": "Polygon", "coordinates": [outline]}
    try:
        found: Mapping[str, Any] = transform_geom(
            CRS.from_user_input(grid.crs), CRS.from_user_input("OGC:CRS84"), polygon
        )
        parts = [found["coordinates"]] if found["type"] == "Polygon" else found["coordinates"]
        on_earth = all(
            abs(longitude) <= 180.0 + 1e-9 and abs(latitude) <= 90.0 + 1e-9
            for part in parts
            for edge in part
            for longitude, latitude, *_ in edge
        )
    # The last: GDAL tells why only of a CRS's first failures, and rasterio so of the later ones.
    except (RasterioError, CPLE_BaseError, ValueError, TypeError, KeyError, SystemError) as error:
        raise SceneError(nowhere) from error
    if not on_earth or not parts:
        raise SceneError(nowhere)
    return found


def id_from(text: str) -> str:
    """Return a text as an item id: letters, digits, hyphens, underscores and dots, no dot first.

    Letters lose their accents; where others are lost, a hash of the text keeps ids apart.
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    id = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-").lstrip(".")
    if any(one.isalnum() and not one.isascii() for one in plain):
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        id = "-".join(part for part in (id, digest[:8]) if part)
    return id or "product"
