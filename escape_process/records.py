"""What flows from stage to stage: frozen records, one page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

Convention = Literal["sigma0", "gamma0", "beta0"]
Encoding = Literal["dn", "amplitude", "linear", "db"]

Family = Literal["ceos", "covariance", "nisar"]
"""Products that are no plain rasters: JAXA CEOS, C3/T3 matrices, NISAR HDF5. One module of `readers` reads each."""

POLARIZATIONS = ("HH", "HV", "VV")
"""Order of the polarization axis of `Observables`; HV is the mean power of HV and VH."""


@dataclass(frozen=True)
class Grid:
    """A north-up raster grid."""

    crs: str
    """Authority code ("EPSG:32630") or WKT."""
    transform: Affine
    """Pixel to CRS coordinates."""
    width: int
    height: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in CRS units."""
        left, top = self.transform @ (0, 0)
        right, bottom = self.transform @ (self.width, self.height)
        return (left, bottom, right, top)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return (self.height, self.width)

    def crop(self, window: "Window") -> "Grid":
        """Return the grid of a window of this one."""
        origin = Affine.translation(window.column, window.row)
        return Grid(self.crs, self.transform @ origin, window.width, window.height)


@dataclass(frozen=True)
class Window:
    """A rectangle of a grid, in pixels."""

    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True)
class Source:
    """Where a raster lies inside a product that is no plain raster."""

    family: Family
    layer: str
    """What of the product: "HH", "HV", "VH", "VV", "local_incidence_angle", "mask"."""
    files: Mapping[str, str]
    """Hrefs of all the item's assets by key: a product's image is of no use without its leader."""


@dataclass(frozen=True)
class Band:
    """One single-polarization raster of a scene and what its metadata says of its values."""

    key: str
    """Asset key: what an error names."""
    href: str
    """Absolute URL, or a local path where the catalogue is local."""
    index: int = 1
    """Band number inside the file, from 1."""
    convention: Convention = "sigma0"
    encoding: Encoding | None = None
    """None: undeclared; the reader infers it from the pixels and says so (flag `encoding_assumed`)."""
    calibration_factor_db: float | None = None
    """For `dn`: power_db = 20 log10(DN) + factor. None: the product family's -83 dB."""
    scale: float = 1.0
    """Declared linear scale of the stored values (raster:scale), applied before decoding."""
    offset: float = 0.0
    nodata: float | None = None
    """Declared in the item; the file's own nodata counts too."""
    source: Source | None = None
    """None: a GeoTIFF."""


@dataclass(frozen=True)
class Angle:
    """Where the incidence angle of a scene comes from: a raster or one number for the whole scene."""

    key: str
    """Asset key or property, or "incidence_angle_deg" when the request gave it."""
    href: str | None = None
    index: int = 1
    scale: float | None = None
    """Degrees per stored unit. None: inferred (uint16 above 100 is hundredths of a degree)."""
    constant_deg: float | None = None
    local: bool = True
    """False: relative to the ellipsoid; sigma0 is then that of flat ground."""
    source: Source | None = None
    """None: a GeoTIFF."""


@dataclass(frozen=True)
class Mask:
    """A scene's mask raster and the meaning of its values. A value in none of the sets is valid ground."""

    key: str
    href: str
    index: int = 1
    invalid: frozenset[int] = frozenset()
    layover_shadow: frozenset[int] = frozenset()
    water: frozenset[int] = frozenset()
    source: Source | None = None
    """None: a GeoTIFF."""


@dataclass(frozen=True)
class Scene:
    """A usable full-polarimetric scene: everything that reading it needs, resolved and checked."""

    id: str
    item: Mapping[str, Any]
    """The STAC item as found, hrefs absolute."""
    href: str
    """Where the item was found: what `derived_from` links to."""
    datetime: datetime
    bands: Mapping[str, Band]
    """By polarization: HH, VV and at least one of HV, VH."""
    angle: Angle
    mask: Mask | None
    geometry: Mapping[str, Any]
    """Footprint, GeoJSON in CRS84."""
    frequency: float
    """Centre frequency, Hz."""
    looks: float | None
    """Equivalent number of looks of one pixel; None: to be measured on the pixels."""
    resolution_cell: float | None
    """Area of one resolution cell on the ground, m2; None: that of a pixel."""
    pass_key: str
    """Equal for frames of one pass: platform, orbit and date."""
    relative_orbit: int | None = None
    noise_floor_db: Mapping[str, float] = field(default_factory=dict)
    """Noise-equivalent sigma0 by polarization, dB, where annotated."""
    terrain_corrected: bool = True
    warnings: tuple[str, ...] = ()
    """What was assumed, one sentence each."""
    twins: tuple["Scene", ...] = ()
    """Other items of the same acquisition, the readiest for analysis first: for where this one cannot be opened."""


@dataclass(frozen=True, kw_only=True)
class OpenedScene(Scene):
    """A scene whose rasters a reader has opened and found to agree; every band's encoding is resolved."""

    looks: float
    grid: Grid
    """Grid of the rasters."""
    encoding_assumed: bool
    """True where a band's encoding was inferred from its pixels."""


@dataclass(frozen=True)
class Description:
    """What a product that a user holds says of itself: what a STAC item of it is made of."""

    id: str
    start: datetime | None
    """Start of acquisition, or the only time known; None: nothing tells."""
    end: datetime | None
    grid: Grid
    """Grid of the layers as a reader yields them."""
    geometry: Mapping[str, Any]
    """Footprint of the data, GeoJSON in CRS84."""
    assets: Mapping[str, Mapping[str, Any]]
    """STAC assets by key, hrefs as given, `bands` named by layer; `escape:family` where a reader other than the
    GeoTIFF one is needed. Size and checksum are added by whoever writes the item."""
    properties: Mapping[str, Any]
    """STAC properties other than times and `proj:*`: `sar:*`, `sat:*`, `view:*`, platform, product:type."""
    warnings: tuple[str, ...] = ()
    """What was assumed or is missing, one sentence each."""


@dataclass(frozen=True)
class Refusal:
    """A scene that was found but cannot be used, and why."""

    id: str
    reason: str
    """One sentence for the user."""
    item: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The STAC item as found."""


@dataclass(frozen=True)
class Found:
    """What a search gave."""

    scenes: tuple[Scene, ...]
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...] = ()
    """How the search went where a user should know: filter applied locally, limit reached."""


@dataclass(frozen=True)
class Pass:
    """Frames of one pass of the satellite, read as one image."""

    key: str
    scenes: tuple[OpenedScene, ...]

    @property
    def datetime(self) -> datetime:
        """Time of the first frame."""
        return min(scene.datetime for scene in self.scenes)


@dataclass(frozen=True)
class Stack:
    """Passes over the same ground, on one grid: the unit that is calibrated."""

    passes: tuple[Pass, ...]
    """In order of time."""
    grid: Grid
    """Covers all passes whole, at the resolution of the result: independent of the area asked."""
    window: Window
    """The part of `grid` that was asked for."""
    factor: int | None
    """Source pixels per grid cell along each axis where the grids nest; None: cells are averaged by warping."""


@dataclass(frozen=True, eq=False)
class Observables:
    """What the retrieval takes, on one block of a stack. Axes: D dates, (Y, X) the block."""

    sigma0: FloatArray
    """(D, 3, Y, X), linear power, polarizations in the order of `POLARIZATIONS`; NaN where invalid."""
    incidence_angle: FloatArray
    """(D, Y, X), rad, local."""
    looks: FloatArray
    """(D, Y, X), equivalent number of looks."""
    flags: NDArray[np.uint16]
    """(D, Y, X), bits that only the reader knows: layover_shadow, open_water by mask, encoding_assumed, ..."""
    noise_floor: tuple[float, float, float] | None = None
    """Linear, in the order of `POLARIZATIONS`, the highest of the passes read."""


@dataclass(frozen=True)
class Product:
    """The files of one date of a result, complete and in place."""

    id: str
    """Item id."""
    folder: str
    """Local folder that holds the files below."""
    grid: Grid
    assets: Mapping[str, "ProductFile"]
    """By asset key."""
    geometry: Mapping[str, Any]
    """Footprint of the data, GeoJSON in CRS84."""
    valid_share: float
    flag_shares: Mapping[str, float]
    """Share of the valid pixels by flag name."""


@dataclass(frozen=True)
class ProductFile:
    """One file of a product."""

    name: str
    """File name inside the product's folder."""
    size: int
    checksum: str
    """Multihash of the bytes: "1220" + sha256 in hex."""
    statistics: Mapping[str, float] | None = None
    """minimum, maximum, mean, stddev, valid_percent of a raster's valid pixels."""
