"""ENVI headers and PolSARpro's config.txt: text to sizes, data types and grids, from bytes alone."""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import DTypeLike

from escape_process.errors import SceneError
from escape_process.readers.computed import check_edges, crs_of
from escape_process.records import Grid

LONGEST_HEADER = 1024 * 1024
"""Most bytes of a header: they have a few hundred, and some kilobytes where all bands are listed."""

_DATA_TYPES: Mapping[int, str] = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4"}
"""Codes of ENVI's `data type` without the complex ones."""

_WGS84 = re.compile(r"WGS[\s_-]?(?:19)?84", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Header:
    """What an ENVI header says of the raw file beside it."""

    height: int
    width: int
    dtype: np.dtype[np.generic]
    """Byte order included."""
    offset: int
    """Bytes before the first pixel."""
    placed: "Placed | None"
    """None: it does not say where it lies, or only what a program writes that does not know."""

    @property
    def size(self) -> int:
        """Bytes that the raw file must have."""
        return self.offset + self.height * self.width * self.dtype.itemsize


@dataclass(frozen=True)
class Placed:
    """Where a raster lies."""

    crs: str
    transform: Affine
    datum_assumed: bool = False

    def grid(self, height: int, width: int) -> Grid:
        """Return the grid of a raster of a size."""
        return Grid(self.crs, self.transform, width, height)


@dataclass(frozen=True)
class Config:
    """What PolSARpro's config.txt says of a folder; what is absent is None."""

    height: int | None
    width: int | None
    case: str
    """ "monostatic" or "bistatic"; empty where absent."""
    kind: str
    """ "full", or which part of the polarizations; empty where absent."""
    placed: Placed | None


def read_header(content: bytes, name: str) -> Header:
    """Read an ENVI header.

    Parameters
    ----------
    content
        The whole file.
    name
        What an error calls it.

    Raises
    ------
    SceneError
        naming the field and its value where it is no header of one real-valued band.
    """
    fields = _fields(content, name)
    height, width = (_count(fields, key, name, absent=0) for key in ("lines", "samples"))
    check_edges(height, width, name)
    bands = _count(fields, "bands", name, absent=1)
    if bands != 1:
        raise SceneError(f"{name} has bands = {bands}: a file of a matrix holds one element.")
    code = _count(fields, "data type", name, absent=4)
    if code not in _DATA_TYPES:
        raise SceneError(f"{name} has data type = {code}: elements are real numbers (4 or 5).")
    order = _count(fields, "byte order", name, absent=0)
    if order not in (0, 1):
        raise SceneError(f"{name} has byte order = {order}: it is 0 or 1.")
    offset = _count(fields, "header offset", name, absent=0)
    if _count(fields, "file compression", name, absent=0) != 0:
        raise SceneError(f"{name} says that its file is compressed: give it uncompressed.")
    dtype: DTypeLike = ("<" if order == 0 else ">") + _DATA_TYPES[code]
    return Header(height, width, np.dtype(dtype), offset, _placed(fields, name))


def read_config(content: bytes, name: str) -> Config:
    """Read PolSARpro's config.txt or config_mapinfo.txt: a name in one line, its value in the next, then dashes.

    Raises
    ------
    SceneError
        naming the field and its value.
    """
    lines = [line.strip() for line in _text(content, name).splitlines()]
    lines = [line for line in lines if line.strip("-")]
    said = {one.lower(): other for one, other in itertools.pairwise(lines)}
    sizes: list[int | None] = []
    for key in ("nrow", "ncol"):
        value = said.get(key)
        if value is not None and not re.fullmatch(r"\d{1,9}", value):
            raise SceneError(f"{name} has {key} = {value[:40]!r}: it is a count.")
        sizes.append(None if value is None else int(value))
    height, width = sizes
    if height is not None and width is not None:
        check_edges(height, width, name)
    mapped = re.search(r"map info\s*=\s*\{([^{}]*)\}", "\n".join(lines), re.IGNORECASE)
    placed = _placed({"map info": mapped[1]}, name) if mapped else None
    return Config(height, width, said.get("polarcase", "").lower(), said.get("polartype", "").lower(), placed)


def _text(content: bytes, name: str) -> str:
    if len(content) > LONGEST_HEADER:
        raise SceneError(f"{name} is longer than any header: give the text file that lies beside the raw one.")
    return content.decode("utf-8", errors="replace")


def _fields(content: bytes, name: str) -> Mapping[str, str]:
    """Return the fields of a header, names in lower case with single blanks, values without braces."""
    text = _text(content, name)
    if not text.lstrip("\ufeff \t\r\n").startswith("ENVI"):
        raise SceneError(f"{name} is no ENVI header: its first word is not ENVI.")
    fields: dict[str, str] = {}
    key, parts = "", list[str]()
    for line in text.splitlines()[1:]:
        if key:  # inside braces
            parts.append(line)
            if "}" in line:
                fields.setdefault(key, " ".join(parts).partition("}")[0].strip())
                key = ""
            continue
        one, equals, other = line.partition("=")
        one, other = " ".join(one.lower().split()), other.strip()
        if equals and other.startswith("{") and "}" not in other:
            key, parts = one, [other[1:]]
        elif equals:
            fields.setdefault(one, other[1:].partition("}")[0].strip() if other.startswith("{") else other)
    return fields


def _count(fields: Mapping[str, str], key: str, name: str, absent: int) -> int:
    value = fields.get(key)
    if value is None:
        return absent
    if not re.fullmatch(r"\d{1,9}", value):
        raise SceneError(f"{name} has {key} = {value[:40]!r}: it is a count.")
    return int(value)


def _placed(fields: Mapping[str, str], name: str) -> Placed | None:
    """Return where a header says that its raster lies.

    Programs that do not know write `UTM, 1, 1, 0.0, 0.0, 1.0, 1.0, 30, North` or the projection Arbitrary.
    """
    stated = fields.get("map info")
    if stated is None:
        return None
    parts = [part.strip() for part in stated.split(",")]
    named = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in parts[7:])}
    kind = parts[0].lower()
    numbers = [_number(part) for part in parts[1:7]]
    if len(numbers) < 6 or None in numbers:
        raise SceneError(f"{name} has map info = {stated[:80]!r}: six numbers follow the projection.")
    column, row, x, y, width, height = (float(number or 0.0) for number in numbers)
    if "arbitrary" in kind or (x == 0 and y == 0 and width == 1 and height == 1):
        return None
    if _number(named.get("rotation", "0")) != 0:
        raise SceneError(f"{name} lies on a rotated grid: warp it to a north-up grid first.")
    if width <= 0 or height <= 0:
        raise SceneError(f"{name} has pixels of {width:g} x {height:g}: both are positive on a north-up grid.")
    if named.get("units", "meters").lower() not in ("meters", "metres", "meter", "metre", "degrees", "degree"):
        raise SceneError(f"{name} has units = {named['units'][:40]!r}: metres and degrees are read.")
    crs, assumed = _crs_of(kind, [part for part in parts[7:] if "=" not in part], fields, name)
    # The reference pixel counts from 1 at the outer corner of the first one.
    return Placed(crs, Affine(width, 0.0, x - (column - 1) * width, 0.0, -height, y + (row - 1) * height), assumed)


def _crs_of(kind: str, rest: list[str], fields: Mapping[str, str], name: str) -> tuple[str, bool]:
    """Return the reference system of a map info, and whether its datum was assumed."""
    datum = next((part for part in rest if _WGS84.search(part)), "")
    text = fields.get("coordinate system string", "")
    foreign = not datum and (len(rest) > 2 or (kind.startswith("geographic") and len(rest) > 0))
    if kind == "utm" and len(rest) >= 2 and not foreign and (datum or not text):
        zone, north = rest[0], rest[1].lower()
        if not re.fullmatch(r"\d{1,2}", zone) or not 1 <= int(zone) <= 60 or north not in ("north", "south"):
            raise SceneError(f"{name} has UTM zone {zone[:10]!r} {rest[1][:10]!r}: zones are 1 to 60, North or South.")
        return f"EPSG:{(32600 if north == 'north' else 32700) + int(zone)}", not datum
    if kind.startswith("geographic") and not foreign and (datum or not text):
        return "EPSG:4326", not datum
    if not text:
        raise SceneError(
            f"{name} names the projection {kind[:40]!r} without a coordinate system string: georeference it in UTM or"
            " longitude and latitude on WGS-84."
        )
    return crs_of(text, name), False


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text.replace("d", "e").replace("D", "e"))
    return number if math.isfinite(number) and abs(number) < 1e12 else None
