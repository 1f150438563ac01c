"""Where an RSLC image lies, by its own geolocation grid or its orbit."""

from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from escape_process.errors import SceneError
from escape_process.readers.nisar.geolocation import FloatArray, Nodes, Orbit, nodes_of_orbit
from escape_process.readers.nisar.hdf5 import Hdf5
from escape_process.readers.nisar.identification import LSAR

_NODES = 33
"""Along each side of a lattice made from the orbit: a kilometre apart over a frame, which leaves about a metre."""
_LARGEST = 1e10
"""Of any number of times, lengths and angles: beyond, products of them overflow."""


def nodes_of(file: Hdf5, root: str, times: FloatArray, ranges: FloatArray) -> Nodes:
    """Return the product's own lattice where it spans the image, else one made from its orbit."""
    return _nodes_of_grid(file, f"{root}/metadata/geolocationGrid", times, ranges) or _nodes_of_orbit(
        file, root, times, ranges
    )


def _nodes_of_grid(file: Hdf5, group: str, times: FloatArray, ranges: FloatArray) -> Nodes | None:
    names = ("zeroDopplerTime", "slantRange", "heightAboveEllipsoid", "coordinateX", "coordinateY", "incidenceAngle")
    arrays = [file.array(f"{group}/{name}") for name in names]
    code = file.number(f"{group}/epsg")
    if any(array is None or array.dtype.kind not in "fiu" for array in arrays) or code is None:
        return None
    node_times, node_ranges, heights, x, y, angle = (bounded(np.asarray(array)) for array in arrays)
    if min(node_times.size, node_ranges.size) < 2:
        return None
    shape = (heights.size, node_times.size, node_ranges.size)
    if any(cube.shape != shape for cube in (x, y, angle)) or any(
        axis.ndim != 1 or not (np.diff(axis) > 0).all() for axis in (node_times, node_ranges, heights)
    ):
        raise SceneError(f"{file.name} has a geolocation grid that does not fit its axes: it is damaged.")
    for axis, samples in ((node_times, times), (node_ranges, ranges)):
        step = (axis[-1] - axis[0]) / (len(axis) - 1)
        if axis[0] > samples[0] + step / 2 or axis[-1] < samples[-1] - step / 2:
            return None  # it covers a part only
    level = int(np.argmin(np.abs(heights)))
    x, y, angle = x[level], y[level], angle[level]
    if not 1024 <= code <= 32767:
        raise SceneError(f"{file.name} has a geolocation grid in an unknown reference system (EPSG:{code:g}).")
    if int(code) != 4326:
        to_degrees = pyproj.Transformer.from_crs(f"EPSG:{int(code)}", "OGC:CRS84", always_xy=True)
        x, y = to_degrees.transform(x, y)
    if not all(np.isfinite(cube).all() for cube in (x, y, angle)) or not ((angle > 0) & (angle < 90)).all():
        raise SceneError(f"{file.name} has a geolocation grid with values that are missing: it is damaged.")
    return Nodes(node_times, node_ranges, x, y, angle)


def _nodes_of_orbit(file: Hdf5, root: str, times: FloatArray, ranges: FloatArray) -> Nodes:
    group = f"{root}/metadata/orbit"
    arrays = [file.array(f"{group}/{name}") for name in ("time", "position", "velocity")]
    broken = SceneError(f"{file.name} has neither a geolocation grid over its image nor an orbit: it cannot be placed.")
    if any(array is None or array.dtype.kind != "f" for array in arrays):
        raise broken
    at, positions, velocities = (bounded(np.asarray(array)) for array in arrays)
    fits = at.ndim == 1 and 2 <= len(at) <= 100_000 and positions.shape == velocities.shape == (len(at), 3)
    if not fits or not all(np.isfinite(array).all() for array in (at, positions, velocities)):
        raise broken
    distances = np.linalg.norm(positions, axis=1)
    if not (np.diff(at) > 0).all() or distances.min() < 6.4e6 or distances.max() > 5e7:
        raise broken
    if not at[0] <= times[0] <= times[-1] <= at[-1]:
        raise SceneError(f"{file.name} has an orbit that does not span the times of its lines: it is damaged.")
    altitude = distances.min() - 6.4e6
    if not altitude < ranges[0] < ranges[-1] < 3 * distances.max():
        raise SceneError(f"{file.name} has slant ranges of {ranges[0]:g} to {ranges[-1]:g} m: none sees the ground.")
    look = (file.text(f"{LSAR}/identification/lookDirection") or "").lower()
    if look not in ("left", "right"):
        raise SceneError(f"{file.name} does not say to which side the radar looks (lookDirection).")
    nodes = nodes_of_orbit(
        Orbit(at, positions, velocities),
        np.linspace(times[0], times[-1], _NODES),
        np.linspace(ranges[0], ranges[-1], _NODES),
        0.0,
        look == "right",
    )
    if (
        not np.isfinite(nodes.longitude).all()
        or not ((nodes.incidence_angle_deg > 0) & (nodes.incidence_angle_deg < 90)).all()
    ):
        raise SceneError(f"{file.name} has slant ranges at which its orbit does not see the ground: it is damaged.")
    return nodes


def bounded(values: NDArray[Any]) -> FloatArray:
    """Return numbers as doubles, NaN where they are larger than any time, length or angle of an image."""
    found = values.astype(np.float64)
    return np.where(np.abs(found) < _LARGEST, found, np.nan)
