"""One acquisition that a catalogue lists more than once: at two levels, in two collections, under two ids.

Frames of one pass overlap by a few percent of their ground and lie ten seconds apart, so that they are never taken for
one another.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import shapely.affinity
from shapely.geometry.base import BaseGeometry

from escape_process.catalogue.footprints import footprint_of
from escape_process.records import Refusal, Scene

CLOSEST_FRAMES = dt.timedelta(seconds=8)
"""Times further apart are of different acquisitions. Levels state the start, the centre or the end of ten seconds."""
LEAST_SHARE_OF_SMALLER = 0.8
LEAST_SHARE_OF_LARGER = 0.5
"""A footprint is the data's tilted outline at one level, the raster's upright one at another, up to twice as large."""

NEAR_ANTIMERIDIAN = 170.0

_ALOS2_SCENE = re.compile(r"ALOS2\d{9}-\d{6}")


def without_duplicates(scenes: Iterable[Scene]) -> list[Scene]:
    """Keep one scene of each acquisition, the one that is readiest for analysis; the others become its twins.

    Returns
    -------
    The scenes kept, in order of time.
    """
    kept: list[Scene] = []
    twins: dict[int, list[Scene]] = {}
    known = _Known()
    for scene in sorted(scenes, key=_preference):
        other = known.twin_of(scene)
        if other is None:
            kept.append(scene)
        else:
            twins.setdefault(id(other), []).append(scene)
    joined = [replace(scene, twins=tuple(twins.get(id(scene), ()))) for scene in kept]
    return sorted(joined, key=lambda scene: (scene.datetime, scene.id))


def refusals_of_twins(scene: Scene) -> list[Refusal]:
    """Return the refusal of each other item of a scene's acquisition, which names the scene."""
    return [Refusal(twin.id, _reason(twin, scene), twin.item) for twin in scene.twins]


def _preference(scene: Scene) -> tuple[Any, ...]:
    """Return a key that sorts scenes which are readier for analysis first, and else is the same in every search."""
    angle = scene.angle.href is not None and scene.angle.local
    return not scene.terrain_corrected, not angle, scene.mask is None, len(scene.warnings), scene.id, scene.href


def _reason(scene: Scene, twin: Scene) -> str:
    if twin.id == scene.id:
        return "Its id is also that of another item, which is used instead."
    better = twin.terrain_corrected and not scene.terrain_corrected
    return f"It is the same acquisition as {twin.id}, which {'is terrain-corrected and ' if better else ''}is used."


class _Known:
    """The scenes kept so far, by all that a further one may share with them."""

    def __init__(self) -> None:
        self._by_name: dict[str, Scene] = {}
        self._by_time: dict[int, list[tuple[Scene, BaseGeometry]]] = {}

    def twin_of(self, scene: Scene) -> Scene | None:
        """Return the scene that shows the same acquisition; where there is none, remember this one."""
        product = _ALOS2_SCENE.search(scene.id)
        names = [scene.id] if product is None else [scene.id, product[0]]
        shape = _outline(scene)
        slot = int(scene.datetime.timestamp() // CLOSEST_FRAMES.total_seconds())
        for name in names:
            if name in self._by_name:
                return self._by_name[name]
        near = [one for neighbour in (slot - 1, slot, slot + 1) for one in self._by_time.get(neighbour, [])]
        for other, outline in near:
            both_named = product is not None and _ALOS2_SCENE.search(other.id) is not None
            close = abs(scene.datetime - other.datetime) < CLOSEST_FRAMES
            if close and not both_named and shape is not None and _same_ground(shape, outline):
                return other
        self._by_name |= dict.fromkeys(names, scene)
        if shape is not None:
            self._by_time.setdefault(slot, []).append((scene, shape))
        return None


def _outline(scene: Scene) -> BaseGeometry | None:
    """Return a scene's footprint; near the antimeridian in one piece and east of Greenwich, however it is written."""
    shape = footprint_of(scene.item)
    if shape is None or max(abs(shape.bounds[0]), abs(shape.bounds[2])) < NEAR_ANTIMERIDIAN:
        return shape
    return shapely.union_all([_east_of_greenwich(part) for part in shapely.get_parts(shape)])


def _east_of_greenwich(part: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = part.bounds
    return shapely.affinity.translate(part, -360.0 * ((west + east) // 720.0))


def _same_ground(one: BaseGeometry, other: BaseGeometry) -> bool:
    if not one.intersects(other):
        return False
    common, areas = one.intersection(other).area, sorted((one.area, other.area))
    return bool(common >= LEAST_SHARE_OF_SMALLER * areas[0] and common >= LEAST_SHARE_OF_LARGER * areas[1])
