"""From a STAC item to a usable scene, or the reason why it is none.

Items of this kind of data are written by many hands and seldom complete, so every rule looks in several places and
takes the first that answers; the request's values count only where all of them are silent.
"""

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from escape_process.catalogue.angle_and_mask import find_angle, find_mask
from escape_process.catalogue.footprints import footprint_of, parse_time
from escape_process.catalogue.item_assets import (
    Asset,
    AssetBand,
    as_list,
    as_mapping,
    as_number,
    as_polarizations,
    as_texts,
    assets_of,
    is_usable,
    resolve,
)
from escape_process.catalogue.radiometry_of_items import (
    band_record,
    convention_of,
    is_terrain_corrected,
    noise_floor_of,
    product_types,
)
from escape_process.hrefs import file_name
from escape_process.records import Band, Refusal, Scene
from escape_process.request import RetrievalRequest

DEFAULT_FREQUENCY = 1.2365e9
"""Hz: the centre frequency in the leader of a PALSAR-2 fine-beam scene, wavelength 0.2424525 m."""
ALOS2_REPEAT_ORBITS = 207
"""Orbits of one 14-day repeat cycle of ALOS-2."""
LONGEST_ACQUISITION = dt.timedelta(days=1)
"""Mosaics span weeks to a year: their pixels have no common time and no common incidence."""

LONGEST_PASS = dt.timedelta(minutes=30)
"""Frames of one orbit that lie further apart in time show different passes."""

_L_BAND_NAMES = re.compile(r"alos|daichi|palsar|saocom|l-?sar\b|uavsar|jers", re.IGNORECASE)
_ALOS2_ID = re.compile(r"ALOS2(?P<orbit>\d{5})(?P<frame>\d{4})-\d{6}")
_SCANSAR_MODES = frozenset({"WBS", "WBD", "WWS", "WWD", "VBS", "VBD", "SCANSAR"})


class _RefusedError(Exception):
    """Carries the reason from the rule that refuses to `scene_from_item`."""


def scene_from_item(item: Mapping[str, Any], href: str, request: RetrievalRequest) -> Scene | Refusal:
    """Check a STAC item by the rules for full-polarimetric L-band scenes.

    Parameters
    ----------
    item
        As found, STAC 1.0 or 1.1.
    href
        Where it was found: base of its relative hrefs.
    request
        `radiometry`, `incidence_angle_deg`, `looks` and `frequency` count where the item is silent.

    Returns
    -------
    The scene, or the refusal with the first reason met.
    """
    name = item.get("id")
    scene_id = name if isinstance(name, str) and name else file_name(href)
    try:
        return _read_scene(scene_id, item, href, request)
    except _RefusedError as refused:
        return Refusal(scene_id, str(refused), item)
    except RecursionError:
        return Refusal(scene_id, "Its metadata is nested too deeply to be read.", item)


def _read_scene(scene_id: str, item: Mapping[str, Any], href: str, request: RetrievalRequest) -> Scene:
    properties = as_mapping(item.get("properties"))
    assets = assets_of(item, href)
    warnings: list[str] = []
    names = _names_of(scene_id, properties)

    chosen = _choose_bands(item, assets, href, request)
    frequency = _frequency(properties, names, request, warnings)
    bands = _band_records(item, chosen, request)
    usable = tuple(asset for asset in assets if is_usable(asset.href, href))
    angle, assumed = find_angle(properties, usable, request.incidence_angle_deg)
    warnings += assumed
    if angle is None:
        raise _RefusedError("It has neither a raster nor a number of the incidence angle: give incidence_angle_deg.")
    mask, assumed = find_mask(usable, names)
    warnings += assumed
    time = _time(properties)
    orbit = _absolute_orbit(scene_id, properties)
    if any(mode.upper() in _SCANSAR_MODES for mode in as_texts(properties.get("sar:instrument_mode"))):
        warnings.append(f"Mode {properties['sar:instrument_mode']} is not a full-polarimetric one, yet all are there.")
    if any(band.encoding == "dn" and band.calibration_factor_db is None for band in bands.values()):
        warnings.append("No calibration factor is stated for the digital numbers; JAXA's usual -83 dB is used.")
    return Scene(
        id=scene_id,
        item=_with_absolute_hrefs(item, assets, href),
        href=href,
        datetime=time,
        bands=bands,
        angle=angle,
        mask=mask,
        geometry=_geometry(item),
        frequency=frequency,
        looks=_looks(properties, chosen, request),
        resolution_cell=_resolution_cell(properties),
        pass_key=_pass_key(scene_id, properties, orbit, time),
        relative_orbit=_relative_orbit(names, properties, orbit),
        noise_floor_db=_noise_floors(chosen),
        terrain_corrected=all(is_terrain_corrected(item, asset) for asset, _ in chosen.values()),
        warnings=tuple(warnings),
    )


def _names_of(scene_id: str, properties: Mapping[str, Any]) -> str:
    """Return what names the satellite, for rules that tell families apart."""
    said = [properties.get(name) for name in ("platform", "constellation", "instruments", "mission")]
    return " ".join([scene_id, *(text for value in said for text in as_texts(value))])


def _choose_bands(
    item: Mapping[str, Any], assets: tuple[Asset, ...], href: str, request: RetrievalRequest
) -> dict[str, tuple[Asset, AssetBand]]:
    """Return the raster of each polarization, or refuse an item that is not full-polarimetric.

    All that the item says counts for the message, only rasters that are there count for the rule: collections have
    been seen to list four polarizations for scenes of one.
    """
    properties = as_mapping(item.get("properties"))
    said = set(as_polarizations(properties.get("sar:polarizations")))
    found: dict[str, list[tuple[Asset, AssetBand]]] = {}
    foreign: set[str] = set()
    for asset in assets:
        if not asset.is_measurement:
            continue
        said |= set(as_polarizations(asset.fields.get("sar:polarizations")))
        for band in asset.bands:
            polarization = asset.polarization_of(band)
            if polarization is None:
                continue
            said.add(polarization)
            if not is_usable(asset.href, href):
                foreign.add(polarization)
            elif asset.is_raster:
                found.setdefault(polarization, []).append((asset, band))
    if missing := missing_polarizations(said):
        raise _RefusedError(_dual_pol_sentence(said, missing))
    if missing := missing_polarizations(found):
        if foreign:
            raise _RefusedError(
                f"Its rasters of {_enumerate(sorted(foreign))} have no http or https address: serve them by one."
            )
        there = f"only of {_enumerate(sorted(found))}" if found else "of none"
        raise _RefusedError(
            f"Its metadata lists {', '.join(sorted(said))}, but it has GeoTIFF assets {there}:"
            f" {_enumerate(missing)} missing."
        )
    return {name: min(options, key=lambda option: _rank(item, option)) for name, options in sorted(found.items())}


def _rank(item: Mapping[str, Any], option: tuple[Asset, AssetBand]) -> tuple[bool, int]:
    """Prefer what is said to be data, then sigma0, which needs no conversion; the first of equals is kept."""
    convention = convention_of(item, *option)
    order = ("sigma0", "gamma0", "beta0", None)
    return "data" not in option[0].roles, order.index(convention)


def missing_polarizations(names: Any) -> list[str]:
    """Return what full polarimetry lacks: HH, VV and one of HV and VH are needed."""
    missing = [name for name in ("HH", "VV") if name not in names]
    return missing if "HV" in names or "VH" in names else [*missing, "HV or VH"]


def _dual_pol_sentence(said: set[str], missing: list[str]) -> str:
    if not said:
        return "It names none of the polarizations HH, HV, VH and VV."
    kind = {1: "single-pol", 2: "dual-pol"}.get(len(said), "not full-pol")
    verb = "is" if len(missing) == 1 else "are"
    return f"It is {kind} ({', '.join(sorted(said))}), {_enumerate(missing)} {verb} missing."


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _frequency(properties: Mapping[str, Any], names: str, request: RetrievalRequest, warnings: list[str]) -> float:
    """Return the centre frequency in Hz, or refuse a band that is not shown to be L."""
    letters = [text.strip().upper() for text in as_texts(properties.get("sar:frequency_band")) if text.strip()]
    if letters and letters != ["L"]:
        raise _RefusedError(f"It is {_enumerate(letters)}-band (sar:frequency_band), not L-band.")
    frequency = as_number(properties.get("sar:center_frequency"))
    if frequency is not None and 1e9 <= frequency <= 2e9:
        return frequency  # in Hz against the specification, but without doubt
    if frequency is not None:
        if not 1 <= frequency <= 2:
            raise _RefusedError(f"Its centre frequency {frequency:g} GHz (sar:center_frequency) is not in L-band.")
        return frequency * 1e9
    if request.frequency is not None:
        return request.frequency
    if not letters:
        if not _L_BAND_NAMES.search(names):
            raise _RefusedError("Nothing shows that it is L-band: give frequency.")
        warnings.append("The band is not stated; the satellite's name shows that it is L.")
    warnings.append(f"The centre frequency is not stated; {DEFAULT_FREQUENCY / 1e9:g} GHz is used.")
    return DEFAULT_FREQUENCY


def _band_records(
    item: Mapping[str, Any], chosen: Mapping[str, tuple[Asset, AssetBand]], request: RetrievalRequest
) -> dict[str, Band]:
    records = {}
    for name, (asset, band) in chosen.items():
        kinds = product_types(item, asset) if asset.family is None else []  # a family's reader detects power itself
        kind = band.text("data_type").lower() if asset.family is None else ""
        if "complex" in kind or kind.startswith(("cint", "cfloat")):
            raise _RefusedError(f"Asset {asset.key} is complex ({kind}): give detected rasters (power or amplitude).")
        if kinds and kinds[0] in ("SLC", "SSC", "L1.1"):
            raise _RefusedError(f"It is a single-look complex product ({kinds[0]}): give detected, geocoded rasters.")
        convention = convention_of(item, asset, band) or request.radiometry
        if convention is None:
            raise _RefusedError(
                f"Its metadata does not tell whether {name} is sigma0, gamma0 or beta0: give radiometry."
            )
        records[name] = band_record(asset, band, convention)
    return records


def _time(properties: Mapping[str, Any]) -> dt.datetime:
    texts = [properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
    instant, start, end = (parse_time(text) for text in texts)
    if instant is not None:
        return instant
    if start is None:
        raise _RefusedError("It has no time of acquisition (datetime).")
    if end is not None and end - start > LONGEST_ACQUISITION:
        raise _RefusedError(f"It spans {(end - start).days} days, so it is a mosaic and no single acquisition.")
    return start


def _geometry(item: Mapping[str, Any]) -> Mapping[str, Any]:
    shape = footprint_of(item)
    if shape is None or shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise _RefusedError("It has no valid footprint (geometry).")
    return as_mapping(item["geometry"])


def _looks(
    properties: Mapping[str, Any], chosen: Mapping[str, tuple[Asset, AssetBand]], request: RetrievalRequest
) -> float | None:
    name = "sar:looks_equivalent_number"
    stated = [as_number(properties.get(name)), *(band.number(name) for _, band in chosen.values())]
    product = _product(properties, "sar:looks_range", "sar:looks_azimuth")
    for looks in (*stated, product):
        if looks is not None and 0 < looks <= 1e6:
            return looks
    return request.looks


def _resolution_cell(properties: Mapping[str, Any]) -> float | None:
    return _product(properties, "sar:resolution_range", "sar:resolution_azimuth")


def _product(properties: Mapping[str, Any], first: str, second: str) -> float | None:
    one, other = as_number(properties.get(first)), as_number(properties.get(second))
    if one is None or other is None or one <= 0 or other <= 0:
        return None
    product = one * other
    return product if math.isfinite(product) else None


def _absolute_orbit(scene_id: str, properties: Mapping[str, Any]) -> int | None:
    orbit = as_number(properties.get("sat:absolute_orbit"))
    if orbit is not None and orbit > 0:
        return int(orbit)
    found = _ALOS2_ID.search(scene_id)
    return int(found["orbit"]) if found else None


def _relative_orbit(names: str, properties: Mapping[str, Any], absolute_orbit: int | None) -> int | None:
    orbit = as_number(properties.get("sat:relative_orbit"))
    if orbit is not None and orbit >= 0:
        return int(orbit)
    is_alos2 = re.search(r"alos-?2|daichi-?2", names, re.IGNORECASE) is not None
    return absolute_orbit % ALOS2_REPEAT_ORBITS if absolute_orbit is not None and is_alos2 else None


def _pass_key(scene_id: str, properties: Mapping[str, Any], absolute_orbit: int | None, time: dt.datetime) -> str:
    """Return what frames of one pass share; a scene without an orbit is a pass of its own."""
    platform = re.sub(r"[^a-z0-9]", "", " ".join(as_texts(properties.get("platform"))).lower()) or "unnamed"
    relative = as_number(properties.get("sat:relative_orbit"))
    if absolute_orbit is not None:
        return f"{platform}_orbit{absolute_orbit}_{time:%Y%m%d}"
    if relative is not None:
        direction = "".join(as_texts(properties.get("sat:orbit_state"))).lower()
        return f"{platform}_track{int(relative)}{direction}_{time:%Y%m%d}"
    return f"{scene_id}_{time:%Y%m%dT%H%M%S}"


def join_passes(scenes: Iterable[Scene]) -> list[Scene]:
    """Give frames of one pass one key where the pass crosses midnight UTC; in order of time."""
    joined: list[Scene] = []
    latest: dict[str, Scene] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.datetime, scene.id)):
        orbit = scene.pass_key.removesuffix(f"_{scene.datetime:%Y%m%d}")
        before = latest.get(orbit)
        same = before is not None and scene.datetime - before.datetime < LONGEST_PASS
        latest[orbit] = replace(scene, pass_key=before.pass_key) if before is not None and same else scene
        joined.append(latest[orbit])
    return joined


def _noise_floors(chosen: Mapping[str, tuple[Asset, AssetBand]]) -> dict[str, float]:
    floors = {name: noise_floor_of(band, name) for name, (_, band) in chosen.items()}
    return {name: floor for name, floor in floors.items() if floor is not None}


def _with_absolute_hrefs(item: Mapping[str, Any], assets: tuple[Asset, ...], href: str) -> dict[str, Any]:
    absolute = deepcopy(dict(item))
    for asset in assets:
        absolute["assets"][asset.key]["href"] = asset.href
    for link in as_list(absolute.get("links")):
        if isinstance(link, dict) and isinstance(link.get("href"), str):
            link["href"] = resolve(link["href"], href)
    return absolute
