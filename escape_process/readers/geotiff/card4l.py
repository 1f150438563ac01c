"""The XML beside analysis-ready rasters: CARD4L (CEOS-ARD) metadata as JAXA writes it with level 2.2 and its mosaics.

Elements are found by their names wherever they stand, since the two kinds nest them differently.
"""

import datetime as dt
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any, cast

from escape_process.errors import EscapeError, InvalidInputError
from escape_process.hrefs import file_name, read_bytes
from escape_process.readers.geotiff.hints import Hints
from escape_process.records import Convention
from escape_process.settings import Settings

LONGEST_XML = 2**20
"""Bytes; real ones have some 8 kB."""
DEEPEST_ELEMENT = 50

_CONVENTION = re.compile(r"(sigma|gamma|beta)[\s_-]?(?:0|nought|naught)", re.IGNORECASE)
_EQUATION = re.compile(r"(?:10\*?log10\(DN\^2\)|20\*?log10\(DN\))([+-]\d+(?:\.\d+)?)", re.IGNORECASE)
_ANGLE_EQUATION = re.compile(r"(\d+(?:\.\d+)?)\*DN", re.IGNORECASE)
_MASK = {
    "NoData": "no_data",
    "ValidData": "valid",
    "Layover": "layover",
    "Shadow": "shadow",
    "OceanWater": "water",
    "InvalidData": "invalid",
}
_PLATFORMS = {"alos2": "alos-2", "alos4": "alos-4", "alos": "alos"}


class _Shallow(ET.TreeBuilder):
    """Builds a tree of bounded depth: elements inside their like would be searched again and again."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._depth = 0

    def start(self, tag: str, attrs: dict[Any, Any], /) -> ET.Element:
        self._depth += 1
        if self._depth > DEEPEST_ELEMENT:
            raise InvalidInputError(f"{self._name} nests its elements more than {DEEPEST_ELEMENT} deep: not trusted.")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def parse_xml(content: bytes, name: str) -> ET.Element:
    """Parse XML that nobody vouches for: no document type, so no entities, and nothing outside is ever fetched.

    Raises
    ------
    InvalidInputError
        where it is no XML, is not UTF-8, declares a document type, or nests its elements absurdly.
    """
    try:
        text = content.decode("utf-8-sig")
        if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
            raise InvalidInputError(f"{name} declares a document type, which is not trusted.")
        parser = ET.XMLParser(target=_Shallow(name))
        parser.feed(text)
        root: ET.Element = parser.close()
    except (UnicodeDecodeError, ET.ParseError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{name} is not XML, or cut short.") from error
    return root


def hints_of_card4l(beside: Mapping[str, str], settings: Settings) -> Hints:
    """Return what the CARD4L XML beside a product's rasters tells."""
    complaints: tuple[str, ...] = ()
    for name, href in sorted(beside.items()):
        if not name.lower().endswith(".xml") or name.lower().endswith(".aux.xml"):
            continue
        try:
            root = parse_xml(read_bytes(href, settings, LONGEST_XML), file_name(href))
        except EscapeError as error:
            complaints += (f"The metadata beside the rasters are not used: {error}",)
            continue
        if any(True for _ in _all(root, "SourceAttributes")):
            return _hints_of(root)
    return Hints(warnings=complaints)


def _all(element: ET.Element, *names: str) -> Iterator[ET.Element]:
    for found in element.iter():
        if isinstance(found.tag, str) and found.tag.rpartition("}")[2] in names:
            yield found


def _text(element: ET.Element, *names: str) -> str | None:
    for found in _all(element, *names):
        text = "".join(found.itertext()).strip()
        if text:
            return text
    return None


def _number(text: str | None, low: float, high: float) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and low <= value <= high else None


def _times(root: ET.Element, *names: str) -> list[dt.datetime]:
    times = []
    for found in _all(root, *names):
        try:
            time = dt.datetime.fromisoformat((found.text or "").strip())
            times.append(time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC))
        except (ValueError, OverflowError):
            continue
    return times


def _hints_of(root: ET.Element) -> Hints:
    starts, ends = _times(root, "StartTime", "UTCStartTime"), _times(root, "EndTime", "UTCEndTime")
    start = min(starts, default=None)
    end = max(ends, default=None)
    if start is None or end is None or end < start:
        end = None
    measured = {found[1].lower() for text in _texts(root, "BackscatterMeasurement") if (found := _convention(text))}
    equation = _EQUATION.fullmatch(re.sub(r"\s", "", _text(root, "BackscatterConversionEq") or ""))
    warnings = []
    if (_text(root, "FilterApplied") or "").upper() in ("TRUE", "Y", "YES"):
        warnings.append("The metadata say that speckle was filtered: the number of looks is then hardly known.")
    return Hints(
        start=start,
        end=end,
        radiometry=cast(Convention, f"{measured.pop()}0") if len(measured) == 1 else None,
        encoding="dn" if equation else None,
        calibration_factor_db=float(equation[1]) if equation else None,
        noise_floor_db=_noise_floors(root),
        angle_scale=_angle_scale(root),
        mask_classes=_mask_classes(root),
        properties=_properties(root),
        warnings=tuple(warnings),
    )


def _texts(root: ET.Element, name: str) -> list[str]:
    return [(found.text or "").strip() for found in _all(root, name)]


def _convention(text: str) -> re.Match[str] | None:
    return _CONVENTION.search(text)


def _noise_floors(root: ET.Element) -> dict[str, float]:
    """Return the noise-equivalent sigma0 by polarization; the highest of several estimates and acquisitions."""
    floors: dict[str, float] = {}
    for parent in _all(root, "PerformanceIndicators"):
        for found in _all(parent, "NoiseEquivalentIntensity", "NoiseEquivalentSigma0"):
            name = (found.get("pol") or parent.get("pol") or "").strip().upper()
            for text in found.itertext():
                value = _number(text, -80, 0)
                if name in ("HH", "HV", "VH", "VV") and value is not None:
                    floors[name] = max(value, floors.get(name, value))
    return floors


def _angle_scale(root: ET.Element) -> float | None:
    for found in _all(root, "LocalIncAngle"):
        equation = _ANGLE_EQUATION.fullmatch(re.sub(r"\s", "", _text(found, "ConversionEq") or ""))
        if equation is not None:
            return float(equation[1])
        if any("deg" in (kind.get("units") or kind.get("Units") or "") for kind in _all(found, "SampleType")):
            return 1.0
    return None


def _mask_classes(root: ET.Element) -> dict[int, str]:
    classes: dict[int, str] = {}
    for parent in _all(root, "BitValues"):
        for found in parent:
            value = (found.text or "").strip()
            if isinstance(found.tag, str) and found.tag in _MASK and re.fullmatch(r"\d{1,3}", value, re.ASCII):
                classes[int(value)] = _MASK[found.tag]
    return classes


def _properties(root: ET.Element) -> dict[str, Any]:
    frequency = _number(_text(root, "RadarCenterFrequency"), 0.1, 100)
    near = _number(_text(root, "IncAngleNearRange"), 1, 89)
    far = _number(_text(root, "IncAngleFarRange"), 1, 89)
    mode = _text(root, "ObservationMode")
    band = _text(root, "RadarBand")
    looking = (_text(root, "AntennaPointing") or "").lower()
    passing = (_text(root, "PassDirection") or "").lower()
    platform = re.sub(r"[^a-z0-9]", "", (_text(root, "Satellite") or "").lower())
    instrument = re.sub(r"[^a-z0-9-]", "", (_text(root, "Instrument") or "").lower())
    known = {
        "platform": _PLATFORMS.get(platform, platform or None),
        "instruments": [instrument] if instrument else None,
        "sar:center_frequency": frequency,
        "sar:frequency_band": band if band in ("P", "L", "S", "C", "X", "Ku", "K", "Ka") else None,
        "sar:instrument_mode": mode if mode and len(mode) <= 40 else None,
        "sar:observation_direction": looking if looking in ("left", "right") else None,
        "sat:orbit_state": passing if passing in ("ascending", "descending") else None,
        "view:incidence_angle": None if near is None or far is None else round((near + far) / 2, 3),
    }
    return {key: value for key, value in known.items() if value is not None}
