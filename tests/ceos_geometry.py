"""An orbit in closed form and the ground that a radar on it sees: the oracle of the CEOS reader's geometry.

Nothing here shares code with the package: the orbit is a circle turned with the earth, a sample of the image is placed
by bisection of the look angle in the plane of zero Doppler, and PROJ turns coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.interpolate import RectBivariateSpline

Array = NDArray[np.float64]

GRAVITY = 3.986004418e14
EARTH_RATE = 7.2921159e-5
RADIUS = 6378137.0 + 628e3
INCLINATION = np.radians(97.9)

TO_GEODETIC = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
TO_EARTH = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)


@dataclass(frozen=True)
class CircularOrbit:
    """Times count in seconds from the middle of the scene."""

    node: float
    """Longitude of the ascending node at time 0, rad."""
    argument: float
    """Angle from the node along the orbit at time 0, rad."""

    def at(self, time: Array) -> tuple[Array, Array]:
        """Return earth-fixed positions and velocities, (..., 3)."""
        time = np.asarray(time, dtype=float)
        rate = np.sqrt(GRAVITY / RADIUS**3)
        angle, turned = self.argument + rate * time, self.node - EARTH_RATE * time
        cos_i, sin_i = np.cos(INCLINATION), np.sin(INCLINATION)
        x, y = np.cos(angle), np.sin(angle) * cos_i
        dx, dy = -np.sin(angle) * rate, np.cos(angle) * rate * cos_i
        c, s = np.cos(turned), np.sin(turned)
        position = np.stack([c * x - s * y, s * x + c * y, np.sin(angle) * sin_i], axis=-1)
        velocity = np.stack(
            [
                c * dx - s * dy + EARTH_RATE * (s * x + c * y),
                s * dx + c * dy - EARTH_RATE * (c * x - s * y),
                np.cos(angle) * rate * sin_i,
            ],
            axis=-1,
        )
        return RADIUS * position, RADIUS * velocity


def place(orbit: CircularOrbit, time: Array, slant_range: Array, height: Array | float) -> tuple[Array, Array]:
    """Return longitude and latitude, degrees, of what is seen to the right at zero Doppler at a height in m."""
    time, slant_range, height = np.broadcast_arrays(time, slant_range, height)
    position, velocity = orbit.at(time)
    along = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    down = -position + np.sum(position * along, axis=-1, keepdims=True) * along
    down /= np.linalg.norm(down, axis=-1, keepdims=True)
    right = np.cross(along, -down)
    low, high = np.full(time.shape, np.radians(5.0)), np.full(time.shape, np.radians(60.0))
    for _ in range(50):
        look = (low + high) / 2
        sight = np.cos(look)[..., np.newaxis] * down + np.sin(look)[..., np.newaxis] * right
        point = position + slant_range[..., np.newaxis] * sight
        longitude, latitude, above = TO_GEODETIC.transform(point[..., 0], point[..., 1], point[..., 2])
        too_high = above > height
        low, high = np.where(too_high, low, look), np.where(too_high, look, high)
    return np.asarray(longitude), np.asarray(latitude)


def incidence(orbit: CircularOrbit, time: float, longitude: float, latitude: float) -> float:
    """Return the angle on the ellipsoid in degrees under which a place is seen at a time."""
    point, above = (np.array(TO_EARTH.transform(longitude, latitude, h)) for h in (0.0, 1000.0))
    sight, normal = orbit.at(np.array(time))[0] - point, above - point
    cosine = sight @ normal / np.linalg.norm(sight) / np.linalg.norm(normal)
    return float(np.degrees(np.arccos(cosine)))


def spline_of(function: Callable[[Array, Array], tuple[Array, Array]], x: Array, y: Array) -> Callable[..., Array]:
    """Return a fast stand-in of a smooth function of two variables, exact to far below a millimetre of ground."""
    values = function(*np.meshgrid(x, y, indexing="ij"))
    splines = [RectBivariateSpline(x, y, one) for one in values]
    return lambda one, other: np.stack([spline.ev(one, other) for spline in splines])
