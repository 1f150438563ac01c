"""Finished blocks to one cloud-optimized GeoTIFF a layer, with what a catalogue says of each.

The blocks are streamed into a plain tiled GeoTIFF first, because GDAL makes a COG only from a raster that is complete;
so memory holds a block for each layer being written and GDAL's bounded cache, whatever the size of the result.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import rasterio.windows
from numpy.typing import NDArray

from escape_process.hrefs import GDAL_CACHE_BYTES
from escape_process.layers import FLAG, FLAGS, FLOAT_NODATA, LAYER, LAYERS, UNUSABLE, Layer
from escape_process.product.folder import appearing_folder, sync
from escape_process.product.footprint import Footprint
from escape_process.product.quicklook import Caption, draw_quicklook
from escape_process.product.statistics import RunningStatistics
from escape_process.product.tiles import Tile, area_of, tiles_of_date
from escape_process.records import Grid, Product, ProductFile, Window

COG_OPTIONS = {
    "driver": "COG",
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    "BLOCKSIZE": 512,
    "BIGTIFF": "IF_SAFER",
    "OVERVIEWS": "AUTO",
    "NUM_THREADS": 1,
}
"""Of every layer; its resampling of overviews comes to them."""
MOST_WRITERS = 4
"""Layers written at once where there are so many cores: GDAL compresses without holding Python's lock. Each layer is
written by one thread, so that its bytes do not depend on their number."""
_PLAIN_BLOCK_SIZE = 256
"""Of the raster that becomes a COG: the edge of most tiles, so that no block is written twice."""

_FILL = {"flags": FLAG["no_data"].mask}
"""Value of pixels that no block covers, where it is neither nodata nor 0."""
_SHA256_MULTIHASH = "1220"
"""Multihash prefix: sha2-256 (0x12), 32 bytes (0x20)."""


def write_product(
    folder: Path,
    id: str,
    grid: Grid,
    tiles: Sequence[tuple[Window, Path]],
    *,
    date_index: int,
    report: Mapping[str, Any],
    title: str,
    provenance: Callable[[Mapping[str, ProductFile]], Mapping[str, Any]] | None = None,
) -> Product:
    """Write the files of one date of a result into `folder / id`, where they appear all at once or not at all.

    Parameters
    ----------
    folder
        Where results lie; made if missing. An earlier result of the same id is replaced.
    id
        Item id, also the name of the result's own folder.
    grid
        Grid of the result.
    tiles
        Place in `grid` and file of each block: an uncompressed .npz with one array a row of `LAYERS`, each
        (date, y, x), in the array API's units, NaN where missing. Pixels that no tile covers have no data.
    date_index
        Which date of the tiles.
    report
        JSON-ready, becomes `report.json`.
    title
        What the quicklook says on top; scene and date.
    provenance
        Called with all other files; what it returns, JSON-ready, becomes `provenance.json`.

    Raises
    ------
    StorageError
        where the disk is full or the folder is not writable; nothing is left behind.
    """
    dated = tiles_of_date(grid, tiles, date_index)
    coverage = measure_coverage(grid, dated)
    with appearing_folder(folder, id) as partial, rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        assets = write_layers(partial, grid, dated)
        caption = Caption(title, coverage.valid_share, coverage.unflagged_share)
        draw_quicklook(partial, caption, partial / "thumbnail.png")
        assets["thumbnail"] = describe_file(partial / "thumbnail.png")
        assets["report"] = _write_json(partial / "report.json", report)
        if provenance is not None:
            assets["provenance"] = _write_json(partial / "provenance.json", provenance(assets))
    return Product(
        id=id,
        folder=str(folder / id),
        grid=grid,
        assets=assets,
        geometry=coverage.geometry,
        valid_share=coverage.valid_share,
        flag_shares=coverage.flag_shares,
    )


def _write_json(path: Path, document: Mapping[str, Any]) -> ProductFile:
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return describe_file(path)


@dataclass(frozen=True)
class Coverage:
    """Where a result has values and how many of them are flagged."""

    geometry: dict[str, Any]
    valid_share: float
    flag_shares: dict[str, float]
    unflagged_share: float
    """Share of the valid pixels without a bit of `UNUSABLE`."""


def measure_coverage(grid: Grid, tiles: Sequence[Tile]) -> Coverage:
    """Look through the tiles for valid pixels and their flags."""
    footprint = Footprint(grid)
    valid_count = 0
    unflagged_count = 0
    flag_counts = np.zeros(len(FLAGS), np.int64)
    for tile in tiles:
        valid = has_data(tile)
        footprint.add(tile.window, valid)
        flags = tile.read("flags")[valid]
        valid_count += flags.size
        unflagged_count += int(np.count_nonzero((flags & UNUSABLE) == 0))
        flag_counts += [np.count_nonzero(flags & flag.mask) for flag in FLAGS]
    share = flag_counts / max(valid_count, 1)
    return Coverage(
        geometry=footprint.geometry(),
        valid_share=valid_count / (grid.width * grid.height),
        flag_shares={flag.name: float(value) for flag, value in zip(FLAGS, share, strict=True)},
        unflagged_share=unflagged_count / max(valid_count, 1),
    )


def has_data(tile: Tile) -> NDArray[np.bool_]:
    """Return where a tile has a retrieval: a finite soil moisture."""
    finite: NDArray[np.bool_] = np.isfinite(tile.read(LAYER["soil_moisture"].name))
    return finite


def write_layers(folder: Path, grid: Grid, tiles: Sequence[Tile]) -> dict[str, ProductFile]:
    """Write the COG of each layer, some at once; after the first failure no further one is begun."""

    def write(layer: Layer) -> ProductFile:
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):  # options of GDAL are a thread's own
            return write_layer(folder, grid, tiles, layer)

    with ThreadPoolExecutor(min(MOST_WRITERS, len(os.sched_getaffinity(0)))) as pool:
        writing = {layer.name: pool.submit(write, layer) for layer in LAYERS}
        try:
            return {name: one.result() for name, one in writing.items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def write_layer(folder: Path, grid: Grid, tiles: Sequence[Tile], layer: Layer) -> ProductFile:
    """Write one layer's COG and measure it on the way."""
    statistics = RunningStatistics()
    path = folder / f"{layer.name}.tif"
    plain = folder / f".{layer.name}.tif"
    with _new_raster(plain, grid, layer) as raster:
        if area_of(tile.window for tile in tiles) < grid.width * grid.height:
            _fill(raster, layer)
        for tile in tiles:
            values, valid = _stored(tile, layer)
            statistics.add(values[valid])
            window = tile.window
            raster.write(
                values, 1, window=rasterio.windows.Window(window.column, window.row, window.width, window.height)
            )
        summary = statistics.summary(grid.width * grid.height)
        if layer.nodata is not None:  # GDAL's statistics are those of every pixel that is not nodata
            raster.update_tags(1, **{f"STATISTICS_{name.upper()}": repr(value) for name, value in summary.items()})
    rasterio.shutil.copy(plain, path, **COG_OPTIONS, OVERVIEW_RESAMPLING=layer.resampling)
    plain.unlink()
    return describe_file(path, summary)


@contextlib.contextmanager
def _new_raster(path: Path, grid: Grid, layer: Layer) -> Iterator[Any]:
    """Open an uncompressed GeoTIFF: a block that two tiles share is rewritten in place."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=1,
        dtype=layer.dtype,
        crs=grid.crs,
        transform=grid.transform,
        nodata=layer.nodata,
        tiled=True,
        blockxsize=_PLAIN_BLOCK_SIZE,
        blockysize=_PLAIN_BLOCK_SIZE,
        BIGTIFF="IF_SAFER",
    ) as raster:
        raster.set_band_description(1, layer.name)
        raster.set_band_unit(1, layer.unit)
        yield raster


def _fill(raster: Any, layer: Layer) -> None:
    value = _FILL.get(layer.name, 0) if layer.nodata is None else layer.nodata
    for _, window in raster.block_windows(1):
        raster.write(np.full((window.height, window.width), value, layer.dtype), 1, window=window)


def _stored(tile: Tile, layer: Layer) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a tile's values as the file holds them, and which of them count in its statistics."""
    values = tile.read(layer.name)
    if layer.nodata is None:
        return values.astype(layer.dtype), has_data(tile)
    valid = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        scaled = np.where(valid, values * layer.scale_from_si, FLOAT_NODATA)
    return scaled.astype(layer.dtype), valid


def describe_file(path: Path, statistics: Mapping[str, float] | None = None) -> ProductFile:
    """Return a finished file's size and checksum, read from its bytes after they reached the disk."""
    sync(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ProductFile(path.name, path.stat().st_size, _SHA256_MULTIHASH + digest, statistics)
