"""The image file of one polarization: its descriptor, the header of a line, blocks of samples.

Source: JAXA, "ALOS-2/PALSAR-2 Level 1.1/1.5/2.1/3.1 CEOS SAR Product Format Description"; the descriptor's fields
checked on real level 1.5 files.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from escape_process.errors import SceneError
from escape_process.readers.ceos.records import PREAMBLE, Record

DESCRIPTOR_BYTES = 720
HEADER_BYTES = 192
"""Of a line, from its start, whatever the level: all that is read of it."""
MOST_LINES, MOST_PIXELS = 400_000, 100_000
CHUNK_BYTES = 4 * 1024 * 1024
"""Read at once where whole lines are."""
SPARSE = 8
"""Lines are read one by one where fewer than one in this many of their bytes are wanted."""
SATURATED = 65535
"""Of a detected image: over range."""

_DESCRIPTOR = (50, 192, 18, 18)
_DTYPES: dict[str, np.dtype[Any]] = {"C*8": np.dtype(">c8"), "IU2": np.dtype(">u2")}


@dataclass(frozen=True)
class ImageDescriptor:
    """Layout of an image file, checked."""

    lines: int
    pixels: int
    sample_type: str
    """"C*8": complex; "IU2": amplitude."""
    prefix: int
    """Bytes before the samples of a line."""
    record_length: int
    """Bytes of a line."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one sample as stored."""
        return _DTYPES[self.sample_type]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return DESCRIPTOR_BYTES + self.lines * self.record_length

    def line_start(self, line: int) -> int:
        """Return the byte at which a line starts."""
        return DESCRIPTOR_BYTES + line * self.record_length


@dataclass(frozen=True)
class LineHeader:
    """What stands before the samples of a line."""

    time: dt.datetime | None
    """UTC, to the millisecond; None: not stated."""
    polarization: str
    slant_range: float | None
    """Of the first sample, m; None: not stated."""
    left_fill: int
    valid_pixels: int
    right_fill: int


def parse_descriptor(content: bytes, file: str = "the image") -> ImageDescriptor:
    """Parse the first 720 bytes of an image file.

    Raises
    ------
    SceneError
        one sentence for whatever is cut short, damaged, of another format, or larger than any image.
    """
    if len(content) < DESCRIPTOR_BYTES:
        raise SceneError(f"{file} has {len(content)} bytes, fewer than its descriptor: it is empty or cut short.")
    _, *code, length = PREAMBLE.unpack_from(content)
    if tuple(code) != _DESCRIPTOR or length != DESCRIPTOR_BYTES:
        raise SceneError(f"{file} is not the image of a CEOS product: its first record is of another kind.")
    record = Record(file, "descriptor", content[:DESCRIPTOR_BYTES])
    kind = record.text(429, 432)
    if kind not in _DTYPES:
        shown = "".join(character if character.isprintable() else "?" for character in kind)
        raise SceneError(f"{file} holds samples of type {shown!r}: C*8 and IU2 are read.")
    width = _DTYPES[kind].itemsize
    lines = record.integer(237, 244, "number of lines", 1, MOST_LINES)
    pixels = record.integer(249, 256, "number of pixels", 1, MOST_PIXELS)
    prefix = record.integer(277, 280, "length of a line's prefix", HEADER_BYTES, 10_000)
    data = record.integer(281, 288, "length of a line's samples", width, MOST_PIXELS * width)
    suffix = record.integer(289, 292, "length of a line's suffix", 0, 10_000)
    record_length = record.integer(187, 192, "length of a line", HEADER_BYTES, 999_999)
    records = record.integer(181, 186, "number of records", 1, 999_999)
    if data != pixels * width or record_length != prefix + data + suffix or records != lines:
        raise SceneError(
            f"The descriptor of {file} contradicts itself: {lines} lines of {pixels} samples in {records} records of"
            f" {record_length} bytes, {prefix} + {data} + {suffix} of them before, in and after the samples."
        )
    return ImageDescriptor(lines, pixels, kind, prefix, record_length)


def parse_line_header(content: bytes, descriptor: ImageDescriptor, file: str = "the image") -> LineHeader:
    """Parse the start of a line, at least 192 bytes.

    Raises
    ------
    SceneError
        where it is not the start of a line of this image.
    """
    if len(content) < HEADER_BYTES:
        raise SceneError(f"{file} ends inside the header of a line: it is cut short.")
    _, *code, length = PREAMBLE.unpack_from(content)
    wanted = 10 if descriptor.sample_type == "C*8" else 11
    if length != descriptor.record_length or code[1] != wanted:
        raise SceneError(f"A line of {file} is a record of {length} bytes and kind {code[1]}: the file is damaged.")
    record = Record(file, "line header", content[:HEADER_BYTES])
    sent, received = record.unsigned(53, 2), record.unsigned(55, 2)
    if sent > 1 or received > 1:
        raise SceneError(f"A line of {file} has the polarization code {sent}, {received}: the file is damaged.")
    fill = [record.unsigned(first) for first in (21, 25, 29)]
    if sum(fill) > 2 * descriptor.pixels:
        raise SceneError(f"A line of {file} counts {fill[1]} samples of {descriptor.pixels}: the file is damaged.")
    slant_range = record.unsigned(117 if descriptor.sample_type == "C*8" else 65)
    return LineHeader(
        time=_time(record.unsigned(37), record.unsigned(41), record.unsigned(45)),
        polarization="HV"[sent] + "HV"[received],
        slant_range=float(slant_range) if 300_000 <= slant_range <= 2_000_000 else None,
        left_fill=fill[0],
        valid_pixels=fill[1],
        right_fill=fill[2],
    )


def _time(year: int, day: int, milliseconds: int) -> dt.datetime | None:
    if not (2006 <= year <= 2100 and 1 <= day <= 366 and milliseconds <= 86_401_000):
        return None
    start = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    return start + dt.timedelta(days=day - 1, milliseconds=milliseconds)


class Image:
    """An open image file."""

    def __init__(self, stream: BinaryIO, size: int, file: str) -> None:
        stream.seek(0)
        self.file = file
        self._stream = stream
        self.descriptor = parse_descriptor(self._exactly(0, min(size, DESCRIPTOR_BYTES)), file)
        if size < self.descriptor.size:
            raise SceneError(
                f"{file} is cut short: it has {size} of the {self.descriptor.size} bytes that its"
                f" {self.descriptor.lines} lines need."
            )

    def header(self, line: int) -> LineHeader:
        """Read the header of a line."""
        content = self._exactly(self.descriptor.line_start(line), HEADER_BYTES)
        return parse_line_header(content, self.descriptor, self.file)

    def read(self, line: int, pixel: int, lines: int, pixels: int, *, whole_lines: bool = False) -> NDArray[Any]:
        """Read a block of samples that lies inside the image.

        Parameters
        ----------
        whole_lines
            Read few long stretches, not many short ones: what a remote file is served best by.

        Returns
        -------
        (lines, pixels): complex64, or uint16 amplitudes.
        """
        layout = self.descriptor
        dtype = layout.dtype
        out = np.empty((lines, pixels), dtype=dtype.newbyteorder("="))
        sparse = pixels * dtype.itemsize * SPARSE < layout.record_length
        step = 1 if sparse and not whole_lines else max(1, CHUNK_BYTES // layout.record_length)
        for first in range(0, lines, step):
            count = min(step, lines - first)
            start = layout.line_start(line + first) + layout.prefix + pixel * dtype.itemsize
            content = self._exactly(start, (count - 1) * layout.record_length + pixels * dtype.itemsize)
            strides = (layout.record_length, dtype.itemsize)
            out[first : first + count] = np.ndarray((count, pixels), dtype, content, strides=strides)
        return out

    def _exactly(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        content = self._stream.read(length)
        if len(content) != length:
            raise SceneError(f"{self.file} ends at byte {offset + len(content)}: it was cut short while it was read.")
        return content
