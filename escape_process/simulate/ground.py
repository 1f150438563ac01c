"""The invented ground: parcels of fields, soil, roughness, crops, relief, a lake. Everything but the day's weather."""

import zlib
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from escape_process.errors import InvalidInputError
from escape_process.records import Grid

Float32Array = NDArray[np.float32]

MIN_SIZE, MAX_SIZE = 16, 20_000
"""Pixels along one side of a scene."""

REGION_SIZE = 2200.0
"""Mean distance in metres of village territories; fields of one share their orientation."""
STRIP_WIDTHS = (150.0, 330.0)
"""Metres across the strips that a territory is split into."""
FIELD_LENGTHS = (180.0, 420.0)
"""Metres along a strip."""

CROP_SHARES = (0.18, 0.42, 0.28, 0.12)
"""Fallow, short, medium and dense vegetation."""
CROP_RANGES = ((0.0, 0.12), (0.18, 0.55), (0.5, 1.0), (1.0, 1.7))
"""Vegetation descriptor V on the first day, dimensionless, of each."""


def random_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a generator that depends on the seed and on what it is for, not on what was drawn before."""
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in purpose]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def utm_grid(longitude: float, latitude: float, width: int = 384, height: int = 384, pixel_size: float = 25.0) -> Grid:
    """Return a UTM grid centred near a place.

    Parameters
    ----------
    longitude, latitude
        Degrees, CRS84; latitude within -80 to 84, where UTM is defined.
    width, height
        Pixels, 16 to 20000.
    pixel_size
        Metres, 1 to 1000. The corner lies on a multiple of four pixels, so that coarser grids nest.

    Raises
    ------
    InvalidInputError
        naming the argument that lies outside its range.
    """
    if not (-180 <= longitude <= 180 and -80 <= latitude <= 84):
        raise InvalidInputError(
            f"A UTM grid needs a longitude of -180 to 180 and a latitude of -80 to 84, not {longitude:g}, {latitude:g}."
        )
    for name, size in (("width", width), ("height", height)):
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise InvalidInputError(f"{name} = {size}: a scene has {MIN_SIZE} to {MAX_SIZE} pixels along each side.")
    if not 1 <= pixel_size <= 1000:
        raise InvalidInputError(f"pixel_size = {pixel_size:g}: it must lie between 1 and 1000 m.")
    zone = min(int((longitude + 180) // 6) + 1, 60)
    crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    x, y = Transformer.from_crs("OGC:CRS84", crs, always_xy=True).transform(longitude, latitude)
    snap = 4 * pixel_size
    left = round((x - width * pixel_size / 2) / snap) * snap
    top = round((y + height * pixel_size / 2) / snap) * snap
    return Grid(crs, Affine(pixel_size, 0, left, 0, -pixel_size, top), width, height)


@dataclass(frozen=True, eq=False)
class Ground:
    """What stays the same over a season. Arrays are (y, x)."""

    grid: Grid
    seed: int
    parcel: NDArray[np.int32]
    """Number of the field, from 0."""
    rms_height: Float32Array
    """m; effective, as the bare-soil model wants it."""
    clay: Float32Array
    """0 for sand to 1 for clay; sets how much water the soil holds."""
    vegetation: Float32Array
    """Descriptor V on day 0, dimensionless."""
    growth: Float32Array
    """Relative growth of V per day."""
    wetness_anomaly: Float32Array
    """Lasting deviation of the wetness from the region's, on the logit scale."""
    elevation: Float32Array
    """m."""
    lake: NDArray[np.bool_]

    @property
    def parcels(self) -> int:
        """Number of fields."""
        return int(self.parcel.max()) + 1


def smooth_field(grid: Grid, length: float, rng: np.random.Generator) -> Float32Array:
    """Draw a Gaussian random field of unit variance: white noise on a coarse lattice under a Gaussian kernel.

    `length` is the kernel's standard deviation in metres; values are uncorrelated beyond about three of them.
    """
    weights = []
    for size, step in ((grid.height, -grid.transform.e), (grid.width, grid.transform.a)):
        nodes = np.arange(-3 * length, size * step + 4 * length, length)
        distance = (np.arange(size) + 0.5)[:, None] * step - nodes[None, :]
        kernel = np.exp(-0.5 * (distance / length) ** 2)
        weights.append(kernel / np.linalg.norm(kernel, axis=1, keepdims=True))
    noise = rng.standard_normal((weights[0].shape[1], weights[1].shape[1]))
    return np.asarray(weights[0] @ noise @ weights[1].T, dtype=np.float32)


def _positions(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres east (1, x) and north (y, 1) of the lower left corner, at pixel centres."""
    east = (np.arange(grid.width) + 0.5) * grid.transform.a
    north = (grid.height - np.arange(grid.height) - 0.5) * -grid.transform.e
    return east[None, :].astype(np.float64), north[:, None].astype(np.float64)


def _regions(grid: Grid, rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Split the grid into the Voronoi cells of a jittered lattice; return each pixel's cell and the cells' seeds."""
    east, north = _positions(grid)
    columns = int(np.ceil(grid.width * grid.transform.a / REGION_SIZE)) + 4
    rows = int(np.ceil(grid.height * -grid.transform.e / REGION_SIZE)) + 4
    lattice = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    seeds = ((lattice + rng.uniform(0.1, 0.9, lattice.shape) - 2) * REGION_SIZE).reshape(-1, 2)
    row = np.floor(north / REGION_SIZE).astype(np.int32) + 2
    column = np.floor(east / REGION_SIZE).astype(np.int32) + 2
    best = np.full(grid.shape, np.inf, dtype=np.float32)
    region = np.zeros(grid.shape, dtype=np.int32)
    for down in (-2, -1, 0, 1, 2):
        for right in (-2, -1, 0, 1, 2):
            candidate = np.clip(row + down, 0, rows - 1) * columns + np.clip(column + right, 0, columns - 1)
            distance = (north - seeds[candidate, 0]) ** 2 + (east - seeds[candidate, 1]) ** 2
            nearer = distance < best
            best = np.where(nearer, distance, best).astype(np.float32)
            region = np.where(nearer, candidate, region).astype(np.int32)
    return region, seeds


def make_parcels(grid: Grid, rng: np.random.Generator) -> NDArray[np.int32]:
    """Number the fields: territories of own orientation, split into strips, each strip split into fields."""
    region, seeds = _regions(grid, rng)
    east, north = _positions(grid)
    angle = rng.uniform(0, np.pi, len(seeds))[region]
    across = (east - seeds[region, 1]) * np.cos(angle) + (north - seeds[region, 0]) * np.sin(angle)
    along = (north - seeds[region, 0]) * np.cos(angle) - (east - seeds[region, 1]) * np.sin(angle)
    across += 40 * smooth_field(grid, 600, rng)  # boundaries follow the land a little
    reach = 2 * REGION_SIZE
    strip_width = rng.uniform(*STRIP_WIDTHS, len(seeds))
    strips = int(2 * reach / STRIP_WIDTHS[0]) + 2
    strip = np.clip(np.floor((across + reach) / strip_width[region]), 0, strips - 1).astype(np.int32)
    length = rng.uniform(*FIELD_LENGTHS, (len(seeds), strips))[region, strip]
    start = rng.uniform(0, FIELD_LENGTHS[1], (len(seeds), strips))[region, strip]
    fields = int((2 * reach + FIELD_LENGTHS[1]) / FIELD_LENGTHS[0]) + 2
    field = np.clip(np.floor((along + reach + start) / length), 0, fields - 1).astype(np.int64)
    key = (region.astype(np.int64) * strips + strip) * fields + field
    _, number = np.unique(key, return_inverse=True)
    return number.reshape(grid.shape).astype(np.int32)


def _relief(grid: Grid, corner: tuple[float, float], rng: np.random.Generator) -> Float32Array:
    """Gentle hills and one ridge, about north-south, whose flanks are steep enough for layover."""
    east, north = _positions(grid)
    width, height = grid.width * grid.transform.a, grid.height * -grid.transform.e
    hills = 9 * smooth_field(grid, 900, rng) + 3 * smooth_field(grid, 350, rng)
    size = min(1.0, min(width, height) / 6000)
    steepness = 130 * size
    x, y = east - corner[0] * width, north - corner[1] * height
    tilt = rng.uniform(-0.15, 0.15)
    bend = x - tilt * y - 60 * size * np.sin(y / (300 * size))
    ridge = 210 * size * np.exp(-0.5 * (bend / steepness) ** 2 - (y / (520 * size)) ** 4)
    return (700 + hills + ridge).astype(np.float32)


def _lake(grid: Grid, corner: tuple[float, float], rng: np.random.Generator) -> NDArray[np.bool_]:
    east, north = _positions(grid)
    width, height = grid.width * grid.transform.a, grid.height * -grid.transform.e
    x, y = east - corner[0] * width, north - corner[1] * height
    bearing = np.arctan2(y, x)
    shore = 1 + sum(
        amplitude * np.cos(order * bearing + rng.uniform(0, 2 * np.pi))
        for order, amplitude in ((2, 0.28), (3, 0.16), (5, 0.07))
    )
    return np.asarray(np.hypot(x, y) < min(480.0, min(width, height) / 12) * shore)


def make_ground(grid: Grid, seed: int) -> Ground:
    """Invent the ground of a scene or season.

    Parameters
    ----------
    grid
        A grid in metres, such as `utm_grid` gives.
    seed
        >= 0; the same seed and grid give the same ground.

    Raises
    ------
    InvalidInputError
        for a negative seed.
    """
    if seed < 0:
        raise InvalidInputError(f"seed = {seed}: it must not be negative.")
    parcel = make_parcels(grid, random_generator(seed, "parcels"))
    count = int(parcel.max()) + 1
    rng = random_generator(seed, "fields")
    rms_height = np.exp(np.log(0.012) + 0.4 * rng.standard_normal(count))
    crop = rng.choice(len(CROP_SHARES), size=count, p=CROP_SHARES)
    low, high = np.array(CROP_RANGES).T
    vegetation = rng.uniform(low[crop], high[crop])
    growth = rng.uniform(0, 0.009, count)
    clay_anomaly = 0.5 * rng.standard_normal(count)
    wetness_anomaly = 1.1 * rng.standard_normal(count)

    rng = random_generator(seed, "texture")
    within = {
        name: smooth_field(grid, length, rng)
        for name, length in (("roughness", 120), ("vegetation", 90), ("wetness", 250), ("clay", 1500))
    }
    roughness = np.clip(rms_height[parcel] * np.exp(0.08 * within["roughness"]), 0.004, 0.04)
    clay = 1 / (1 + np.exp(-1.2 * within["clay"] - clay_anomaly[parcel]))
    rng = random_generator(seed, "landmarks")
    corner = rng.uniform(0.2, 0.3, 2) + 0.5 * rng.integers(0, 2, 2)
    elevation = _relief(grid, (1 - corner[0], 1 - corner[1]), rng)
    return Ground(
        grid=grid,
        seed=seed,
        parcel=parcel,
        rms_height=roughness.astype(np.float32),
        clay=clay.astype(np.float32),
        vegetation=(vegetation[parcel] * np.exp(0.15 * within["vegetation"])).astype(np.float32),
        growth=growth[parcel].astype(np.float32),
        wetness_anomaly=(wetness_anomaly[parcel] + 0.35 * within["wetness"]).astype(np.float32),
        elevation=elevation,
        lake=_lake(grid, (corner[0], corner[1]), rng),
    )
