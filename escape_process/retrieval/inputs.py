"""Checks the arguments of the array API and turns them into samples."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from escape_process.errors import InvalidInputError
from escape_process.physics.speckle import DB_PER_NEPER, log_power_bias_db, log_power_sd_db

FREQUENCY_RANGE = (1e9, 2e9)
"""Hz: L-band and its neighbours."""
MAX_MEMBERS = 100
MODES = ("variational", "deterministic")
MIN_SIGNAL_SHARE = 0.1
"""Least share of an observed power that is taken as signal when the noise floor is subtracted."""
_MAX_DB = 200.0
"""Powers beyond +-200 dB are no backscatter."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Valid samples in one row each. Axes: N samples, 3 polarizations HH, HV, VV."""

    power_db: NDArray[np.float32]
    """(N, 3), sigma0 less the noise floor, dB, free of the bias of the logarithm of speckle."""
    speckle_db: NDArray[np.float32]
    """(N, 3), standard deviation of speckle and noise, dB."""
    incidence_angle: NDArray[np.float32]
    """(N,), rad."""
    looks: NDArray[np.float32]
    """(N,)."""
    power: NDArray[np.float64]
    """(N, 3), as observed, linear."""
    valid: NDArray[np.bool_]
    """Of the input's broadcast shape: which samples the rows are, in order."""
    noise_floor: tuple[float, float, float] | None
    place: NDArray[np.int64] | None
    """(N,)."""
    days: NDArray[np.float64] | None
    """(N,), time in days since 1970."""

    @property
    def size(self) -> int:
        """Number of valid samples N."""
        return int(self.power_db.shape[0])


def _floats(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} is ragged or holds no numbers: give an array of real numbers.") from error
    if array.dtype.kind not in "fiu":
        raise InvalidInputError(f"{name} has dtype {array.dtype}: give an array of real numbers.")
    return array.astype(np.float64)


def check_whole_number(name: str, value: Any, low: int, high: int | None) -> int:
    """Return `value` as an int, or raise naming the argument."""
    upper = "" if high is None else f" and at most {high}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low or (high and value > high):
        raise InvalidInputError(f"{name} is {value!r}: it must be a whole number of at least {low}{upper}.")
    return int(value)


def check_frequency(frequency: Any) -> float:
    """Return the frequency in Hz, or raise where it is not L-band."""
    low, high = FREQUENCY_RANGE
    if not isinstance(frequency, int | float | np.number) or not low <= float(frequency) <= high:
        hint = " (in GHz?)" if isinstance(frequency, int | float) and 1 <= frequency <= 2 else ""
        raise InvalidInputError(f"frequency is {frequency!r}{hint}: it must lie between 1e9 and 2e9 Hz, the L-band.")
    return float(frequency)


def check_mode(mode: Any) -> str:
    """Return the mode, or raise naming those that exist."""
    if mode not in MODES:
        raise InvalidInputError(f"mode is {mode!r}: it must be one of {', '.join(MODES)}.")
    return str(mode)


def _noise_floor(value: Any) -> tuple[float, float, float] | None:
    if value is None:
        return None
    floor = np.atleast_1d(_floats("noise_floor", value))
    if floor.shape not in ((1,), (3,)) or not np.isfinite(floor).all() or (floor < 0).any():
        raise InvalidInputError(
            f"noise_floor is {value!r}: it must be one linear power or three (HH, HV, VV), each at least 0 (in dB?)."
        )
    hh, hv, vv = np.broadcast_to(floor, (3,)).tolist()
    return hh, hv, vv


def _times(time: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    times = np.asarray(time)
    if times.dtype.kind != "M":
        raise InvalidInputError(f"time has dtype {times.dtype}: give datetime64 values.")
    if np.isnat(times).any():
        raise InvalidInputError("time holds NaT: give each sample the date of its acquisition.")
    days = times.astype("datetime64[s]").astype(np.int64) / 86400
    return np.broadcast_to(days, shape)


def _places(place: Any) -> NDArray[np.int64]:
    places = np.asarray(place)
    if places.dtype.kind not in "iu":
        raise InvalidInputError(f"place has dtype {places.dtype}: give whole numbers, one id for each piece of ground.")
    return places.astype(np.int64)


def check_samples(
    hh: ArrayLike,
    hv: ArrayLike,
    vv: ArrayLike,
    incidence_angle: ArrayLike,
    *,
    looks: ArrayLike = 100.0,
    noise_floor: Any = None,
    place: Any = None,
    time: Any = None,
) -> Samples:
    """Check the arrays of one call and gather its valid samples.

    Parameters are those of `retrieve`.

    Raises
    ------
    InvalidInputError
        Naming the argument that is wrong.
    """
    arrays = {
        "hh": _floats("hh", hh),
        "hv": _floats("hv", hv),
        "vv": _floats("vv", vv),
        "incidence_angle": _floats("incidence_angle", incidence_angle),
        "looks": _floats("looks", looks),
    }
    if (place is None) != (time is None):
        given, missing = ("place", "time") if time is None else ("time", "place")
        raise InvalidInputError(f"{missing} is missing: {given} was given, and the two go together.")
    shaped: dict[str, NDArray[Any]] = dict(arrays)
    if place is not None:
        shaped["place"] = _places(place)
        shaped["time"] = np.asarray(time)
    try:
        shape = np.broadcast_shapes(*(array.shape for array in shaped.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in shaped.items())
        raise InvalidInputError(f"The arguments' shapes do not broadcast together: {shapes}.") from error
    days = _times(time, shape) if time is not None else None

    power = np.stack([np.broadcast_to(arrays[name], shape) for name in ("hh", "hv", "vv")], axis=-1)
    angle = np.broadcast_to(arrays["incidence_angle"], shape)
    number = np.broadcast_to(arrays["looks"], shape)
    _check_ranges(power, angle, number)
    floor = _noise_floor(noise_floor)
    extent = 10 ** (_MAX_DB / 10)
    valid = ((power > 1 / extent) & (power < extent)).all(axis=-1)
    valid &= np.isfinite(angle) & (angle >= 0) & np.isfinite(number) & (number > 0)

    power, angle, number = power[valid], angle[valid], number[valid]
    signal = power if floor is None else np.maximum(power - np.asarray(floor), MIN_SIGNAL_SHARE * power)
    bias_db, sd_db = log_power_bias_db(number), log_power_sd_db(number)
    return Samples(
        power_db=(DB_PER_NEPER * np.log(signal) - bias_db[:, None]).astype(np.float32),
        speckle_db=(sd_db[:, None] * power / signal).astype(np.float32),
        incidence_angle=angle.astype(np.float32),
        looks=number.astype(np.float32),
        power=power,
        valid=valid,
        noise_floor=floor,
        place=np.broadcast_to(shaped["place"], shape)[valid] if place is not None else None,
        days=days[valid] if days is not None else None,
    )


def _check_ranges(power: NDArray[np.float64], angle: NDArray[np.float64], looks: NDArray[np.float64]) -> None:
    for index, name in enumerate(("hh", "hv", "vv")):
        finite = power[..., index][np.isfinite(power[..., index])]
        if finite.size and finite.max() <= 0:
            raise InvalidInputError(
                f"{name} holds no positive power, its largest value is {finite.max():.4g} (in dB?): give linear sigma0."
            )
    finite_angle = angle[np.isfinite(angle)]
    if finite_angle.size and finite_angle.max() > math.pi / 2:
        raise InvalidInputError(
            f"incidence_angle reaches {finite_angle.max():.4g}, above pi/2 (in degrees?): give it in rad."
        )
    if finite_angle.size and finite_angle.min() < 0:
        raise InvalidInputError(f"incidence_angle goes down to {finite_angle.min():.4g}: it must be at least 0 rad.")
    finite_looks = looks[np.isfinite(looks)]
    if finite_looks.size and finite_looks.min() <= 0:
        raise InvalidInputError(f"looks goes down to {finite_looks.min():.4g}: it must be positive.")
