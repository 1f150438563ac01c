"""What JAXA's file names tell: PALSAR-2 products of levels 1.5 to 3.1, and the yearly mosaics."""

import datetime as dt
import re
from collections.abc import Mapping

from escape_process.physics.radiometry import CALIBRATION_FACTOR_DB
from escape_process.readers.geotiff.files import kind_of
from escape_process.readers.geotiff.hints import Hints
from escape_process.records import Convention
from escape_process.settings import Settings

_ALOS2 = re.compile(
    r"ALOS2(?P<orbit>\d{5})(?P<frame>\d{4})-(?P<date>\d{6})"
    r"[-_](?P<mode>SBS|UBS|UBD|HBS|HBD|HBQ|FBS|FBD|FBQ|WBS|WBD|WWS|WWD|VBS|VBD)"
    r"(?P<look>[LR])(?P<level>1\.5|2\.1|2\.2|3\.1)[GR_][UPML_](?P<direction>[AD])",
    re.IGNORECASE,
)
"""Scene id and product id of JAXA's product format descriptions, as in IMG-HH-ALOS2014555550-140829-HBQR2.1GUA."""

_MOSAIC = re.compile(
    r"(?P<tile>[NS]\d{2}[EW]\d{3})_(?P<year>\d{2})_(?:sl|mask|linci|date|MOS)_(?:[HV]{2}_)?(?P<mode>F\w{5})", re.ASCII
)
"""As in N23W161_20_sl_HH_F02DAR.tif, JAXA's global 25 m mosaics."""

_LEVEL_CONVENTION: Mapping[str, Convention] = {"1.5": "sigma0", "2.1": "sigma0", "3.1": "sigma0", "2.2": "gamma0"}

_LEVEL_2_2_MASK = {0: "no_data", 1: "valid", 2: "layover", 3: "shadow", 4: "water", 5: "invalid"}
"""JAXA, description of the PALSAR-2 level 2.2 product."""
_MOSAIC_MASK = {0: "no_data", 50: "water", 100: "layover", 150: "shadow", 255: "valid"}
"""JAXA, description of the global mosaics."""

_LEVEL_WARNINGS = {
    "1.5": "Level 1.5 is not terrain corrected: positions and angles are wrong where there is relief.",
    "3.1": "Level 3.1 has its noise reduced and is not terrain corrected: its backscatter and looks are less certain.",
}
_ORBIT = {"A": "ascending", "D": "descending"}
_SIDE = {"L": "left", "R": "right"}
_LAST_YEAR_OF_ALOS = 2011


def hints_of_alos2(beside: Mapping[str, str], settings: Settings) -> Hints:
    """Return what the names of PALSAR-2 products tell: all but the time of day."""
    names = sorted(beside, key=lambda name: (kind_of(name) is None, name))  # the rasters' names first
    match = next((found for name in names if (found := _ALOS2.search(name))), None)
    if match is None:
        return Hints()
    level = match["level"]
    mode, look, direction = (match[name].upper() for name in ("mode", "look", "direction"))
    start, end = _day(match["date"])
    return Hints(
        id=match[0].upper().replace(".", "_").strip("_"),
        start=start,
        end=end,
        radiometry=_LEVEL_CONVENTION[level],
        encoding="dn",
        calibration_factor_db=CALIBRATION_FACTOR_DB,
        angle_scale=0.01 if level == "2.2" else None,
        mask_classes=_LEVEL_2_2_MASK if level == "2.2" else {},
        properties={
            "platform": "alos-2",
            "instruments": ["palsar-2"],
            "sar:frequency_band": "L",
            "sar:instrument_mode": mode,
            "sar:observation_direction": _SIDE[look],
            "sat:orbit_state": _ORBIT[direction],
            "sat:absolute_orbit": int(match["orbit"]),
            "product:type": f"L{level}",
        },
        warnings=(_LEVEL_WARNINGS[level],) if level in _LEVEL_WARNINGS else (),
    )


def _day(text: str) -> tuple[dt.datetime | None, dt.datetime | None]:
    try:
        start = dt.datetime.strptime(text, "%y%m%d").replace(tzinfo=dt.UTC)
    except ValueError:
        return None, None
    return start, start + dt.timedelta(days=1) - dt.timedelta(seconds=1)


def hints_of_mosaic(beside: Mapping[str, str], settings: Settings) -> Hints:
    """Return what the names of a tile of JAXA's yearly mosaics tell: the year alone of when it was seen."""
    match = next((found for name in sorted(beside) if (found := _MOSAIC.search(name))), None)
    if match is None:
        return Hints()
    year = 2000 + int(match["year"])
    old = year <= _LAST_YEAR_OF_ALOS
    return Hints(
        id=f"{match['tile']}_{match['year']}_MOS_{match['mode']}",
        start=dt.datetime(year, 1, 1, tzinfo=dt.UTC),
        end=dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
        radiometry="gamma0",
        encoding="dn",
        calibration_factor_db=CALIBRATION_FACTOR_DB,
        angle_scale=1.0,
        mask_classes=_MOSAIC_MASK,
        properties={
            "platform": "alos" if old else "alos-2",
            "instruments": ["palsar" if old else "palsar-2"],
            "sar:frequency_band": "L",
            "product:type": "RTC",
        },
        warnings=("A yearly mosaic joins passes of different days: its soil moisture is of no one time.",),
    )
