"""JAXA's summary.txt: lines KEY="VALUE" in groups by prefix (Odi_, Scs_, Pds_, Img_, Pdi_, Ach_, Rad_, Lbi_)."""

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from escape_process.errors import EscapeError
from escape_process.hrefs import read_bytes
from escape_process.readers.geotiff.hints import Hints
from escape_process.settings import Settings

LONGEST_SUMMARY = 2**20
"""Bytes; real ones have some 2 kB."""

_LINE = re.compile(r"\s*([A-Za-z]{3}_\w+)\s*=\s*(?:\"([^\"]*)\"?|(.*))\s*", re.ASCII)
_TIME = re.compile(r"(\d{4})[-/]?(\d{2})[-/]?(\d{2})[ T]+(\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?", re.ASCII)
_SCENE = re.compile(r"ALOS2\d{9}-\d{6}", re.ASCII)
_FINE = frozenset({"", "GOOD", "OK"})


@dataclass(frozen=True)
class Summary:
    """What a summary.txt says; None where it is silent or says what cannot be."""

    values: Mapping[str, str]
    """All of it, as it stands."""

    def text(self, key: str) -> str | None:
        """Return a value that is not empty."""
        return self.values.get(key) or None

    def number(self, key: str, low: float, high: float) -> float | None:
        """Return a number within bounds."""
        try:
            value = float(self.values.get(key, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) and low <= value <= high else None

    def time(self, key: str) -> dt.datetime | None:
        """Return a time, UTC, such as "20140909 04:33:47.052"."""
        found = _TIME.fullmatch(self.values.get(key, "").strip())
        if found is None:
            return None
        try:
            whole = dt.datetime(*map(int, found.groups()[:6]), tzinfo=dt.UTC)  # type: ignore[arg-type,misc]
        except ValueError:
            return None
        return whole + dt.timedelta(seconds=float(f"0.{found[7] or 0}"))

    @property
    def scene(self) -> str | None:
        """Scene id, as in ALOS2015976960-140909."""
        found = _SCENE.search(self.values.get("Scs_SceneID", ""))
        return found[0] if found else None

    @property
    def times(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Start and end; the centre of the scene and nothing where they are missing or in the wrong order."""
        start, end = self.time("Img_SceneStartDateTime"), self.time("Img_SceneEndDateTime")
        if start is not None and end is not None and start <= end:
            return start, end
        return self.time("Img_SceneCenterDateTime") or start or end, None

    @property
    def complaints(self) -> tuple[str, ...]:
        """Checks of the product that were not passed."""
        return tuple(
            f"The product's summary says {key} = {value[:40]!r}."
            for key, value in self.values.items()
            if key.startswith(("Ach_", "Rad_"))
            and key.endswith(("Check", "LossLines", "ResultCode"))
            and value.strip().upper() not in _FINE
        )


def parse_summary(content: bytes) -> Summary:
    """Parse a summary.txt, whatever its line ends, quotes and encoding; of a repeated key the first value counts.

    Never fails: a line that is no KEY="VALUE" is left out.
    """
    values: dict[str, str] = {}
    for line in re.split(r"[\r\n]+", content.decode("utf-8", errors="replace").lstrip("\ufeff")):
        found = _LINE.fullmatch(line)
        if found is not None:
            value = found[2] if found[2] is not None else found[3]
            values.setdefault(found[1], "".join(filter(str.isprintable, value)).strip())
    return Summary(values)


def hints_of_summary(beside: Mapping[str, str], settings: Settings) -> Hints:
    """Return what the summary.txt beside a product's rasters tells."""
    href = next((href for name, href in beside.items() if name.lower() == "summary.txt"), None)
    if href is None:
        return Hints()
    try:
        summary = parse_summary(read_bytes(href, settings, LONGEST_SUMMARY))
    except EscapeError as error:
        return Hints(warnings=(f"The product's summary is not used: {error}",))
    if not summary.values:
        return Hints(warnings=("summary.txt holds nothing that is known: it is not used.",))
    named = {found[0] for name in beside if (found := _SCENE.search(name))}
    if summary.scene is not None and named and summary.scene not in named:
        return Hints(warnings=(f"summary.txt is of the scene {summary.scene}, not of these rasters: it is not used.",))
    start, end = summary.times
    spacing = summary.number("Pds_PixelSpacing", 0.1, 1000)
    properties = {
        "view:off_nadir": summary.number("Img_OffNadirAngle", 1, 70),
        "sar:pixel_spacing_range": spacing,
        "sar:pixel_spacing_azimuth": spacing,
    }
    said = summary.text("Lbi_ProcessLevel")
    missing: tuple[str, ...] = () if start else ("summary.txt tells no time that can be read.",)
    if said is not None and named and not any(f"{said}G" in name or f"{said}R" in name for name in beside):
        missing += (f"summary.txt says level {said[:10]!r}, the names of the files another: the names are believed.",)
    return Hints(
        start=start,
        end=end,
        properties={key: value for key, value in properties.items() if value is not None},
        warnings=(*missing, *summary.complaints),
    )
