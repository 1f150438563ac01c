"""Georeferenced GeoTIFFs, one a polarization on one grid or one of several bands: JAXA's levels, analysis-ready, own.

`describe` says what a STAC item of such a set is made of. What no metadata tells stays unsaid: nothing is guessed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from escape_process.hrefs import file_name
from escape_process.readers.computed import id_from
from escape_process.readers.footprints import footprint_of
from escape_process.readers.geotiff.card4l import hints_of_card4l
from escape_process.readers.geotiff.files import (
    POLARIZATIONS,
    RasterFile,
    RasterSet,
    find_rasters,
    is_stack,
    kind_of,
    outline,
)
from escape_process.readers.geotiff.hints import Hints, read_hints
from escape_process.readers.geotiff.jaxa import hints_of_alos2, hints_of_mosaic
from escape_process.readers.geotiff.leader import hints_of_leader
from escape_process.readers.geotiff.nisar_manifest import folder_name, hints_of_manifest
from escape_process.readers.geotiff.summary import hints_of_summary
from escape_process.records import Description, Encoding
from escape_process.settings import Settings

__all__ = ["POLARIZATIONS", "describe", "is_stack", "kind_of", "recognises"]

UNITS: Mapping[Encoding, str] = {"dn": "DN", "linear": "1", "db": "dB"}
"""Band unit of each encoding that a product can tell."""

_SOURCES = (hints_of_card4l, hints_of_summary, hints_of_leader, hints_of_alos2, hints_of_mosaic, hints_of_manifest)
"""What knows something of a product, the most trustworthy first."""

_COMPANIONS = {
    "metadata": (re.compile(r"(?<!\.aux)\.xml$", re.IGNORECASE), "application/xml", "Metadata of the product"),
    "summary": (re.compile(r"^summary\.txt$", re.IGNORECASE), "text/plain", "Summary of the product"),
    "leader": (re.compile(r"^LED-ALOS", re.IGNORECASE), "application/octet-stream", "CEOS leader"),
    "kml": (re.compile(r"\.kml$", re.IGNORECASE), "application/vnd.google-earth.kml+xml", "Outline"),
}
"""Key, file name, media type and title of files that are no rasters."""

KEYS = {"local_angle": "local_incidence_angle", "ellipsoid_angle": "ellipsoid_incidence_angle", "mask": "mask"}
"""Asset key and band name of what is no backscatter."""

_ORIENTATION = {"H": "horizontal", "V": "vertical"}


def recognises(names: Sequence[str]) -> bool:
    """Tell whether one of the file names is that of a GeoTIFF named by a polarization."""
    return any(kind_of(name) in POLARIZATIONS for name in names)


def describe(
    hrefs: Sequence[str], settings: Settings, *, dem: str | None = None, name: str | None = None
) -> Description:
    """Describe a set of georeferenced rasters.

    Parameters
    ----------
    hrefs
        One GeoTIFF a polarization (HH.tif, scene_HH.tif, IMG-HH-ALOS2...tif, ...), all on one grid, or one whose bands
        are described so; beside them, where
        there are, a local incidence angle (*_LIN.tif, local_incidence_angle.tif, ...), a mask (mask.tif, *_MSK.tif),
        JAXA's summary.txt, leader or XML, or a manifest.json that names a NISAR granule.
    dem
        A terrain model: of no use here, since the rasters lie on a map grid already.
    name
        Id where the product has none of its own. Default: the name of the folder.

    Raises
    ------
    InvalidInputError
        where there is no usable raster, or rasters do not match.
    SceneError
        where a raster cannot be read.
    UpstreamError
        where a file is missing or its host fails.
    """
    found = find_rasters(hrefs, settings)
    hints = read_hints(hrefs, [file.label for file in found.bands.values()], _SOURCES, settings)
    given = name or folder_name(found.first.href) or "scene"
    properties = {
        "platform": None,  # the order of a familiar item
        "instruments": None,
        "gsd": found.first.pixel_size,
        **hints.properties,
        "sar:polarizations": list(found.bands),
        "escape:radiometry_said": hints.radiometry_said,
    }
    unused = () if dem is None else (f"The rasters lie on a map grid: the terrain model {file_name(dem)} is not used.",)
    return Description(
        id=hints.id or id_from(given),
        start=hints.start,
        end=hints.end,
        grid=found.first.grid,
        geometry=footprint_of(outline(found, settings), found.first.grid),
        assets={**_assets(hints, found), **_companions(hrefs)},
        properties={key: value for key, value in properties.items() if value is not None},
        warnings=(*hints.warnings, *unused),
    )


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


def _assets(hints: Hints, found: RasterSet) -> dict[str, Any]:
    """Return an asset a file: of each polarization, or of all where they are bands of one file."""
    stack = {kind: file for kind, file in found.by_kind.items() if file.several}
    assets: dict[str, Any] = {"backscatter": _stack_asset(hints, found, stack)} if stack else {}
    for kind, file in found.by_kind.items():
        if file.several:
            continue
        if kind in POLARIZATIONS:
            assets[kind] = _polarization_asset(hints, kind, file)
            continue
        key = KEYS[kind]
        assets[key] = {
            "href": file.href,
            "type": file.media_type,
            "title": key.replace("_", " ").capitalize(),
            "roles": ["metadata", "data-mask"] if kind == "mask" else ["data", key.replace("_", "-")],
            "bands": [_fields_of(hints, kind, file)],
        }
    return assets


def _polarization_asset(hints: Hints, name: str, file: RasterFile) -> dict[str, Any]:
    sent, received = (_ORIENTATION[letter] for letter in name)
    asset: dict[str, Any] = {
        "href": file.href,
        "type": file.media_type,
        "title": f"{name} backscatter",
        "description": f"Sent {sent}, received {received}.",
        "roles": ["data", *([hints.radiometry] if hints.radiometry else [])],
        "sar:polarizations": [name],
        "bands": [_fields_of(hints, name, file)],
    }
    if hints.calibration_factor_db is not None and _encoding(hints, file) == "dn":
        asset["escape:calibration_factor_db"] = hints.calibration_factor_db
    if name in hints.noise_floor_db:
        asset["escape:noise_floor_db"] = hints.noise_floor_db[name]
    return asset


def _stack_asset(hints: Hints, found: RasterSet, stack: Mapping[str, RasterFile]) -> dict[str, Any]:
    """Describe one file of many bands: those that nothing is known of are numbered."""
    bands = {file.index: _fields_of(hints, kind, file) for kind, file in stack.items()}
    return {
        "href": found.first.href,
        "type": found.first.media_type,
        "title": "Backscatter",
        "roles": ["data", *([hints.radiometry] if hints.radiometry else [])],
        "sar:polarizations": list(found.bands),
        "bands": [bands.get(index, {"name": f"band_{index}"}) for index in range(1, max(bands) + 1)],
    }


def _fields_of(hints: Hints, kind: str, file: RasterFile) -> dict[str, Any]:
    """Describe a band by what it holds."""
    if kind in POLARIZATIONS:
        encoding = _encoding(hints, file)
        return _band_fields(kind, file, file.unit if encoding is None else UNITS[encoding])
    band = _band_fields(KEYS[kind], file, file.unit)
    if kind == "mask":
        if hints.mask_classes:
            band["classification:classes"] = _classes(hints.mask_classes)
    elif file.unit is None and hints.angle_scale is not None:
        band |= {"unit": "deg", "raster:scale": hints.angle_scale, "raster:offset": 0.0}
    return band


def _companions(hrefs: Sequence[str]) -> dict[str, Any]:
    """Return assets of the files that tell of the rasters, so that whoever has the item has them, too."""
    assets: dict[str, Any] = {}
    for href in sorted(hrefs):
        for key, (pattern, media_type, title) in _COMPANIONS.items():
            if key not in assets and pattern.search(file_name(href)):
                assets[key] = {"href": href, "type": media_type, "title": title, "roles": ["metadata"]}
    return assets


def _encoding(hints: Hints, file: RasterFile) -> Encoding | None:
    """Return how a raster stores power; one that its user made of a product's digital numbers is no longer such."""
    return None if hints.encoding == "dn" and file.dtype.startswith("float") else hints.encoding


def _classes(classes: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the meaning of a mask's values as STAC's classification extension says it."""
    return [
        {"value": value, "name": name, "description": name.replace("_", " ").capitalize() + "."}
        for value, name in sorted(classes.items())
    ]
