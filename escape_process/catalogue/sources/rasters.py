"""Finds the rasters of a scene in a folder and reads what the files themselves tell."""

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from escape_process.errors import InvalidInputError

POLARIZATIONS = ("HH", "HV", "VH", "VV")

_ANGLE_WORDS = frozenset({"lin", "linci", "lia", "inc", "incidence", "incidenceangle", "localincidenceangle", "theta"})
_ELLIPSOID_WORDS = frozenset({"ellipsoid", "ellipsoidal"})
_MASK_WORDS = frozenset({"msk", "mask"})
_ROWS = 512
"""Rows read at a time."""
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_GEOTIFF = "image/tiff; application=geotiff"


@dataclass(frozen=True)
class RasterFile:
    """One single-band raster and what it says of itself."""

    path: Path
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
    size: int
    """Bytes."""
    checksum: str
    """Multihash: "1220" + sha256 in hex."""

    @property
    def pixel_size(self) -> float | None:
        """Metres; None where the CRS is geographic."""
        if not self.crs.is_projected:
            return None
        return float(np.sqrt(abs(self.transform.determinant)) * self.crs.axis_info[0].unit_conversion_factor)


@dataclass(frozen=True)
class RasterFolder:
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


def _kind(path: Path) -> str | None:
    """Tell from a file's name what it holds; None where it says nothing or more than one thing."""
    words = set(re.split(r"[^a-z0-9]+", path.stem.lower()))
    if words & _MASK_WORDS:
        return "mask"
    if words & _ANGLE_WORDS:
        return "ellipsoid_angle" if words & _ELLIPSOID_WORDS else "local_angle"
    found = [name for name in POLARIZATIONS if name.lower() in words]
    return found[0] if len(found) == 1 else None


@contextmanager
def _readable(path: Path) -> Any:
    """Turn the raster library's errors into a sentence."""
    try:
        yield
    except (RasterioError, OSError, ValueError) as error:
        raise InvalidInputError(
            f"The raster {path.name} cannot be read: it is truncated, or not a GeoTIFF that this software knows."
        ) from error


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return "1220" + hashlib.file_digest(stream, "sha256").hexdigest()


def describe_raster(path: Path) -> RasterFile:
    """Read a raster's header.

    Raises
    ------
    InvalidInputError
        where it cannot be read, has several bands, no CRS or no georeference.
    """
    with warnings.catch_warnings(), _readable(path):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said below, as an error
        dataset = rasterio.open(path)
    with dataset:
        count, crs, transform = dataset.count, dataset.crs, dataset.transform
        nodata, dtype, unit = dataset.nodata, dataset.dtypes[0], dataset.units[0]
        shape, scale, offset = dataset.shape, dataset.scales[0], dataset.offsets[0]
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
    if count != 1:
        raise InvalidInputError(f"The raster {path.name} has {count} bands; one file a polarization is needed.")
    if crs is None:
        raise InvalidInputError(f"The raster {path.name} has no CRS: georeference it first.")
    if transform == Affine.identity():
        raise InvalidInputError(f"The raster {path.name} has a CRS but no position: georeference it first.")
    return RasterFile(
        path=path,
        crs=CRS.from_user_input(crs),
        transform=transform,
        shape=shape,
        dtype=dtype,
        nodata=nodata,
        unit=unit or None,
        scale=float(scale),
        offset=float(offset),
        media_type=_COG if layout == "COG" else _GEOTIFF,
        size=path.stat().st_size,
        checksum=_checksum(path),
    )


def find_rasters(folder: Path) -> RasterFolder:
    """Find a scene's rasters by their names: HH.tif, *_HH.tif, IMG-HH-*.tif, *_LIN.tif, mask.tif and the like.

    Raises
    ------
    InvalidInputError
        where the folder does not exist or holds no raster named by a polarization, where two rasters are named by the
        same one, where a raster cannot be read, or where grids differ.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{str(folder)!r} is not a folder.")
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        kind = _kind(path) if path.suffix.lower() in (".tif", ".tiff") and path.is_file() else None
        if kind is None:
            continue
        if kind in paths:
            raise InvalidInputError(
                f"Both {paths[kind].name} and {path.name} are named {kind.replace('_', ' ')}: a folder must hold one"
                " scene."
            )
        paths[kind] = path
    if not set(paths) & set(POLARIZATIONS):
        raise InvalidInputError(
            f"The folder {folder.name!r} holds no GeoTIFF named by a polarization, such as HH.tif or scene_HH.tif."
        )
    files = {kind: describe_raster(path) for kind, path in paths.items()}
    found = RasterFolder(
        bands={name: files[name] for name in POLARIZATIONS if name in files},
        local_angle=files.get("local_angle"),
        ellipsoid_angle=files.get("ellipsoid_angle"),
        mask=files.get("mask"),
    )
    for file in found.files:
        _check_same_grid(found.first, file)
    return found


def _check_same_grid(first: RasterFile, other: RasterFile) -> None:
    names = f"{first.path.name} and {other.path.name}"
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


def _valid(dataset: Any, window: Window) -> NDArray[np.bool_]:
    values = dataset.read(1, window=window)
    good = np.isfinite(values)
    if dataset.nodata is not None and np.isfinite(dataset.nodata):
        good &= values != dataset.nodata
    return np.asarray(good)


def _hull_of_valid_pixels(files: Sequence[RasterFile]) -> BaseGeometry:
    """Convex hull, in pixels (column, row), of the pixels that are valid in all files."""
    height, width = files[0].shape
    corners: list[NDArray[np.float64]] = []
    for top in range(0, height, _ROWS):
        window = Window(0, top, width, min(_ROWS, height - top))
        good = np.ones((int(window.height), width), dtype=bool)
        for file in files:
            with _readable(file.path), rasterio.open(file.path) as dataset:
                good &= _valid(dataset, window)
        rows = np.flatnonzero(good.any(axis=1))
        first = good[rows].argmax(axis=1)
        last = width - good[rows, ::-1].argmax(axis=1)
        corners += [np.stack([column, top + rows + edge], axis=-1) for column in (first, last) for edge in (0, 1)]
    return shapely.convex_hull(shapely.MultiPoint(np.concatenate(corners)))


def footprint(folder: RasterFolder) -> BaseGeometry:
    """Return the convex hull, in CRS84, of the pixels that are valid in all polarizations.

    Cut at the antimeridian where it crosses it. Reads all bands once.

    Raises
    ------
    InvalidInputError
        where no pixel is valid.
    """
    first = folder.first
    hull = _hull_of_valid_pixels(tuple(folder.bands.values()))
    if hull.is_empty:
        raise InvalidInputError(f"The rasters {', '.join(folder.bands)} have no pixel that is valid in all of them.")
    hull = shapely.segmentize(hull.simplify(0.7), max(first.shape) / 8)
    to_crs84 = Transformer.from_crs(first.crs, "OGC:CRS84", always_xy=True)

    def place(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, c, d, e, f = tuple(first.transform)[:6]
        x, y = a * pixels[:, 0] + b * pixels[:, 1] + c, d * pixels[:, 0] + e * pixels[:, 1] + f
        return np.stack(to_crs84.transform(x, y), axis=-1)

    longitudes = shapely.get_coordinates(shapely.transform(hull, place))[:, 0]
    if np.ptp(longitudes) > 180:  # the hull crosses the antimeridian
        shifted = shapely.transform(hull, lambda pixels: _wrap(place(pixels)))
        east = shapely.intersection(shifted, shapely.box(0, -90, 180, 90))
        west = shapely.intersection(shifted, shapely.box(180, -90, 360, 90))
        west = shapely.transform(west, lambda points: points - [360, 0])
        return _tidy(shapely.MultiPolygon([east, west]))
    return _tidy(shapely.transform(hull, place))


def _wrap(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([points[:, 0] % 360, points[:, 1]], axis=-1)


def _tidy(shape: BaseGeometry) -> BaseGeometry:
    simple = shapely.simplify(shape, 2e-6)
    rounded = shapely.transform(simple, lambda points: np.round(points, 6))
    if rounded.geom_type == "MultiPolygon":
        return shapely.MultiPolygon([orient(part) for part in rounded.geoms])
    return orient(rounded)


def bbox_of(shape: BaseGeometry) -> list[float]:
    """Return [west, south, east, north]; west > east where the shape was cut at the antimeridian."""
    west, south, east, north = shape.bounds
    if shape.geom_type == "MultiPolygon" and west == -180 and east == 180:
        west = min(part.bounds[0] for part in shape.geoms if part.bounds[2] == 180)
        east = max(part.bounds[2] for part in shape.geoms if part.bounds[0] == -180)
    return [float(value) for value in (west, south, east, north)]
