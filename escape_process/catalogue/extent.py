"""What a collection says of its items together: links, extent and summaries."""

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_SUMMARIZED = (
    "platform",
    "constellation",
    "instruments",
    "proj:code",
    "sar:instrument_mode",
    "sar:polarizations",
    "sat:orbit_state",
)
"""Properties whose values the collection lists."""


def with_item(collection: Mapping[str, Any], item: Mapping[str, Any], href: str) -> dict[str, Any]:
    """Return a collection that lists an item under `href`, once, with its extent and summaries grown to hold it."""
    grown: dict[str, Any] = copy.deepcopy(dict(collection))
    properties = item["properties"]
    links = grown["links"]
    first = not any(link.get("rel") == "item" for link in links)
    link = {"rel": "item", "href": href, "type": "application/geo+json", "title": properties["title"]}
    position = next((i for i, one in enumerate(links) if one.get("rel") == "item" and one["href"] == href), len(links))
    links[position : position + 1] = [link]

    bbox = list(item["bbox"])
    interval = [properties["start_datetime"], properties["end_datetime"]]
    if not first:
        bbox = union_of_boxes(grown["extent"]["spatial"]["bbox"][0], bbox)
        start, end = grown["extent"]["temporal"]["interval"][0]
        interval = [
            start and min(start, interval[0], key=datetime.fromisoformat),
            end and max(end, interval[1], key=datetime.fromisoformat),
        ]
    grown["extent"] = {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [interval]}}
    grown["summaries"] = _summaries(grown.get("summaries", {}), properties)
    return grown


def _summaries(known: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    summaries = dict(known)
    for name in _SUMMARIZED:
        value = properties.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if values:
            summaries[name] = sorted({*summaries.get(name, []), *values})
    gsd = properties["gsd"]
    span = summaries.get("gsd", {"minimum": gsd, "maximum": gsd})
    summaries["gsd"] = {"minimum": min(gsd, span["minimum"]), "maximum": max(gsd, span["maximum"])}
    return summaries


def union_of_boxes(one: list[float], other: list[float]) -> list[float]:
    """Return the narrowest [west, south, east, north] that holds both; west > east where a box crosses 180 degrees."""
    south, north = min(one[1], other[1]), max(one[3], other[3])
    west, east = one[0], _beyond(one)
    candidates = []
    for turn in (0.0, 360.0, -360.0):
        left, right = min(west, other[0] + turn), max(east, _beyond(other) + turn)
        candidates.append((right - left, left, right))
    width, left, right = min(candidates, key=lambda candidate: candidate[0])
    if width >= 360.0:
        return [-180.0, south, 180.0, north]
    if left < -180.0:
        left, right = left + 360.0, right + 360.0
    elif left >= 180.0:
        left, right = left - 360.0, right - 360.0
    return [left, south, right if right <= 180.0 else right - 360.0, north]


def _beyond(box: list[float]) -> float:
    """Return the east of a box, counted on past 180 degrees where the box crosses it."""
    return box[2] if box[2] >= box[0] else box[2] + 360.0
