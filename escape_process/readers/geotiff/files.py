"""Finds a scene's GeoTIFFs by their names and reads what the files themselves tell."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from escape_process.errors import EscapeError, InvalidInputError
from escape_process.hrefs import file_name, is_remote, open_raster
from escape_process.readers.computed import LONGEST_EDGE, MOST_PIXELS, maps_ground
from escape_process.readers.footprints import hull_of_rows
from escape_process.records import Grid
from escape_process.settings import Settings

POLARIZATIONS = ("HH", "HV", "VH", "VV")
MOST_BANDS = 100
LARGEST_BLOCK = 2**30
"""Bytes of one strip or tile, which is decoded as a whole."""

_ANGLE_WORDS = frozenset({"lin", "linci", "lia", "inc", "incidence", "incidenceangle", "localincidenceangle", "theta"})
_ELLIPSOID_WORDS = frozenset({"ellipsoid", "ellipsoidal", "incidenceanglefromellipsoid"})
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
    """One band of a raster and what it says of itself."""

    href: str
    index: int
    """Of the band, from 1."""
    label: str
    """What names the band: the file's name, where it has several bands also the band's description."""
    several: bool
    """Whether the file has other bands."""
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
    def by_kind(self) -> Mapping[str, RasterFile]:
        """All rasters by what they hold, as `kind_of` calls it."""
        others = {"local_angle": self.local_angle, "ellipsoid_angle": self.ellipsoid_angle, "mask": self.mask}
        return {**self.bands, **{kind: file for kind, file in others.items() if file is not None}}


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
    if words & (_ANGLE_WORDS | {"incidenceanglefromellipsoid"}):
        return "ellipsoid_angle" if words & _ELLIPSOID_WORDS else "local_angle"
    found = [name for name in POLARIZATIONS if name.lower() in words]
    return found[0] if len(found) == 1 else None


def kind_of_band(description: str | None) -> str | None:
    """Tell from a band's description what it holds, as `kind_of` from a file's name: HH, Sigma0_HH, mask, ..."""
    return kind_of(f"{re.sub(r'[^A-Za-z0-9_-]+', ' ', description or '')}.tif")


def describe_raster(href: str, settings: Settings) -> RasterFile:
    """Read the header of a raster of one band.

    Raises
    ------
    InvalidInputError
        where it has several bands, no CRS, no georeference, a grid that is not north-up, or an absurd size.
    SceneError
        where it is not a GeoTIFF.
    UpstreamError
        where it is missing or its host fails.
    """
    (file, *others) = _described(href, settings)
    if others:
        raise InvalidInputError(
            f"The raster {file.name} has {1 + len(others)} bands; one file a polarization is needed."
        )
    return file


def describe_bands(href: str, settings: Settings) -> Mapping[str, RasterFile]:
    """Read the header of a raster of several bands; return those by kind whose descriptions tell it.

    Raises
    ------
    InvalidInputError, SceneError, UpstreamError
        as `describe_raster`; also where two bands are described alike.
    """
    found: dict[str, RasterFile] = {}
    for file in _described(href, settings):
        kind = kind_of_band(file.label)
        if kind in found:
            raise InvalidInputError(
                f"The bands {found[kind].index} and {file.index} of {file.name} both are described as"
                f" {kind.replace('_', ' ')}: leave one of them out."
            )
        if kind is not None:
            found[kind] = replace(file, label=f"{file.name} {file.label}")
    return found


def is_stack(href: str, settings: Settings) -> bool:
    """Tell whether a file is a GeoTIFF of several bands, one of which is described by a polarization."""
    if posixpath.splitext(file_name(href))[1].lower() not in (".tif", ".tiff"):
        return False
    try:
        with open_raster(href, settings) as dataset:
            return any(kind_of_band(text) in POLARIZATIONS for text in dataset.descriptions if dataset.count > 1)
    except EscapeError:
        return False  # whatever it is, nothing says that it is a scene


def _described(href: str, settings: Settings) -> list[RasterFile]:
    name = file_name(href)
    with open_raster(href, settings) as dataset:
        count, crs, transform, shape = dataset.count, dataset.crs, dataset.transform, dataset.shape
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
        if count > MOST_BANDS:
            raise InvalidInputError(f"The raster {name} has {count} bands: no scene has as many.")
        parts = list(
            zip(
                dataset.dtypes,
                dataset.nodatavals,
                dataset.units,
                dataset.scales,
                dataset.offsets,
                dataset.block_shapes,
                dataset.descriptions,
                strict=True,
            )
        )
        overviews = [tuple(dataset.overviews(index)) for index in dataset.indexes]
    _check_header(name, shape, crs, transform)
    files = []
    for index, (dtype, nodata, unit, scale, offset, block, description) in enumerate(parts, 1):
        _check_values(name, dtype, block)
        files.append(
            RasterFile(
                href=href,
                index=index,
                label=name if count == 1 else description or "",
                several=count > 1,
                crs=CRS.from_user_input(crs),
                transform=transform,
                shape=shape,
                dtype=dtype,
                nodata=nodata,
                unit=unit or None,
                scale=float(scale),
                offset=float(offset),
                media_type=_COG if layout == "COG" else _GEOTIFF,
                overviews=overviews[index - 1],
            )
        )
    return files


def _check_header(name: str, shape: tuple[int, int], crs: Any, transform: Affine) -> None:
    if max(shape) > LONGEST_EDGE or shape[0] * shape[1] > MOST_PIXELS:
        raise InvalidInputError(f"The raster {name} claims {shape[0]} x {shape[1]} pixels: no scene is as large.")
    if crs is None:
        raise InvalidInputError(f"The raster {name} has no CRS: georeference it first.")
    if transform == Affine.identity():
        raise InvalidInputError(f"The raster {name} has a CRS but no position: georeference it first.")
    if not maps_ground(transform, shape, crs):
        raise InvalidInputError(f"The raster {name} has a georeference that maps no ground: georeference it anew.")
    if transform.b or transform.d or transform.e >= 0 or transform.a <= 0:
        raise InvalidInputError(
            f"The raster {name} has a rotated or south-up grid: warp it to a north-up grid first (gdalwarp)."
        )


def _check_values(name: str, dtype: str, block: tuple[int, int]) -> None:
    if not dtype.startswith(("int", "uint", "float")):
        raise InvalidInputError(f"The raster {name} holds {dtype} values: real numbers are needed, such as power.")
    check_block(name, np.dtype(dtype).itemsize, block)


def check_block(name: str, size: int, block: tuple[int, int]) -> None:
    """Refuse a raster whose strips or tiles, of values of `size` bytes, are too large to be decoded.

    Raises
    ------
    InvalidInputError
        naming the raster and the block.
    """
    if block[0] * block[1] * size > LARGEST_BLOCK:
        raise InvalidInputError(
            f"The raster {name} lies in blocks of {block[0]} x {block[1]} pixels, too large to decode: tile it anew."
        )


def find_rasters(hrefs: Sequence[str], settings: Settings) -> RasterSet:
    """Find a scene's rasters by their names: HH.tif, *_HH.tif, IMG-HH-*.tif, *_LIN.tif, mask.tif and the like.

    Where none is named by a polarization, one raster of several bands is taken that are described so.

    Raises
    ------
    InvalidInputError
        where nothing is named by a polarization, where two rasters are named by the same one, or where grids differ.
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
    files = {kind: describe_raster(href, settings) for kind, href in chosen.items()}
    if not set(chosen) & set(POLARIZATIONS):
        files |= _bands_of_stack(hrefs, settings)
    found = RasterSet(
        bands={name: files[name] for name in POLARIZATIONS if name in files},
        local_angle=files.get("local_angle"),
        ellipsoid_angle=files.get("ellipsoid_angle"),
        mask=files.get("mask"),
    )
    for file in found.by_kind.values():
        _check_same_grid(found.first, file)
    return found


def _bands_of_stack(hrefs: Sequence[str], settings: Settings) -> Mapping[str, RasterFile]:
    stacks = [href for href in hrefs if kind_of(file_name(href)) is None and is_stack(href, settings)]
    if len(stacks) > 1:
        names = ", ".join(sorted(map(file_name, stacks)))
        raise InvalidInputError(f"Each of {names[:200]} has bands of polarizations: give them one by one.")
    if not stacks:
        raise InvalidInputError(
            "There is no GeoTIFF named by a polarization, such as HH.tif or scene_HH.tif, nor one of several bands that"
            " are described so."
        )
    return describe_bands(stacks[0], settings)


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


def _valid(dataset: Any, index: int, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
    values = dataset.read(index, window=window, out_shape=shape)
    good = np.isfinite(values)
    nodata = dataset.nodatavals[index - 1]
    if nodata is not None and np.isfinite(nodata):
        good &= values != nodata
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
        opened = {href: stack.enter_context(open_raster(href, settings)) for href in {file.href for file in files}}

        def blocks() -> Iterator[tuple[int, NDArray[np.bool_]]]:
            for top in range(0, height, rows):
                window = Window(0, top, width, min(rows, height - top))
                shape = (-(-int(window.height) // step), -(-width // step))
                good = np.ones(shape, dtype=bool)
                for file in files:
                    good &= _valid(opened[file.href], file.index, window, shape)
                yield top, good

        hull = hull_of_rows(blocks(), step)
    if hull.is_empty:
        raise InvalidInputError(f"The rasters {', '.join(found.bands)} have no pixel that is valid in all of them.")
    return hull
