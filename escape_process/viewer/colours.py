"""The colours of a layer: those that the items' render hints name, and one for each flag."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escape_process.layers import FLAG, LAYER, Layer

Colour = tuple[int, int, int, int]
"""Red, green, blue, opacity; 0 to 255."""

STOPS = 33
"""Colours that a legend is drawn from: between neighbours the colour maps bend by less than one part in a hundred."""

UNFLAGGED: Colour = (226, 236, 226, 255)
_TRANSPARENT: Colour = (0, 0, 0, 0)
_FLAG_COLOURS: dict[str, Colour] = {
    "no_data": _TRANSPARENT,
    "layover_shadow": (64, 64, 64, 255),
    "open_water": (33, 102, 172, 255),
    "noise_floor": (118, 113, 163, 255),
    "outside_model": (178, 24, 43, 255),
    "hh_above_vv": (214, 96, 77, 255),
    "at_bound": (244, 165, 130, 255),
    "poor_fit": (200, 80, 160, 255),
    "few_looks": (153, 112, 171, 255),
    "few_members": (146, 197, 222, 255),
    "vegetation_hides_soil": (27, 120, 55, 255),
    "uninformative": (191, 163, 70, 255),
    "encoding_assumed": (240, 234, 200, 255),
    "not_terrain_corrected": (230, 222, 236, 255),
}
"""A flagged pixel has the colour of the first of its flags in this order: what is on the ground or was never seen comes
before what the retrieval made of it, and advice comes last."""


@cache
def colours_of(layer: Layer) -> NDArray[np.uint8]:
    """Return a layer's colours, (index, 4): 256 evenly over its range, or for flags one a class."""
    if layer.name == "flags":
        return np.array([UNFLAGGED, *_FLAG_COLOURS.values()], np.uint8)
    from rio_tiler.colormap import cmap  # noqa: PLC0415  # slow to import

    known = cmap.get(layer.colormap)
    return np.array([known[index] for index in range(256)], np.uint8)


def indices_of(layer: Layer, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return which of the layer's colours each value has."""
    if layer.name == "flags":
        index: NDArray[np.uint8] = _classes_of_flags()[values]
        return index
    low, high = layer.rescale or (0.0, 1.0)
    return np.asarray(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def stops(layer: Layer) -> list[str]:
    """Return CSS colours that lie evenly over a layer's range; none for flags, which have classes."""
    if layer.name == "flags":
        return []
    colours = colours_of(layer)
    return [_css(colours[round(place)]) for place in np.linspace(0, 255, STOPS)]


def classes() -> list[dict[str, Any]]:
    """Return what each colour of the flags layer means, in the order in which they win."""
    unflagged = {"value": 0, "name": "unflagged", "description": "No flag is set.", "color": _css(UNFLAGGED)}
    flagged = [
        {"bit": FLAG[name].bit, "name": name, "description": FLAG[name].description, "color": _css(colour)}
        for name, colour in _FLAG_COLOURS.items()
    ]
    return [unflagged, *flagged]


@cache
def _classes_of_flags() -> NDArray[np.uint8]:
    """Return the class of every value that the flags layer can hold."""
    values = np.arange(np.iinfo(LAYER["flags"].dtype).max + 1)
    index = np.zeros(len(values), np.uint8)
    for number, name in reversed(list(enumerate(_FLAG_COLOURS, start=1))):
        index[(values & FLAG[name].mask) != 0] = number
    return index


def _css(colour: Any) -> str:
    red, green, blue, opacity = (int(part) for part in colour)
    return "transparent" if opacity == 0 else f"#{red:02x}{green:02x}{blue:02x}"
