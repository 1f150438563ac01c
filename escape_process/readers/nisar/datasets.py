"""Values of HDF5 datasets from the file's own bytes, after all that their structure says was checked."""

import io
import math
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5d
from numpy.typing import NDArray

from escape_process.errors import EscapeError, SceneError
from escape_process.readers.nisar.chunks import DEFLATE, FLETCHER32, SHUFFLE, ChunkError, decode_chunk

LARGEST_ARRAY = 64 * 2**20
"""Most bytes of an array of metadata that is read whole: NISAR's cubes have about 10 MiB."""
LARGEST_CHUNK = 64 * 2**20
"""Most bytes of one chunk: NISAR's have 1 MiB."""
MOST_CHUNKS = 1_000_000
"""Of one dataset. A NISAR frame of 512 x 512 chunks has about 1300."""
CACHED_BYTES = 16 * 2**20
"""Of unpacked chunks of one dataset."""
LONGEST_TEXT = 64 * 1024

_FILTERS = frozenset({DEFLATE, SHUFFLE, FLETCHER32})
_LIBRARY_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    NotImplementedError,
)


class View(io.RawIOBase):
    """The bytes for the HDF5 library. A failed read is noted, since the library forgets what the exception was."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self.size = size
        self.failures: list[EscapeError] = []

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._stream.read(len(buffer))
        except EscapeError as error:
            self.failures.append(error)
            raise OSError("the file cannot be read") from error
        buffer[: len(content)] = content
        if len(content) < len(buffer):  # what the library took for bytes of the file lies beyond its end
            raise OSError("the file is cut short")
        return len(content)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes for ourselves; short where the file ends before."""
        if not 0 <= offset <= self.size or length > self.size - offset:
            return b""
        self._stream.seek(offset)
        return self._stream.read(length)


@contextmanager
def in_our_words(view: View, name: str) -> Iterator[None]:
    try:
        yield
    except EscapeError:
        raise
    except _LIBRARY_ERRORS as error:
        if view.failures:
            raise view.failures[0] from error
        raise SceneError(f"{name} is damaged or cut short: its HDF5 structure cannot be read.") from error


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset, checked to lie inside the file in a way that is read here."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...] | None
    """None: values lie in one piece."""
    filters: tuple[int, ...]
    _id: Any
    _view: View
    _file: str
    _state: dict[str, Any]
    """What is found out at the first read: where chunks lie, those unpacked last."""

    @classmethod
    def of(cls, found: Any, path: str, view: View, file: str) -> "Dataset":
        """Check a dataset."""
        label = path.rsplit("/", 1)[-1]
        created = found.get_create_plist()
        if created.get_layout() not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED) or created.get_external_count():
            raise SceneError(f"{file} keeps the values of {label} in other files: give it with its own data inside.")
        filters = tuple(created.get_filter(number)[0] for number in range(created.get_nfilters()))
        if not set(filters) <= _FILTERS or len(filters) > 3:
            raise SceneError(f"{file} packs {label} in a way that is not read here: use deflate, shuffle, Fletcher.")
        shape = tuple(int(edge) for edge in found.shape)
        dtype = np.dtype(found.dtype)
        if len(shape) > 4 or any(edge < 0 for edge in shape) or math.prod(shape) > 2**40:
            raise SceneError(f"{file} says that {label} has {' x '.join(map(str, shape))} values: no product has that.")
        chunk = tuple(int(edge) for edge in created.get_chunk()) if created.get_layout() == h5d.CHUNKED else None
        if chunk is not None:
            if math.prod(chunk) * dtype.itemsize > LARGEST_CHUNK or min(chunk, default=1) < 1:
                raise SceneError(
                    f"{file} stores {label} in chunks of {' x '.join(map(str, chunk))}: too large to read."
                )
            if math.prod(-(-edge // part) for edge, part in zip(shape, chunk, strict=True)) > MOST_CHUNKS:
                raise SceneError(f"{file} stores {label} in more than {MOST_CHUNKS} chunks: repack it.")
        return cls(path, shape, dtype, chunk, filters, found, view, file, {})

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.path.rsplit("/", 1)[-1]

    def whole(self) -> NDArray[Any]:
        """Read all of a small array.

        Raises
        ------
        SceneError
            where it is larger than `LARGEST_ARRAY`, or damaged.
        """
        if self.dtype.hasobject or self.count * max(self.dtype.itemsize, 1) > LARGEST_ARRAY:
            raise SceneError(
                f"{self._file} says that {self.label} has {' x '.join(map(str, self.shape))} values: too many to read."
            )
        return self.read(tuple((0, edge) for edge in self.shape))

    def library_values(self) -> Any:
        """Return texts of varying length, which only the library can find."""
        return h5py.Dataset(self._id)[()] if self.count <= 1000 else ()

    def read(self, ranges: Sequence[tuple[int, int]]) -> NDArray[Any]:
        """Read the values between a first index and one past the last, along each axis.

        Raises
        ------
        SceneError
            where the values are damaged or cut short.
        """
        if len(ranges) != len(self.shape) or any(
            not 0 <= start <= stop <= edge for (start, stop), edge in zip(ranges, self.shape, strict=True)
        ):
            raise ValueError(f"{ranges}: not inside {self.shape}")
        with in_our_words(self._view, self._file):
            return self._from_chunks(ranges) if self.chunk is not None else self._from_one_piece(ranges)

    def _damaged(self) -> SceneError:
        return SceneError(f"{self._file} is damaged or cut short: values of {self.label} cannot be read.")

    def _fill(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return what values are that were never written."""
        fill = np.zeros((), dtype=self.dtype)
        created = self._id.get_create_plist()
        if created.fill_value_defined() != h5d.FILL_VALUE_UNDEFINED and self.dtype.kind in "iuf":
            created.get_fill_value(fill)
        return np.full(shape, fill, dtype=self.dtype)

    def _from_one_piece(self, ranges: Sequence[tuple[int, int]]) -> NDArray[Any]:
        shape = tuple(stop - start for start, stop in ranges)
        offset, size = self._id.get_offset(), self.count * self.dtype.itemsize
        if offset is None:
            if self._id.get_storage_size() == 0:
                return self._fill(shape)
            if size > LONGEST_TEXT:  # compact values lie in a header of at most 64 KiB
                raise self._damaged()
            values: NDArray[Any] = np.asarray(h5py.Dataset(self._id)[()]).astype(self.dtype, copy=False)
            return values[tuple(slice(start, stop) for start, stop in ranges)]
        if self._id.get_storage_size() != size or size > self._view.size - offset:
            raise self._damaged()
        if not shape:
            return np.frombuffer(self._bytes(offset, size), dtype=self.dtype).reshape(())
        # All axes but the first two whole: at most a run of values for each row.
        out = np.empty(shape, dtype=self.dtype)
        if not out.size:
            return out
        tail = self.shape[-1] if len(self.shape) > 1 else 1
        if len(self.shape) == 1:
            (start, stop), item = ranges[0], self.dtype.itemsize
            out[:] = np.frombuffer(self._bytes(offset + start * item, (stop - start) * item), dtype=self.dtype)
            return out
        item = self.dtype.itemsize
        first, last = ranges[-1]
        for place in np.ndindex(shape[:-1]):
            row = 0
            for index, (start, _), edge in zip(place, ranges[:-1], self.shape[:-1], strict=True):
                row = row * edge + index + start
            content = self._bytes(offset + (row * tail + first) * item, (last - first) * item)
            out[place] = np.frombuffer(content, dtype=self.dtype)
        return out

    def _bytes(self, offset: int, length: int) -> bytes:
        content = self._view.read_at(offset, length)
        if len(content) != length:
            raise self._damaged()
        return content

    def _from_chunks(self, ranges: Sequence[tuple[int, int]]) -> NDArray[Any]:
        chunk = self.chunk or ()
        out = np.empty(tuple(stop - start for start, stop in ranges), dtype=self.dtype)
        if not out.size:
            return out
        spans = [range(start // part, -(-stop // part)) for (start, stop), part in zip(ranges, chunk, strict=True)]
        for place in np.ndindex(*(len(span) for span in spans)):
            corner = tuple(span[index] * part for span, index, part in zip(spans, place, chunk, strict=True))
            values = self._chunk_at(corner)
            into, of = [], []
            for (start, stop), at, part in zip(ranges, corner, chunk, strict=True):
                first, last = max(start, at), min(stop, at + part)
                into.append(slice(first - start, last - start))
                of.append(slice(first - at, last - at))
            out[tuple(into)] = values[tuple(of)]
        return out

    def _chunk_at(self, corner: tuple[int, ...]) -> NDArray[Any]:
        kept: OrderedDict[tuple[int, ...], NDArray[Any]] = self._state.setdefault("kept", OrderedDict())
        if corner in kept:
            kept.move_to_end(corner)
            return kept[corner]
        chunk = self.chunk or ()
        size = math.prod(chunk) * self.dtype.itemsize
        place = self._places().get(corner)
        if place is None:
            values = self._fill(chunk)
        else:
            offset, length, mask = place
            if length > 2 * size + LONGEST_TEXT:  # nothing packed is so much longer than what it holds
                raise self._damaged()
            applied = [kind for number, kind in enumerate(self.filters) if not mask >> number & 1]
            try:
                content = decode_chunk(self._bytes(offset, length), size, self.dtype.itemsize, applied)
            except ChunkError as error:
                raise self._damaged() from error
            values = np.frombuffer(content, dtype=self.dtype).reshape(chunk)
        kept[corner] = values
        while len(kept) > max(1, CACHED_BYTES // max(size, 1)):
            kept.popitem(last=False)
        return values

    def _places(self) -> dict[tuple[int, ...], tuple[int, int, int]]:
        """Return offset, length and filters left out of each chunk that was written, by its first index."""
        if "places" not in self._state:
            places: dict[tuple[int, ...], tuple[int, int, int]] = {}

            def note(info: Any) -> bool | None:
                if info.byte_offset is not None and info.size:
                    places[tuple(map(int, info.chunk_offset))] = (info.byte_offset, info.size, info.filter_mask)
                return len(places) > MOST_CHUNKS or None

            self._id.chunk_iter(note)
            self._state["places"] = places
        return self._state["places"]  # type: ignore[no-any-return]
