"""Bytes of stored chunks to arrays, without the HDF5 library: sizes are known before anything is unpacked.

The library's own deflate filter unpacks whatever a chunk holds, so that a file of a megabyte could fill the memory;
here no chunk becomes larger than its dataset says. HDF5 File Format Specification 3.0, section IV.A.2.l (filters).
"""

import zlib
from collections.abc import Sequence

import numpy as np

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
"""Identifiers of the filters that NISAR products use."""

_CHECKSUM = 4


class ChunkError(ValueError):
    """Stored bytes are not those of a chunk; the message says why, for a log."""


def decode_chunk(stored: bytes, size: int, itemsize: int, filters: Sequence[int]) -> bytes:
    """Undo the filters of one chunk.

    Parameters
    ----------
    stored
        As in the file.
    size
        Bytes of the chunk that its dataset states.
    itemsize
        Bytes of one value.
    filters
        Those that were applied, in the order of writing.

    Raises
    ------
    ChunkError
        where the bytes are damaged, or unpack to another size.
    """
    content = stored
    for kind in reversed(filters):
        if kind == DEFLATE:
            content = _inflated(content, size + _CHECKSUM)
        elif kind == SHUFFLE:
            content = _unshuffled(content, itemsize)
        elif kind == FLETCHER32:
            content = _checked(content)
        else:
            raise ChunkError(f"filter {kind}")
    if len(content) != size:
        raise ChunkError(f"{len(content)} bytes in place of {size}")
    return content


def _inflated(content: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(content, most + 1)
    except zlib.error as error:
        raise ChunkError(str(error)) from error
    if not unpacker.eof or len(unpacked) > most:
        raise ChunkError("cut short, or larger than its dataset says")
    return unpacked


def _unshuffled(content: bytes, itemsize: int) -> bytes:
    if itemsize <= 1:
        return content
    count, rest = divmod(len(content), itemsize)
    planes = np.frombuffer(content, dtype=np.uint8, count=count * itemsize).reshape(itemsize, count)
    return planes.T.tobytes() + content[len(content) - rest :]


def _checked(content: bytes) -> bytes:
    if len(content) < _CHECKSUM:
        raise ChunkError("no room for a checksum")
    values, stated = content[:-_CHECKSUM], int.from_bytes(content[-_CHECKSUM:], "little")
    if fletcher32(values) != stated:
        raise ChunkError("wrong checksum")
    return values


def fletcher32(content: bytes) -> int:
    """Return HDF5's Fletcher checksum: two sums modulo 65535 over big-endian words of 16 bits, an odd byte first."""
    words = np.frombuffer(content, dtype=">u2", count=len(content) // 2).astype(np.int64)
    first, second = 0, 0
    for start in range(0, len(words), 1 << 16):  # blocks, so that the weighted sum fits 64 bits
        block = words[start : start + (1 << 16)]
        weights = np.arange(len(block), 0, -1, dtype=np.int64)
        second = (second + len(block) * first + int((block * weights).sum())) % 65535
        first = (first + int(block.sum())) % 65535
    if len(content) % 2:
        first = (first + (content[-1] << 8)) % 65535
        second = (second + first) % 65535
    return _full(second) << 16 | _full(first) if content else 0


def _full(value: int) -> int:
    """Return a sum as the folding of carries leaves it, which yields 65535 and never 0 for a sum above 0."""
    return value or 65535
