"""Finds a scene's GeoTIFFs by their names and reads what the files themselves tell."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name, is_remote, open_raster
from escape_process.readers.footprints import hull_of_rows
from escape_process.records import Grid
from escape_process.settings import Settings

POLARIZATIONS = ("HH", "HV", "VH", "VV")

LONGEST_EDGE = 200_000
MOST_PIXELS = 4 * 10**9
"""Of one raster: beyond any L-band scene, so that a damaged or hostile header starts no endless read."""
LARGEST_BLOCK = 2**30
"""Bytes of one strip or tile, which is decoded as a whole."""

_ANGLE_WORDS = frozenset({"lin", "linci", "lia", "inc", "incidence", "incidenceangle", "localincidenceangle", "theta"})
_ELLIPSOID_WORDS = frozenset({"ellipsoid", "ellipsoidal"})
_MASK_WORDS = frozenset({"msk", "mask"})
_PIXELS_AT_A_TIME = 2**23
_TILE = 512
"""Edge of most files' tiles."""
_LEAST_EDGE = 1024
"""Pixels that the shorter side of an overview must have to stand for a remote raster's outline."""
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_GEOTIFF = "image/tiff; application=geotiff"


@dataclass(frozen=True)
class RasterFile:
    """One single-band raster and what it says of itself."""

    href: str
    crs: CRS
    transform: Affine
    shape: tuple[int, int]
    """(height, width)."""
    dtype: str
    nodata: float | None
    unit: str | None
    scale: float
    offset: float
    media_type: str
    overviews: tuple[int, ...]
    """Factors by which the file holds its pixels anew, coarser."""

    @property
    def name(self) -> str:
        """File name: what an error says of it."""
        return file_name(self.href)

    @property
    def pixel_size(self) -> float | None:
        """Metres; None where the CRS is geographic."""
        if not self.crs.is_projected:
            return None
        return float(np.sqrt(abs(self.transform.determinant)) * self.crs.axis_info[0].unit_conversion_factor)

    @property
    def grid(self) -> Grid:
        """The raster's grid."""
        authority = self.crs.to_authority()
        code = self.crs.to_wkt() if authority is None else ":".join(authority)
        return Grid(code, self.transform, self.shape[1], self.shape[0])


@dataclass(frozen=True)
class RasterSet:
    """The rasters of one scene, on one grid."""

    bands: Mapping[str, RasterFile]
    """By polarization, in the order HH, HV, VH, VV."""
    local_angle: RasterFile | None
    ellipsoid_angle: RasterFile | None
    mask: RasterFile | None

    @property
    def first(self) -> RasterFile:
        """A band: all rasters share its grid."""
        return next(iter(self.bands.values()))

    @property
    def files(self) -> tuple[RasterFile, ...]:
        """All rasters."""
        others = (self.local_angle, self.ellipsoid_angle, self.mask)
        return (*self.bands.values(), *(file for file in others if file is not None))


def kind_of(name: str) -> str | None:
    """Tell from a file's name what it holds; None where it is no GeoTIFF, says nothing or more than one thing.

    Returns
    -------
    "HH", "HV", "VH", "VV", "local_angle", "ellipsoid_angle" or "mask".
    """
    stem, suffix = posixpath.splitext(name.lower())
    if suffix not in (".tif", ".tiff"):
        return None
    words = set(re.split(r"[^a-z0-9]+", stem))
    if words & _MASK_WORDS:
        return "mask"
    if words & _ANGLE_WORDS:
        return "ellipsoid_angle" if words & _ELLIPSOID_WORDS else "local_angle"
    found = [name for name in POLARIZATIONS if name.lower() in words]
    return found[0] if len(found) == 1 else None


def describe_raster(href: str, settings: Settings) -> RasterFile:
    """Read a raster's header.

    Raises
    ------
    InvalidInputError
        where it has several bands, no CRS, no georeference, or an absurd size.
    SceneError
        where it is not a GeoTIFF.
    UpstreamError
        where it is missing or its host fails.
    """
    name = file_name(href)
    with open_raster(href, settings) as dataset:
        count, crs, transform = dataset.count, dataset.crs, dataset.transform
        nodata, dtype, unit = dataset.nodata, dataset.dtypes[0], dataset.units[0]
        shape, scale, offset = dataset.shape, dataset.scales[0], dataset.offsets[0]
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
        block, overviews = dataset.block_shapes[0], tuple(dataset.overviews(1))
    if count != 1:
        raise InvalidInputError(f"The raster {name} has {count} bands; one file a polarization is needed.")
    if max(shape) > LONGEST_EDGE or shape[0] * shape[1] > MOST_PIXELS:
        raise InvalidInputError(f"The raster {name} claims {shape[0]} x {shape[1]} pixels: no scene is as large.")
    if block[0] * block[1] * np.dtype(dtype).itemsize > LARGEST_BLOCK:
        raise InvalidInputError(
            f"The raster {name} lies in blocks of {block[0]} x {block[1]} pixels, too large to decode: tile it anew."
        )
    if np.dtype(dtype).kind not in "iuf":
        raise InvalidInputError(f"The raster {name} holds {dtype} values: real numbers are needed, such as power.")
    if crs is None:
        raise InvalidInputError(f"The raster {name} has no CRS: georeference it first.")
    if transform == Affine.identity():
        raise InvalidInputError(f"The raster {name} has a CRS but no position: georeference it first.")
    if not np.isfinite(tuple(transform)).all() or transform.is_degenerate:
        raise InvalidInputError(f"The raster {name} has a georeference that maps no ground: georeference it anew.")
    return RasterFile(
        href=href,
        crs=CRS.from_user_input(crs),
        transform=transform,
        shape=shape,
        dtype=dtype,
        nodata=nodata,
        unit=unit or None,
        scale=float(scale),
        offset=float(offset),
        media_type=_COG if layout == "COG" else _GEOTIFF,
        overviews=overviews,
    )


def find_rasters(hrefs: Sequence[str], settings: Settings) -> RasterSet:
    """Find a scene's rasters by their names: HH.tif, *_HH.tif, IMG-HH-*.tif, *_LIN.tif, mask.tif and the like.

    Raises
    ------
    InvalidInputError
        where no raster is named by a polarization, where two rasters are named by the same one, or where grids differ.
    SceneError
        where a raster cannot be read.
    UpstreamError
        where one is missing or its host fails.
    """
    chosen: dict[str, str] = {}
    for href in sorted(hrefs):
        kind = kind_of(file_name(href))
        if kind is None:
            continue
        if kind in chosen:
            raise InvalidInputError(
                f"Both {file_name(chosen[kind])} and {file_name(href)} are named {kind.replace('_', ' ')}: a"
                " folder must hold one scene."
            )
        chosen[kind] = href
    if not set(chosen) & set(POLARIZATIONS):
        raise InvalidInputError("There is no GeoTIFF named by a polarization, such as HH.tif or scene_HH.tif.")
    files = {kind: describe_raster(href, settings) for kind, href in chosen.items()}
    found = RasterSet(
        bands={name: files[name] for name in POLARIZATIONS if name in files},
        local_angle=files.get("local_angle"),
        ellipsoid_angle=files.get("ellipsoid_angle"),
        mask=files.get("mask"),
    )
    for file in found.files:
        _check_same_grid(found.first, file)
    return found


def _check_same_grid(first: RasterFile, other: RasterFile) -> None:
    names = f"{first.name} and {other.name}"
    if first.shape != other.shape:
        raise InvalidInputError(
            f"{names} differ in shape: {first.shape[0]} x {first.shape[1]} and {other.shape[0]} x {other.shape[1]}"
            " pixels."
        )
    if first.crs != other.crs:
        raise InvalidInputError(f"{names} differ in their CRS.")
    height, width = first.shape
    apart = ~first.transform @ other.transform  # pixels of one in pixels of the other
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    if any(max(abs(x - column), abs(y - row)) > 0.01 for column, row in corners for x, y in [apart @ (column, row)]):
        raise InvalidInputError(f"{names} differ in their grid: their pixels do not coincide.")


def _valid(dataset: Any, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
    values = dataset.read(1, window=window, out_shape=shape)
    good = np.isfinite(values)
    if dataset.nodata is not None and np.isfinite(dataset.nodata):
        good &= values != dataset.nodata
    if values.dtype.kind == "u":  # no power is 0 digital numbers; JAXA's files often leave the nodata value out
        good &= values != 0
    return np.asarray(good)


def _step(files: Sequence[RasterFile]) -> int:
    """Pixels along each side that one read value stands for: 1, unless whole rasters would be fetched for it."""
    if not any(is_remote(file.href) for file in files):
        return 1
    shared = set.intersection(*(set(file.overviews) for file in files))
    return max((factor for factor in shared if min(files[0].shape) // factor >= _LEAST_EDGE), default=1)


def outline(found: RasterSet, settings: Settings) -> BaseGeometry:
    """Return the convex hull, in pixels (column, row), of the pixels that are valid in all polarizations.

    Reads all bands once; of remote ones an overview, where there is one.

    Raises
    ------
    InvalidInputError
        where no pixel is valid.
    SceneError
        where a raster is truncated or damaged.
    """
    files = tuple(found.bands.values())
    height, width = files[0].shape
    step = _step(files)
    rows = max(1, _PIXELS_AT_A_TIME // width // step) * step
    rows -= rows % _TILE if rows > _TILE and _TILE % step == 0 else 0  # whole tiles, so that none is decoded twice

    with ExitStack() as stack:
        datasets = [stack.enter_context(open_raster(file.href, settings)) for file in files]

        def blocks() -> Iterator[tuple[int, NDArray[np.bool_]]]:
            for top in range(0, height, rows):
                window = Window(0, top, width, min(rows, height - top))
                shape = (-(-int(window.height) // step), -(-width // step))
                good = np.ones(shape, dtype=bool)
                for dataset in datasets:
                    good &= _valid(dataset, window, shape)
                yield top, good

        hull = hull_of_rows(blocks(), step)
    if hull.is_empty:
        raise InvalidInputError(f"The rasters {', '.join(found.bands)} have no pixel that is valid in all of them.")
    return hull
