"""What the page is told: of the server, and of one result."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from escape_process import __version__
from escape_process.catalogue.collection import PROCESS_ID
from escape_process.catalogue.items import MARKS
from escape_process.layers import FLAGS, LAYERS, UNUSABLE, Flag, Layer
from escape_process.settings import Settings
from escape_process.viewer.colours import classes, stops
from escape_process.viewer.results import Result


def settings_document(settings: Settings) -> dict[str, Any]:
    """Return what the page needs to know before there is a result."""
    return {
        "version": __version__,
        "process": PROCESS_ID,
        "catalogs": list(settings.catalogs),
        "default_catalog": settings.default_catalog,
        "needs_token": settings.auth is not None,
        "results_collection": settings.results_collection,
        "layers": [{**_layer(layer), "dtype": layer.dtype} for layer in LAYERS],
        "flags": [{"bit": flag.bit, **flag_document(flag)} for flag in FLAGS],
    }


def flag_document(flag: Flag) -> dict[str, Any]:
    """Return what a flag means."""
    return {"name": flag.name, "description": flag.description, "advisory": not flag.mask & UNUSABLE}


def map_document(result: Result, zooms: tuple[int, int], address: str) -> dict[str, Any]:
    """Return what a map of a result needs; where its source is simulated every title says so."""
    properties = result.item["properties"]
    words = ", ".join(word for mark, (word, _) in MARKS.items() if properties.get(mark))
    bbox = result.item["bbox"]
    half = len(bbox) // 2
    lowest, highest = zooms
    return {
        "id": result.id,
        "title": properties.get("title", result.id),
        "datetime": properties["datetime"],
        "bounds": [*bbox[:2], *bbox[half : half + 2]],
        "simulated": bool(properties.get("escape:simulated")),
        "minzoom": lowest,
        "maxzoom": highest,
        "tiles": f"{address}/maps/{quote(result.id)}/{{layer}}/{{z}}/{{x}}/{{y}}.png",
        "layers": [_mapped_layer(layer, words) for layer in LAYERS if layer.name in result.item["assets"]],
        "downloads": [_download(asset) for asset in result.item["assets"].values()],
        "item": result.href,
        "provenance": result.item["assets"].get("provenance", {}).get("href"),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "title": layer.title,
        "description": layer.description,
        "unit": layer.unit,
        "rescale": list(layer.rescale or (0.0, 1.0)),
    }


def _mapped_layer(layer: Layer, words: str) -> dict[str, Any]:
    described = _layer(layer)
    if words:
        described["title"] = f"{layer.title} ({words})"
    described["colors"] = stops(layer)
    if layer.name == "flags":
        described["classes"] = classes()
    return described


def _download(asset: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": asset.get("title"),
        "href": asset["href"],
        "type": asset.get("type"),
        "size": asset.get("file:size"),
    }
