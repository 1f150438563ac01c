"""Passes over the invented ground: the day's soil moisture, the radar's view of it, noise, speckle, digital numbers."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from escape_process.errors import InvalidInputError
from escape_process.physics import oh2004, water_cloud
from escape_process.physics.radiometry import CALIBRATION_FACTOR_DB, dn_from_power, ks_from_rms_height, linear_from_db
from escape_process.physics.speckle import gamma_speckle
from escape_process.records import Grid
from escape_process.simulate.ground import Float32Array, Ground, make_ground, random_generator, smooth_field

POLARIZATIONS = ("HH", "HV", "VH", "VV")

NODATA, VALID, LAYOVER, SHADOW, WATER = 0, 1, 2, 3, 4
"""Values of the mask, as in analysis-ready PALSAR-2 products."""

SCATTERING = {"HH": 0.07, "HV": 0.015, "VV": 0.08}
"""Median of the canopy's scattering coefficient a, linear."""
ATTENUATION = {"HH": 0.25, "HV": 0.3, "VV": 0.3}
"""Median of the canopy's attenuation coefficient b."""
COEFFICIENT_SDS = (0.25, 0.12, 0.04)
"""Standard deviations of the logarithm of both: what a season's polarizations share, each one's own, and what changes
from one pass of the season to the next."""

WATER_DB = {"HH": -24.0, "HV": -37.0, "VV": -22.0}
LAYOVER_GAIN = 4.0
"""Slopes folded onto each other add up."""
SWATH_EDGE = 0.95
"""Share of the range across the grid where the swath ends: the far corner has no data."""

BLOCK_ROWS = 512
"""Rows computed at a time, which bounds memory."""


@dataclass(frozen=True)
class Sensor:
    """An invented sensor and its view; the defaults resemble PALSAR-2's full-polarimetric 6 m mode at 25 m."""

    frequency: float = 1.2365e9
    """Hz, 1e9 to 2e9."""
    looks: float = 28.0
    """Equivalent number of looks of a pixel, >= 1; pixels are independent."""
    incidence_deg: tuple[float, float] = (28.0, 34.0)
    """Ellipsoid incidence angle at the near and far end of the grid, degrees, 10 to 60."""
    look_azimuth_deg: float = 80.0
    """Direction in which the radar looks, clockwise from north: 80 for an ascending, 280 for a descending pass that
    looks right."""
    noise_floor_db: float = -35.0
    """Noise-equivalent sigma0 of every channel, dB."""
    calibration_sd_db: float = 0.4
    """Standard deviation of the gain that all channels of a pass share, dB."""
    channel_sd_db: float = 0.1
    """The same, of each channel's own."""

    def __post_init__(self) -> None:
        near, far = self.incidence_deg
        if not 1e9 <= self.frequency <= 2e9:
            raise InvalidInputError(f"frequency = {self.frequency:g} Hz is not L-band (1e9 to 2e9).")
        if not self.looks >= 1:
            raise InvalidInputError(f"looks = {self.looks:g}: a pixel has at least one look.")
        if not 10 <= near < far <= 60:
            raise InvalidInputError(
                f"incidence_deg = {near:g}, {far:g}: needs two rising angles between 10 and 60 degrees."
            )

    @property
    def ascending(self) -> bool:
        """Whether a right-looking pass with this view goes north."""
        return self.look_azimuth_deg % 360 < 180


@dataclass(frozen=True, eq=False)
class Truth:
    """What a retrieval should find. Arrays are (y, x), NaN where there is no soil to see (lake, layover, no data)."""

    soil_moisture: Float32Array
    """m3 m-3."""
    rms_height: Float32Array
    """m."""
    vegetation: Float32Array
    """Descriptor V, dimensionless; only its product with the pass's coefficients can be observed."""
    scattering: Mapping[str, float]
    """Water-cloud coefficient a by polarization (HH, HV, VV)."""
    attenuation: Mapping[str, float]
    """Water-cloud coefficient b by polarization."""
    gain_db: Mapping[str, float]
    """Calibration error by channel (HH, HV, VH, VV), dB: observed minus true."""
    wetness: float
    """Relative wetness of the region on that day, 0 to 1."""


@dataclass(frozen=True, eq=False)
class SimulatedScene:
    """One pass as an analyst receives it, and its truth. Arrays are (y, x)."""

    datetime: dt.datetime
    grid: Grid
    sensor: Sensor
    seed: int
    dn: Mapping[str, NDArray[np.uint16]]
    """By polarization: sigma0_db = 20 log10(DN) - 83; 0 where there is no data."""
    incidence_angle: Float32Array
    """rad, local."""
    mask: NDArray[np.uint8]
    truth: Truth = field(repr=False)


def _soil_moisture(ground: Ground, wetness: float, date: str) -> Float32Array:
    """Wet a region's soils to a relative wetness; showers and irrigation differ from date to date."""
    rng = random_generator(ground.seed, "weather", date)
    shower = 0.45 * smooth_field(ground.grid, 1000, rng) + 0.15 * smooth_field(ground.grid, 150, rng)
    tended = 0.35 * rng.standard_normal(ground.parcels) + 1.8 * (rng.random(ground.parcels) < 0.08)
    anomaly = ground.wetness_anomaly + shower + tended[ground.parcel]
    share = 1 / (1 + (1 - wetness) / wetness * np.exp(-anomaly))
    driest = 0.03 + 0.05 * ground.clay
    wettest = 0.29 + 0.15 * ground.clay
    return np.asarray(driest + (wettest - driest) * share, dtype=np.float32)


def wetness_of_dates(dates: Sequence[dt.datetime], seed: int) -> tuple[float, ...]:
    """Draw the region's relative wetness (0 to 1) on dates in order: rain every nine days or so, then dry-down."""
    rng = random_generator(seed, "rain")
    days = [(date - dates[0]).total_seconds() / 86400 for date in dates]
    rain = np.cumsum(rng.exponential(9.0, size=int(days[-1] / 3) + 20)) - 20
    sizes = rng.uniform(0.3, 0.8, rain.size)
    values = []
    for day in days:
        store = sum(size * np.exp((at - day) / 10) for at, size in zip(rain, sizes, strict=True) if at <= day)
        values.append(float(np.clip(0.12 + store, 0.12, 0.9)))
    return tuple(values)


def _view(ground: Ground, sensor: Sensor) -> tuple[Float32Array, NDArray[np.uint8]]:
    """Return the local incidence angle (rad) and the mask that the geometry gives."""
    grid = ground.grid
    azimuth = np.radians(sensor.look_azimuth_deg)
    east = (np.arange(grid.width, dtype=np.float32) + 0.5)[None, :] * grid.transform.a
    north = -(np.arange(grid.height, dtype=np.float32) + 0.5)[:, None] * -grid.transform.e
    ground_range = east * np.sin(azimuth) + north * np.cos(azimuth)
    share = (ground_range - ground_range.min()) / np.ptp(ground_range)
    near, far = np.radians(sensor.incidence_deg)
    angle = near + (far - near) * share
    slope_south, slope_east = np.gradient(ground.elevation, -grid.transform.e, grid.transform.a)
    towards = -(slope_east * np.sin(azimuth) - slope_south * np.cos(azimuth))  # rise per metre towards the sensor
    normal = np.sqrt(1 + slope_east**2 + slope_south**2)
    local = np.arccos(np.clip((np.cos(angle) - towards * np.sin(angle)) / normal, -1, 1))
    mask = np.full(grid.shape, VALID, dtype=np.uint8)
    mask[ground.lake] = WATER
    mask[-towards > np.tan(angle)] = LAYOVER
    mask[share > SWATH_EDGE] = NODATA
    return local.astype(np.float32), mask


def coherent_pair(
    coherence: NDArray[np.float64], looks: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the multilooked speckle of two channels whose complex signals are correlated.

    Parameters
    ----------
    coherence
        Modulus of the complex correlation, 0 to 1, any shape.
    looks
        Number of looks L, >= 1.

    Returns
    -------
    Two arrays of mean 1, each gamma distributed with shape L, whose correlation is coherence squared.

    Notes
    -----
    Given the first channel's power, the second's is a noncentral chi-squared with 2 L degrees of freedom: the
    conditional of the complex Wishart distribution (Lee et al., 1994, doi:10.1109/36.312890).
    """
    first = gamma_speckle(np.ones(coherence.shape), looks, rng)
    shared = np.minimum(coherence, 1 - 1e-6) ** 2
    spread = (1 - shared) / (2 * looks)
    second = spread * rng.noncentral_chisquare(2 * looks, shared * first / spread)
    return first, second


def _digital_numbers(power: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.clip(np.rint(dn_from_power(power, CALIBRATION_FACTOR_DB)), 1, 65535).astype(np.uint16)


def _observe(
    ground: Ground,
    sensor: Sensor,
    *,
    soil_moisture: Float32Array,
    vegetation: Float32Array,
    angle: Float32Array,
    mask: NDArray[np.uint8],
    truth: Truth,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.uint16]]:
    noise = float(linear_from_db(sensor.noise_floor_db))
    gain = {channel: float(linear_from_db(truth.gain_db[channel])) for channel in POLARIZATIONS}
    dn = {channel: np.zeros(ground.grid.shape, dtype=np.uint16) for channel in POLARIZATIONS}
    for top in range(0, ground.grid.height, BLOCK_ROWS):
        rows = slice(top, top + BLOCK_ROWS)
        theta = np.clip(angle[rows].astype(np.float64), np.radians(5), np.radians(80))
        ks = ks_from_rms_height(ground.rms_height[rows].astype(np.float64), sensor.frequency)
        signal = {}
        for name, soil in zip(("HH", "HV", "VV"), oh2004(soil_moisture[rows], ks, theta), strict=True):
            power = water_cloud(soil, vegetation[rows], theta, truth.scattering[name], truth.attenuation[name])
            power = np.where(mask[rows] == WATER, linear_from_db(WATER_DB[name]), power)
            signal[name] = np.where(mask[rows] == LAYOVER, LAYOVER_GAIN * power, power)
        for name in ("HH", "VV"):
            dn[name][rows] = _digital_numbers(gamma_speckle(gain[name] * signal[name] + noise, sensor.looks, rng))
        # Reciprocity: HV and VH are one signal, each with its own thermal noise.
        hv, vh = gain["HV"] * signal["HV"], gain["VH"] * signal["HV"]
        coherence = np.sqrt(hv * vh / ((hv + noise) * (vh + noise)))
        speckle = coherent_pair(coherence, sensor.looks, rng)
        dn["HV"][rows] = _digital_numbers((hv + noise) * speckle[0])
        dn["VH"][rows] = _digital_numbers((vh + noise) * speckle[1])
    for values in dn.values():
        values[mask == NODATA] = 0
    return dn


def _coefficients(medians: Mapping[str, float], seed: int, purpose: str, date: str) -> dict[str, float]:
    shared_sd, own_sd, pass_sd = COEFFICIENT_SDS
    season, single = random_generator(seed, purpose), random_generator(seed, purpose, date)
    shared = shared_sd * season.standard_normal()
    return {
        name: float(median * np.exp(shared + own_sd * season.standard_normal() + pass_sd * single.standard_normal()))
        for name, median in medians.items()
    }


def _gains(seed: int, date: str, sensor: Sensor) -> dict[str, float]:
    rng = random_generator(seed, "calibration", date)
    common = sensor.calibration_sd_db * rng.standard_normal()
    return {name: float(common + sensor.channel_sd_db * rng.standard_normal()) for name in POLARIZATIONS}


def simulate_season(
    grid: Grid,
    dates: Sequence[dt.datetime],
    *,
    seed: int = 0,
    wetness: Sequence[float] | None = None,
    sensor: Sensor | None = None,
) -> Iterator[SimulatedScene]:
    """Simulate passes of one relative orbit over the same ground, one after the other.

    Soil moisture is free from date to date (rain and dry-down, irrigated fields), roughness constant, vegetation grows
    slowly. Water-cloud coefficients are drawn once a season and vary a little by pass; each pass has its calibration
    error.

    Parameters
    ----------
    grid
        A grid in metres, such as `utm_grid` gives.
    dates
        Times of the passes, rising, with a time zone.
    seed
        >= 0; the same arguments give the same scenes.
    wetness
        Relative wetness of the region on each date, between 0 and 1, both excluded. Default: drawn.
    sensor
        Default: `Sensor()`.

    Raises
    ------
    InvalidInputError
        naming the argument and its value.
    """
    sensor = Sensor() if sensor is None else sensor
    if not dates or any(date.tzinfo is None for date in dates):
        raise InvalidInputError("dates needs at least one time, each with a time zone.")
    if any(later <= earlier for earlier, later in pairwise(dates)):
        raise InvalidInputError("dates must rise from one to the next.")
    ground = make_ground(grid, seed)
    wetness = wetness_of_dates(dates, seed) if wetness is None else wetness
    if len(wetness) != len(dates):
        raise InvalidInputError(f"wetness has {len(wetness)} values for {len(dates)} dates.")
    if not all(0 < value < 1 for value in wetness):
        raise InvalidInputError(f"wetness = {list(wetness)}: each must lie between 0 and 1.")
    return (
        _simulate_pass(ground, date, value, sensor, (date - dates[0]).total_seconds() / 86400)
        for date, value in zip(dates, wetness, strict=True)
    )


def _simulate_pass(ground: Ground, date: dt.datetime, wetness: float, sensor: Sensor, day: float) -> SimulatedScene:
    key = date.astimezone(dt.UTC).isoformat()
    angle, mask = _view(ground, sensor)
    moisture = _soil_moisture(ground, wetness, key)
    vegetation = ground.vegetation * (1 + ground.growth * np.float32(day))
    soil = mask == VALID
    truth = Truth(
        soil_moisture=np.where(soil, moisture, np.float32(np.nan)),
        rms_height=np.where(soil, ground.rms_height, np.float32(np.nan)),
        vegetation=np.where(soil, vegetation, np.float32(np.nan)),
        scattering=_coefficients(SCATTERING, ground.seed, "scattering", key),
        attenuation=_coefficients(ATTENUATION, ground.seed, "attenuation", key),
        gain_db=_gains(ground.seed, key, sensor),
        wetness=float(wetness),
    )
    rng = random_generator(ground.seed, "speckle", key)
    dn = _observe(
        ground,
        sensor,
        soil_moisture=moisture,
        vegetation=vegetation,
        angle=angle,
        mask=mask,
        truth=truth,
        rng=rng,
    )
    return SimulatedScene(date, ground.grid, sensor, ground.seed, dn, angle, mask, truth)


def simulate_scene(
    grid: Grid, date: dt.datetime, *, seed: int = 0, wetness: float = 0.45, sensor: Sensor | None = None
) -> SimulatedScene:
    """Simulate one pass; arguments as of `simulate_season`."""
    return next(simulate_season(grid, [date], seed=seed, wetness=[wetness], sensor=sensor))
