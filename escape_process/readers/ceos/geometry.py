"""Where a point of the ground lies in the image: by the leader's polynomials, or by its orbit.

Range-Doppler equations as in Curlander (1982), IEEE Trans. Geosci. Remote Sens. GE-20(3), doi:10.1109/TGRS.1982.350451,
at zero Doppler, which PALSAR-2 products are focused to. They are solved here, by numpy, and not by a library for whole
scenes: cells are asked for by window, and the leader's polynomials are to fix the position, its orbit only what height
changes of it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyval, polyval2d
from numpy.typing import NDArray

from escape_process.errors import SceneError
from escape_process.readers.ceos.leader import Leader, Polynomials

Array = NDArray[np.float64]

ORBIT_NODES = 4
"""State vectors that the orbit is interpolated from: a polynomial of degree 7, good to millimetres over a minute."""
NEWTON_STEPS = 6
FIT_DEGREE = 5
"""Of lines and pixels in time and slant range: ground range over 80 km needs that much."""
LARGEST_MISFIT = 0.5
"""Samples by which the orbit may contradict the polynomials after a smooth fit."""


def to_geographic(polynomials: Polynomials, line: Array, pixel: Array) -> tuple[Array, Array]:
    """Return latitude and longitude in degrees of places in the image, indices from 0; same shapes."""
    x, y = pixel - polynomials.origin_pixel, line - polynomials.origin_line
    return _polynomial(x, y, polynomials.latitude), _polynomial(x, y, polynomials.longitude)


def to_image(polynomials: Polynomials, latitude: Array, longitude: Array) -> tuple[Array, Array]:
    """Return line and pixel of places in degrees; same shapes. Of no meaning far outside the image."""
    x = latitude - polynomials.origin_latitude
    y = (longitude - polynomials.origin_longitude + 180) % 360 - 180
    return _polynomial(x, y, polynomials.line), _polynomial(x, y, polynomials.pixel)


def _polynomial(x: Array, y: Array, coefficients: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged leader's coefficients; callers check what comes out
        return np.asarray(polyval2d(x, y, coefficients), dtype=np.float64)


def earth_fixed(leader: Leader, latitude: Array, longitude: Array, height: Array | float) -> Array:
    """Return earth-centred, earth-fixed coordinates in m, (..., 3), of places in degrees and m above the ellipsoid."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    ratio = (leader.semi_minor / leader.semi_major) ** 2
    normal = leader.semi_major / np.sqrt(1 - (1 - ratio) * np.sin(phi) ** 2)
    return np.stack(
        [
            (normal + height) * np.cos(phi) * np.cos(lam),
            (normal + height) * np.cos(phi) * np.sin(lam),
            (ratio * normal + height) * np.sin(phi),
        ],
        axis=-1,
    )


def up(latitude: Array, longitude: Array) -> Array:
    """Return the unit normals of the ellipsoid, (..., 3), at places in degrees."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def angle_between(one: Array, other: Array) -> Array:
    """Return the angle in rad between vectors, (..., 3)."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray(np.arccos(np.clip(np.sum(one * other, axis=-1) / lengths, -1, 1)))


@dataclass(frozen=True, eq=False)
class Orbit:
    """The satellite's path around the time of the scene: one polynomial a coordinate."""

    coefficients: Array
    """(8, 3): m by powers of the time over `unit`, rising."""
    unit: float
    """s."""
    span: float
    """Seconds from the scene's centre to either side for which it is good."""

    def at(self, time: Array) -> tuple[Array, Array, Array]:
        """Return position, velocity and acceleration, each (..., 3), in m and s; times from the scene's centre."""
        scaled = time / self.unit
        first = np.polynomial.polynomial.polyder(self.coefficients) / self.unit
        second = np.polynomial.polynomial.polyder(first) / self.unit
        values = [np.moveaxis(polyval(scaled, one), 0, -1) for one in (self.coefficients, first, second)]
        return values[0], values[1], values[2]


def orbit_of(leader: Leader) -> Orbit:
    """Interpolate the leader's state vectors around the scene: Hermite's conditions at the nearest of them."""
    points = leader.orbit
    centre = (leader.centre_time - points.start).total_seconds() / points.interval
    first = min(max(0, math.floor(centre) - ORBIT_NODES // 2 + 1), len(points.positions) - ORBIT_NODES)
    nodes = np.arange(first, first + ORBIT_NODES) - centre
    powers = np.arange(2 * ORBIT_NODES)
    values = nodes[:, np.newaxis] ** powers
    slopes = powers * nodes[:, np.newaxis] ** np.maximum(powers - 1, 0)
    picked = slice(first, first + ORBIT_NODES)
    known = np.concatenate([points.positions[picked], points.velocities[picked] * points.interval])
    coefficients = np.linalg.solve(np.concatenate([values, slopes]), known)
    return Orbit(coefficients, points.interval, 1.5 * points.interval)


def zero_doppler(orbit: Orbit, points: Array) -> tuple[Array, Array, Array]:
    """Find when the satellite passes points of the ground broadside.

    Parameters
    ----------
    points
        (..., 3), earth-fixed, m.

    Returns
    -------
    Seconds from the scene's centre and slant range in m, (...), and the vectors from the points to the satellite,
    (..., 3); NaN where the pass is outside the orbit's span.
    """
    time = np.zeros(points.shape[:-1])
    for _ in range(NEWTON_STEPS):
        position, velocity, acceleration = orbit.at(time)
        sight = points - position
        doppler = np.sum(velocity * sight, axis=-1)
        slope = np.sum(acceleration * sight, axis=-1) - np.sum(velocity * velocity, axis=-1)
        step = doppler / slope
        time = np.clip(time - step, -orbit.span, orbit.span)
        if np.nanmax(np.abs(step), initial=0.0) < 1e-8:
            break
    sight = orbit.at(time)[0] - points
    found = np.abs(time) < orbit.span
    time = np.where(found, time, np.nan)
    return time, np.where(found, np.linalg.norm(sight, axis=-1), np.nan), sight


@dataclass(frozen=True, eq=False)
class Axes:
    """Line and pixel as smooth functions of zero-Doppler time and slant range."""

    line: Array
    """(6, 6): powers of the scaled time, then of the scaled range, rising."""
    pixel: Array
    origin: tuple[float, float]
    """s, m."""
    scale: tuple[float, float]
    reference_height: float
    """Height above the ellipsoid, m, at which the leader's polynomials hold."""

    def to_image(self, time: Array, slant_range: Array) -> tuple[Array, Array]:
        """Return line and pixel; same shapes."""
        x = (time - self.origin[0]) / self.scale[0]
        y = (slant_range - self.origin[1]) / self.scale[1]
        return _polynomial(x, y, self.line), _polynomial(x, y, self.pixel)


def fit_axes(
    leader: Leader, orbit: Orbit, shape: tuple[int, int], first_range: float | None, range_spacing: float
) -> Axes:
    """Tie the image's lines and pixels to the orbit's times and ranges.

    The polynomials say where a pixel lies at the product's reference height, the orbit when and how far away the
    satellite saw that place. What joins the two is smooth, and fitted; so whatever constant error the times of the
    lines may have does not count. The height follows from the first slant range where the image states it.

    Parameters
    ----------
    shape
        (lines, pixels).
    first_range
        Slant range of the first pixel, m, of a slant-range image.
    range_spacing
        Between its pixels, m.

    Raises
    ------
    SceneError
        where orbit and polynomials contradict each other.
    """
    lines, pixels = np.meshgrid(*(np.linspace(0, size - 1, 12) for size in shape), indexing="ij")
    latitude, longitude = to_geographic(leader.polynomials, lines, pixels)
    height = leader.reference_height or 0.0
    if first_range is not None:
        expected = first_range + pixels * range_spacing
        for _ in range(3):
            points = earth_fixed(leader, latitude, longitude, height)
            _, slant_range, sight = zero_doppler(orbit, points)
            cosine = np.cos(angle_between(sight, up(latitude, longitude)))
            height += float(np.mean((slant_range - expected) / cosine))
    points = earth_fixed(leader, latitude, longitude, height)
    time, slant_range, _ = zero_doppler(orbit, points)
    consistent = bool(np.isfinite(time).all()) and -1000 < height < 9000
    if consistent:
        origin = (float(time.mean()), float(slant_range.mean()))
        scale = (max(float(np.ptp(time)), 1e-6), max(float(np.ptp(slant_range)), 1e-3))
        x, y = (time - origin[0]) / scale[0], (slant_range - origin[1]) / scale[1]
        terms = [(i, j) for i in range(FIT_DEGREE + 1) for j in range(FIT_DEGREE + 1 - i)]
        design = np.stack([(x**i * y**j).ravel() for i, j in terms], axis=-1)
        solved, *_ = np.linalg.lstsq(design, np.stack([lines.ravel(), pixels.ravel()], axis=-1), rcond=None)
        misfit = float(np.abs(design @ solved - np.stack([lines.ravel(), pixels.ravel()], axis=-1)).max())
        consistent = misfit < LARGEST_MISFIT
    if not consistent:
        raise SceneError(
            f"The orbit and the polynomials of {leader.scene_id} contradict each other: terrain correction needs both."
        )
    tables = np.zeros((2, FIT_DEGREE + 1, FIT_DEGREE + 1))
    for (i, j), row in zip(terms, solved, strict=True):
        tables[:, i, j] = row
    return Axes(tables[0], tables[1], origin, scale, height)


def to_ground(
    leader: Leader, orbit: Orbit, axes: Axes, place: tuple[Array, Array], height: float
) -> tuple[Array, Array]:
    """Return latitude and longitude in degrees of places (line, pixel) on ground of one height in m; same shapes."""
    line, pixel = aimed_line, aimed_pixel = place
    for _ in range(8):  # each turn shrinks what is left by the ratio of the relief's parallax to the range
        latitude, longitude = to_geographic(leader.polynomials, aimed_line, aimed_pixel)
        time, slant_range, _ = zero_doppler(orbit, earth_fixed(leader, latitude, longitude, height))
        found_line, found_pixel = axes.to_image(time, slant_range)
        aimed_line, aimed_pixel = aimed_line + line - found_line, aimed_pixel + pixel - found_pixel
    return to_geographic(leader.polynomials, aimed_line, aimed_pixel)
