"""HDF5 files that strangers wrote, read with care: one file, no links out of it, no plug-ins, no more than is asked.

The HDF5 library reads only the structure. Pixels are read from the file's bytes at the places that it tells, and
unpacked in `chunks`. Links that are not hard ones, datasets whose values lie in other files, virtual datasets and
filters other than NISAR's are refused before anything of them is touched.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5d, h5f, h5fd, h5g, h5l, h5o, h5p
from numpy.typing import NDArray

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, open_href
from escape_process.readers.nisar.datasets import LONGEST_TEXT, Dataset, View, in_our_words
from escape_process.settings import Settings

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@contextmanager
def open_hdf5(href: str, settings: Settings) -> Iterator["Hdf5"]:
    """Open an HDF5 file for the duration of a `with` block.

    Raises
    ------
    UpstreamError
        where the file is missing or its host fails, at opening or later.
    SceneError
        where it is no HDF5 file or its structure is damaged.
    """
    with contextlib.closing(open_href(href, settings)) as stream, open_stream(stream, file_name(href)) as file:
        yield file


@contextmanager
def open_stream(stream: BinaryIO, name: str) -> Iterator["Hdf5"]:
    """Open an HDF5 file from its bytes, as `open_hdf5`; `name` is what errors call it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start = stream.read(len(_SIGNATURE))
    if start != _SIGNATURE:
        why = "it is empty" if not size else "its first bytes are others"
        raise SceneError(f"{name} is no HDF5 file: {why}.")
    view = View(stream, size)
    with in_our_words(view, name):
        opened = _open_file(view)
    with contextlib.closing(opened):
        file = Hdf5(opened, view, name)
        with in_our_words(view, name):
            if opened.userblock_size:
                raise SceneError(f"{name} has a user block before its HDF5 part: give it without.")
        yield file


def _open_file(view: View) -> h5py.File:
    """Open a file as h5py does, but let go of its access properties at once, also where it fails.

    They hold the file object. Kept alive by a traceback until the process ends, they are freed by the HDF5 library
    after the interpreter is gone, which crashes.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    try:
        access.set_fclose_degree(h5f.CLOSE_STRONG)
        elements, slots, _, preemption = access.get_cache()
        access.set_cache(elements, slots, 0, preemption)  # no chunks: values are not read through the library
        access.set_fileobj_driver(h5fd.fileobj_driver, view)
        return h5py.File(h5f.open(b"remote", h5f.ACC_RDONLY, fapl=access))
    finally:
        access.close()


class Hdf5:
    """An open file. Paths are absolute, such as /science/LSAR/identification/missionId."""

    def __init__(self, file: h5py.File, view: View, name: str) -> None:
        self._file = file
        self._view = view
        self.name = name

    def has(self, path: str) -> bool:
        """Tell whether there is something at a path."""
        with in_our_words(self._view, self.name):
            return self._object(path) is not None

    def names(self, path: str) -> tuple[str, ...]:
        """Return what a group holds, at most 1000 names; nothing where there is no group."""
        with in_our_words(self._view, self.name):
            group = self._object(path)
            if not isinstance(group, h5g.GroupID):
                return ()
            found = []
            for name in group:
                found.append(name.decode("utf-8", errors="replace"))
                if len(found) >= 1000:
                    break
            return tuple(found)

    def dataset(self, path: str) -> "Dataset | None":
        """Return a dataset of numbers or texts of fixed length; None where there is none.

        Raises
        ------
        SceneError
            where its values lie in another file, or it is stored in a way that is not read here.
        """
        with in_our_words(self._view, self.name):
            found = self._object(path)
            return Dataset.of(found, path, self._view, self.name) if isinstance(found, h5d.DatasetID) else None

    def array(self, path: str) -> NDArray[Any] | None:
        """Return the whole of a small array; None where there is none."""
        dataset = self.dataset(path)
        return None if dataset is None else dataset.whole()

    def number(self, path: str) -> float | None:
        """Return a finite number; None where there is none."""
        values = self.array(path)
        if values is None or values.size != 1 or values.dtype.kind not in "iuf":
            return None
        number = float(values.reshape(-1)[0])
        return number if math.isfinite(number) else None

    def text(self, path: str) -> str | None:
        """Return a text; None where there is none."""
        texts = self.texts(path)
        return texts[0] if texts else None

    def texts(self, path: str) -> tuple[str, ...]:
        """Return the texts of an array, printable characters only; nothing where there is none."""
        dataset = self.dataset(path)
        if dataset is None or dataset.count > 1000:
            return ()
        if dataset.dtype.kind == "O":
            with in_our_words(self._view, self.name):
                values: Any = dataset.library_values()
        else:
            values = dataset.whole()
        if np.asarray(values).dtype.kind not in "SO":
            return ()
        texts = []
        for value in np.asarray(values).reshape(-1):
            raw = value if isinstance(value, bytes) else str(value).encode()
            text = raw[:LONGEST_TEXT].decode("utf-8", errors="replace").strip("\0 ")
            texts.append("".join(character for character in text if character.isprintable()))
        return tuple(texts)

    def _object(self, path: str) -> Any:
        """Return what lies at a path by hard links alone."""
        place: Any = h5g.open(self._file.id, b"/")
        for part in path.strip("/").split("/"):
            key = part.encode()
            if not isinstance(place, h5g.GroupID) or not place.links.exists(key):
                return None
            if place.links.get_info(key).type != h5l.TYPE_HARD:
                raise SceneError(f"{self.name} keeps {part} behind a link: give the file with its own data inside.")
            place = h5o.open(place, key)
        return place
