"""What the report output tells: JSON-ready summaries of the records of one request."""

from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from escape_process import __version__
from escape_process.catalogue.footprints import footprint_of
from escape_process.catalogue.items import MARKS
from escape_process.errors import SceneError
from escape_process.records import Found, OpenedScene, Pass, Product, Refusal, Scene, Stack


def tell_scenes(found: Found, stacks: Sequence[Stack], *, footprints: bool = False) -> dict[str, Any]:
    """Tell the software, the scenes used, those refused and why, and how the search went; where they lie if asked."""
    place = _tell_footprint if footprints else lambda item: {}
    used = [scene for stack in stacks for one in stack.passes for scene in one.scenes]
    kept = {scene.id for scene in used}
    outside = [
        Refusal(scene.id, "It does not reach the area asked.", scene.item)
        for scene in found.scenes
        if scene.id not in kept
    ]
    return {
        "software": {"escape-process": __version__},
        "scenes": [{**_tell_scene(scene), **place(scene.item)} for scene in used],
        "refused": [{"id": one.id, "reason": one.reason, **place(one.item)} for one in (*found.refused, *outside)],
        "notes": list(found.notes),
    }


def tell_refused(told: Mapping[str, Any], stack: Stack, error: SceneError) -> dict[str, Any]:
    """Tell what `tell_scenes` told once a scene broke off in the middle, or all of a stack that failed as a whole."""
    ids = [scene.id for one in stack.passes for scene in one.scenes if error.scene in (None, scene.id)]
    return {
        **told,
        "scenes": [one for one in told["scenes"] if one["id"] not in ids],
        "refused": [*told["refused"], *({"id": one, "reason": str(error)} for one in ids)],
    }


def _tell_scene(scene: OpenedScene) -> dict[str, Any]:
    return {
        "id": scene.id,
        "datetime": scene.datetime.isoformat(),
        "looks": round(scene.looks, 2),
        "frequency": scene.frequency,
        "convention": scene.bands["HH"].convention,
        "warnings": list(scene.warnings),
        **{name.removeprefix("escape:"): True for name in MARKS if _is_marked(scene, name)},
    }


def _tell_footprint(item: Mapping[str, Any]) -> dict[str, Any]:
    """Tell where a scene lies, to some 100 m; nothing where its item does not say so in a way that can be read."""
    shape = footprint_of(item)
    return {} if shape is None else {"geometry": shapely.geometry.mapping(shape.simplify(1e-3))}


def tell_grid(stack: Stack) -> dict[str, Any]:
    """Tell the grid of a stack's results."""
    grid = stack.grid.crop(stack.window)
    return {"crs": grid.crs, "pixel": grid.transform.a, "width": grid.width, "height": grid.height}


def tell_product(product: Product, one: Pass) -> dict[str, Any]:
    """Tell what one date's layers hold."""
    return {
        "id": product.id,
        "scene": one.scenes[0].id,
        "datetime": one.datetime.isoformat(),
        "valid_share": product.valid_share,
        "flag_shares": dict(product.flag_shares),
        "statistics": {
            name: dict(file.statistics) for name, file in product.assets.items() if file.statistics is not None
        },
    }


def tell_reused(items: Sequence[Mapping[str, Any]], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Tell of results that were there already, from the report that lies with the first."""
    results = [{"id": item["id"], "datetime": item["properties"]["datetime"]} for item in items]
    kept = {name: stored[name] for name in ("calibration", "grid", "zones") if name in stored}
    return {"results": results, "reused": True, **kept}


def title_of(one: Pass) -> str:
    """Return the title of a pass's pictures; it says where scenes are simulated or only test a format."""
    marks = ", ".join(word for name, (word, _) in MARKS.items() if any(_is_marked(scene, name) for scene in one.scenes))
    return f"{one.scenes[0].id}, {one.datetime:%Y-%m-%d %H:%M} UTC{f' ({marks})' if marks else ''}"


def _is_marked(scene: Scene, name: str) -> bool:
    return bool((scene.item.get("properties") or {}).get(name))
