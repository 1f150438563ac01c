"""Where and when an item or a collection is, and whether that meets what was asked.

Longitudes are compared on the circle: footprints across the antimeridian come cut in two, beyond 180 degrees, or as
a polygon that seems to span the globe.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import shapely
import shapely.affinity
import shapely.errors
from shapely.geometry.base import BaseGeometry

from escape_process.catalogue.item_assets import as_list, as_mapping, as_number

Interval = tuple[dt.datetime | None, dt.datetime | None]
"""Start and end, UTC; None where open."""


_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError)
"""What reading coordinates that are none raises in shapely, besides its own errors."""


def footprint_of(item: Mapping[str, Any]) -> BaseGeometry | None:
    """Return an item's valid geometry with each part in one piece, or None where it has none that can be read."""
    geometry = item.get("geometry")
    if not isinstance(geometry, Mapping):
        return None
    try:
        with np.errstate(invalid="ignore"):  # GEOS warns of NaN, which is refused below
            shape = shapely.force_2d(shapely.geometry.shape(geometry))
        places = shapely.get_coordinates(shape)
        if not places.size or not np.isfinite(places).all():
            return None
        (west, south), (east, north) = places.min(axis=0), places.max(axis=0)
        if west < -540 or east > 540 or south < -90.1 or north > 90.1:
            return None
        parts = shapely.get_parts(shapely.make_valid(shape))
        return cast(BaseGeometry, shapely.union_all([_in_one_piece(part) for part in parts]))
    except (shapely.errors.ShapelyError, *_MALFORMED):
        return None


def _in_one_piece(part: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = part.bounds
    if not 180 < east - west < 360:
        return part

    def beyond(points: Any) -> Any:
        points[:, 0] += 360.0 * (points[:, 0] < 0)
        return points

    return cast(BaseGeometry, shapely.make_valid(shapely.transform(part, beyond)))


def overlaps(shape: BaseGeometry, area: BaseGeometry) -> bool:
    """Tell whether two shapes share more than an edge."""
    for turn in (0.0, 360.0, -360.0):
        turned = shapely.affinity.translate(area, turn) if turn else area
        if shape.intersects(turned) and not shape.touches(turned):
            return True
    return False


def time_of(item: Mapping[str, Any]) -> Interval | None:
    """Return when an item was acquired, or None where it does not tell."""
    properties = as_mapping(item.get("properties"))
    instant = parse_time(properties.get("datetime"))
    start, end = parse_time(properties.get("start_datetime")), parse_time(properties.get("end_datetime"))
    if start is not None or end is not None:
        return start or instant or end, end or instant or start
    return None if instant is None else (instant, instant)


def meet(one: Interval, other: Interval) -> bool:
    """Tell whether two intervals have a time in common."""
    (start, end), (other_start, other_end) = one, other
    starts_late = start is not None and other_end is not None and start > other_end
    ends_early = end is not None and other_start is not None and end < other_start
    return not starts_late and not ends_early


def parse_time(text: Any) -> dt.datetime | None:
    """Read an RFC 3339 time; one without a zone is UTC. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        time = dt.datetime.fromisoformat(text.strip().upper())
        return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def may_hold(collection: Mapping[str, Any], area: BaseGeometry | None, interval: Interval) -> bool:
    """Tell whether a collection's extent allows items of an area and time; one without an extent always does."""
    extent = as_mapping(collection.get("extent"))
    boxes = [_box(corners) for corners in as_list(as_mapping(extent.get("spatial")).get("bbox"))]
    if area is not None and boxes and all(box is not None and not overlaps(box, area) for box in boxes):
        return False
    spans = [_span(ends) for ends in as_list(as_mapping(extent.get("temporal")).get("interval"))]
    return not spans or any(span is None or meet(span, interval) for span in spans)


def _box(corners: Any) -> BaseGeometry | None:
    """Return a bbox as a shape, slightly grown since extents are often rounded; None where it cannot be read."""
    numbers = [as_number(corner) for corner in as_list(corners)]
    if len(numbers) not in (4, 6) or any(number is None for number in numbers):
        return None
    half = len(numbers) // 2
    west, south, east, north = cast(Sequence[float], (numbers[0], numbers[1], numbers[half], numbers[half + 1]))
    margin = 1e-4
    return cast(
        BaseGeometry,
        shapely.box(west - margin, south - margin, (east if east >= west else east + 360) + margin, north + margin),
    )


def _span(ends: Any) -> Interval | None:
    """Return a temporal interval, or None where it cannot be read."""
    pair = as_list(ends)
    if len(pair) != 2:
        return None
    start, end = (parse_time(text) for text in pair)
    if (start is None and pair[0] is not None) or (end is None and pair[1] is not None):
        return None
    return start, end
