"""The rasters of results, opened for one answer each; what object storage gave of them is kept for the next.

A file on disk is opened anew in a millisecond or two, and the operating system keeps what was read of it. In object
storage each opening would take several questions, so that the sources of the rasters used last are kept, with the
blocks that were read through them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cachetools import LRUCache

from escape_process.errors import EscapeError
from escape_process.hrefs import is_remote, open_raster, open_source
from escape_process.layers import Layer
from escape_process.settings import Settings
from escape_process.sources import Source
from escape_process.viewer.results import Result

SOURCES = 16
"""Kept at most, each with up to 8 MiB."""


class Rasters:
    """Opens layers of results. Safe to use from several threads: each has a dataset of its own."""

    def __init__(self, settings: Settings) -> None:
        storage = settings.object_storage
        # the addresses are ours, so unpublished ones may be among them
        buckets = settings.buckets if storage is None else (*settings.buckets, storage)
        self._settings = settings.model_copy(update={"buckets": buckets})
        self._lock = threading.Lock()
        self._sources: LRUCache[tuple[str, str], Source] = LRUCache(SOURCES)

    @contextmanager
    def open(self, result: Result, layer: Layer) -> Iterator[Any]:
        """Open a layer as a rasterio dataset for the duration of a `with` block.

        Raises
        ------
        NotFound
            where the result has no such layer.
        UpstreamError, SceneError
            as `hrefs.open_raster`.
        """
        key = (result.raster(layer), result.checksum(layer))
        href = key[0]
        if not is_remote(href):
            with open_raster(href, self._settings) as raster:
                yield raster
            return
        try:
            with open_raster(href, self._settings, self._source(key)) as raster:
                yield raster
        except EscapeError:
            with self._lock:  # it may be another file by now
                self._sources.pop(key, None)
            raise

    def _source(self, key: tuple[str, str]) -> Source:
        with self._lock:
            known: Source | None = self._sources.get(key)
        if known is None:
            known = open_source(key[0], self._settings)
            with self._lock:
                self._sources[key] = known
        return known
