"""Describes a folder of rasters as a STAC 1.1 item."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import shapely

from escape_process.catalogue.collection import EXTENSIONS, STAC_VERSION
from escape_process.catalogue.sources.hints import Hints, read_hints
from escape_process.catalogue.sources.rasters import RasterFile, RasterFolder, bbox_of, find_rasters, footprint
from escape_process.errors import InvalidInputError
from escape_process.records import Convention, Encoding

CALIBRATION_FIELD = "escape:calibration_factor_db"
"""On the asset of a polarization in digital numbers: power_db = 20 log10(DN) + factor."""
NOISE_FIELD = "escape:noise_floor_db"
"""On the asset of a polarization: noise-equivalent sigma0 (or gamma0) in dB."""

UNITS: Mapping[Encoding, str] = {"dn": "DN", "amplitude": "1", "linear": "1", "db": "dB"}
"""Band unit of each encoding; an amplitude also has the role `amplitude`."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_ORIENTATION = {"H": "horizontal", "V": "vertical"}


@dataclass(frozen=True)
class Declaration:
    """What the user says of rasters whose metadata does not; it overrides what names and neighbouring files tell."""

    id: str | None = None
    """Letters, digits, hyphens, underscores, dots (not first). Default: the product's id, else the folder's name."""
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
        ):
            value = getattr(self, name)
            if value is not None and not low < value < high:
                raise InvalidInputError(f"{name} = {value:g}: it must lie between {low:g} and {high:g}.")


@dataclass(frozen=True)
class SourceItem:
    """An item made of a user's rasters."""

    item: Mapping[str, Any]
    """STAC 1.1; hrefs are absolute paths, links are left to the catalogue that takes it."""
    warnings: tuple[str, ...]
    """What is missing, one sentence each."""

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])


def make_items(folders: Iterable[Path], declared: Declaration | None = None) -> tuple[SourceItem, ...]:
    """Describe several folders of rasters, one scene each; arguments and errors as of `make_item`.

    Raises
    ------
    InvalidInputError
        also where two folders get the same id.
    """
    made: dict[str, SourceItem] = {}
    for folder in folders:
        item = make_item(folder, declared)
        if item.id in made:
            raise InvalidInputError(f"Two folders give the item id {item.id!r}: make them one by one, with an id each.")
        made[item.id] = item
    return tuple(made.values())


def make_item(folder: Path, declared: Declaration | None = None) -> SourceItem:
    """Describe a folder of georeferenced rasters as a STAC item.

    Parameters
    ----------
    folder
        Holds one GeoTIFF a polarization (HH.tif, scene_HH.tif, IMG-HH-ALOS2...tif, ...), all on one grid; beside them,
        where there are, a local incidence angle (*_LIN.tif, local_incidence_angle.tif, ...), a mask (mask.tif,
        *_MSK.tif), JAXA's summary.txt or a manifest.json that names a NISAR granule.
    declared
        What the files do not tell.

    Returns
    -------
    The item and a sentence for everything that a retrieval needs and nothing tells.

    Raises
    ------
    InvalidInputError
        where there is no usable raster, rasters do not match, or nothing tells the date.
    """
    declared = Declaration() if declared is None else declared
    found = find_rasters(folder)
    hints = read_hints(folder, [file.path for file in found.files])
    times = _times(declared, hints)
    shape = footprint(found)
    properties = _properties(declared, hints, found, times)
    item_id = declared.id or hints.id or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).lstrip(".")
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": item_id,
        "geometry": shapely.geometry.mapping(shape),
        "bbox": bbox_of(shape),
        "properties": properties,
        "links": [],
        "assets": _assets(declared, hints, found),
    }
    if declared.collection is not None:
        item["collection"] = declared.collection
    item["stac_extensions"] = _extensions_used(item)
    return SourceItem(_plain(item), (*hints.warnings, *_missing(declared, hints, found, properties)))


def _plain(value: Any) -> Any:
    """Turn tuples into lists, so that an item in memory equals the item read back."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _stamp(time: dt.datetime) -> str:
    utc = time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    return utc.isoformat().replace("+00:00", "Z")


def _times(declared: Declaration, hints: Hints) -> dict[str, Any]:
    if declared.datetime is not None:
        return {"datetime": _stamp(declared.datetime)}
    if hints.start is None:
        raise InvalidInputError("Nothing tells when the scene was acquired: give datetime.")
    if hints.end is None:
        return {"datetime": _stamp(hints.start)}
    known = hints.end - hints.start < dt.timedelta(hours=1)
    return {
        "datetime": _stamp(hints.start) if known else None,
        "start_datetime": _stamp(hints.start),
        "end_datetime": _stamp(hints.end),
    }


def _projection(file: RasterFile) -> dict[str, Any]:
    authority = file.crs.to_authority()
    height, width = file.shape
    corners = [file.transform @ (column, row) for column in (0, width) for row in (0, height)]
    x, y = zip(*corners, strict=True)
    code = {"proj:code": None, "proj:wkt2": file.crs.to_wkt()}
    return {
        **(code if authority is None else {"proj:code": ":".join(authority)}),
        "proj:shape": [height, width],
        "proj:transform": [float(value) for value in file.transform][:6],
        "proj:bbox": [float(value) for value in (min(x), min(y), max(x), max(y))],
    }


def _properties(declared: Declaration, hints: Hints, found: RasterFolder, times: Mapping[str, Any]) -> dict[str, Any]:
    pixel_size = found.first.pixel_size
    known = {
        "title": declared.title,
        "description": declared.description,
        "created": None if declared.created is None else _stamp(declared.created),
        "platform": declared.platform or hints.platform,
        "instruments": list(hints.instruments) or None,
        "gsd": pixel_size,
        **hints.properties,
        "sar:center_frequency": None if declared.frequency is None else round(declared.frequency / 1e9, 9),
        "sar:polarizations": list(found.bands),
        "sar:looks_equivalent_number": declared.looks,
        "view:incidence_angle": declared.incidence_angle_deg,
    }
    if declared.frequency is not None and 1e9 <= declared.frequency <= 2e9:
        known["sar:frequency_band"] = "L"
    if declared.instrument_mode is not None:
        known["sar:instrument_mode"] = declared.instrument_mode
    given = {key: value for key, value in known.items() if value is not None}
    return {**times, **given, **_projection(found.first), **declared.properties}


def _file_fields(file: RasterFile) -> dict[str, Any]:
    return {
        "href": str(file.path.resolve()),
        "type": file.media_type,
        "file:size": file.size,
        "file:checksum": file.checksum,
    }


def _band_fields(name: str, file: RasterFile, unit: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": name, "data_type": file.dtype}
    if file.nodata is not None and file.nodata == file.nodata:  # NaN is nodata by itself and not JSON
        whole = float(file.nodata).is_integer() and not file.dtype.startswith("float")
        fields["nodata"] = int(file.nodata) if whole else file.nodata
    if unit is not None:
        fields["unit"] = unit
    if (file.scale, file.offset) != (1.0, 0.0):
        fields |= {"raster:scale": file.scale, "raster:offset": file.offset}
    if file.pixel_size is not None:
        fields["raster:spatial_resolution"] = round(file.pixel_size, 6)
    return fields


def _assets(declared: Declaration, hints: Hints, found: RasterFolder) -> dict[str, Any]:
    encoding = declared.encoding or hints.encoding
    radiometry = declared.radiometry or hints.radiometry
    factor = hints.calibration_factor_db if declared.calibration_factor_db is None else declared.calibration_factor_db
    assets: dict[str, Any] = {}
    for name, file in found.bands.items():
        sent, received = (_ORIENTATION[letter] for letter in name)
        roles = ["data", *([radiometry] if radiometry else []), *(["amplitude"] if encoding == "amplitude" else [])]
        assets[name] = {
            **_file_fields(file),
            "title": f"{name} backscatter",
            "description": f"Sent {sent}, received {received}.",
            "roles": roles,
            "sar:polarizations": [name],
            "bands": [_band_fields(name, file, file.unit if encoding is None else UNITS[encoding])],
        }
        if factor is not None:
            assets[name][CALIBRATION_FIELD] = factor
        if declared.noise_floor_db is not None:
            assets[name][NOISE_FIELD] = declared.noise_floor_db
    for kind, angle in (("local", found.local_angle), ("ellipsoid", found.ellipsoid_angle)):
        if angle is not None:
            key = f"{kind}_incidence_angle"
            assets[key] = {
                **_file_fields(angle),
                "title": f"{kind.capitalize()} incidence angle",
                "roles": ["data", key.replace("_", "-")],
                "bands": [_band_fields(key, angle, angle.unit)],
            }
    if found.mask is not None:
        assets["mask"] = {**_file_fields(found.mask), "title": "Mask", "roles": ["metadata", "data-mask"]}
        band = _band_fields("mask", found.mask, found.mask.unit)
        classes = declared.mask_classes or hints.mask_classes
        if classes:
            band["classification:classes"] = [
                {"value": value, "name": name, "description": name.replace("_", " ").capitalize() + "."}
                for value, name in sorted(classes.items())
            ]
        assets["mask"]["bands"] = [band]
    return assets


def _extensions_used(item: Mapping[str, Any]) -> list[str]:
    bands = [band for asset in item["assets"].values() for band in asset.get("bands", [])]
    parts: Sequence[Mapping[str, Any]] = [item["properties"], *item["assets"].values(), *bands]
    prefixes = {key.split(":")[0] for part in parts for key in part if ":" in key}
    return [address for prefix, address in sorted(EXTENSIONS.items()) if prefix in prefixes]


def _missing(declared: Declaration, hints: Hints, found: RasterFolder, properties: Mapping[str, Any]) -> Iterable[str]:
    names = set(found.bands)
    lacking = [name for name in ("HH", "VV") if name not in names]
    lacking += [] if names & {"HV", "VH"} else ["HV or VH"]
    if lacking:
        yield f"Not full-polarimetric: {' and '.join(lacking)} missing; a retrieval will refuse the scene."
    if (declared.radiometry or hints.radiometry) is None:
        said = "Nothing" if hints.radiometry_said is None else f"Nothing but the words {hints.radiometry_said!r}"
        yield f"{said} tells whether the values are sigma0, gamma0 or beta0: declare the radiometry."
    if (declared.encoding or hints.encoding or found.first.unit) is None:
        yield "Nothing tells whether the values are digital numbers, linear power or dB: declare the encoding."
    angles = (found.local_angle, found.ellipsoid_angle, properties.get("view:incidence_angle"))
    if all(angle is None for angle in angles):
        yield "No incidence angle: add a raster of it, or declare incidence_angle_deg."
    if found.local_angle is not None and found.local_angle.unit is None:
        yield f"{found.local_angle.path.name} does not tell its unit: readers will take it to be degrees."
    if "sar:frequency_band" not in properties and "sar:center_frequency" not in properties:
        yield "Nothing tells that the band is L: declare the frequency."
    elif "sar:center_frequency" not in properties:
        yield "No centre frequency: readers will take one that is common in L-band."
    if "sar:looks_equivalent_number" not in properties:
        yield "No number of looks: it will be measured on the pixels, which is less certain."
    if "platform" not in properties:
        yield "No platform is named."
    if found.mask is not None and not (declared.mask_classes or hints.mask_classes):
        yield f"{found.mask.path.name} does not tell what its values mean: declare mask_classes."
