"""The pixels on which a stack calibrates itself: a fixed, seeded draw of windows over its whole ground."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escape_process.engine import blocks_of
from escape_process.errors import CancelledError, SceneError
from escape_process.readers.loading import StackReader
from escape_process.records import Observables, Stack, Window

WINDOW_EDGE = 32
"""Cells along each side of a sampled window: small, so that the draw spreads over the pass."""
MOST_SAMPLES = 65_536
"""Samples, dates counted, at which the draw stops."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Valid observations in a row, N samples."""

    sigma0: NDArray[np.float32]
    """(3, N), linear power."""
    incidence_angle: NDArray[np.float32]
    """(N,), rad."""
    looks: NDArray[np.float32]
    """(N,)."""
    place: NDArray[np.int64]
    """(N,), equal for observations of one cell."""
    time: NDArray[np.datetime64]
    """(N,), UTC."""


def draw_samples(reader: StackReader, seed: int, cancelled: Callable[[], bool] = lambda: False) -> Samples:
    """Draw the calibration sample of a stack.

    The draw covers the stack's whole grid, whatever part of it was asked for, so that two requests that overlap are
    calibrated alike. Windows are visited in a seeded order until enough samples are found or none is left.

    Raises
    ------
    SceneError
        where no cell of the stack holds a valid observation.
    """
    grid = reader.stack.grid
    windows = blocks_of(grid, Window(0, 0, grid.height, grid.width), WINDOW_EDGE)
    order = np.random.default_rng(seed).permutation(len(windows))
    chosen: list[Samples] = []
    found = 0
    for number in order:
        if cancelled():
            raise CancelledError("The job was dismissed.")
        samples = flatten(reader.stack, windows[number], reader.load(windows[number]))
        if samples.looks.size:
            chosen.append(samples)
            found += samples.looks.size
        if found >= MOST_SAMPLES:
            break
    if not chosen:
        names = ", ".join(scene.id for one in reader.stack.passes for scene in one.scenes)
        raise SceneError(
            f"No pixel of {names} is valid: every one is masked, missing or not a positive power. Check the mask and"
            " the nodata value of the rasters."
        )
    fields = {name: np.concatenate([getattr(one, name) for one in chosen], axis=-1) for name in Samples.__annotations__}
    return Samples(**fields)


def flatten(stack: Stack, window: Window, observables: Observables) -> Samples:
    """Put the valid observations of one window in a row."""
    times = times_of(stack)
    place = np.broadcast_to(places_of(stack, window), observables.looks.shape)
    time = np.broadcast_to(times[:, np.newaxis, np.newaxis], observables.looks.shape)
    valid = np.isfinite(observables.sigma0).all(axis=1) & np.isfinite(observables.incidence_angle)
    return Samples(
        sigma0=np.moveaxis(observables.sigma0, 1, 0)[:, valid],
        incidence_angle=observables.incidence_angle[valid],
        looks=observables.looks[valid],
        place=place[valid],
        time=time[valid],
    )


def places_of(stack: Stack, window: Window) -> NDArray[np.int64]:
    """Return the number of each cell of a window in the stack's grid, (Y, X)."""
    rows = np.arange(window.row, window.row + window.height, dtype=np.int64)
    columns = np.arange(window.column, window.column + window.width, dtype=np.int64)
    return rows[:, np.newaxis] * stack.grid.width + columns


def times_of(stack: Stack) -> NDArray[Any]:
    """Return the time of each pass of the stack, UTC, (D,)."""
    return np.array([one.datetime.replace(tzinfo=None) for one in stack.passes], dtype="datetime64[s]")
