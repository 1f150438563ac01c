"""The leader file: what a product says of its geometry, its calibration and its orbit.

Source: JAXA, "ALOS-2/PALSAR-2 Level 1.1/1.5/2.1/3.1 CEOS SAR Product Format Description"; places of the fields checked
on the leader of a real level 1.5 product.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, read_bytes
from escape_process.readers.ceos.records import Record, walk_records
from escape_process.settings import Settings

LONGEST_LEADER = 16 * 1024 * 1024
"""Most bytes of a leader; PALSAR-2's have 1.6 million."""
MOST_ORBIT_POINTS = 28
"""The record has room for these."""

_DESCRIPTOR = (11, 192, 18, 18)
_SUMMARY = (18, 10, 18, 20)
_MAP_PROJECTION = (18, 20, 18, 20)
_ORBIT = (18, 30, 18, 20)
_RADIOMETRY = (18, 50, 18, 20)
_QUALITY = (18, 60, 18, 20)
_FACILITY = (18, 200, 18, 70)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OrbitPoints:
    """State vectors, earth-centred and earth-fixed."""

    start: dt.datetime
    """Of the first, UTC."""
    interval: float
    """s."""
    positions: Array
    """(N, 3), m."""
    velocities: Array
    """(N, 3), m/s."""


@dataclass(frozen=True, eq=False)
class Polynomials:
    """From pixel and line to latitude and longitude and back; indices count from 0 at the first pixel's centre."""

    latitude: Array
    """(5, 5): powers of the pixel, then of the line, rising."""
    longitude: Array
    origin_pixel: float
    origin_line: float
    pixel: Array
    """(5, 5): powers of the latitude, then of the longitude, rising."""
    line: Array
    origin_latitude: float
    origin_longitude: float


@dataclass(frozen=True, eq=False)
class Leader:
    """What a leader says, checked; None where it is silent."""

    scene_id: str
    """As in ALOS2014555550-140829."""
    level: str
    """"1.1" or "1.5"."""
    platform: str
    """"alos-2" or "alos-4"."""
    centre_time: dt.datetime
    """UTC."""
    wavelength: float
    """m."""
    calibration_factor_db: float | None
    noise_floor_db: float | None
    incidence_deg: float | None
    """At the centre of the scene, on the ellipsoid."""
    incidence_polynomial: Array | None
    """(6,): rad by powers of the slant range in km."""
    sampling_rate: float | None
    """Hz, of the range samples."""
    pulse_rate: float | None
    """Hz."""
    bandwidth_azimuth: float | None
    """Hz, of one look."""
    bandwidth_range: float | None
    """Hz."""
    looks_azimuth: float
    looks_range: float
    resolution_azimuth: float | None
    """m."""
    resolution_range: float | None
    """m on the ground."""
    line_spacing: float
    """m."""
    pixel_spacing: float
    """m: in slant range at level 1.1, on the map or the ground at level 1.5."""
    off_nadir_deg: float | None
    semi_major: float
    """Of the ellipsoid, m."""
    semi_minor: float
    reference_height: float | None
    """Mean height above the ellipsoid that the product was made for, m."""
    right_looking: bool | None
    ascending: bool | None
    orbit: OrbitPoints
    polynomials: Polynomials
    shape: tuple[int, int] | None
    """(lines, pixels) of a map-projected image."""
    corners: Array | None
    """(4, 2): latitude and longitude of the first and last pixels of a map-projected image, clockwise from the upper
    left."""


def read_leader(href: str, settings: Settings) -> Leader:
    """Read and check a leader file; errors as `parse_leader`, and `UpstreamError` where it cannot be read."""
    return parse_leader(read_bytes(href, settings, LONGEST_LEADER), file_name(href))


def parse_leader(content: bytes, file: str = "the leader") -> Leader:
    """Parse the bytes of a leader file.

    Parameters
    ----------
    content
        The whole file.
    file
        Its name, for messages.

    Raises
    ------
    SceneError
        one sentence for whatever is cut short, damaged, of another format, or outside what can be.
    """
    records = _records_of(content, file)
    summary, facility, radiometry = records["data set summary"], records["facility record 5"], records["radiometry"]
    quality, projection = records.get("data quality summary"), records.get("map projection")
    scene_id, level = summary.text(21, 52), summary.text(1095, 1110)
    if re.fullmatch(r"ALOS[24][A-Z0-9]{5,20}-\d{6}", scene_id) is None:
        raise SceneError(f"{file} names the scene {_printable(scene_id)!r}, which is none of ALOS-2 or ALOS-4.")
    if level not in ("1.1", "1.5"):
        raise SceneError(
            f"{file} is of level {_printable(level)!r}: of CEOS products levels 1.1 and 1.5 are read; give others as"
            " GeoTIFF."
        )
    centre = _centre_time(summary, file)
    incidence = summary.numbers(1887, 20, 6, "incidence angle polynomial")
    prf = summary.optional(935, 950, 1e5, 1e7)
    clock = summary.optional(477, 484)
    return Leader(
        scene_id=scene_id,
        level=level,
        platform=f"alos-{scene_id[4]}",
        centre_time=centre,
        wavelength=summary.number(501, 516, "wavelength", 0.15, 0.3),
        calibration_factor_db=radiometry.optional(21, 36, -150, 50),
        noise_floor_db=None if quality is None else quality.optional(95, 110, -60, -10),
        incidence_deg=summary.optional(485, 492, 1, 89),
        incidence_polynomial=incidence if np.any(incidence != 0) else None,
        sampling_rate=_scaled(summary.optional(711, 726, 1, 1000), 1e6),
        pulse_rate=_scaled(prf, 1e-3),
        bandwidth_azimuth=summary.optional(1207, 1222, 1, 1e5),
        bandwidth_range=_scaled(summary.optional(1255, 1270, 100, 1e6), 1e3),
        looks_azimuth=summary.optional(1175, 1190, 1, 1000) or 1.0,
        looks_range=summary.optional(1191, 1206, 1, 1000) or 1.0,
        resolution_azimuth=summary.optional(1367, 1382, 0.1, 1000),
        resolution_range=summary.optional(1351, 1366, 0.1, 1000),
        line_spacing=summary.number(1687, 1702, "line spacing", 0.1, 1000),
        pixel_spacing=summary.number(1703, 1718, "pixel spacing", 0.1, 1000),
        off_nadir_deg=summary.optional(1839, 1854, 1, 70),
        semi_major=1000 * summary.number(181, 196, "semi-major axis", 6370, 6385),
        semi_minor=1000 * summary.number(197, 212, "semi-minor axis", 6350, 6365),
        reference_height=summary.optional(309, 324, -1000, 9000),
        right_looking=None if clock is None or clock == 0 else 0 < clock < 180,
        ascending={"ASCEND": True, "DESCEND": False}.get(summary.text(1535, 1542)),
        orbit=_orbit(records["platform position"], centre),
        polynomials=_polynomials(facility),
        shape=None if projection is None else _shape(projection),
        corners=None if projection is None else projection.numbers(1073, 16, 8, "corner").reshape(4, 2),
    )


def _records_of(content: bytes, file: str) -> Mapping[str, Record]:
    found: dict[str, Record] = {}
    names = {
        _SUMMARY: "data set summary",
        _MAP_PROJECTION: "map projection",
        _ORBIT: "platform position",
        _RADIOMETRY: "radiometry",
        _QUALITY: "data quality summary",
    }
    for position, (code, record) in enumerate(walk_records(content, file)):
        if position == 0 and code != _DESCRIPTOR:
            raise SceneError(f"{file} is not the leader of a CEOS product: its first record is of another kind.")
        if code in names:
            found[names[code]] = Record(file, names[code], record)
        elif code == _FACILITY and record[12:16].strip() == b"5":
            found["facility record 5"] = Record(file, "facility record 5", record)
    for name in ("data set summary", "platform position", "radiometry", "facility record 5"):
        if name not in found:
            raise SceneError(f"{file} has no {name}: it is cut short or of another format.")
    return found


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _centre_time(summary: Record, file: str) -> dt.datetime:
    text = summary.text(69, 100)
    if re.fullmatch(r"\d{17}", text):
        try:
            return dt.datetime.strptime(text + "000", "%Y%m%d%H%M%S%f").replace(tzinfo=dt.UTC)
        except ValueError:
            pass
    raise SceneError(f"The scene centre time in {file} is {_printable(text)!r}, which is none: the file is damaged.")


def _orbit(record: Record, centre: dt.datetime) -> OrbitPoints:
    count = record.integer(141, 144, "number of orbit points", 4, MOST_ORBIT_POINTS)
    year, month, day = (
        record.integer(first, first + 3, what, low, high)
        for first, what, low, high in ((145, "orbit year", 2006, 2100), (149, "month", 1, 12), (153, "day", 1, 31))
    )
    seconds = record.number(161, 182, "orbit second of the day", 0, 86_401)
    interval = record.number(183, 204, "orbit interval", 1, 300)
    system = record.text(205, 268)
    if not system.startswith("ECR"):
        raise SceneError(f"The orbit in {record.file} is given in {_printable(system)!r}: only ECR is read.")
    try:
        start = dt.datetime(year, month, day, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    except ValueError as error:
        raise SceneError(f"The orbit in {record.file} starts on {year}-{month}-{day}, which is no date.") from error
    table = record.numbers(387, 22, 6 * count, "orbit state vector").reshape(count, 6)
    positions, velocities = table[:, :3], table[:, 3:]
    radius, speed = np.linalg.norm(positions, axis=1), np.linalg.norm(velocities, axis=1)
    if not (np.all((radius > 6.4e6) & (radius < 9e6)) and np.all((speed > 5e3) & (speed < 9e3))):
        raise SceneError(f"The orbit in {record.file} is not one of a low satellite: the file is damaged.")
    length = dt.timedelta(seconds=interval * (count - 1))
    if not start <= centre <= start + length:
        raise SceneError(
            f"The orbit in {record.file} covers {start:%Y-%m-%dT%H:%M:%SZ} and the {length.total_seconds():.0f} s after"
            f" it, but the scene is of {centre:%Y-%m-%dT%H:%M:%SZ}."
        )
    return OrbitPoints(start, interval, positions, velocities)


def _polynomials(record: Record) -> Polynomials:
    def coefficients(first: int, what: str) -> Array:
        falling = record.numbers(first, 20, 25, what).reshape(5, 5)  # both powers fall from 4 to 0
        return np.ascontiguousarray(falling[::-1, ::-1])

    origin_pixel, origin_line = record.numbers(2025, 20, 2, "origin of the image")
    origin_latitude, origin_longitude = record.numbers(3065, 20, 2, "origin on the ground")
    if abs(origin_latitude) > 90 or abs(origin_longitude) > 360:
        raise SceneError(
            f"The polynomials in {record.file} start from latitude {origin_latitude:g} and longitude"
            f" {origin_longitude:g}, which is no place: the file is damaged."
        )
    return Polynomials(
        latitude=coefficients(1025, "latitude polynomial"),
        longitude=coefficients(1525, "longitude polynomial"),
        origin_pixel=float(origin_pixel),
        origin_line=float(origin_line),
        pixel=coefficients(2065, "pixel polynomial"),
        line=coefficients(2565, "line polynomial"),
        origin_latitude=float(origin_latitude),
        origin_longitude=float(origin_longitude),
    )


def _shape(record: Record) -> tuple[int, int]:
    pixels = record.integer(61, 76, "number of pixels", 1, 1_000_000)
    return record.integer(77, 92, "number of lines", 1, 1_000_000), pixels
