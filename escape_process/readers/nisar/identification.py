"""What NISAR products say of themselves, the same for all of them."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from escape_process.errors import SceneError
from escape_process.readers.computed import id_from
from escape_process.readers.nisar.hdf5 import Hdf5

LSAR = "/science/LSAR"
_SAID = f"{LSAR}/identification"
_PASSES = {"asc": "ascending", "desc": "descending"}


@dataclass(frozen=True)
class Identification:
    """The group `identification`, checked."""

    product: str
    """Kind of product, upper case: "GCOV", "RSLC", ..."""
    id: str
    start: dt.datetime | None
    end: dt.datetime | None
    properties: Mapping[str, Any]
    """STAC properties."""


def identify(file: Hdf5) -> Identification:
    """Read what a product says of itself.

    Raises
    ------
    SceneError
        where it is no product of NISAR's L-band radar.
    """
    if not file.has(LSAR):
        if file.has("/science/SSAR"):
            raise SceneError(f"{file.name} is of NISAR's S-band radar, not L-band.")
        raise SceneError(f"{file.name} is no NISAR product: it has no group science/LSAR.")
    product = (file.text(f"{_SAID}/productType") or "").upper()
    product = {"SLC": "RSLC"}.get(product, product)
    if not re.fullmatch(r"[A-Z]{4}", product):
        raise SceneError(f"{file.name} does not say which NISAR product it is (productType).")
    band = (file.text(f"{_SAID}/radarBand") or "L").upper()
    if band != "L":
        raise SceneError(f"{file.name} is of {band[:10]}-band, not L-band.")
    granule = file.text(f"{_SAID}/granuleId") or ""
    granule = granule if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{3,199}", granule) else file.name
    return Identification(
        product,
        id_from(re.sub(r"\.(h5|hdf5|he5)$", "", granule, flags=re.IGNORECASE)),
        _time(file, "zeroDopplerStartTime"),
        _time(file, "zeroDopplerEndTime"),
        _properties(file),
    )


def _time(file: Hdf5, name: str) -> dt.datetime | None:
    text = file.text(f"{_SAID}/{name}") or ""
    try:
        time = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def _properties(file: Hdf5) -> dict[str, Any]:
    mission = (file.text(f"{_SAID}/missionId") or "").strip()
    instrument = (file.text(f"{_SAID}/instrumentName") or "").strip()
    look = (file.text(f"{_SAID}/lookDirection") or "").lower()
    way = (file.text(f"{_SAID}/orbitPassDirection") or "").lower()
    said: dict[str, Any] = {
        "platform": mission.lower() if re.fullmatch(r"[\w -]{2,40}", mission) else None,
        "instruments": [instrument.lower()] if re.fullmatch(r"[\w -]{2,40}", instrument) else None,
        "sar:frequency_band": "L",
        "sar:observation_direction": look if look in ("left", "right") else None,
        "sat:orbit_state": next((name for start, name in _PASSES.items() if way.startswith(start)), None),
        "sat:absolute_orbit": _count(file, "absoluteOrbitNumber"),
        "sat:relative_orbit": _count(file, "trackNumber"),
    }
    return {name: value for name, value in said.items() if value is not None}


def _count(file: Hdf5, name: str) -> int | None:
    number = file.number(f"{_SAID}/{name}")
    return int(number) if number is not None and 1 <= number <= 1e6 else None
