"""The values of a result's layers at a point."""

import math
from typing import Any

from rasterio.warp import transform
from rasterio.windows import Window

from escape_process.errors import InvalidInputError
from escape_process.layers import FLAG, FLAGS, LAYERS, UNUSABLE
from escape_process.viewer.describe import flag_document
from escape_process.viewer.rasters import Rasters
from escape_process.viewer.results import Result

_CRS84 = "OGC:CRS84"
_NEAR = 1e-6
"""Degrees by which a point may miss itself after the way to the raster's projection and back."""


def parse_place(lon: str | None, lat: str | None) -> tuple[float, float]:
    """Read a longitude and a latitude.

    Raises
    ------
    InvalidInputError
        where they are none.
    """
    return _degrees("lon", lon, 180), _degrees("lat", lat, 90)


def _degrees(name: str, text: str | None, most: int) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not -most <= value <= most:
        said = "is missing" if text is None else f"= {text[:40]!r}"
        raise InvalidInputError(f"Parameter {name} {said}: must be a number of degrees from -{most} to {most}.")
    return value


def values_at(result: Result, place: tuple[float, float], rasters: Rasters) -> dict[str, Any]:
    """Return each layer's value in the cell that a point lies in; None where there is none.

    Raises
    ------
    UpstreamError, SceneError
        where a file cannot be read.
    """
    values: dict[str, float | int | None] = {}
    for layer in LAYERS:
        if layer.name in result.item["assets"]:
            with rasters.open(result, layer) as raster:
                values[layer.name] = _value(raster, place)
    bits = values.get("flags")
    bits = FLAG["no_data"].mask if bits is None else int(bits)
    return {
        "lon": place[0],
        "lat": place[1],
        "datetime": result.item["properties"]["datetime"],
        "values": values,
        "flags": [flag_document(flag) for flag in FLAGS if bits & flag.mask],
        "unusable": bool(bits & UNUSABLE),
    }


def _value(raster: Any, place: tuple[float, float]) -> float | int | None:
    """Return the value of the cell around a point; None outside of the raster and where a cell has none."""
    (x,), (y,) = transform(_CRS84, raster.crs, [place[0]], [place[1]])
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    column, row = ~raster.transform @ (x, y)
    if not (0 <= column < raster.width and 0 <= row < raster.height):
        return None
    (lon,), (lat,) = transform(raster.crs, _CRS84, [x], [y])
    if abs(math.remainder(lon - place[0], 360)) > _NEAR or abs(lat - place[1]) > _NEAR:
        return None  # the far side of the globe, which some projections fold onto this one
    value = raster.read(1, window=Window(int(column), int(row), 1, 1))[0, 0]
    if value == raster.nodata or not math.isfinite(value):
        return None
    return int(value) if value.dtype.kind in "ui" else float(value)
