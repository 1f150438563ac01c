"""What a single input of a request must be; a wrong one gives a ValueError that says what is wrong with its value."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import shapely
import shapely.errors
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from escape_process import filters

CRS84_NAMES = frozenset({"CRS84", "OGC:CRS84", "http://www.opengis.net/def/crs/OGC/1.3/CRS84"})


_MALFORMED = (
    *(ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError),
    shapely.errors.ShapelyError,
)
"""What reading coordinates that are none raises in shapely."""


def check_bbox(values: list[float]) -> list[float]:
    """Check [west, south, east, north] in degrees; west > east crosses the antimeridian."""
    if len(values) != 4:
        raise ValueError(f"needs four numbers [west, south, east, north], not {len(values)}")
    west, south, east, north = values
    if not all(math.isfinite(value) for value in values):
        raise ValueError("has a value that is not finite")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ValueError(f"has a longitude outside -180 to 180 (west {west:g}, east {east:g})")
    if not (-90 <= south <= 90 and -90 <= north <= 90):
        raise ValueError(f"has a latitude outside -90 to 90 (south {south:g}, north {north:g})")
    if south >= north:
        raise ValueError(f"is reversed: south {south:g} is not below north {north:g}")
    if west == east:
        raise ValueError(f"has no width: west and east are both {west:g}")
    return values


def bbox_to_crs84(value: Any) -> Any:
    """Accept OGC's {bbox, crs} and turn it into [w, s, e, n] in CRS84."""
    if not isinstance(value, Mapping):
        return value
    unknown = sorted(set(value) - {"bbox", "crs"})
    if unknown:
        raise ValueError(f"has the unknown member {unknown[0]!r}; it takes bbox and crs")
    corners = value.get("bbox")
    name = value.get("crs", "CRS84")
    if not isinstance(corners, list) or not all(isinstance(number, int | float) for number in corners):
        raise ValueError("needs a member bbox with four numbers")
    if not isinstance(name, str | int):
        raise ValueError("has a crs that is neither a name nor a code")  # noqa: TRY004, pydantic wants ValueError
    if name in CRS84_NAMES:
        return corners
    if len(corners) != 4 or corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise ValueError(f"{corners} is not [min x, min y, max x, max y] in {name}")
    try:
        transformer = Transformer.from_crs(CRS.from_user_input(name), "OGC:CRS84", always_xy=True)
    except (CRSError, TypeError) as error:
        raise ValueError(f"names an unknown crs {name!r}") from error
    try:
        bounds = [float(number) for number in transformer.transform_bounds(*corners)]
    except OverflowError as error:
        raise ValueError(f"has a corner that lies outside {name}") from error
    if not all(math.isfinite(number) for number in bounds):
        raise ValueError(f"{corners} lies outside {name}")
    return bounds


def check_geometry(value: dict[str, Any]) -> dict[str, Any]:
    """Check a GeoJSON Polygon or MultiPolygon in degrees; return it, out of a Feature where it came in one."""
    if value.get("type") == "Feature":
        value = value.get("geometry") or {}
    if not isinstance(value, dict):
        raise ValueError("is a Feature without a geometry")  # noqa: TRY004, pydantic wants ValueError
    if value.get("type") not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"must be a GeoJSON Polygon or MultiPolygon, not {value.get('type')!r}")
    try:
        shape = shapely.geometry.shape(value)
    except _MALFORMED as error:
        raise ValueError("is not valid GeoJSON: its coordinates cannot be read") from error
    if shape.is_empty or not shape.is_valid:
        raise ValueError(f"is not a valid polygon: {shapely.is_valid_reason(shape)}")
    west, south, east, north = shape.bounds
    check_bbox([west, south, east, north])
    return value


def check_zones(value: dict[str, Any]) -> dict[str, Any]:
    """Check a GeoJSON FeatureCollection of polygons."""
    features = value.get("features")
    if value.get("type") != "FeatureCollection" or not isinstance(features, list) or not features:
        raise ValueError("must be a GeoJSON FeatureCollection with at least one feature")
    for number, feature in enumerate(features):
        if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
            raise ValueError(f"feature {number} has no geometry")  # noqa: TRY004, pydantic wants ValueError
        try:
            check_geometry(feature["geometry"])
        except ValueError as error:
            raise ValueError(f"feature {number} {error}") from error
    return value


def _parse_instant(text: str, whole: str) -> dt.datetime | None:
    if text in ("..", ""):
        return None
    try:
        instant = dt.datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z, too
        return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:  # in UTC the first and last day may lie outside all years
        raise ValueError(
            f"{whole!r} is not an RFC 3339 instant or interval, such as 2024-05-01T00:00:00Z/2024-06-01T00:00:00Z or"
            " 2024-05-01T00:00:00Z/.."
        ) from error


def _is_date(text: str) -> bool:
    return len(text) == len("2024-05-01")


def parse_interval(value: str) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Read an RFC 3339 instant or interval, `..` or nothing for an open end; a bare date is its whole day, UTC.

    Raises
    ------
    ValueError
        where a part cannot be read or the interval is reversed.
    """
    parts = value.split("/")
    if len(parts) > 2:
        raise ValueError(f"{value!r} has more than one '/'")
    start = _parse_instant(parts[0], value)
    end = _parse_instant(parts[-1], value)
    if end is not None and _is_date(parts[-1]):
        end = end.replace(hour=23, minute=59, second=59, microsecond=999999)
    if len(parts) == 1 and start is None:
        raise ValueError(f"{value!r} names no time")
    if start is not None and end is not None and start > end:
        raise ValueError(f"{value!r} is reversed: it starts after its end")
    return start, end


def check_datetime(value: str) -> str:
    """Check an instant or interval, see `parse_interval`."""
    parse_interval(value)
    return value


def check_crs(value: int | str) -> str:
    """Check a projected CRS in metres; return it as AUTHORITY:CODE."""
    code = f"EPSG:{value}" if isinstance(value, int) or value.isdigit() else value
    try:
        crs = CRS.from_user_input(code)
    except CRSError as error:
        raise ValueError(f"{value!r} is not a known EPSG code") from error
    if not crs.is_projected or crs.axis_info[0].unit_name not in ("metre", "meter"):
        raise ValueError(f"{value!r} is not a projected CRS in metres, which a resolution in metres needs")
    authority = crs.to_authority()
    if authority is None:
        raise ValueError(f"{value!r} has no EPSG code")
    return ":".join(authority)


def check_filter(value: dict[str, Any]) -> dict[str, Any]:
    """Check a CQL2-JSON expression."""
    filters.check_filter(value)
    return value
