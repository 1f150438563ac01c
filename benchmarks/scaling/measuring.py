"""What each measured process does: a whole request, the floor under it, the rates of inversions.

`python -m scaling.measuring PART JSON` prints what it measured as JSON; `run_part` starts it and watches its memory.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from scaling.scenes import SCENE_ID

BENCHMARKS = Path(__file__).parent.parent
LOOK_EVERY = 0.05
"""Seconds between two looks at the memory."""
READ_ROWS = 1024
"""Pixels along each side of the windows of the floor: those of a block."""
SAMPLED_BLOCKS = 12
MAP_CELLS = 200
TABLE_CELLS = 1000


def run_part(part: str, arguments: dict[str, Any], workers: int) -> dict[str, Any]:
    """Run one part in a process of its own, on so many cores, and return what it measured and what it took.

    Adds `seconds` (from its start to its end), `cpu` (seconds of all cores) and `peak` (bytes; resident sets of the
    process and its children added up, so that memory they share counts for each).
    """
    cores = sorted(os.sched_getaffinity(0))[:workers]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")])),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(workers)),
    }
    command = [sys.executable, "-m", "scaling.measuring", part, json.dumps(arguments)]
    started = time.monotonic()
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  # this process has one thread
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(LOOK_EVERY)
        seconds = time.monotonic() - started
        told = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{part} failed with exit code {process.returncode}")
    answer: dict[str, Any] = json.loads(told.splitlines()[-1])
    return {**answer, "seconds": seconds, "peak": max(peak, answer["peak"])}


def _resident(pid: int) -> int:
    total = 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for one in family:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def settings_of(catalogue: str, data: str, engine: str, workers: int) -> Any:
    """Return settings under which a request reads one catalogue and writes below `data`."""
    from escape_process.settings import Settings

    values: dict[str, Any] = {
        "data_dir": data,
        "catalog_seed": None,
        "catalogs": {"scenes": catalogue},
        "default_catalog": "scenes",
        "device": "cpu",
    }
    if engine != "inline":
        values |= {"engine": engine, "processes": workers}
    return Settings.load(values, Path(data))


def known_engines() -> list[str]:
    """Return the engines of this version that need nothing else started."""
    from typing import get_args

    from escape_process.settings import Settings

    field = Settings.model_fields.get("engine")
    return [name for name in get_args(field.annotation) if name != "dask"] if field else ["inline"]


def request(
    *, catalogue: str, data: str, resolution: float | None, members: int, engine: str, workers: int
) -> dict[str, Any]:
    """Answer one request; the seconds of its stages, and the checksums of what it wrote."""
    import escape_process
    from escape_process import pipeline
    from escape_process.readers.loading import StackReader
    from escape_process.request import RetrievalRequest

    spent = {"reading": 0.0, "inference": 0.0}
    settings = settings_of(catalogue, data, engine, workers)
    asked = {} if resolution is None else {"resolution": resolution}
    with (
        _timed(StackReader, "load", spent, "reading"),
        _timed(escape_process, "retrieve", spent, "inference"),
        _timed(escape_process, "calibrate", {}, "", after=lambda: spent.update(reading=0.0)),  # the sample's before
    ):
        outcome = pipeline.run(RetrievalRequest(ids=[SCENE_ID], members=members, **asked), settings)
    (item,) = outcome.items["features"]
    told = outcome.report["stacks"][0]
    laps = told["seconds"]
    assets = item["assets"]
    return {
        "laps": {"calibration": laps["calibration"], **spent, "writing": laps["writing"]},
        "cells": told["pixels"],
        "shape": item["properties"]["proj:shape"],
        "checksums": {name: asset["file:checksum"] for name, asset in assets.items() if asset["href"].endswith(".tif")},
        "folder": str(next(Path(data).rglob("soil_moisture.tif")).parent),
    }


@contextmanager
def _timed(
    owner: Any, name: str, spent: dict[str, float], key: str, after: Callable[[], Any] = lambda: None
) -> Iterator[None]:
    """Add up the seconds in a function, while it keeps doing what it did."""
    function = getattr(owner, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.monotonic()
        try:
            return function(*arguments, **options)
        finally:
            spent[key] = spent.get(key, 0.0) + time.monotonic() - started
            after()

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, function)


def floor(catalogue: str, folder: str, workers: int) -> dict[str, Any]:
    """Read every window of the scene's rasters and write the result's layers again, with nothing between.

    Returns seconds, and of all cores together under `work`.
    """
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile
    from rasterio.windows import Window

    from escape_process.hrefs import GDAL_CACHE_BYTES
    from escape_process.layers import LAYERS
    from escape_process.product.cogs import COG_OPTIONS

    def read(path: Path) -> int:
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), rasterio.open(path) as raster:
            pixels = 0
            for row in range(0, raster.height, READ_ROWS):
                for column in range(0, raster.width, READ_ROWS):
                    width, height = min(READ_ROWS, raster.width - column), min(READ_ROWS, raster.height - row)
                    pixels += raster.read(1, window=Window(column, row, width, height)).size
            return pixels

    def write(layer: Any, kept: MemoryFile) -> None:
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            target = Path(folder) / f"floor_{layer.name}.tif"
            rasterio.shutil.copy(kept.name, target, **COG_OPTIONS, OVERVIEW_RESAMPLING=layer.resampling)

    rasters = sorted((Path(catalogue).parent.parent / SCENE_ID).glob("*.tif"))
    with ThreadPoolExecutor(workers) as pool:
        started, work = time.monotonic(), time.process_time()
        list(pool.map(read, rasters))
        reading, work = time.monotonic() - started, time.process_time() - work
        writing = 0.0
        for first in range(0, len(LAYERS), workers):  # as many in memory at once as are written at once
            layers = LAYERS[first : first + workers]
            plain = [_plain(Path(folder) / f"{layer.name}.tif") for layer in layers]
            started, before = time.monotonic(), time.process_time()
            list(pool.map(write, layers, plain))
            writing += time.monotonic() - started
            work += time.process_time() - before
            for file in plain:
                file.close()
    return {"reading": reading, "writing": writing, "work": work}


def _plain(path: Path) -> Any:
    """Return a layer uncompressed in memory: reading it back is no part of what is measured."""
    import rasterio
    from rasterio.io import MemoryFile

    memory = MemoryFile()
    with rasterio.open(path) as raster:
        profile = {"crs": raster.crs, "transform": raster.transform, "nodata": raster.nodata, "count": 1}
        layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "dtype": raster.dtypes[0]}
        with memory.open(driver="GTiff", width=raster.width, height=raster.height, **layout, **profile) as plain:
            plain.write(raster.read(1), 1)
    return memory


def rates(catalogue: str, data: str, resolution: float | None, members: int, workers: int) -> dict[str, Any]:
    """Cells a second of the ensemble that a request kept, of MAP per cell and of a lookup table, on its own cells.

    `work` is the ensemble's seconds a cell of all cores together.
    """
    import numpy as np
    from accuracy.baselines import LookupTable, MapInversion

    import escape_process
    from escape_process.catalogue.search import find_scenes
    from escape_process.engine import blocks_of
    from escape_process.physics.speckle import log_power_sd_db
    from escape_process.readers import build_stacks, open_stack
    from escape_process.request import RetrievalRequest
    from escape_process.stages import block_edge, open_scenes

    settings = settings_of(catalogue, data, "inline", workers)
    asked = {} if resolution is None else {"resolution": resolution}
    question = RetrievalRequest(ids=[SCENE_ID], members=members, **asked)
    scenes, _ = open_scenes(find_scenes(question, settings), settings)
    (stack,) = build_stacks(scenes, question)
    blocks = blocks_of(stack.grid, stack.window, block_edge(stack))
    chosen = [blocks[index] for index in sorted({round(x) for x in np.linspace(0, len(blocks) - 1, SAMPLED_BLOCKS)})]
    with open_stack(stack, settings) as reader:
        observed = [reader.load(window) for window in chosen]
    (kept,) = (Path(data) / "work" / "ensembles").glob("*.npz")
    ensemble = escape_process.load_ensemble(kept)
    frequency = stack.passes[0].scenes[0].frequency

    def infer(one: Any) -> int:
        powers = one.sigma0[:, 0], one.sigma0[:, 1], one.sigma0[:, 2]
        found = escape_process.retrieve(
            *powers,
            one.incidence_angle,
            frequency=frequency,
            looks=one.looks,
            noise_floor=one.noise_floor,
            ensemble=ensemble,
            device="cpu",
        )
        return int(np.isfinite(found.soil_moisture).sum())

    infer(observed[0])
    started, before = time.monotonic(), time.process_time()
    cells = sum(infer(one) for one in observed)
    inference, work = cells / (time.monotonic() - started), (time.process_time() - before) / cells

    sigma0 = np.concatenate([one.sigma0[0].reshape(3, -1) for one in observed], axis=1).astype(float)
    angle = np.concatenate([one.incidence_angle[0].ravel() for one in observed]).astype(float)
    looks = np.concatenate([one.looks[0].ravel() for one in observed])
    valid = np.flatnonzero(np.isfinite(sigma0).all(axis=0) & np.isfinite(angle))
    picked = valid[:: max(1, valid.size // TABLE_CELLS)][:TABLE_CELLS]
    power_db, angle = 10 * np.log10(sigma0[:, picked]), angle[picked]
    mapping = MapInversion(frequency, float(log_power_sd_db(float(np.median(looks[picked])))))
    few = slice(0, picked.size, max(1, picked.size // MAP_CELLS))
    started = time.monotonic()
    mapped = mapping.estimate(power_db[:, few], angle[few], np.zeros_like(angle[few])).value.size
    by_map = mapped / (time.monotonic() - started)
    table = LookupTable(frequency, np.radians(np.arange(20.0, 50.0)))
    started = time.monotonic()
    table(power_db, angle)
    by_table = picked.size / (time.monotonic() - started)
    return {"inference": inference, "work": work, "map": by_map, "table": by_table}


def main() -> None:
    """Run one part and print what it measured."""
    part, arguments = sys.argv[1], json.loads(sys.argv[2])
    answer = {"request": request, "floor": floor, "rates": rates}[part](**arguments)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    answer["cpu"] = sum(one.ru_utime + one.ru_stime for one in used)
    answer["peak"] = used[0].ru_maxrss * 1024
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
