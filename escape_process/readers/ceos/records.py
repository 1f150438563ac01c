"""Records of CEOS files: a preamble of 12 bytes, then fields of text at fixed places."""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escape_process.errors import SceneError

PREAMBLE = struct.Struct(">I4BI")
MOST_RECORDS = 64
"""No leader has more; a damaged one could otherwise seem to hold millions."""

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(?:\d{1,20}\.?\d{0,30}|\.\d{1,30})(?:[EeDd][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Record:
    """One record. Places count from 1, both ends included, as in the format's documents."""

    file: str
    """Name of the file: what an error says."""
    name: str
    """What the record is."""
    content: bytes

    def text(self, first: int, last: int) -> str:
        """Return a field without blanks around it."""
        return self._field(first, last).decode("ascii", "replace").strip(" \0")

    def integer(self, first: int, last: int, what: str, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`.

        Raises
        ------
        SceneError
            naming the field and its value.
        """
        text = self.text(first, last)
        if _INTEGER.fullmatch(text) is None or not low <= int(text) <= high:
            raise self._wrong(what, text, f"a whole number from {low} to {high}")
        return int(text)

    def number(self, first: int, last: int, what: str, low: float, high: float) -> float:
        """Return a number from `low` to `high`; errors as `integer`."""
        value = self.optional(first, last)
        if value is None or not low <= value <= high:
            raise self._wrong(what, self.text(first, last), f"a number from {low:g} to {high:g}")
        return value

    def optional(self, first: int, last: int, low: float = -math.inf, high: float = math.inf) -> float | None:
        """Return a finite number, None where the field is blank, unreadable or outside `low` to `high`."""
        text = self.text(first, last)
        if _NUMBER.fullmatch(text) is None:
            return None
        value = float(text.replace("D", "E").replace("d", "E"))
        return value if math.isfinite(value) and low <= value <= high else None

    def numbers(self, first: int, width: int, count: int, what: str) -> NDArray[np.float64]:
        """Return `count` finite numbers of `width` bytes each; errors as `integer`."""
        values = np.empty(count)
        for index in range(count):
            start = first + index * width
            value = self.optional(start, start + width - 1)
            if value is None:
                raise self._wrong(what, self.text(start, start + width - 1), "a number")
            values[index] = value
        return values

    def unsigned(self, first: int, size: int = 4) -> int:
        """Return a big-endian binary number."""
        return int.from_bytes(self._field(first, first + size - 1), "big")

    def _field(self, first: int, last: int) -> bytes:
        if last > len(self.content):
            raise SceneError(
                f"The {self.name} of {self.file} has {len(self.content)} bytes, too few for its fields: the file is"
                " damaged or of another format."
            )
        return self.content[first - 1 : last]

    def _wrong(self, what: str, text: str, wanted: str) -> SceneError:
        shown = "".join(character if character.isprintable() else "?" for character in text)
        return SceneError(
            f"The {what} in the {self.name} of {self.file} is {shown!r} instead of {wanted}: the file is damaged or of"
            " another format."
        )


def walk_records(content: bytes, file: str) -> Iterator[tuple[tuple[int, int, int, int], bytes]]:
    """Yield the code and the bytes of each record of a file.

    Raises
    ------
    SceneError
        where a record is cut short or its length cannot be one.
    """
    offset = 0
    for _ in range(MOST_RECORDS):
        if offset == len(content):
            return
        if offset + PREAMBLE.size > len(content):
            raise SceneError(f"{file} ends inside a record, after {len(content)} bytes: it is cut short.")
        _, *code, length = PREAMBLE.unpack_from(content, offset)
        if length < PREAMBLE.size or offset + length > len(content):
            raise SceneError(
                f"{file} has a record of {length} bytes at byte {offset} of {len(content)}: it is cut short, damaged or"
                " of another format."
            )
        yield (code[0], code[1], code[2], code[3]), content[offset : offset + length]
        offset += length
    raise SceneError(f"{file} has more than {MOST_RECORDS} records: it is damaged or of another format.")
