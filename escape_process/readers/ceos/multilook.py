"""Means of power over boxes of full-resolution samples in radar geometry."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escape_process.readers.ceos.faraday import turned_back
from escape_process.readers.ceos.image import SATURATED
from escape_process.readers.ceos.placing import Placed
from escape_process.readers.ceos.product import Product

LEAST_VALID_SHARE = 0.5
"""A box with a smaller share of valid samples has no value."""
MOST_SAMPLES = 4 * 1024 * 1024
"""Of a polarization read at once; a tile that needs more is read in parts."""

Array = NDArray[np.float64]


def power_of(samples: NDArray[Any]) -> Array:
    """Return the power of complex samples or of amplitudes, float64; 0 where a sample is missing or over range."""
    if np.iscomplexobj(samples):
        power: Array = np.square(samples.real, dtype=np.float64)
        power += np.square(samples.imag, dtype=np.float64)
        power[~np.isfinite(power)] = 0.0
        return power
    amplitude = samples.astype(np.float64)
    return np.where(samples == SATURATED, 0.0, np.square(amplitude, out=amplitude))


def box_means(
    power: Array, first_line: NDArray[np.int64], first_pixel: NDArray[np.int64], box: tuple[int, int]
) -> Array:
    """Average boxes of a block.

    Parameters
    ----------
    power
        (lines, pixels); 0 counts as missing.
    first_line, first_pixel
        Of each box, any shape; the boxes must lie inside the block.
    box
        (lines, pixels) of each.

    Returns
    -------
    Means over the positive samples, same shape; NaN where fewer than half are.
    """
    total = box_sums(power, first_line, first_pixel, box)
    size = box[0] * box[1]
    present = power > 0
    if present.all():
        return np.where(total > 0, total, np.nan) / size
    count = box_sums(present.astype(np.float64), first_line, first_pixel, box)
    enough = count >= LEAST_VALID_SHARE * size
    return np.where(enough & (total > 0), total / np.maximum(count, 1), np.nan)


def box_sums(
    values: Array, first_line: NDArray[np.int64], first_pixel: NDArray[np.int64], box: tuple[int, int]
) -> Array:
    """Return sums over boxes, by a table of all sums from the first corner."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(values, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    last_line, last_pixel = first_line + box[0], first_pixel + box[1]
    return np.asarray(
        table[last_line, last_pixel]
        - table[first_line, last_pixel]
        - table[last_line, first_pixel]
        + table[first_line, first_pixel]
    )


def multilook(
    product: Product, placed: Placed, names: Sequence[str], rotation_deg: float, *, whole_lines: bool
) -> dict[str, NDArray[np.float32]]:
    """Return sigma0 at the cells of a tile: linear power, NaN where a box is not wholly inside the image.

    Parameters
    ----------
    names
        Polarizations; all four where a rotation is to be undone.
    rotation_deg
        Faraday rotation to undo; 0: none.
    whole_lines
        As of `Image.read`, whose errors this has.
    """
    box = (product.sampling.lines, product.sampling.pixels)
    out = {name: np.full(placed.line.shape, np.nan) for name in names}
    with np.errstate(invalid="ignore"):
        line = np.rint(placed.line - (box[0] - 1) / 2)
        pixel = np.rint(placed.pixel - (box[1] - 1) / 2)
        lines, pixels = product.shape
        inside = (line >= 0) & (line + box[0] <= lines) & (pixel >= 0) & (pixel + box[1] <= pixels)
    rows = np.flatnonzero(inside.any(axis=1))
    whole = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    for part in _parts(line, pixel, inside, whole, box):
        chosen = inside[part]
        first_line, first_pixel = line[part][chosen].astype(np.int64), pixel[part][chosen].astype(np.int64)
        top, left = int(first_line.min()), int(first_pixel.min())
        size = (int(first_line.max()) + box[0] - top, int(first_pixel.max()) + box[1] - left)
        samples = {name: product.images[name].read(top, left, *size, whole_lines=whole_lines) for name in names}
        if rotation_deg:
            samples = turned_back(samples, rotation_deg)
        for name in names:
            power = power_of(samples.pop(name))
            out[name][part][chosen] = box_means(power, first_line - top, first_pixel - left, box)
    scale = product.factor * placed.renormalised
    return {name: np.asarray(values * scale, dtype=np.float32) for name, values in out.items()}


def _parts(
    line: Array, pixel: Array, inside: NDArray[np.bool_], rows: tuple[int, int], box: tuple[int, int]
) -> list[slice]:
    """Cut rows of a tile into parts whose samples fit in memory."""
    chosen = inside[rows[0] : rows[1]]
    if not chosen.any():
        return []
    first_line, first_pixel = line[rows[0] : rows[1]][chosen], pixel[rows[0] : rows[1]][chosen]
    samples = (np.ptp(first_line) + box[0]) * (np.ptp(first_pixel) + box[1])
    middle = (rows[0] + rows[1]) // 2
    if samples <= MOST_SAMPLES or middle == rows[0]:
        return [slice(*rows)]
    halves = ((rows[0], middle), (middle, rows[1]))
    return [part for half in halves for part in _parts(line, pixel, inside, half, box)]
