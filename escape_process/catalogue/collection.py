"""What is true of every result: the collection that results lie in, and what its items' assets have in common.

Item and collection read the same tables as the files (`layers.py`), so metadata and rasters cannot disagree.
"""

from typing import Any

from escape_process import __version__
from escape_process.layers import FLAGS, LAYER, LAYERS, UNUSABLE, Layer
from escape_process.settings import Settings

STAC_VERSION = "1.1.0"
PROCESS_ID = "escape-soil-moisture"
COG_MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
LICENSE_FILE = "LICENSE.txt"
"""Beside collection.json: under which terms results may be used."""
LICENSE_TEXT = """\
The results in this collection are derived from the scenes that the derived_from links of each item name. The terms of
those scenes' providers apply to what is derived from them. Results whose title says "simulated" come from simulated
scenes and are bound by no provider's terms. Those whose title says "format test" only show that a format is read.
"""

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
EXTENSIONS = {
    "proj": _EXTENSION.format("projection/v2.0.0"),
    "raster": _EXTENSION.format("raster/v2.0.0"),
    "processing": _EXTENSION.format("processing/v1.2.0"),
    "classification": _EXTENSION.format("classification/v2.0.0"),
    "file": _EXTENSION.format("file/v2.1.0"),
    "sar": _EXTENSION.format("sar/v1.3.0"),
    "sat": _EXTENSION.format("sat/v1.1.0"),
    "view": _EXTENSION.format("view/v1.1.0"),
    "product": _EXTENSION.format("product/v1.0.0"),
    "version": _EXTENSION.format("version/v1.2.0"),
    "render": _EXTENSION.format("render/v2.0.0"),
}

THUMBNAIL = {
    "type": "image/png",
    "title": "Quicklook",
    "description": "Soil moisture and its uncertainty, with colour bars; flagged pixels are hatched.",
    "roles": ["thumbnail", "overview"],
}
REPORT = {
    "type": "application/json",
    "title": "Report",
    "description": "Scenes used and refused and why, calibration, members kept and rejected.",
    "roles": ["metadata"],
}

PROVENANCE = {
    "type": "application/json",
    "title": "Provenance",
    "description": "Inputs with their checksums, parameters, software, model and times, as PROV-JSON.",
    "roles": ["metadata"],
}


def results_collection(settings: Settings) -> dict[str, Any]:
    """Describe the collection that results are published in, as long as it is empty."""
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [
            EXTENSIONS[name] for name in ("raster", "processing", "classification", "sar", "product", "render")
        ],
        "id": settings.results_collection,
        "title": "Soil moisture and surface roughness from L-band SAR",
        "description": (
            "Maps of volumetric soil moisture and effective surface roughness, each with its 1-sigma uncertainty,"
            " retrieved from full-polarimetric L-band SAR scenes by a self-calibrating ensemble without in-situ"
            " training data. Frozen soil, snow and towns are not recognized: mask them."
        ),
        "keywords": ["soil moisture", "surface roughness", "SAR", "L-band", "polarimetry", "uncertainty"],
        "license": "other",
        "providers": [
            {
                "name": "Providers of the source scenes",
                "description": "Named in the items that each result's derived_from links lead to.",
                "roles": ["producer", "licensor"],
            },
            {
                "name": "Operator of this ESCAPE process",
                "roles": ["processor", "host"],
                "processing:level": "L2",
                "processing:software": {"escape-process": __version__},
                **({"url": settings.public_url} if settings.public_url else {}),
            },
        ],
        "extent": {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [[None, None]]}},
        "summaries": {
            "processing:level": ["L2"],
            "product:type": ["SSM"],
            "sar:frequency_band": ["L"],
        },
        "item_assets": {
            **{layer.name: layer_asset(layer) for layer in LAYERS},
            "thumbnail": dict(THUMBNAIL),
            "report": dict(REPORT),
            "provenance": dict(PROVENANCE),
        },
        "renders": renders(),
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
            {"rel": "license", "href": f"./{LICENSE_FILE}", "type": "text/plain", "title": "Terms of use"},
        ],
    }


def renders() -> dict[str, Any]:
    """Return how tile servers may show each layer that has a range for display."""
    shown = {}
    for layer in LAYERS:
        if layer.rescale is None or "metadata" in layer.roles:
            continue
        hint: dict[str, Any] = {
            "title": layer.title,
            "assets": [layer.name],
            "rescale": [list(layer.rescale)],
            "colormap_name": layer.colormap,
            "resampling": "nearest",
        }
        if layer.nodata is not None:
            hint["nodata"] = layer.nodata
        shown[layer.name] = hint
    return shown


def layer_asset(layer: Layer) -> dict[str, Any]:
    """Return what is true of a layer's asset in every item: the row of the collection's `item_assets`."""
    band: dict[str, Any] = {
        "name": layer.name,
        "description": layer.description,
        "data_type": layer.dtype,
        "unit": layer.unit,
        "raster:sampling": "area",
    }
    if layer.nodata is not None:
        band["nodata"] = layer.nodata
    asset = {
        "type": COG_MEDIA_TYPE,
        "title": layer.title,
        "description": layer.description,
        "roles": list(layer.roles),
        "bands": [band],
    }
    if layer.name == LAYER["flags"].name:
        asset["classification:bitfields"] = _bitfields()
    return asset


def _bitfields() -> list[dict[str, Any]]:
    return [
        {
            "offset": flag.bit,
            "length": 1,
            "name": flag.name,
            "description": flag.description,
            "roles": ["quality" if flag.mask & UNUSABLE else "advisory"],
            "classes": [
                {"value": 0, "name": "clear", "description": "Does not apply."},
                {"value": 1, "name": flag.name, "description": flag.description},
            ],
        }
        for flag in FLAGS
    ]
