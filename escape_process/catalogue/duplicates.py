"""One acquisition that a catalogue lists more than once: at two levels, in two collections, under two ids.

Frames of one pass overlap by a few percent of their ground and lie ten seconds apart, so that they are never taken for
one another.
"""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from shapely.geometry.base import BaseGeometry

from escape_process.catalogue.footprints import footprint_of, overlaps
from escape_process.records import Refusal, Scene

CLOSEST_FRAMES = dt.timedelta(seconds=8)
"""Times further apart are of different acquisitions. Levels state the start, the centre or the end of ten seconds."""
LEAST_SHARE_OF_SMALLER = 0.8
LEAST_SHARE_OF_LARGER = 0.5
"""A footprint is the data's tilted outline at one level, the raster's upright one at another, up to twice as large."""

_ALOS2_SCENE = re.compile(r"ALOS2\d{9}-\d{6}")


def without_duplicates(scenes: Iterable[Scene]) -> tuple[list[Scene], list[Refusal]]:
    """Keep one scene of each acquisition, the one that is most ready for analysis; in order of time.

    Returns
    -------
    The scenes kept, and a refusal for each other one that names the scene in its place.
    """
    kept: list[_Place] = []
    refused = []
    for scene in sorted(scenes, key=_preference):
        place = _Place(scene)
        twin = next((one.scene for one in kept if one.shows(place)), None)
        if twin is None:
            kept.append(place)
        else:
            refused.append(Refusal(scene.id, _reason(scene, twin)))
    return sorted((one.scene for one in kept), key=lambda scene: (scene.datetime, scene.id)), refused


def _preference(scene: Scene) -> tuple[Any, ...]:
    """Return a key that sorts scenes which are readier for analysis first, and else is the same in every search."""
    angle = scene.angle.href is not None and scene.angle.local
    return not scene.terrain_corrected, not angle, scene.mask is None, len(scene.warnings), scene.id, scene.href


def _reason(scene: Scene, twin: Scene) -> str:
    if twin.id == scene.id:
        return "Its id is also that of another item, which is used instead."
    better = twin.terrain_corrected and not scene.terrain_corrected
    return f"It is the same acquisition as {twin.id}, which {'is terrain-corrected and ' if better else ''}is used."


class _Place:
    """A scene with its footprint, which is read once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.name = _ALOS2_SCENE.search(scene.id)
        self._shape: BaseGeometry | None = None

    def shows(self, other: "_Place") -> bool:
        """Tell whether another scene is of the same acquisition."""
        if self.scene.id == other.scene.id:
            return True
        if self.name is not None and other.name is not None:
            return self.name[0] == other.name[0]
        if abs(self.scene.datetime - other.scene.datetime) >= CLOSEST_FRAMES:
            return False
        return self._covers(other)

    def _covers(self, other: "_Place") -> bool:
        one, two = self.shape, other.shape
        if one is None or two is None or not overlaps(one, two):
            return False
        common, areas = one.intersection(two).area, sorted((one.area, two.area))
        return bool(common >= LEAST_SHARE_OF_SMALLER * areas[0] and common >= LEAST_SHARE_OF_LARGER * areas[1])

    @property
    def shape(self) -> BaseGeometry | None:
        if self._shape is None:
            self._shape = footprint_of(self.scene.item)
        return self._shape
