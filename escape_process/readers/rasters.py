"""The front door to a scene's rasters: GeoTIFFs by rasterio, other families of products by a module each."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any, Protocol, cast

from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window as RasterWindow

from escape_process.hrefs import open_raster
from escape_process.records import Angle, Band, Family, Mask, Source
from escape_process.settings import Settings


class Raster(Protocol):
    """What a reader asks of a raster: the part of a rasterio dataset that any family of products can give."""

    @property
    def crs(self) -> CRS | None: ...

    @property
    def transform(self) -> Affine: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def count(self) -> int:
        """Number of bands."""
        ...

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """By band, from 0."""
        ...

    def read(self, index: int, /, *, window: RasterWindow) -> NDArray[Any]:
        """Read a window that lies inside the raster; `index` counts from 1. Returns (height, width)."""
        ...


FamilyReader = Callable[[Source, Settings], AbstractContextManager[Raster]]
"""`open_layer(source, settings)` of a family's module."""

_MODULES: Mapping[Family, str] = {
    "ceos": "escape_process.readers.ceos",
    "covariance": "escape_process.readers.covariance",
    "nisar": "escape_process.readers.nisar",
}


@contextmanager
def open_layer(place: Band | Angle | Mask, settings: Settings) -> Iterator[Raster]:
    """Open the raster that holds a band, an incidence angle or a mask, for the duration of a `with` block.

    Raises
    ------
    UpstreamError
        where a file is missing or its host fails, at opening or later.
    SceneError
        where a file is not of its family, is truncated or damaged.
    """
    if place.source is None:
        if place.href is None:
            raise ValueError(f"{place.key} is a number, not a raster")
        with open_raster(place.href, settings) as dataset:
            yield cast(Raster, dataset)
        return
    reader: FamilyReader = import_module(_MODULES[place.source.family]).open_layer
    with reader(place.source, settings) as raster:
        yield raster
