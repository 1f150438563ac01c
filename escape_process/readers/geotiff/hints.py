"""What names and neighbouring files tell of a scene: PALSAR-2 product names, JAXA's summary.txt, a NISAR manifest."""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name, read_bytes
from escape_process.physics.radiometry import CALIBRATION_FACTOR_DB
from escape_process.records import Convention, Encoding
from escape_process.settings import Settings

_ALOS2 = re.compile(
    r"ALOS2(?P<orbit>\d{5})(?P<frame>\d{4})-(?P<date>\d{6})"
    r"[-_](?P<mode>SBS|UBS|UBD|HBS|HBD|HBQ|FBS|FBD|FBQ|WBS|WBD|WWS|WWD|VBS|VBD)"
    r"(?P<look>[LR])(?P<level>1\.5|2\.1|2\.2|3\.1)[GR_][UPML_](?P<direction>[AD])"
)
"""Scene id and product id of JAXA's product format descriptions, as in IMG-HH-ALOS2014555550-140829-HBQR2.1GUA."""

_LEVEL_CONVENTION: Mapping[str, Convention] = {"1.5": "sigma0", "2.1": "sigma0", "3.1": "sigma0", "2.2": "gamma0"}

_LEVEL_2_2_MASK = {0: "no_data", 1: "valid", 2: "layover", 3: "shadow", 4: "water", 5: "invalid"}
"""JAXA, description of the PALSAR-2 level 2.2 product."""

_NISAR = re.compile(
    r"NISAR_(?P<band>[LS])(?P<level>\d)_\w{2}_(?P<product>[A-Z]+)_(?P<cycle>\d{3})_(?P<track>\d{3})_"
    r"(?P<direction>[AD])_(?P<frame>\d{3})_(?P<mode>\w{4})_\w{4}_[A-Z]_(?P<start>\d{8}T\d{6})_(?P<end>\d{8}T\d{6})\w*"
)
"""Granule names of the NISAR product specifications."""

_ORBIT = {"A": "ascending", "D": "descending"}
_SIDE = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Hints:
    """What was found; what nothing tells is absent."""

    id: str | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    platform: str | None = None
    instruments: tuple[str, ...] = ()
    radiometry: Convention | None = None
    radiometry_said: str | None = None
    """Words on the radiometry that are too vague to be taken for it."""
    encoding: Encoding | None = None
    calibration_factor_db: float | None = None
    noise_floor_db: Mapping[str, float] = field(default_factory=dict)
    """By polarization."""
    angle_scale: float | None = None
    """Degrees per stored unit of the incidence angle raster."""
    mask_classes: Mapping[int, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def folder_name(href: str) -> str:
    """Return the name of the folder that a file lies in."""
    return file_name(href.rsplit("/", 1)[0]) if "/" in href else ""


def read_hints(hrefs: Sequence[str], settings: Settings) -> Hints:
    """Look for what a scene's file names and the files beside its rasters tell.

    Raises
    ------
    InvalidInputError
        where a manifest.json is there but not JSON.
    """
    beside = {file_name(href).lower(): href for href in hrefs}
    for name in sorted(beside.values()):
        match = _ALOS2.search(file_name(name))
        if match is not None:
            return _hints_of_alos2(match, beside, settings)
    if "manifest.json" in beside:
        return _hints_of_manifest(beside["manifest.json"], settings)
    return Hints()


def _hints_of_alos2(match: re.Match[str], beside: Mapping[str, str], settings: Settings) -> Hints:
    centre = _scene_centre_time(beside, settings)
    start = dt.datetime.strptime(match["date"], "%y%m%d").replace(tzinfo=dt.UTC)
    whole_day = start + dt.timedelta(days=1) - dt.timedelta(seconds=1)
    warnings = []
    if match["level"] == "1.5":
        warnings.append("Level 1.5 is not terrain corrected: positions and angles are wrong where there is relief.")
    return Hints(
        id=match[0].replace(".", "_").strip("_"),
        start=centre or start,
        end=None if centre else whole_day,
        platform="alos-2",
        instruments=("palsar-2",),
        radiometry=_LEVEL_CONVENTION[match["level"]],
        encoding="dn",
        calibration_factor_db=CALIBRATION_FACTOR_DB,
        mask_classes=_LEVEL_2_2_MASK if match["level"] == "2.2" else {},
        properties={
            "sar:frequency_band": "L",
            "sar:instrument_mode": match["mode"],
            "sar:observation_direction": _SIDE[match["look"]],
            "sat:orbit_state": _ORBIT[match["direction"]],
            "sat:absolute_orbit": int(match["orbit"]),
            "product:type": f"L{match['level']}",
        },
        warnings=tuple(warnings),
    )


def _scene_centre_time(beside: Mapping[str, str], settings: Settings) -> dt.datetime | None:
    """Read Img_SceneCenterDateTime of a product's summary.txt."""
    if "summary.txt" not in beside:
        return None
    text = read_bytes(beside["summary.txt"], settings, 2**20).decode("ascii", errors="replace")
    match = re.search(r'Img_SceneCenterDateTime="(\d{8} \d{2}:\d{2}:\d{2}(?:\.\d{1,6})?)"', text)
    if match is None:
        return None
    pattern = "%Y%m%d %H:%M:%S.%f" if "." in match[1] else "%Y%m%d %H:%M:%S"
    return dt.datetime.strptime(match[1], pattern).replace(tzinfo=dt.UTC)


def _hints_of_manifest(href: str, settings: Settings) -> Hints:
    try:
        manifest = json.loads(read_bytes(href, settings, 2**24))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("manifest.json beside the rasters is not JSON: repair it or move it away.") from error
    source = manifest.get("source") if isinstance(manifest, dict) else None
    match = _NISAR.search(source) if isinstance(source, str) else None
    if match is None:
        return Hints(warnings=("manifest.json beside the rasters names no source granule known here: not used.",))
    product = match["product"]
    said = manifest.get("radiometry")
    start, end = (dt.datetime.strptime(match[at], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC) for at in ("start", "end"))
    return Hints(
        id=f"{match[0]}_{folder_name(href)}",
        start=start,
        end=end,
        platform="nisar",
        instruments=(f"{match['band'].lower()}-sar",),
        radiometry_said=said if isinstance(said, str) else None,
        encoding="linear" if product == "GCOV" else None,  # covariance terms: the diagonal is power
        properties={
            "sar:frequency_band": match["band"],
            "sar:instrument_mode": match["mode"],
            "sat:orbit_state": _ORBIT[match["direction"]],
            "sat:relative_orbit": int(match["track"]),
            "sat:orbit_cycle": int(match["cycle"]),
            "product:type": product,
        },
    )
