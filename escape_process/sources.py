"""What a file's bytes are read from: a local file, or one elsewhere, by ranges through a cache of blocks."""

import os
import threading
from collections import OrderedDict
from typing import IO, Protocol

BLOCK_SIZE = 256 * 1024
"""Bytes of one cached block of a remote file: about one compressed tile of a COG."""
CACHED_BLOCKS = 32
"""Blocks kept for each open remote file."""
LONGEST_RANGE = 64 * BLOCK_SIZE
"""Most bytes asked for in one request."""


class Source(Protocol):
    """Bytes of known length that can be read at any place."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class FileSource:
    """An open local file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.size = file.seek(0, os.SEEK_END)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` on."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BlockSource:
    """A file elsewhere read by ranges, with the blocks used last kept."""

    def __init__(self, size: int, version: str | None = None, start: bytes = b"") -> None:
        self.size = size
        self.version = version
        """What changes with the bytes; None where the host does not tell."""
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._store(0, start)

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`, all of them."""
        raise NotImplementedError

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` on."""
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        parts = []
        with self._lock:
            number, last = offset // BLOCK_SIZE, (end - 1) // BLOCK_SIZE
            while number <= last:
                if number in self._blocks:
                    self._blocks.move_to_end(number)
                    run = self._blocks[number]
                else:
                    run = self._fetch(number, self._end_of_gap(number, last))
                parts.append(run)
                number += -(-len(run) // BLOCK_SIZE)
        skipped = offset % BLOCK_SIZE
        return b"".join(parts)[skipped : skipped + end - offset]

    def close(self) -> None:
        """Forget the cached blocks."""
        self._blocks.clear()

    def _end_of_gap(self, number: int, last: int) -> int:
        """Return the last of the missing blocks from `number` on that one request can fetch."""
        end = number
        most = min(last, number + LONGEST_RANGE // BLOCK_SIZE - 1)
        while end < most and end + 1 not in self._blocks:
            end += 1
        return end

    def _fetch(self, first: int, last: int) -> bytes:
        content = self.read_range(first * BLOCK_SIZE, min((last + 1) * BLOCK_SIZE, self.size))
        self._store(first, content)
        return content

    def _store(self, first: int, content: bytes) -> None:
        for place in range(0, len(content), BLOCK_SIZE):
            self._blocks[first + place // BLOCK_SIZE] = content[place : place + BLOCK_SIZE]
        while len(self._blocks) > CACHED_BLOCKS:
            self._blocks.popitem(last=False)
