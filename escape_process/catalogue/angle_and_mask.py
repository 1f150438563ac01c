"""Where a scene's incidence angle and mask come from."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from escape_process.catalogue.item_assets import Asset, AssetBand, as_list, as_mapping, as_number
from escape_process.catalogue.radiometry_of_items import PALSAR_MOSAIC
from escape_process.hrefs import file_name
from escape_process.records import Angle, Mask

EARTH_RADIUS = 6371e3
ALOS2_ALTITUDE = 628e3
"""Mean altitude of ALOS-2, m; other L-band satellites lie within 130 km of it, which is half a degree at 35."""

_LOCAL = re.compile(r"(^|[_.-])(lin|linci|lia|local[_-]?inc\w*)([_.-]|$)", re.IGNORECASE)
_ELLIPSOID = re.compile(r"(^|[_.-])(eia|ellipsoid\w*[_-]inc\w*)([_.-]|$)", re.IGNORECASE)
_ANY_ANGLE = re.compile(r"(^|[_.-])(inc|inci|incidence([_-]?angle)?|inc[_-]?angle)([_.-]|$)", re.IGNORECASE)
_MASK = re.compile(r"(^|[_.-])(msk|mask|data[_-]?mask)([_.-]|$)", re.IGNORECASE)
_DEGREES_PER_UNIT = {
    "deg": 1.0,
    "degree": 1.0,
    "degrees": 1.0,
    "°": 1.0,
    "rad": math.degrees(1.0),
    "radian": math.degrees(1.0),
    "radians": math.degrees(1.0),
    "0.01 deg": 0.01,
    "0.01 degree": 0.01,
    "centidegree": 0.01,
}

_ALOS2_MASK = {"invalid": frozenset({0, 5}), "layover_shadow": frozenset({2, 3}), "water": frozenset({4})}
"""MSK of level 2.2: 0 no data, 1 valid, 2 layover, 3 shadow, 4 ocean, 5 invalid."""
_MOSAIC_MASK = {"invalid": frozenset({0}), "layover_shadow": frozenset({100, 150}), "water": frozenset({50})}
"""Mask of JAXA's mosaics: 0 no data, 50 water, 100 layover, 150 shadow, 255 land."""
_UNTOLD_MASK = {"invalid": frozenset({0}), "layover_shadow": frozenset[int](), "water": frozenset[int]()}
_MEANINGS = (
    ("layover_shadow", re.compile(r"layover|shadow|foreshort", re.IGNORECASE)),
    ("water", re.compile(r"water|ocean|\bsea\b|\blakes?\b", re.IGNORECASE)),
    ("invalid", re.compile(r"invalid|no[\s_-]?data|not[\s_-]valid|fill|missing|saturat|outside", re.IGNORECASE)),
)


def find_angle(
    properties: Mapping[str, Any], assets: tuple[Asset, ...], given_deg: float | None
) -> tuple[Angle | None, list[str]]:
    """Return the best source of the incidence angle, None where there is none, and what was assumed."""
    for pattern, role, local in (
        (_LOCAL, "local-incidence-angle", True),
        (_ELLIPSOID, "ellipsoid-incidence-angle", False),
        (_ANY_ANGLE, None, True),
    ):
        for asset, band in _named(assets, pattern, role):
            warnings = []
            if role is None:
                warnings.append(
                    f"Asset {asset.key} does not say which incidence angle it holds; taken as the local one."
                )
            scale, source = _degrees_per_unit(band), asset.source_of(band)
            return Angle(asset.key, asset.href, asset.index_of(band), scale, local=local, source=source), warnings
    angle = as_number(properties.get("view:incidence_angle"))
    if angle is not None and 0 < angle < 90:
        return Angle("view:incidence_angle", constant_deg=angle, local=False), []
    angle = _from_off_nadir(properties)
    if angle is not None:
        warning = f"The incidence angle {angle:.1f} degrees was computed from the off-nadir angle, for flat ground."
        return Angle("view:off_nadir", constant_deg=angle, local=False), [warning]
    if given_deg is not None:
        return Angle("incidence_angle_deg", constant_deg=given_deg), []
    return None, []


def _named(assets: tuple[Asset, ...], pattern: re.Pattern[str], role: str | None) -> Iterator[tuple[Asset, AssetBand]]:
    """Yield bands of a role, then those of a name."""
    rasters = [asset for asset in assets if asset.is_raster and "thumbnail" not in asset.roles]
    for asset in rasters:
        if role in asset.roles:
            yield asset, asset.bands[0]
    for asset in rasters:
        for band in asset.bands:
            if pattern.search(band.name):
                yield asset, band
        if pattern.search(asset.key) or pattern.search(file_name(asset.href)):
            yield asset, asset.bands[0]


def _degrees_per_unit(band: AssetBand) -> float | None:
    scale = band.number("raster:scale", "scale")
    unit = _DEGREES_PER_UNIT.get(band.text("unit").strip().lower())
    if scale is None or scale <= 0:
        return unit
    return scale if unit is None else scale * unit


def _from_off_nadir(properties: Mapping[str, Any]) -> float | None:
    off_nadir = as_number(properties.get("view:off_nadir"))
    altitude = as_number(properties.get("card4l:orbit_mean_altitude")) or ALOS2_ALTITUDE
    if off_nadir is None or not 0 < off_nadir < 60 or not 1e5 < altitude < 2e6:
        return None
    sine = (EARTH_RADIUS + altitude) / EARTH_RADIUS * math.sin(math.radians(off_nadir))
    return math.degrees(math.asin(sine)) if sine < 1 else None


def find_mask(assets: tuple[Asset, ...], names: str) -> tuple[Mask | None, list[str]]:
    """Return a scene's mask and the meaning of its values, and what was assumed.

    Parameters
    ----------
    names
        Platform, instruments and id of the item: they tell the product family where the mask declares no classes.
    """
    for asset, band in _named(assets, _MASK, "data-mask"):
        warnings = []
        declared = _declared_meaning(band)
        if declared is not None:
            meaning = declared
        elif PALSAR_MOSAIC.search(file_name(asset.href)) or re.search("mosaic", names, re.IGNORECASE):
            meaning = _MOSAIC_MASK
        elif re.search(r"alos-?2|palsar-?2|daichi-?2", names, re.IGNORECASE):
            meaning = _ALOS2_MASK
        else:
            meaning = _UNTOLD_MASK
            warnings.append(
                f"Mask {asset.key} does not tell what its values mean; 0 is read as no data and all others as valid."
            )
        return Mask(
            asset.key,
            asset.href,
            asset.index_of(band),
            invalid=meaning["invalid"],
            layover_shadow=meaning["layover_shadow"],
            water=meaning["water"],
            source=asset.source_of(band),
        ), warnings
    return None, []


def _declared_meaning(band: AssetBand) -> dict[str, frozenset[int]] | None:
    """Sort the values of a classification by the words of their names; None where there is none."""
    meaning: dict[str, set[int]] = {"invalid": set(), "layover_shadow": set(), "water": set()}
    found = False
    for classes in band.values("classification:classes", "values"):
        for entry in map(as_mapping, as_list(classes)):
            said = entry.get("value")
            numbers = [as_number(value) for value in (said if isinstance(said, list) else [said])]
            kind = _kind_of(entry)
            for number in numbers:
                found = found or number is not None
                if number is not None and number.is_integer() and kind is not None:
                    meaning[kind].add(int(number))
        if found:
            return {kind: frozenset(values) for kind, values in meaning.items()}
    return None


def _kind_of(entry: Mapping[str, Any]) -> str | None:
    """Return which set a class belongs to by the first of its texts that tells; None is valid ground."""
    for text in (str(entry.get(name, "")) for name in ("name", "title", "summary", "description")):
        for kind, pattern in _MEANINGS:
            if pattern.search(text):
                return kind
        if re.search(r"valid|land|good|clear", text, re.IGNORECASE):
            return None
    return None
