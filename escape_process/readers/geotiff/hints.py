"""What the names of a scene's files and the files beside its rasters tell of it."""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from escape_process.hrefs import file_name
from escape_process.records import Convention, Encoding
from escape_process.settings import Settings


@dataclass(frozen=True)
class Hints:
    """What was found; what nothing tells is absent."""

    id: str | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    radiometry: Convention | None = None
    radiometry_said: str | None = None
    """Words on the radiometry that are too vague to be taken for it."""
    encoding: Encoding | None = None
    calibration_factor_db: float | None = None
    noise_floor_db: Mapping[str, float] = field(default_factory=dict)
    """By polarization."""
    angle_scale: float | None = None
    """Degrees per stored unit of the incidence angle raster."""
    mask_classes: Mapping[int, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    """STAC properties: `sar:*`, `sat:*`, `view:*`, platform, instruments, product:type."""
    warnings: tuple[str, ...] = ()

    def over(self, other: "Hints") -> "Hints":
        """Return these hints, and those of another source where these are silent."""
        found: dict[str, Any] = {}
        for part in dataclasses.fields(self):
            one, two = getattr(self, part.name), getattr(other, part.name)
            if isinstance(one, Mapping):
                found[part.name] = {**two, **one}
            elif isinstance(one, tuple):
                found[part.name] = (*one, *two)
            else:
                found[part.name] = two if one is None else one
        if self.start is not None:  # times come as a pair: an end of another source may lie before this start
            found["end"] = self.end
        if self.mask_classes:
            found["mask_classes"] = self.mask_classes
        return Hints(**found)


_CONVENTION = re.compile(r"(?<![a-z])(sigma|gamma|beta)[_.-]?(?:0|nought|naught)(?![0-9])", re.IGNORECASE)
_IN_DB = re.compile(r"(?<![a-z])db(?![a-z])", re.IGNORECASE)


def hints_of_names(names: Sequence[str]) -> Hints:
    """Return what the names of the backscatter rasters say of their values, where all say the same.

    gamma0_HH.tif and HH_sigma-nought_db.tif speak; HH.tif does not.
    """
    conventions = {found[1].lower() if (found := _CONVENTION.search(name)) else None for name in names}
    said = conventions.pop() if len(conventions) == 1 else None
    return Hints(
        radiometry=None if said is None else cast(Convention, f"{said}0"),
        encoding="db" if names and all(_IN_DB.search(name) for name in names) else None,
    )


Source = Callable[[Mapping[str, str], Settings], Hints]
"""Takes a product's hrefs by file name, and says what it knows of them."""


def read_hints(hrefs: Sequence[str], bands: Sequence[str], sources: Sequence[Source], settings: Settings) -> Hints:
    """Ask all sources; the earlier overrides the later.

    Parameters
    ----------
    bands
        What names the backscatter rasters.
    """
    beside = {file_name(href): href for href in hrefs}
    hints = hints_of_names(bands)
    for source in sources:
        hints = hints.over(source(beside, settings))
    return hints
