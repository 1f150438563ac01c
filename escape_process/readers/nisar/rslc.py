"""NISAR RSLC: single-look complex data in radar geometry, as HDF5: power, multilooked, on a map grid.

Samples are squared and averaged over cells of full resolution that are about square on the ground; a pixel of the map
takes the cell that its centre lies in, so that no power is interpolated. Positions are those at a reference height:
nothing is terrain corrected. NISAR L1 RSLC product specification, JPL D-102268.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.readers.computed import ComputedRaster, check_edges, footprint_of
from escape_process.readers.nisar.datasets import Dataset
from escape_process.readers.nisar.geolocation import FloatArray, Nodes, find_on_lattice, interpolate
from escape_process.readers.nisar.hdf5 import Hdf5
from escape_process.readers.nisar.identification import LSAR, identify
from escape_process.readers.nisar.placing import bounded, nodes_of
from escape_process.records import Description, Grid
from escape_process.settings import Settings

ANGLE = "ellipsoid_incidence_angle"
FINEST_PIXEL = 20.0
"""m: of the map grid, where the samples are finer."""
STEP_OF_PIXELS = 5.0
"""m: pixels are whole multiples of it."""

_SPEED_OF_LIGHT = 299_792_458.0
_POLARIZATIONS = ("HH", "HV", "VH", "VV")
_SAMPLES_AT_ONCE = 2**21


@dataclass(frozen=True)
class _Swath:
    """What an RSLC file holds of frequency A, sizes checked."""

    file: Hdf5
    channels: Mapping[str, Dataset]
    times: FloatArray
    ranges: FloatArray
    x: FloatArray
    y: FloatArray
    """Coordinates of the nodes in the grid's reference system, (time, range)."""
    nodes: Nodes
    grid: Grid
    looks: tuple[int, int]
    """Samples of a cell along time and range."""


def describe(file: Hdf5, href: str) -> Description:
    """Describe an RSLC product.

    Raises
    ------
    SceneError
        where it is not full-polarimetric, or its parts do not fit each other.
    """
    said = identify(file)
    swath = _read(file)
    frequency = file.number(f"{_root(file)}/swaths/frequencyA/processedCenterFrequency")
    convention = _convention(file)
    warnings = ["Positions are those at a reference height: nothing is terrain corrected."]
    if convention is None:
        warnings.append("The calibration tables of the product hold ones only: its numbers are not calibrated.")
    known = frequency is not None and 1e8 < frequency < 1e11
    properties = {
        **said.properties,
        "product:type": "SLC",
        "sar:polarizations": list(swath.channels),
        "sar:looks_equivalent_number": _equivalent_looks(swath),
        "sar:looks_azimuth": swath.looks[0],
        "sar:looks_range": swath.looks[1],
        "view:incidence_angle": round(float(swath.nodes.incidence_angle_deg.mean()), 3),
        **({"sar:center_frequency": round(float(frequency or 0) / 1e9, 9)} if known else {}),
    }
    return Description(
        id=said.id,
        start=said.start,
        end=said.end,
        grid=swath.grid,
        geometry=footprint_of(swath.grid, file.name),
        assets=_assets(href, swath, convention),
        properties=properties,
        warnings=tuple(warnings),
    )


@contextmanager
def open_layer(file: Hdf5, layer: str, settings: Settings, dem: str | None) -> Iterator[ComputedRaster]:
    """Open a polarization or the incidence angle; a terrain model is of no use here."""
    swath = _read(file)
    if layer in swath.channels:
        yield ComputedRaster(swath.grid, _power_reader(swath, swath.channels[layer]))
    elif layer == ANGLE:
        yield ComputedRaster(swath.grid, lambda window: _angle(swath, window))
    else:
        raise SceneError(f"{file.name} has no layer {layer[:40]}.")


def multilook(samples: NDArray[Any], looks: tuple[int, int]) -> NDArray[np.float32]:
    """Average the power of cells of complex samples.

    Parameters
    ----------
    samples
        (time, range), whole multiples of `looks`. A sample of zero or that is not finite is none.

    Returns
    -------
    Linear power of each cell, NaN where less than half of its samples are there.
    """
    power = np.square(samples.real.astype(np.float64)) + np.square(samples.imag.astype(np.float64))
    down, across = looks
    cells = power.reshape(power.shape[0] // down, down, power.shape[1] // across, across)
    valid = np.isfinite(cells) & (cells > 0)
    count = valid.sum(axis=(1, 3))
    total = np.where(valid, cells, 0.0).sum(axis=(1, 3))
    mean = np.where(2 * count >= down * across, total / np.maximum(count, 1), np.nan)
    return mean.astype(np.float32)


def _root(file: Hdf5) -> str:
    return f"{LSAR}/RSLC" if file.has(f"{LSAR}/RSLC") else f"{LSAR}/SLC"


def _read(file: Hdf5) -> _Swath:
    root = _root(file)
    group = f"{root}/swaths/frequencyA"
    times, ranges = _axis(file, f"{root}/swaths/zeroDopplerTime"), _axis(file, f"{group}/slantRange")
    check_edges(len(times), len(ranges), file.name)
    channels = _channels(file, group, (len(times), len(ranges)))
    nodes = nodes_of(file, root, times, ranges)
    middle = (float(np.mean(nodes.longitude)), float(np.mean(nodes.latitude)))
    zone = int((middle[0] + 180) // 6) % 60 + 1
    crs = f"EPSG:{(32600 if middle[1] >= 0 else 32700) + zone}"
    project = pyproj.Transformer.from_crs("OGC:CRS84", crs, always_xy=True)
    x, y = (np.asarray(one) for one in project.transform(nodes.longitude, nodes.latitude))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise SceneError(f"{file.name} has a geolocation that lies nowhere: it is damaged.")
    along, across = _spacings(times, ranges, nodes, x, y)
    pixel = math.ceil(max(along, across, FINEST_PIXEL) / STEP_OF_PIXELS) * STEP_OF_PIXELS
    looks = (
        min(len(times), max(1, round(pixel / along))),
        min(len(ranges), max(1, round(pixel / across))),
    )
    left, top = math.floor(x.min() / pixel) * pixel, math.ceil(y.max() / pixel) * pixel
    width, height = math.ceil((x.max() - left) / pixel), math.ceil((top - y.min()) / pixel)
    check_edges(height, width, file.name)
    grid = Grid(crs, Affine(pixel, 0.0, left, 0.0, -pixel, top), width, height)
    return _Swath(file, channels, times, ranges, x, y, nodes, grid, looks)


def _axis(file: Hdf5, path: str) -> FloatArray:
    values = file.array(path)
    if values is None or values.ndim != 1 or values.dtype.kind != "f" or len(values) < 2:
        raise SceneError(f"{file.name} does not tell the {path.rsplit('/', 1)[-1]} of its samples.")
    found = bounded(values)
    step = (found[-1] - found[0]) / (len(found) - 1)
    even = np.isfinite(found).all() and step > 0
    if not even or np.abs(found - (found[0] + step * np.arange(len(found)))).max() > 0.01 * step:
        raise SceneError(f"{file.name} has a {path.rsplit('/', 1)[-1]} that does not rise evenly: it is damaged.")
    return found


def _channels(file: Hdf5, group: str, shape: tuple[int, int]) -> dict[str, Dataset]:
    held = set(file.names(group)) & set(_POLARIZATIONS)
    missing = [name for name in ("HH", "VV") if name not in held]
    missing += [] if held & {"HV", "VH"} else ["HV or VH"]
    if missing:
        raise SceneError(
            f"{file.name} is not full-polarimetric: frequency A holds {', '.join(sorted(held)) or 'no channel'};"
            f" {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    channels = {}
    for name in _POLARIZATIONS:
        if name not in held:
            continue
        dataset = file.dataset(f"{group}/{name}")
        if dataset is None or dataset.shape != shape:
            size = "no" if dataset is None else " x ".join(map(str, dataset.shape))
            raise SceneError(f"{file.name} has {size} samples of {name}, but its axes are of {shape[0]} x {shape[1]}.")
        pair = dataset.dtype.names == ("r", "i") and all(dataset.dtype[part].kind == "f" for part in "ri")
        if dataset.dtype.kind != "c" and not pair:
            raise SceneError(f"{file.name} stores {name} as {str(dataset.dtype)[:40]}: samples are complex numbers.")
        channels[name] = dataset
    return channels


def _spacings(times: FloatArray, ranges: FloatArray, nodes: Nodes, x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return how far samples lie apart on the ground along time and range, m."""
    spacings = []
    for axis, samples, of_nodes in ((0, times, nodes.times), (1, ranges, nodes.ranges)):
        length = np.hypot(np.diff(x, axis=axis), np.diff(y, axis=axis)).sum(axis=axis).mean()
        steps = (of_nodes[-1] - of_nodes[0]) / ((samples[-1] - samples[0]) / (len(samples) - 1))
        spacings.append(float(length / steps))
    if not all(0.01 < spacing < 10_000 for spacing in spacings):
        raise SceneError(
            f"Samples lie {spacings[0]:g} x {spacings[1]:g} m apart on the ground: that is no radar image."
        )
    return spacings[0], spacings[1]


def _radar_position(swath: _Swath, window: RasterWindow) -> tuple[FloatArray, FloatArray]:
    """Return the fractional node numbers of the pixel centres of a window."""
    transform = swath.grid.transform
    x = transform.c + (window.col_off + np.arange(window.width) + 0.5) * transform.a
    y = transform.f + (window.row_off + np.arange(window.height) + 0.5) * transform.e
    across, down = np.meshgrid(x, y)
    return find_on_lattice(swath.x, swath.y, across, down)


def _samples_at(axis: FloatArray, nodes: FloatArray, numbers: FloatArray) -> FloatArray:
    """Return fractional sample numbers at fractional node numbers."""
    step = (axis[-1] - axis[0]) / (len(axis) - 1)
    before = np.clip(np.nan_to_num(np.floor(numbers)), 0, len(nodes) - 2).astype(np.int64)
    at = nodes[before] + (numbers - before) * (nodes[before + 1] - nodes[before])
    return np.asarray((at - axis[0]) / step)


def _angle(swath: _Swath, window: RasterWindow) -> NDArray[np.float32]:
    i, j = _radar_position(swath, window)
    return interpolate(swath.nodes.incidence_angle_deg, i, j).astype(np.float32)


def _power_reader(swath: _Swath, channel: Dataset) -> Callable[[RasterWindow], NDArray[Any]]:
    down, across = swath.looks
    most = (len(swath.times) // down, len(swath.ranges) // across)

    def read(window: RasterWindow) -> NDArray[np.float32]:
        i, j = _radar_position(swath, window)
        rows = np.floor((_samples_at(swath.times, swath.nodes.times, i) + 0.5) / down)
        columns = np.floor((_samples_at(swath.ranges, swath.nodes.ranges, j) + 0.5) / across)
        inside = (rows >= 0) & (rows < most[0]) & (columns >= 0) & (columns < most[1])
        out = np.full(inside.shape, np.nan, dtype=np.float32)
        if not inside.any():
            return out
        row, column = rows[inside].astype(np.int64), columns[inside].astype(np.int64)
        first, last = (int(row.min()), int(column.min())), (int(row.max()), int(column.max()))
        cells = _cells(swath, channel, first, last)
        out[inside] = cells[row - first[0], column - first[1]]
        return out

    return read


def _cells(swath: _Swath, channel: Dataset, first: tuple[int, int], last: tuple[int, int]) -> NDArray[np.float32]:
    """Return the multilooked power of a rectangle of cells, a few rows of cells at a time."""
    down, across = swath.looks
    left, right = first[1] * across, (last[1] + 1) * across
    rows = max(1, _SAMPLES_AT_ONCE // max(1, down * (right - left)))
    parts = []
    for row in range(first[0], last[0] + 1, rows):
        stop = min(last[0] + 1, row + rows)
        samples = channel.read(((row * down, stop * down), (left, right)))
        parts.append(multilook(_complex(samples), swath.looks))
    return np.concatenate(parts)


def _complex(samples: NDArray[Any]) -> NDArray[Any]:
    """Return samples as complex numbers; NISAR also stores pairs of 16-bit floats."""
    if samples.dtype.kind == "c":
        return samples
    with np.errstate(invalid="ignore"):
        return np.asarray(samples["r"].astype(np.float32) + 1j * samples["i"].astype(np.float32))


def _convention(file: Hdf5) -> str | None:
    """Return what squared samples are: beta0 where that table alone holds ones; None where all do, or none.

    How a table is applied where it holds other numbers is not told by the products at hand.
    """
    group = f"{_root(file)}/metadata/calibrationInformation/geometry"
    beta0, sigma0 = (file.array(f"{group}/{name}") for name in ("beta0", "sigma0"))
    if (
        beta0 is None
        or sigma0 is None
        or not (beta0.size and sigma0.size)
        or {beta0.dtype.kind, sigma0.dtype.kind} != {"f"}
    ):
        return None
    return "beta0" if bool((beta0 == 1).all()) and not bool((sigma0 == 1).any()) else None


def _equivalent_looks(swath: _Swath) -> float:
    """Return the looks of a cell: samples, less where they are closer than the resolution."""
    group = f"{_root(swath.file)}/swaths/frequencyA"
    factors = []
    for axis, bandwidth, per_second in (
        (swath.times, swath.file.number(f"{group}/processedAzimuthBandwidth"), 1.0),
        (swath.ranges, swath.file.number(f"{group}/processedRangeBandwidth"), 2 / _SPEED_OF_LIGHT),
    ):
        step = float(axis[-1] - axis[0]) / (len(axis) - 1)
        known = bandwidth is not None and bandwidth > 0
        factors.append(min(1.0, step * float(bandwidth or 0) * per_second) if known else 1.0)
    return round(max(1.0, swath.looks[0] * swath.looks[1] * factors[0] * factors[1]), 3)


def _assets(href: str, swath: _Swath, convention: str | None) -> dict[str, dict[str, Any]]:
    base = {"href": href, "type": "application/x-hdf5", "escape:family": "nisar"}
    bands = [{"name": name, "data_type": "float32", "unit": "1"} for name in swath.channels]
    return {
        "rslc": {
            **base,
            "title": "Multilooked power of the channels",
            "roles": ["data", *([convention] if convention else [])],
            "bands": bands,
        },
        ANGLE: {
            **base,
            "title": "Incidence angle at the ellipsoid",
            "roles": ["data", "ellipsoid-incidence-angle"],
            "bands": [{"name": ANGLE, "data_type": "float32", "unit": "deg"}],
        },
    }
