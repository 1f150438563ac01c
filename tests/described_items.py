"""STAC items of what family readers describe, with what a user would declare."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shapely

from escape_process.catalogue.scenes import scene_from_item
from escape_process.records import Description, Refusal, Scene
from escape_process.request import RetrievalRequest

WHEN = dt.datetime(2016, 6, 10, 12, tzinfo=dt.UTC)


def item_of(described: Description, radiometry: str | None = None, **properties: Any) -> dict[str, Any]:
    """Make an item of a description; `radiometry` becomes a role of the assets that hold polarizations."""
    assets = {key: dict(asset) for key, asset in described.assets.items()}
    for asset in assets.values():
        if radiometry and {band["name"] for band in asset.get("bands", ())} & {"HH", "VV"}:
            asset["roles"] = ["data", radiometry]
    start = described.start or WHEN
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": described.id,
        "geometry": described.geometry,
        "bbox": list(shapely.geometry.shape(described.geometry).bounds),
        "properties": {"datetime": start.isoformat(), **described.properties, **properties},
        "links": [],
        "assets": assets,
    }
    return json.loads(json.dumps(item, allow_nan=False))  # type: ignore[no-any-return]


def write_item(item: Mapping[str, Any], path: Path) -> Path:
    """Write an item as a static catalogue of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item), encoding="utf-8")
    return path


def scene_of(item: Mapping[str, Any], **request: Any) -> Scene:
    """Return the scene that the catalogue makes of an item."""
    found = scene_from_item(item, f"/items/{item['id']}.json", RetrievalRequest(ids=[item["id"]], **request))
    assert not isinstance(found, Refusal), found
    return found
