"""Simulated scenes with known truth: made by the retrieval's own forward model, or by one that departs from it.

Each scene draws its own water-cloud coefficients and calibration offsets, which the retrieval is not told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from escape_process.physics import oh2004, two_way_transmissivity, water_cloud
from escape_process.physics.radiometry import ks_from_rms_height
from escape_process.physics.speckle import gamma_speckle

Array = NDArray[np.float64]

FREQUENCY = 1.2365e9
"""Hz."""
MOISTURE_LIMITS = (0.02, 0.55)
"""m3 m-3, where the normal distribution of soil moisture is cut off."""
ROUGHNESS_SPREAD = 0.4
"""Standard deviation of log rms height."""
VEGETATION_SPREAD = 0.8
"""Standard deviation of log V."""
FALLOW_FACTOR = 0.05
"""Vegetation of fallow pixels, relative to the others'."""
ANGLES_DEG = (28.0, 40.0)
A_MEDIAN = np.array([0.08, 0.01, 0.08])
B_MEDIAN = np.array([0.25, 0.25, 0.25])


@dataclass(frozen=True)
class Scenario:
    """What a kind of scene is like."""

    name: str
    looks: float = 300.0
    moisture: tuple[float, float] = (0.22, 0.09)
    """Mean and standard deviation of soil moisture, m3 m-3, before the cut-off."""
    height_median: float = 0.012
    """m."""
    vegetation_median: float = 0.5
    fallow_share: float = 0.2
    departure: str | None = None
    """Key of `DEPARTURES`: how nature differs from the forward model."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Observed powers and what is behind them; arrays of (N,) unless stated."""

    scenario: Scenario
    power: Array
    """(3, N), linear, HH, HV, VV."""
    incidence_angle: Array
    """rad."""
    soil_moisture: Array
    a: Array
    """(3,)."""
    b: Array
    """(3,)."""
    offset_db: Array
    """(3,)."""
    place: NDArray[np.int64] | None = field(default=None)
    time: NDArray[np.datetime64] | None = field(default=None)

    def arguments(self) -> dict[str, object]:
        """Arguments of `escape_process.retrieve`: what the retrieval is told."""
        return {
            "hh": self.power[0],
            "hv": self.power[1],
            "vv": self.power[2],
            "incidence_angle": self.incidence_angle,
            "frequency": FREQUENCY,
            "looks": self.scenario.looks,
        }


@dataclass(frozen=True, eq=False)
class State:
    """What the forward model is given; (N,) each."""

    soil_moisture: Array
    rms_height: Array
    vegetation: Array
    angle: Array


def soil_of(state: State) -> Array:
    """Bare-soil sigma0, (3, N)."""
    return np.stack(oh2004(state.soil_moisture, ks_from_rms_height(state.rms_height, FREQUENCY), state.angle))


def expected_power(state: State, a: Array, b: Array) -> Array:
    """Sigma0 of the retrieval's own forward model, (3, N)."""
    return np.asarray(water_cloud(soil_of(state), state.vegetation, state.angle, a[:, None], b[:, None]))


def _smooth(angle: Array, rng: np.random.Generator, sd: float) -> Array:
    """A random function of the incidence angle of given standard deviation: neighbours in range share it."""
    position = (angle - angle.min()) / max(np.ptp(angle), 1e-9)
    waves = np.stack([np.cos(np.pi * order * position) for order in range(1, 4)])
    return sd * np.sqrt(2 / 3) * rng.normal(size=3) @ waves


def _calibration_error(state: State, a: Array, b: Array, rng: np.random.Generator) -> Array:
    common = _smooth(state.angle, rng, 0.5)
    error_db = np.stack([common + _smooth(state.angle, rng, 0.3) for _ in range(3)])
    return expected_power(state, a, b) * 10 ** (error_db / 10)


def _double_bounce(state: State, a: Array, b: Array, rng: np.random.Generator) -> Array:
    del rng
    strength = np.array([0.02, 0.001, 0.006])[:, None]
    reflectivity = (state.soil_moisture / 0.22) ** 0.7
    through = two_way_transmissivity(state.vegetation, state.angle, b[:, None])
    return expected_power(state, a, b) + strength * state.vegetation * reflectivity * through


def _roughness_offset(state: State, a: Array, b: Array, rng: np.random.Generator) -> Array:
    del rng
    log_height = np.log(state.rms_height) - np.log(np.median(state.rms_height))
    error_db = np.array([1.5, 3.0, 1.5])[:, None] * log_height
    soil = soil_of(state) * 10 ** (error_db / 10)
    return np.asarray(water_cloud(soil, state.vegetation, state.angle, a[:, None], b[:, None]))


def _vegetation_geometry(state: State, a: Array, b: Array, rng: np.random.Generator) -> Array:
    depth = state.vegetation * np.exp(rng.normal(0, 0.3, state.vegetation.size))
    upright = np.stack([np.ones_like(state.angle), np.ones_like(state.angle), 1 + np.sin(state.angle) ** 2])
    through = two_way_transmissivity(depth * upright, state.angle, b[:, None])
    return a[:, None] * state.vegetation**0.6 * (1 - through) + through * soil_of(state)


DEPARTURES: dict[str, Callable[[State, Array, Array, np.random.Generator], Array]] = {
    "calibration error": _calibration_error,
    "double bounce": _double_bounce,
    "roughness-dependent offset": _roughness_offset,
    "vegetation geometry": _vegetation_geometry,
}
"""Powers (3, N) of a state, coefficients and random numbers under each departure from the forward model."""
DEPARTURE_TEXTS = {
    "calibration error": "gain errors that vary smoothly across the swath: sd .5 dB common to the channels, .3 dB own",
    "double bounce": "a soil-stalk term, strongest in HH (about +1.5 dB at V = .5, more above)",
    "roughness-dependent offset": "soil power off by 1.5 dB (HV 3 dB) per unit of log rms height",
    "vegetation geometry": "volume power as V^.6 without cos(theta); attenuation by another, correlated"
    " descriptor (log sd .3), stronger in VV with the angle",
}

STANDARD = Scenario("standard")
SCENARIOS = (
    STANDARD,
    Scenario("30 looks", looks=30),
    Scenario("100 looks", looks=100),
    Scenario("1000 looks", looks=1000),
    Scenario("bare", vegetation_median=0.02, fallow_share=0.0),
    Scenario("sparse", vegetation_median=0.15, fallow_share=0.0),
    Scenario("dense", vegetation_median=1.2, fallow_share=0.0),
    Scenario("dry", moisture=(0.10, 0.04)),
    Scenario("wet", moisture=(0.35, 0.04)),
    Scenario("half the roughness", height_median=0.006),
    Scenario("twice the roughness", height_median=0.024),
    *(Scenario(name, departure=name) for name in DEPARTURES),
)
"""The first eleven obey the forward model."""


def truncated_normal(mean: float, sd: float, count: int, rng: np.random.Generator) -> Array:
    """Draw from a normal distribution cut off at `MOISTURE_LIMITS`."""
    values = rng.normal(mean, sd, count)
    while (outside := (values < MOISTURE_LIMITS[0]) | (values > MOISTURE_LIMITS[1])).any():
        values[outside] = rng.normal(mean, sd, int(outside.sum()))
    return values


def draw_state(scenario: Scenario, count: int, rng: np.random.Generator) -> State:
    """Draw independent pixels of a scenario."""
    fallow = np.where(rng.random(count) < scenario.fallow_share, FALLOW_FACTOR, 1.0)
    return State(
        soil_moisture=truncated_normal(*scenario.moisture, count, rng),
        rms_height=scenario.height_median * np.exp(rng.normal(0, ROUGHNESS_SPREAD, count)),
        vegetation=scenario.vegetation_median * fallow * np.exp(rng.normal(0, VEGETATION_SPREAD, count)),
        angle=np.radians(rng.uniform(*ANGLES_DEG, count)),
    )


def draw_coefficients(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw a scene's water-cloud coefficients A and B and its channel offsets in dB, (3,) each."""
    a, b = A_MEDIAN * np.exp(rng.normal(0, 0.5, 3)), B_MEDIAN * np.exp(rng.normal(0, 0.5, 3))
    return a, b, rng.normal(0, 0.2, 3) + rng.normal(0, 0.3)


def observe(scenario: Scenario, state: State, rng: np.random.Generator) -> Scene:
    """Draw the scene's coefficients and offsets, and pass its state through the forward model and speckle."""
    a, b, offset_db = draw_coefficients(rng)
    if scenario.departure is None:
        clean = expected_power(state, a, b)
    else:
        clean = DEPARTURES[scenario.departure](state, a, b, rng)
    power = gamma_speckle(clean * 10 ** (offset_db[:, None] / 10), scenario.looks, rng)
    return Scene(scenario, power, state.angle, state.soil_moisture, a, b, offset_db)


def simulate(scenario: Scenario, seed: int, count: int) -> Scene:
    """Simulate one scene. Scenes of one seed share their random numbers across scenarios as far as they can."""
    rng = np.random.default_rng([20260801, seed])
    return observe(scenario, draw_state(scenario, count, rng), rng)


SEASON_DATES = 8
SEASON_STEP_DAYS = 14


def simulate_season(seed: int, places: int) -> Scene:
    """Simulate the standard scenario on several dates over the same ground.

    Soil moisture has parts of the place (sd .05), the date (.055) and both (.05), so that it varies as in the standard
    scenario. Roughness and vegetation start as there and follow random walks (sd .1 and .2 of the logarithm in a
    step of 14 days); one place in ten is tilled once, which draws its roughness anew.
    """
    rng = np.random.default_rng([20260802, seed])
    first = draw_state(STANDARD, places, rng)
    shape = (SEASON_DATES, places)
    mean, _ = STANDARD.moisture
    moisture = mean + rng.normal(0, 0.05, places) + rng.normal(0, 0.055, (SEASON_DATES, 1)) + rng.normal(0, 0.05, shape)
    steps = np.concatenate([np.zeros((1, places)), rng.normal(0, 0.1, (SEASON_DATES - 1, places))])
    height = first.rms_height * np.exp(np.cumsum(steps, axis=0))
    tilled = np.where(rng.random(places) < 0.1, rng.integers(1, SEASON_DATES, places), SEASON_DATES)
    anew = STANDARD.height_median * np.exp(rng.normal(0, ROUGHNESS_SPREAD, places))
    after = np.arange(SEASON_DATES)[:, None] >= tilled
    height = np.where(after, anew * np.exp(np.cumsum(np.where(after, steps, 0), axis=0)), height)
    growth = np.concatenate([np.zeros((1, places)), rng.normal(0, 0.2, (SEASON_DATES - 1, places))])
    vegetation = first.vegetation * np.exp(np.cumsum(growth, axis=0))
    state = State(
        np.clip(moisture, *MOISTURE_LIMITS).ravel(),
        height.ravel(),
        vegetation.ravel(),
        np.broadcast_to(first.angle, shape).ravel(),
    )
    scene = observe(STANDARD, state, rng)
    day = np.datetime64("2025-04-01") + SEASON_STEP_DAYS * np.arange(SEASON_DATES)
    return Scene(
        scene.scenario,
        scene.power,
        scene.incidence_angle,
        scene.soil_moisture,
        scene.a,
        scene.b,
        scene.offset_db,
        place=np.broadcast_to(np.arange(places), shape).ravel(),
        time=np.broadcast_to(day[:, None], shape).ravel(),
    )
