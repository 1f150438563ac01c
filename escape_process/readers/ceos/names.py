"""What the names of JAXA's files tell, and which file of a product is which."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from escape_process.errors import SceneError
from escape_process.hrefs import file_name

POLARIZATIONS = ("HH", "HV", "VH", "VV")
"""First the letter sent, then the one received, as in JAXA's names."""

LEADER_KEY, DEM_KEY, GEOID_KEY = "leader", "dem", "geoid"
"""Asset keys of the leader, of a DEM and of the geoid's height where the DEM counts from it."""

_NAME = re.compile(
    r"(?P<kind>IMG|LED|VOL|TRL)-(?:(?P<polarization>[HV]{2})-)?(?P<scene>ALOS[24][A-Z0-9]{5,20}-\d{6})"
    r"-(?P<mode>[A-Z]{3})(?P<look>[LR])(?P<level>\d\.\d)(?P<option>[A-Z_])(?P<projection>[A-Z_])(?P<direction>[AD])"
    r"(?:-[BF]\d)?",
    re.IGNORECASE,
)
"""JAXA, ALOS-2/PALSAR-2 level 1.1/1.5/2.1/3.1 CEOS SAR product format description, names of the files."""
_KIND = re.compile(r"(?P<kind>IMG|LED|VOL|TRL)-(?:(?P<polarization>[HV]{2})-)?", re.IGNORECASE)

_OTHERS = {"VOL": "volume", "TRL": "trailer"}


@dataclass(frozen=True)
class ProductName:
    """What the name of one file says."""

    kind: str
    polarization: str | None
    scene: str
    """As in ALOS2014555550-140829."""
    mode: str
    look: str
    """"L" or "R"."""
    level: str
    direction: str
    """"A" or "D"."""
    product: str
    """As in ALOS2014555550-140829-HBQR1.1__A."""


@dataclass(frozen=True)
class ProductFiles:
    """The hrefs of one product by what they hold."""

    leader: str
    images: Mapping[str, str]
    """By polarization."""
    others: Mapping[str, str] = field(default_factory=dict)
    """volume, trailer, summary where they are there."""
    dem: str | None = None
    geoid: str | None = None


def parse_name(href: str) -> ProductName | None:
    """Return what the name of a file tells; None where it is not JAXA's."""
    name = file_name(href).upper()  # copied by way of other systems, names may be in lower case
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    start = found.start("scene")
    return ProductName(
        found["kind"],
        found["polarization"],
        found["scene"],
        found["mode"],
        found["look"],
        found["level"],
        found["direction"],
        name[start : found.end("direction")],
    )


def recognises(names: Sequence[str]) -> bool:
    """Tell by file names whether they belong to a CEOS product: a leader, or an image that is no GeoTIFF."""
    parsed = (parse_name(name) for name in names)
    return any(name is not None and name.kind in ("LED", "IMG") for name in parsed)


def files_of_hrefs(hrefs: Iterable[str], dem: str | None = None, geoid: str | None = None) -> ProductFiles:
    """Sort the files of one product by their names.

    Raises
    ------
    SceneError
        where there is no leader, more than one product, or one of the polarizations is missing.
    """
    leaders: list[str] = []
    images: dict[str, str] = {}
    others: dict[str, str] = {}
    for href in hrefs:
        name = file_name(href)
        found = _KIND.match(name.upper())
        kind, polarization = (None, None) if found is None else (found["kind"], found["polarization"])
        if kind == "LED":
            leaders.append(href)
        elif kind == "IMG" and polarization in POLARIZATIONS and not _is_geotiff(name):
            if polarization in images:
                raise SceneError(
                    f"{file_name(images[polarization])} and {name} both are {polarization} images: give the files of"
                    " one product."
                )
            images[polarization] = href
        elif kind in _OTHERS:
            others[_OTHERS[kind]] = href
        elif name.lower() == "summary.txt":
            others["summary"] = href
    if len(leaders) != 1:
        raise SceneError(f"A CEOS product has one leader file (LED-...), but {len(leaders) or 'none'} is there.")
    _check_full(leaders[0], images)
    return ProductFiles(leaders[0], images, others, dem, geoid)


def files_of_assets(files: Mapping[str, str]) -> ProductFiles:
    """Sort the assets of an item: by their keys as `describe` names them, else by the names of the files.

    Raises
    ------
    SceneError
        where the leader or one of the polarizations is missing.
    """
    if LEADER_KEY in files and all(name in files for name in POLARIZATIONS):
        images = {name: files[name] for name in POLARIZATIONS}
        return ProductFiles(files[LEADER_KEY], images, {}, files.get(DEM_KEY), files.get(GEOID_KEY))
    hrefs = [href for key, href in files.items() if key not in (DEM_KEY, GEOID_KEY)]
    return files_of_hrefs(dict.fromkeys(hrefs), files.get(DEM_KEY), files.get(GEOID_KEY))


def _check_full(leader: str, images: Mapping[str, str]) -> None:
    missing = [name for name in POLARIZATIONS if name not in images]
    if not missing:
        return
    parsed = parse_name(leader)
    scene = file_name(leader) if parsed is None else parsed.scene
    there = f"only {' and '.join(images)} are there" if images else "no image file is there"
    raise SceneError(f"{scene} is not full-polarimetric: {' and '.join(missing)} missing, {there}.")


def _is_geotiff(name: str) -> bool:
    return name.lower().endswith((".tif", ".tiff"))
