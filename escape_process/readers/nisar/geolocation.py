"""Where samples of a zero-Doppler image lie: from a product's geolocation grid, or from its orbit where that is sparse.

Both give nodes over time and slant range at one height above the ellipsoid; between nodes all is linear. An error
dh of that height shifts the image by dh / tan(incidence) on the ground: nothing here is terrain corrected.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NEWTON_STEPS = 12


@dataclass(frozen=True, eq=False)
class Nodes:
    """Places on a lattice of zero-Doppler times and slant ranges; axes (time, range)."""

    times: FloatArray
    """s, rising."""
    ranges: FloatArray
    """m, rising."""
    longitude: FloatArray
    latitude: FloatArray
    """Degrees."""
    incidence_angle_deg: FloatArray
    """At the ellipsoid."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors in an Earth-fixed frame."""

    times: FloatArray
    """s, rising, (vector,)."""
    positions: FloatArray
    """m, (vector, 3)."""
    velocities: FloatArray
    """m/s, (vector, 3)."""

    def at(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return positions and velocities at times inside the orbit, (time, 3), by Hermite interpolation of four."""
        positions, velocities = np.empty((len(times), 3)), np.empty((len(times), 3))
        count = min(4, len(self.times))
        for number, time in enumerate(times):
            first = int(np.clip(np.searchsorted(self.times, time) - count // 2, 0, len(self.times) - count))
            part = slice(first, first + count)
            positions[number], velocities[number] = _hermite(
                self.times[part], self.positions[part], self.velocities[part], float(time)
            )
        return positions, velocities


def _hermite(nodes: FloatArray, values: FloatArray, rates: FloatArray, at: float) -> tuple[FloatArray, FloatArray]:
    """Interpolate values with known rates of change; also the rate of change. Axes (node, component)."""
    value, rate = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for number, node in enumerate(nodes):
        others = np.delete(nodes, number)
        weight = np.prod((at - others) / (node - others))
        slope_at_node = np.sum(1 / (node - others))
        products = [np.prod(np.delete(at - others, k)) for k in range(len(others))]
        slope = np.sum(products) / np.prod(node - others)
        ahead = at - node
        straight, bent = 1 - 2 * ahead * slope_at_node, ahead
        value += straight * weight**2 * values[number] + bent * weight**2 * rates[number]
        rate += (-2 * slope_at_node * weight**2 + straight * 2 * weight * slope) * values[number]
        rate += (weight**2 + bent * 2 * weight * slope) * rates[number]
    return value, rate


def nodes_of_orbit(orbit: Orbit, times: FloatArray, ranges: FloatArray, height: float, looks_right: bool) -> Nodes:
    """Find the points at a height above WGS-84 that are seen at zero Doppler.

    Parameters
    ----------
    times, ranges
        s and m: axes of the lattice.

    Notes
    -----
    Range-Doppler equations, for example Curlander and McDonough (1991), Synthetic Aperture Radar, section 8.2: the
    look angle is turned in the plane across the velocity until the point has the height.
    """
    position, velocity = (array[:, np.newaxis, :] for array in orbit.at(times))
    along = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    up = position / np.linalg.norm(position, axis=-1, keepdims=True)
    down = -(up - np.sum(up * along, axis=-1, keepdims=True) * along)
    down /= np.linalg.norm(down, axis=-1, keepdims=True)
    side = np.cross(along, -down)  # to the right of the track
    side = side if looks_right else -side
    distance = ranges[np.newaxis, :]
    radius = np.linalg.norm(position, axis=-1)
    ground = 6_371_000.0 + height
    cosine = (radius**2 + distance**2 - ground**2) / (2 * radius * distance)
    look = np.arccos(np.clip(cosine, -1.0, 1.0))
    for _ in range(_NEWTON_STEPS):
        point = position + distance[..., np.newaxis] * (
            np.cos(look)[..., np.newaxis] * down + np.sin(look)[..., np.newaxis] * side
        )
        longitude, latitude, found = _to_geodetic().transform(point[..., 0], point[..., 1], point[..., 2])
        incidence = _incidence(position, point, longitude, latitude)
        look = look - (found - height) / (distance * np.maximum(np.sin(incidence), 0.05))
    return Nodes(times, ranges, longitude, latitude, np.degrees(incidence))


def _incidence(position: FloatArray, point: FloatArray, longitude: FloatArray, latitude: FloatArray) -> FloatArray:
    """Return the angle between the line of sight and the ellipsoid's normal, rad."""
    lam, phi = np.radians(longitude), np.radians(latitude)
    normal = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    sight = position - point
    cosine = np.sum(sight * normal, axis=-1) / np.linalg.norm(sight, axis=-1)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


@lru_cache(maxsize=1)
def _to_geodetic() -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)


def find_on_lattice(
    node_x: FloatArray, node_y: FloatArray, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Invert a lattice of places: where on it, in node numbers along both axes, lies each point?

    Parameters
    ----------
    node_x, node_y
        (I, J), at least 2 x 2, smooth and without folds.
    x, y
        Any common shape.

    Returns
    -------
    Fractional indices along I and J; NaN outside, to half a step beyond the ends.
    """
    i, j = _first_guess(node_x, node_y, x, y)
    limits = (node_x.shape[0] - 1, node_x.shape[1] - 1)
    missed = np.zeros_like(x)
    for _ in range(_NEWTON_STEPS):
        at_x, x_i, x_j = _bilinear(node_x, i, j)
        at_y, y_i, y_j = _bilinear(node_y, i, j)
        determinant = x_i * y_j - x_j * y_i
        determinant = np.where(determinant == 0, np.nan, determinant)
        step_i = ((x - at_x) * y_j - (y - at_y) * x_j) / determinant
        step_j = ((y - at_y) * x_i - (x - at_x) * y_i) / determinant
        i = np.clip(i + step_i, -1.0, limits[0] + 1.0)
        j = np.clip(j + step_j, -1.0, limits[1] + 1.0)
        missed = np.abs(step_i) + np.abs(step_j)
    inside = (i >= -0.5) & (i <= limits[0] + 0.5) & (j >= -0.5) & (j <= limits[1] + 0.5) & (missed < 1e-3)
    return np.where(inside, i, np.nan), np.where(inside, j, np.nan)


def _first_guess(node_x: FloatArray, node_y: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit the inverse by a plane."""
    centre, scale = (node_x.mean(), node_y.mean()), max(np.ptp(node_x), np.ptp(node_y), 1e-9)

    def terms(one: FloatArray, other: FloatArray) -> FloatArray:
        return np.stack([np.ones_like(one), (one - centre[0]) / scale, (other - centre[1]) / scale], axis=-1)

    matrix = terms(node_x.reshape(-1), node_y.reshape(-1))
    guesses = []
    for axis in (0, 1):
        numbers = np.indices(node_x.shape)[axis].reshape(-1).astype(np.float64)
        fitted = np.linalg.lstsq(matrix, numbers, rcond=None)[0]
        guesses.append(np.clip(terms(x, y) @ fitted, 0.0, node_x.shape[axis] - 1.0))
    return guesses[0], guesses[1]


def interpolate(nodes: FloatArray, i: FloatArray, j: FloatArray) -> FloatArray:
    """Return values between nodes at fractional indices; NaN where an index is NaN."""
    return _bilinear(nodes, i, j)[0]


def _bilinear(nodes: FloatArray, i: FloatArray, j: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values and their derivatives along both axes; beyond the ends the last cell goes on."""
    row = np.clip(np.nan_to_num(np.floor(i)), 0, nodes.shape[0] - 2).astype(np.int64)
    column = np.clip(np.nan_to_num(np.floor(j)), 0, nodes.shape[1] - 2).astype(np.int64)
    down, right = i - row, j - column
    a, b = nodes[row, column], nodes[row, column + 1]
    c, d = nodes[row + 1, column], nodes[row + 1, column + 1]
    by_i = (c - a) * (1 - right) + (d - b) * right
    by_j = (b - a) * (1 - down) + (d - c) * down
    return a * (1 - right) + b * right + down * by_i, by_i, by_j
