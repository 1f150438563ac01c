"""A manifest.json that names the NISAR granule which rasters were cut from."""

import datetime as dt
import json
import re
from collections.abc import Mapping

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name, read_bytes
from escape_process.readers.geotiff.hints import Hints
from escape_process.settings import Settings

LONGEST_MANIFEST = 16 * 2**20

_NISAR = re.compile(
    r"NISAR_(?P<band>[LS])(?P<level>\d)_\w{2}_(?P<product>[A-Z]+)_(?P<cycle>\d{3})_(?P<track>\d{3})_"
    r"(?P<direction>[AD])_(?P<frame>\d{3})_(?P<mode>\w{4})_\w{4}_[A-Z]_(?P<start>\d{8}T\d{6})_(?P<end>\d{8}T\d{6})\w*"
)
"""Granule names of the NISAR product specifications."""
_ORBIT = {"A": "ascending", "D": "descending"}


def folder_name(href: str) -> str:
    """Return the name of the folder that a file lies in."""
    return file_name(href.rsplit("/", 1)[0]) if "/" in href else ""


def hints_of_manifest(beside: Mapping[str, str], settings: Settings) -> Hints:
    """Return what a manifest.json beside rasters tells.

    Raises
    ------
    InvalidInputError
        where it is not JSON.
    """
    href = beside.get("manifest.json")
    if href is None:
        return Hints()
    try:
        manifest = json.loads(read_bytes(href, settings, LONGEST_MANIFEST))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("manifest.json beside the rasters is not JSON: repair it or move it away.") from error
    source = manifest.get("source") if isinstance(manifest, dict) else None
    match = _NISAR.search(source) if isinstance(source, str) else None
    if match is None:
        return Hints(warnings=("manifest.json beside the rasters names no source granule known here: not used.",))
    product = match["product"]
    said = manifest.get("radiometry")
    start, end = _time(match["start"]), _time(match["end"])
    return Hints(
        id=f"{match[0]}_{folder_name(href)}",
        start=start,
        end=None if start is None else end,
        radiometry_said=said if isinstance(said, str) else None,
        encoding="linear" if product == "GCOV" else None,  # covariance terms: the diagonal is power
        properties={
            "platform": "nisar",
            "instruments": [f"{match['band'].lower()}-sar"],
            "sar:frequency_band": match["band"],
            "sar:instrument_mode": match["mode"],
            "sat:orbit_state": _ORBIT[match["direction"]],
            "sat:relative_orbit": int(match["track"]),
            "sat:orbit_cycle": int(match["cycle"]),
            "product:type": product,
        },
    )


def _time(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
