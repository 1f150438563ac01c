"""NISAR GCOV: geocoded polarimetric covariance, radiometrically terrain corrected, as HDF5.

The diagonal terms HHHH, HVHV, VHVH and VVVV are gamma0 in linear power on a map grid whose coordinates are those of
pixel centres. Where the product holds its own factor from gamma0 to sigma0, the powers are multiplied by it and are
sigma0. The angle is that at the ellipsoid, from a coarse cube over height, y and x. NISAR L2 GCOV product
specification, JPL D-102274.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import is_remote
from escape_process.readers.computed import ComputedRaster, check_edges, crs_of, footprint_of
from escape_process.readers.footprints import outline_of
from escape_process.readers.nisar.cubes import Cube, Heights, read_cube
from escape_process.readers.nisar.datasets import Dataset
from escape_process.readers.nisar.hdf5 import Hdf5
from escape_process.readers.nisar.identification import LSAR, identify
from escape_process.records import Description, Grid
from escape_process.settings import Settings

TERMS: Mapping[str, str] = {"HH": "HHHH", "HV": "HVHV", "VH": "VHVH", "VV": "VVVV"}
ANGLE = "ellipsoid_incidence_angle"
TO_SIGMA0 = "rtcGammaToSigmaFactor"

_GRIDS = f"{LSAR}/GCOV/grids/frequencyA"
_CUBES = f"{LSAR}/GCOV/metadata/radarGrid"
_MASK_CLASSES = [
    {"value": 0, "name": "invalid", "description": "Invalid or partially focused"},
    *(
        {"value": number, "name": f"valid_{number}", "description": f"Valid, sub-swath {number}"}
        for number in range(1, 6)
    ),
    {"value": 255, "name": "no_data", "description": "No data"},
]
_PROBE = 512
"""Pixels along each side of the central window in which looks are counted."""


@dataclass(frozen=True)
class _Product:
    """What a GCOV file holds of frequency A, sizes checked."""

    file: Hdf5
    grid: Grid
    terms: Mapping[str, Dataset]
    """By polarization."""
    factor: Dataset | None
    mask: Dataset | None


def describe(file: Hdf5, href: str) -> Description:
    """Describe a GCOV product.

    Raises
    ------
    SceneError
        where it is not full-polarimetric, or its parts do not fit each other.
    """
    said = identify(file)
    product = _read(file)
    frequency = file.number(f"{_GRIDS}/centerFrequency")
    cube = _angle_cube(file, product.grid)
    convention = "gamma0" if product.factor is None else "sigma0"
    warnings = []
    properties = {
        **said.properties,
        "product:type": "GCOV",
        "sar:polarizations": list(product.terms),
        **({"sar:center_frequency": round(frequency / 1e9, 9)} if frequency and 1e8 < frequency < 1e11 else {}),
    }
    looks = _looks(product)
    if looks is not None:
        properties["sar:looks_equivalent_number"] = looks
    if cube is None:
        warnings.append(f"{file.name} holds no cube of the incidence angle.")
    else:
        warnings.append("The incidence angle is that of flat ground at the ellipsoid's height or a terrain model's.")
    return Description(
        id=said.id,
        start=said.start,
        end=said.end,
        grid=product.grid,
        geometry=_footprint(product, href),
        assets=_assets(href, product, convention, cube is not None),
        properties=properties,
        warnings=tuple(warnings),
    )


def _footprint(product: _Product, href: str) -> Mapping[str, Any]:
    """Return the outline of the valid pixels; from afar that of the grid, since all of a layer would be fetched."""
    whole = footprint_of(product.grid, product.file.name)
    if is_remote(href):
        return whole
    power = product.terms["HH"]  # all terms are there where one is
    rows = power.chunk[0] if power.chunk else 1  # whole chunks, so that none is unpacked twice
    return outline_of(lambda window: _window_of(power, window) > 0, product.grid, product.file.name, rows)


@contextmanager
def open_layer(file: Hdf5, layer: str, settings: Settings, dem: str | None) -> Iterator[ComputedRaster]:
    """Open a polarization, the incidence angle or the mask.

    Parameters
    ----------
    dem
        Terrain model by whose heights the angle is taken; None: at height zero of the ellipsoid.
    """
    product = _read(file)
    grid = product.grid
    if layer in product.terms:
        yield ComputedRaster(grid, _power_reader(product, layer))
    elif layer == "mask" and product.mask is not None:
        mask = product.mask
        yield ComputedRaster(grid, lambda window: _window_of(mask, window), None)
    elif layer == ANGLE and (cube := _angle_cube(file, grid)) is not None:
        with ExitStack() as stack:
            heights = None if dem is None else stack.enter_context(Heights.open(dem, grid, settings))
            yield ComputedRaster(grid, lambda window: cube.on(grid, window, heights))
    else:
        raise SceneError(f"{file.name} has no layer {layer[:40]}.")


def _power_reader(product: _Product, layer: str) -> Callable[[RasterWindow], NDArray[Any]]:
    term, factor = product.terms[layer], product.factor

    def read(window: RasterWindow) -> NDArray[np.float32]:
        power = _window_of(term, window).astype(np.float32, copy=False)
        if factor is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                scale = _window_of(factor, window).astype(np.float32, copy=False)
                power = power * np.where(scale > 0, scale, np.float32(np.nan))
        return np.where(np.isfinite(power), power, np.float32(np.nan))

    return read


def _window_of(dataset: Dataset, window: RasterWindow) -> NDArray[Any]:
    row, column = int(window.row_off), int(window.col_off)
    return dataset.read(((row, row + int(window.height)), (column, column + int(window.width))))


def _read(file: Hdf5) -> _Product:
    held = set(file.names(_GRIDS))
    terms = {name: term for name, term in TERMS.items() if term in held}
    missing = [TERMS[name] for name in ("HH", "VV") if name not in terms]
    missing += [] if {"HV", "VH"} & set(terms) else ["HVHV or VHVH"]
    if missing:
        powers = sorted(name for name in held if re.fullmatch(r"([HVRL]{2})\1", name))
        there = f"only {', '.join(powers)}" if powers else "no power"
        raise SceneError(
            f"{file.name} is not full-polarimetric: frequency A holds {there}; {' and '.join(missing)}"
            f" {'is' if len(missing) == 1 else 'are'} missing."
        )
    grid = _grid(file, _GRIDS)
    datasets = {name: _sized(file, term, grid, "f") for name, term in terms.items()}
    factor = _sized(file, TO_SIGMA0, grid, "f") if TO_SIGMA0 in held else None
    mask = _sized(file, "mask", grid, "iu") if "mask" in held else None
    return _Product(file, grid, datasets, factor, mask)


def _sized(file: Hdf5, name: str, grid: Grid, kinds: str) -> Dataset:
    """Return a dataset on the grid."""
    dataset = file.dataset(f"{_GRIDS}/{name}")
    if dataset is None:
        raise SceneError(f"{file.name} has a group in place of {name}.")
    if dataset.shape != grid.shape:
        raise SceneError(
            f"{file.name} has {name} of {' x '.join(map(str, dataset.shape)) or 'one'} values, but its coordinates are"
            f" of {grid.height} x {grid.width} pixels."
        )
    if dataset.dtype.kind not in kinds or dataset.dtype.itemsize > 8:
        raise SceneError(f"{file.name} stores {name} as {dataset.dtype}: it is no layer of a GCOV product.")
    return dataset


def _grid(file: Hdf5, group: str) -> Grid:
    x, y = (_coordinates(file, f"{group}/{axis}Coordinates") for axis in "xy")
    check_edges(len(y), len(x), file.name)
    if len(x) < 2 or len(y) < 2:
        raise SceneError(f"{file.name} has {len(y)} x {len(x)} pixels: too few to tell their size.")
    width, height = (float(axis[-1] - axis[0]) / (len(axis) - 1) for axis in (x, y))
    for axis, step in ((x, width), (y, height)):
        if not step or np.abs(axis - (axis[0] + step * np.arange(len(axis)))).max() > 1e-3 * abs(step):
            raise SceneError(f"{file.name} has coordinates that are not evenly spaced: it is damaged.")
    if width <= 0 or height >= 0:
        raise SceneError(f"{file.name} has a south-up or mirrored grid: warp it to a north-up grid first.")
    code = file.number(f"{group}/projection")
    if code is None or not 1024 <= code <= 32767:
        raise SceneError(f"{file.name} does not tell its reference system as an EPSG code (projection).")
    transform = Affine(width, 0.0, float(x[0]) - width / 2, 0.0, height, float(y[0]) - height / 2)
    return Grid(crs_of(f"EPSG:{int(code)}", file.name), transform, len(x), len(y))


def _coordinates(file: Hdf5, path: str) -> NDArray[np.float64]:
    values = file.array(path)
    if values is None or values.ndim != 1 or values.dtype.kind not in "fiu" or not values.size:
        raise SceneError(f"{file.name} does not tell the coordinates of its pixels.")
    found = values.astype(np.float64)
    if not np.isfinite(found).all() or np.abs(found).max() > 1e9:
        raise SceneError(f"{file.name} has coordinates that lie nowhere: it is damaged.")
    return found


def _angle_cube(file: Hdf5, grid: Grid) -> Cube | None:
    """Return the incidence angle over height, y and x, in degrees; None where the product has none."""
    code = file.number(f"{_CUBES}/projection")
    if file.dataset(f"{_CUBES}/incidenceAngle") is None:
        return None
    if code is not None and f"EPSG:{int(code)}" != grid.crs:
        raise SceneError(f"{file.name} has angles in EPSG:{int(code)}, but pixels in {grid.crs}.")
    return read_cube(
        file,
        f"{_CUBES}/incidenceAngle",
        *(f"{_CUBES}/{axis}" for axis in ("heightAboveEllipsoid", "yCoordinates", "xCoordinates")),
    )


def _looks(product: _Product) -> float | None:
    """Return the equivalent number of looks: samples averaged, less where they are closer than the resolution.

    None where the product does not tell both.
    """
    file = product.file
    counts = file.dataset(f"{_GRIDS}/numberOfLooks")
    swath = f"{LSAR}/GCOV/metadata/sourceData/swaths"
    names = ("processedRangeBandwidth", "slantRangeSpacing", "processedAzimuthBandwidth")
    bandwidth, spacing, azimuth = (file.number(f"{swath}/frequencyA/{name}") for name in names)
    interval = file.number(f"{swath}/zeroDopplerTimeSpacing")
    if counts is None or counts.shape != product.grid.shape or counts.dtype.kind not in "fiu":
        return None
    if not (bandwidth and spacing and azimuth and interval) or min(bandwidth, spacing, azimuth, interval) <= 0:
        return None
    independent = min(1.0, spacing * 2 * bandwidth / 299_792_458.0) * min(1.0, interval * azimuth)
    height, width = (min(edge, _PROBE) for edge in product.grid.shape)
    row, column = (product.grid.height - height) // 2, (product.grid.width - width) // 2
    values = counts.read(((row, row + height), (column, column + width))).astype(np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    looks = float(np.median(values)) * independent if values.size else math.nan
    return round(looks, 3) if 0 < looks < 1e6 else None


def _assets(href: str, product: _Product, convention: str, has_angle: bool) -> dict[str, dict[str, Any]]:
    base = {"href": href, "type": "application/x-hdf5", "escape:family": "nisar"}
    bands = [
        # The type of measurement stands on the band, because it is the reader that yields it, whatever roles say.
        {"name": name, "data_type": "float32", "unit": "1", "measurement_type": convention}
        for name in product.terms
    ]
    assets: dict[str, dict[str, Any]] = {
        "gcov": {**base, "title": "Powers of the covariance terms", "roles": ["data", convention], "bands": bands}
    }
    if has_angle:
        assets[ANGLE] = {
            **base,
            "title": "Incidence angle at the ellipsoid",
            "roles": ["data", "ellipsoid-incidence-angle"],
            "bands": [{"name": ANGLE, "data_type": "float32", "unit": "deg"}],
        }
    if product.mask is not None:
        assets["mask"] = {
            **base,
            "title": "Valid sub-swaths",
            "roles": ["metadata", "data-mask"],
            "bands": [{"name": "mask", "data_type": "uint8", "classification:classes": _MASK_CLASSES}],
        }
    return assets
