"""What the catalogue says of one date of a result: its STAC item."""

import importlib.metadata
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pyproj

from escape_process import __version__
from escape_process.catalogue.collection import (
    EXTENSIONS,
    LICENSE_FILE,
    PROCESS_ID,
    PROVENANCE,
    REPORT,
    STAC_VERSION,
    THUMBNAIL,
    layer_asset,
    renders,
    results_collection,
)
from escape_process.catalogue.item_assets import as_mapping, as_number
from escape_process.catalogue.publish import public_href
from escape_process.hrefs import is_remote, without_secrets
from escape_process.layers import LAYERS, Layer
from escape_process.records import Grid, Pass, Product, ProductFile, Scene
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

__all__ = ["bbox_of", "iso", "result_item", "results_collection"]

NAMESPACE = "urn:escape-process:"
"""Of names that stand where there is no address: in provenance, and for scenes that the operator keeps private."""

_METRES_PER_DEGREE = 111_320.0

MARKS: Mapping[str, tuple[str, str]] = {
    "escape:simulated": ("simulated", "The source is simulated: this is no observation of real ground."),
    "escape:format_test": (
        "format test",
        "The source only shows that its format is read: these figures are no observation of soil moisture.",
    ),
}
"""Properties of a source that its result keeps: the words of the title, and the sentence of the description."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(one) for one in value)


_COPIED: dict[str, Callable[[Any], bool]] = {
    "license": lambda value: _is_text(value) and value not in ("proprietary", "various"),
    "platform": _is_text,
    "constellation": _is_text,
    "instruments": _is_texts,
    "sar:instrument_mode": _is_text,
    "sar:bandwidth": lambda value: _is_number(value, 1e-6, 10),
    "sar:observation_direction": lambda value: value in ("left", "right"),
    "sar:beam_ids": _is_texts,
    "sat:platform_international_designator": _is_text,
    "sat:orbit_state": lambda value: value in ("ascending", "descending"),
    "sat:absolute_orbit": _is_count,
    "sat:relative_orbit": _is_count,
    "view:off_nadir": lambda value: _is_number(value, 0, 90),
    "view:incidence_angle": lambda value: _is_number(value, 0, 90),
    "view:azimuth": lambda value: _is_number(value, 0, 360),
}
"""Properties that a result has in common with its source, each with what makes a value legal: public items are often
wrong, and a result must not inherit that. Resolutions, spacings and looks of the source do not describe the result."""


def result_item(
    product: Product,
    pass_: Pass,
    request: RetrievalRequest,
    settings: Settings,
    *,
    report: Mapping[str, Any],
    created: datetime,
) -> dict[str, Any]:
    """Describe one date of a result as a STAC item whose asset hrefs are relative to the item.

    Parameters
    ----------
    report
        What the report says; its `software` is added to `processing:software`.
    created
        When the files were made.
    """
    marks = [mark for mark in MARKS if any(bool(_properties(scene).get(mark)) for scene in pass_.scenes)]
    properties = {
        **_times(pass_, created),
        **_words(pass_, marks),
        **_copied(pass_),
        **_projection(product.grid),
        **_processing(pass_, request, settings, report, created),
        **_sar(pass_),
        "gsd": _pixel_size(product.grid),
        "product:type": "SSM",
        "version": __version__,
        "renders": renders(),
        "escape:valid_share": product.valid_share,
        "escape:flag_shares": dict(product.flag_shares),
    }
    angle = (product.assets["incidence_angle"].statistics or {}).get("mean")
    if angle is not None:
        properties["view:incidence_angle"] = round(angle, 3)
    properties.update(dict.fromkeys(marks, True))
    assets = {layer.name: _raster_asset(layer, product.assets[layer.name], product.grid) for layer in LAYERS}
    assets["thumbnail"] = _file_asset(THUMBNAIL, product.assets["thumbnail"])
    assets["report"] = _file_asset(REPORT, product.assets["report"])
    if "provenance" in product.assets:
        assets["provenance"] = _file_asset(PROVENANCE, product.assets["provenance"])
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": _extensions_of(properties),
        "id": product.id,
        "geometry": dict(product.geometry),
        "bbox": bbox_of(product.geometry),
        "properties": properties,
        "links": _links(pass_, settings),
        "assets": assets,
        "collection": settings.results_collection,
    }


def bbox_of(geometry: Mapping[str, Any]) -> list[float]:
    """Return [west, south, east, north] of a GeoJSON polygon; west > east where it was cut at the antimeridian."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    spans = [([x for x, _ in polygon[0]], [y for _, y in polygon[0]]) for polygon in polygons]
    south = min(min(y) for _, y in spans)
    north = max(max(y) for _, y in spans)
    before_line = [min(x) for x, _ in spans if max(x) == 180.0]
    after_line = [max(x) for x, _ in spans if min(x) == -180.0]
    if len(polygons) > 1 and before_line and after_line:
        return [min(before_line), south, max(after_line), north]
    return [min(min(x) for x, _ in spans), south, max(max(x) for x, _ in spans), north]


def iso(instant: datetime) -> str:
    """Return an instant as STAC writes it: UTC, RFC 3339, with a Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _raster_asset(layer: Layer, file: ProductFile, grid: Grid) -> dict[str, Any]:
    asset = _file_asset(layer_asset(layer), file)
    band = asset["bands"][0]
    band["raster:spatial_resolution"] = _pixel_size(grid)
    if file.statistics is not None:
        band["statistics"] = dict(file.statistics)
    return asset


def _file_asset(definition: Mapping[str, Any], file: ProductFile) -> dict[str, Any]:
    return {"href": f"./{file.name}", **definition, "file:size": file.size, "file:checksum": file.checksum}


def _extensions_of(properties: Mapping[str, Any]) -> list[str]:
    """Return the extensions used: a schema that finds none of its fields fails, so unused ones are not declared."""
    always = {"raster", "classification", "file", "version", "render"}
    used = {name.partition(":")[0] for name in properties if ":" in name} | always
    return [address for prefix, address in EXTENSIONS.items() if prefix in used]


def _properties(scene: Scene) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = scene.item.get("properties") or {}
    return properties


def _times(pass_: Pass, created: datetime) -> dict[str, str]:
    starts = [_instant(_properties(scene).get("start_datetime"), scene.datetime) for scene in pass_.scenes]
    ends = [_instant(_properties(scene).get("end_datetime"), scene.datetime) for scene in pass_.scenes]
    return {
        "datetime": iso(pass_.datetime),
        "start_datetime": iso(min([*starts, pass_.datetime])),
        "end_datetime": iso(max([*ends, pass_.datetime])),
        "created": iso(created),
        "updated": iso(created),
    }


def _instant(value: Any, otherwise: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return otherwise
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _words(pass_: Pass, marks: Sequence[str]) -> dict[str, str]:
    day = f"{pass_.datetime:%Y-%m-%d}"
    scenes = ", ".join(scene.id for scene in pass_.scenes)
    words = ", ".join(MARKS[mark][0] for mark in marks)
    title = f"Soil moisture and surface roughness, {day}" + (f" ({words})" if words else "")
    description = (
        f"Volumetric soil moisture and effective surface roughness with their 1-sigma uncertainty, from the"
        f" full-polarimetric L-band scene{'s' if len(pass_.scenes) > 1 else ''} {scenes}."
    )
    return {"title": title, "description": " ".join([description, *(MARKS[mark][1] for mark in marks)])}


def _copied(pass_: Pass) -> dict[str, Any]:
    """Copy what every frame of the pass agrees on and states legally."""
    first, *others = [_properties(scene) for scene in pass_.scenes]
    copied = {
        name: first[name]
        for name, is_legal in _COPIED.items()
        if name in first and is_legal(first[name]) and all(other.get(name) == first[name] for other in others)
    }
    known = pass_.scenes[0].relative_orbit
    return {"sat:relative_orbit": known, **copied} if _is_count(known) else copied


def _sar(pass_: Pass) -> dict[str, Any]:
    polarizations = {polarization for scene in pass_.scenes for polarization in scene.bands}
    return {
        "sar:frequency_band": "L",
        "sar:center_frequency": pass_.scenes[0].frequency / 1e9,
        "sar:polarizations": [one for one in ("HH", "HV", "VH", "VV") if one in polarizations],
    }


def _projection(grid: Grid) -> dict[str, Any]:
    crs = pyproj.CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    projection: dict[str, Any] = {
        "proj:code": None if authority is None else ":".join(authority),
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": list(grid.bounds),
    }
    if authority is None:
        projection["proj:wkt2"] = crs.to_wkt()
    return projection


def _pixel_size(grid: Grid) -> float:
    """Return the pixel's side in metres."""
    crs = pyproj.CRS.from_user_input(grid.crs)
    size = math.sqrt(abs(grid.transform.a * grid.transform.e))
    if crs.is_geographic:
        return round(size * _METRES_PER_DEGREE, 3)
    return float(size * crs.axis_info[0].unit_conversion_factor)


def _processing(
    pass_: Pass, request: RetrievalRequest, settings: Settings, report: Mapping[str, Any], created: datetime
) -> dict[str, Any]:
    warnings = sorted({warning for scene in pass_.scenes for warning in scene.warnings})
    lineage = (
        "Inversion of sigma0 in HH, HV and VV with the bare-soil model of Oh (2004) under the water cloud model by an"
        f" ensemble of {request.members} self-calibrated members in {request.mode} mode, seed {request.seed}; no"
        f" in-situ value enters. {' '.join(sorted({_faraday(scene.item) for scene in pass_.scenes}))}"
    )
    facility = {"processing:facility": settings.public_url} if settings.public_url else {}
    return {
        "processing:level": "L2",
        "processing:lineage": " ".join([lineage, *warnings]),
        "processing:expression": {"format": "json", "expression": request.content()},
        "processing:software": software(report),
        "processing:version": __version__,
        "processing:datetime": iso(created),
        **facility,
    }


def _faraday(item: Mapping[str, Any]) -> str:
    """Say what became of the Faraday rotation, which only readers of complex samples see."""
    properties = as_mapping(item.get("properties"))
    angle = as_number(properties.get("escape:faraday_rotation_deg"))
    if angle is None:
        return "Faraday rotation is not corrected."
    if properties.get("escape:faraday_corrected") is True:
        return f"Faraday rotation, estimated as {angle:g} degrees, is corrected."
    return f"Faraday rotation, estimated as {angle:g} degrees, is not corrected."


def software(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of what made the numbers."""
    versions = {"escape-process": __version__}
    for name in ("numpy", "rasterio", "torch"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    stated = report.get("software")
    if isinstance(stated, Mapping):
        versions |= {str(name): str(version) for name, version in stated.items()}
    return versions


def _source_href(scene: Scene, settings: Settings) -> str:
    """Return where a scene's item lies as others may see it; of a path that the server keeps to itself, its name."""
    if settings.public_url is None or is_remote(public_href(scene.href, settings)):
        return without_secrets(scene.href)
    return f"{NAMESPACE}scene/{quote(scene.id)}"


def _links(pass_: Pass, settings: Settings) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = [
        {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../collection.json", "type": "application/json"},
        {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        {"rel": "license", "href": f"../{LICENSE_FILE}", "type": "text/plain", "title": "Terms of use"},
    ]
    links += [
        {
            "rel": "derived_from",
            "href": _source_href(scene, settings),
            "type": "application/geo+json",
            "title": scene.id,
        }
        for scene in pass_.scenes
    ]
    if settings.public_url:
        process = f"{settings.public_url.rstrip('/')}/processes/{PROCESS_ID}"
        links.append(
            {
                "rel": "processing-execution",
                "href": process,
                "type": "application/json",
                "title": "The process that made this result",
            }
        )
    return links
