"""Makes a STAC 1.1 item of what a product says of itself and what its user declares."""

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from escape_process.catalogue.collection import EXTENSIONS, STAC_VERSION
from escape_process.catalogue.item_assets import FAMILY_FIELD
from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name
from escape_process.records import Convention, Description, Encoding, Grid

CALIBRATION_FIELD = "escape:calibration_factor_db"
"""On the asset of a polarization in digital numbers: power_db = 20 log10(DN) + factor."""
NOISE_FIELD = "escape:noise_floor_db"
"""On the asset of a polarization: noise-equivalent sigma0 (or gamma0) in dB."""
FORMAT_TEST_FIELD = "escape:format_test"
"""On an item that only shows that its format is read: what is retrieved from it means nothing."""
SAID_FIELD = "escape:radiometry_said"
"""On an item: words on the radiometry that are too vague to be taken for it."""

UNITS: Mapping[Encoding, str] = {"dn": "DN", "amplitude": "1", "linear": "1", "db": "dB"}
"""Band unit of each encoding; an amplitude also has the role `amplitude`."""

LONGEST_ID = 200
"""Characters: an item's id is the name of its folder and file, too."""

_ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LONGEST_ID - 1}}}")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_:.-]*")
_POLARIZATIONS = ("HH", "HV", "VH", "VV")
_LONG = dt.timedelta(hours=1)
"""No scene takes as long: a longer interval means that the time of day is not known."""


@dataclass(frozen=True)
class Declaration:
    """What the user says of rasters whose metadata does not; it overrides what names and neighbouring files tell."""

    id: str | None = None
    """Letters, digits, hyphens, underscores, dots (not first). Default: the product's own."""
    datetime: dt.datetime | None = None
    """Time of acquisition; without a time zone it is UTC."""
    radiometry: Convention | None = None
    encoding: Encoding | None = None
    """How power is stored: digital numbers, amplitude, linear power, dB."""
    calibration_factor_db: float | None = None
    """For digital numbers: power_db = 20 log10(DN) + factor."""
    incidence_angle_deg: float | None = None
    """Incidence angle of the whole scene, degrees, above 0 and below 90."""
    looks: float | None = None
    """Equivalent number of looks of a pixel."""
    noise_floor_db: float | None = None
    frequency: float | None = None
    """Hz."""
    platform: str | None = None
    instrument_mode: str | None = None
    collection: str | None = None
    title: str | None = None
    description: str | None = None
    mask_classes: Mapping[int, str] | None = None
    """Meaning of the mask's values: nodata or no_data, valid, layover, shadow, water, invalid."""
    created: dt.datetime | None = None
    """When the metadata was made; absent from the item where None."""
    format_test: bool = False
    """Whether the scene only shows that its format is read, being no L-band or no scene at all."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Further item properties; they override all others."""

    def __post_init__(self) -> None:
        if self.id is not None and not _ID.fullmatch(self.id):
            raise InvalidInputError(
                f"id = {self.id!r}: catalogues take letters, digits, hyphens, underscores and dots (not first) only."
            )
        for name, allowed in (("radiometry", Convention), ("encoding", Encoding)):
            value = getattr(self, name)
            if value is not None and value not in get_args(allowed):
                raise InvalidInputError(f"{name} = {value!r}: it is one of {', '.join(get_args(allowed))}.")
        for name, low, high in (
            ("incidence_angle_deg", 0.0, 90.0),
            ("looks", 0.0, 1e9),
            ("frequency", 1e8, 1e11),
            ("calibration_factor_db", -200.0, 200.0),
            ("noise_floor_db", -200.0, 200.0),
        ):
            value = getattr(self, name)
            if value is not None and not low < value < high:
                raise InvalidInputError(f"{name} = {value:g}: it must lie between {low:g} and {high:g}.")
        for name in self.properties:
            if not _PROPERTY.fullmatch(name):
                raise InvalidInputError(f"property {name!r}: give a name such as sat:relative_orbit.")


@dataclass(frozen=True)
class SourceItem:
    """An item made of a product that a user holds."""

    item: Mapping[str, Any]
    """STAC 1.1; hrefs are absolute paths or addresses, links are left to the catalogue that takes it."""
    warnings: tuple[str, ...]
    """What is missing, one sentence each."""

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])


def make_item(described: Description, declared: Declaration | None = None) -> SourceItem:
    """Make a STAC item of a product's description.

    Parameters
    ----------
    described
        What a reader found.
    declared
        What the product does not tell; it overrides what it does.

    Returns
    -------
    The item and a sentence for everything that a retrieval needs and nothing tells.

    Raises
    ------
    InvalidInputError
        where nothing tells the date, or a value is none that JSON can hold.
    """
    declared = Declaration() if declared is None else declared
    shape = shapely.geometry.shape(described.geometry)
    item_id = declared.id or _ODD.sub("-", described.id).lstrip(".")[:LONGEST_ID] or "scene"
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": item_id,
        "geometry": described.geometry,
        "bbox": bbox_of(shape),
        "properties": _properties(declared, described),
        "links": [],
        "assets": {key: _asset(asset, declared) for key, asset in described.assets.items()},
    }
    if declared.collection is not None:
        item["collection"] = declared.collection
    item["stac_extensions"] = _extensions_used(item)
    plain = _plain(item)
    try:
        json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise InvalidInputError(
            f"The metadata of {item_id} hold a value that JSON cannot: a number that is none, or a file's name that is"
            " no text."
        ) from error
    return SourceItem(plain, (*described.warnings, *_missing(plain)))


def _plain(value: Any) -> Any:
    """Turn tuples into lists and numpy's numbers into Python's, so that an item equals the item read back."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _stamp(time: dt.datetime) -> str:
    utc = time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    return utc.isoformat().replace("+00:00", "Z")


def _times(declared: Declaration, described: Description) -> dict[str, Any]:
    if declared.datetime is not None:
        return {"datetime": _stamp(declared.datetime)}
    start, end = described.start, described.end
    if start is None:
        raise InvalidInputError("Nothing tells when the scene was acquired: give datetime.")
    if end is None:
        return {"datetime": _stamp(start)}
    return {
        "datetime": _stamp(start) if end - start < _LONG else None,
        "start_datetime": _stamp(start),
        "end_datetime": _stamp(end),
    }


def _projection(grid: Grid) -> dict[str, Any]:
    crs = pyproj.CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    corners = [grid.transform @ (column, row) for column in (0, grid.width) for row in (0, grid.height)]
    x, y = zip(*corners, strict=True)
    code = {"proj:code": None, "proj:wkt2": crs.to_wkt()}
    return {
        **(code if authority is None else {"proj:code": ":".join(authority)}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [float(value) for value in grid.transform][:6],
        "proj:bbox": [float(value) for value in (min(x), min(y), max(x), max(y))],
    }


def bbox_of(shape: BaseGeometry) -> list[float]:
    """Return [west, south, east, north]; west > east where the shape was cut at the antimeridian."""
    west, south, east, north = shape.bounds
    if shape.geom_type == "MultiPolygon" and west == -180 and east == 180:
        west = min(part.bounds[0] for part in shape.geoms if part.bounds[2] == 180)
        east = max(part.bounds[2] for part in shape.geoms if part.bounds[0] == -180)
    return [float(value) for value in (west, south, east, north)]


def _properties(declared: Declaration, described: Description) -> dict[str, Any]:
    said = {
        "title": declared.title,
        "description": declared.description,
        "created": None if declared.created is None else _stamp(declared.created),
        "platform": declared.platform,
        "sar:center_frequency": None if declared.frequency is None else round(declared.frequency / 1e9, 9),
        "sar:looks_equivalent_number": declared.looks,
        "sar:instrument_mode": declared.instrument_mode,
        "view:incidence_angle": declared.incidence_angle_deg,
        FORMAT_TEST_FIELD: True if declared.format_test else None,
    }
    if declared.frequency is not None and 1e9 <= declared.frequency <= 2e9:
        said["sar:frequency_band"] = "L"
    given = {key: value for key, value in said.items() if value is not None}
    known = {**described.properties, **given}
    if declared.radiometry is not None:
        known.pop(SAID_FIELD, None)
    return {**_times(declared, described), **known, **_projection(described.grid), **declared.properties}


def _polarizations(asset: Mapping[str, Any]) -> list[str]:
    return [band["name"] for band in asset.get("bands", ()) if _is_power(band)]


def _is_power(band: Mapping[str, Any]) -> bool:
    return band.get("name") in _POLARIZATIONS


def _asset(described: Mapping[str, Any], declared: Declaration) -> dict[str, Any]:
    """Return an asset with what the user declares of it."""
    asset = {**described, "bands": [dict(band) for band in described.get("bands", ())]}
    if _polarizations(asset):
        roles = [
            role
            for role in asset.get("roles", ["data"])
            if declared.radiometry is None or role not in get_args(Convention)
        ]
        roles += [declared.radiometry] if declared.radiometry else []
        if declared.encoding is not None and FAMILY_FIELD not in asset:  # a family's reader yields linear power
            roles = [role for role in roles if role != "amplitude"]
            roles += ["amplitude"] if declared.encoding == "amplitude" else []
            unit = {"unit": UNITS[declared.encoding]}
            asset["bands"] = [{**band, **(unit if _is_power(band) else {})} for band in asset["bands"]]
        asset["roles"] = roles
        if declared.calibration_factor_db is not None and FAMILY_FIELD not in asset:
            asset[CALIBRATION_FIELD] = declared.calibration_factor_db
        if declared.noise_floor_db is not None:
            asset[NOISE_FIELD] = declared.noise_floor_db
    if declared.mask_classes:
        for band in asset["bands"]:
            if band.get("name") == "mask":
                band["classification:classes"] = [
                    {"value": value, "name": name, "description": name.replace("_", " ").capitalize() + "."}
                    for value, name in sorted(declared.mask_classes.items())
                ]
    if not asset["bands"]:
        del asset["bands"]
    return asset


def _extensions_used(item: Mapping[str, Any]) -> list[str]:
    bands = [band for asset in item["assets"].values() for band in asset.get("bands", [])]
    parts: Sequence[Mapping[str, Any]] = [item["properties"], *item["assets"].values(), *bands]
    prefixes = {key.split(":")[0] for part in parts for key in part if ":" in key}
    return [address for prefix, address in sorted(EXTENSIONS.items()) if prefix in prefixes]


def _missing(item: Mapping[str, Any]) -> Iterable[str]:
    """Say what a retrieval needs and the item does not tell."""
    properties, assets = item["properties"], item["assets"]
    measured = [asset for asset in assets.values() if _polarizations(asset)]
    names = {name for asset in measured for name in _polarizations(asset)}
    lacking = [name for name in ("HH", "VV") if name not in names]
    lacking += [] if names & {"HV", "VH"} else ["HV or VH"]
    if lacking:
        yield f"Not full-polarimetric: {' and '.join(lacking)} missing; a retrieval will refuse the scene."
    if properties["datetime"] is None:
        yield f"Only the day {properties['start_datetime'][:10]} is known, no time of day: declare the datetime."
    if not all(set(asset.get("roles", ())) & set(get_args(Convention)) for asset in measured):
        words = properties.get(SAID_FIELD)
        said = "Nothing" if words is None else f"Nothing but the words {words!r}"
        yield f"{said} tells whether the values are sigma0, gamma0 or beta0: declare the radiometry."
    plain = [asset for asset in measured if FAMILY_FIELD not in asset]
    if any("unit" not in band for asset in plain for band in asset["bands"] if _is_power(band)):
        yield "Nothing tells whether the values are digital numbers, linear power or dB: declare the encoding."
    yield from _missing_of_angle_and_mask(properties, assets)
    if "sar:frequency_band" not in properties and "sar:center_frequency" not in properties:
        yield "Nothing tells that the band is L: declare the frequency."
    elif "sar:center_frequency" not in properties:
        yield "No centre frequency: readers will take one that is common in L-band."
    if "sar:looks_equivalent_number" not in properties:
        yield "No number of looks: it will be measured on the pixels, which is less certain."
    if "platform" not in properties:
        yield "No platform is named."


def _missing_of_angle_and_mask(properties: Mapping[str, Any], assets: Mapping[str, Any]) -> Iterable[str]:
    bands = [(asset, band) for asset in assets.values() for band in asset.get("bands", ())]
    angles = [(asset, band) for asset, band in bands if str(band.get("name")).endswith("incidence_angle")]
    if not angles and "view:incidence_angle" not in properties:
        if "view:off_nadir" in properties:
            yield "No incidence angle but what follows from the off-nadir angle for flat ground: add a raster of it."
        else:
            yield "No incidence angle: add a raster of it, or declare incidence_angle_deg."
    for asset, band in angles:
        if "unit" not in band and band["name"].startswith("local"):
            yield f"{file_name(asset['href'])} does not tell the angles' unit: readers will tell it by the values."
    for asset, band in bands:
        if band.get("name") == "mask" and "classification:classes" not in band:
            yield f"{file_name(asset['href'])} does not tell what its values mean: declare mask_classes."
