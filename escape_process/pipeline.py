"""The path of one request, one line a stage. Read this first."""

import datetime as dt
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from escape_process.catalogue.items import result_item
from escape_process.catalogue.publish import ensure_catalogue
from escape_process.catalogue.search import find_scenes, no_scenes_error
from escape_process.engine import Arrays, blocks_folder, blocks_of, check_engine, check_writable, map_blocks
from escape_process.errors import SceneError
from escape_process.product import write_product
from escape_process.provenance import Provenance
from escape_process.publishing import Kept, check_targets, find_result, keep_result, read_report, results_folder
from escape_process.readers import build_stacks, draw_samples, open_stack
from escape_process.records import Stack
from escape_process.report import tell_grid, tell_product, tell_refused, tell_reused, tell_scenes, title_of
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.stages import (
    RetrieveBlock,
    block_edge,
    calibrated,
    check_size,
    has_data,
    open_scenes,
    pixels_of,
    relative_to,
    result_id,
)
from escape_process.zones import zone_table

LOGGER = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1, never falling) and a sentence."""


@dataclass(frozen=True)
class Outcome:
    """What a request gave: JSON-ready, the two outputs of the process."""

    items: dict[str, Any]
    """STAC ItemCollection (a GeoJSON FeatureCollection)."""
    report: dict[str, Any]
    provenance: dict[str, Any]
    """PROV-JSON of all results; no output, but kept with the job."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """For the operator: pixels retrieved, the seconds that took, the most bytes of a GPU's memory where one was used.

    Empty where everything was there already. Pixels of blocks that an earlier attempt had finished do not count.
    """


def run(
    request: RetrievalRequest,
    settings: Settings,
    progress: Progress = lambda share, message: None,
    cancelled: Callable[[], bool] = lambda: False,
    job: str | None = None,
) -> Outcome:
    """Answer one request.

    Parameters
    ----------
    job
        Id of the job that this is an attempt of; the next attempt goes on from its finished blocks.

    Raises
    ------
    EscapeError
        with the sentence for the user; `cancelled` answering true raises `CancelledError` between blocks.
    """
    started = time.monotonic()
    check_targets(request, settings)
    check_engine(settings)
    ensure_catalogue(settings)
    check_writable(settings.work_dir, results_folder(request, settings))
    progress(0.0, "Searching the catalogue")
    found = find_scenes(request, settings)
    progress(0.02, f"Opening {len(found.scenes)} scenes")
    scenes, found = open_scenes(found, settings)
    stacks = build_stacks(scenes, request)
    if not stacks:
        raise no_scenes_error(request, found)
    check_size(stacks, settings)
    opening = tell_scenes(found, stacks, footprints=request.dry_run)
    work: dict[str, list[Any]] = {"stacks": [], "warnings": []}
    if request.dry_run:
        progress(1.0, f"{_count(scenes, 'scene')} would be used")
        return Outcome(_item_collection([]), {**opening, **work}, Provenance(request, settings, job).document())

    provenance = Provenance(request, settings, job)
    progress = _rising(progress)
    items: list[dict[str, Any]] = []
    failures: list[SceneError] = []
    done, waiting = 0, deque(stacks)
    while waiting:
        length = 0.95 / (done + len(waiting))
        share = _part(progress, 0.05 + done * length, length)
        stack = waiting.popleft()
        try:
            kept, told = _answer(stack, _Context(request, settings, opening, provenance, share, cancelled, job))
        except SceneError as error:
            share(0.0, str(error))
            failures.append(error)
            opening = tell_refused(opening, stack, error)
            waiting.extendleft(reversed(_rest(stack, error, request)))
            continue
        done += 1
        items += [dict(one.item) for one in kept]
        work["warnings"] += [one.warning for one in kept if one.warning is not None]
        work["stacks"].append(told)
    if not items:
        raise failures[0]
    report = {**opening, **work, "seconds": round(time.monotonic() - started, 2)}
    progress(1.0, f"{_count(items, 'result')} ready")
    return Outcome(_item_collection(items), report, provenance.document(), _measured(work["stacks"]))


def _rest(stack: Stack, error: SceneError, request: RetrievalRequest) -> tuple[Stack, ...]:
    """Return what a stack is without the scene that failed; nothing where it failed as a whole."""
    if error.scene is None:
        return ()
    return build_stacks([scene for one in stack.passes for scene in one.scenes if scene.id != error.scene], request)


@dataclass(frozen=True)
class _Context:
    """What the work on every stack of a request shares."""

    request: RetrievalRequest
    settings: Settings
    opening: Mapping[str, Any]
    """What the report says of the scenes."""
    provenance: Provenance
    progress: Progress
    cancelled: Callable[[], bool]
    job: str | None


def _answer(stack: Stack, context: _Context) -> tuple[list[Kept], dict[str, Any]]:
    """Answer for one stack: from the catalogue where the same request was answered before, else anew."""
    request, settings = context.request, context.settings
    ids = [result_id(one, stack, request) for one in stack.passes]
    if request.reuse and request.publish:
        known = [one for one in (find_result(name, settings) for name in ids) if one is not None]
        if len(known) == len(ids):
            context.progress(1.0, "Answered from the catalogue")
            for name in ids:
                context.provenance.add_reused(name)
            return known, tell_reused([one.item for one in known], read_report(known[0], settings))

    with blocks_folder(settings.blocks_dir / ids[0], context.job) as folder:
        return _compute(stack, ids, folder, context)


def _compute(stack: Stack, ids: Sequence[str], folder: Path, context: _Context) -> tuple[list[Kept], dict[str, Any]]:
    """Calibrate on the stack, map its blocks, write and publish one item a date."""
    request, settings, progress, cancelled = context.request, context.settings, context.progress, context.cancelled
    clock = _Clock()
    context.provenance.read(stack)
    with open_stack(stack, settings) as reader:
        progress(0.0, "Calibrating the ensemble")
        ensemble = calibrated(
            stack,
            request,
            settings,
            draw=lambda: draw_samples(reader, request.seed, cancelled),
            progress=lambda share, message: progress(0.4 * share, message),
        )
        clock.lap("calibration")
        table = {}
        if request.zones:
            table = {"zones": zone_table(reader, ensemble, request, settings, cancelled)}
            clock.lap("zones")
    pixels = 0

    def count(arrays: Arrays) -> None:
        nonlocal pixels
        pixels += pixels_of(arrays)

    tiles = map_blocks(
        RetrieveBlock(stack, ensemble, request, settings.for_workers()),
        blocks_of(stack.grid, stack.window, block_edge(stack)),
        folder,
        settings,
        progress=lambda done, total: progress(0.4 + 0.45 * done / total, f"Retrieved block {done} of {total}"),
        cancelled=cancelled,
        computed=count,
    )
    clock.lap("retrieval")

    dates = [date for date in range(len(ids)) if has_data(tiles, date)]
    if not dates:
        names = ", ".join(one.scenes[0].id for one in stack.passes)
        why = "all are masked or missing there" if ensemble.kept else "all members of the ensemble were rejected for it"
        raise SceneError(f"No pixel of {names} has a value in the area asked: {why}.")
    told = {"calibration": ensemble.report, "grid": tell_grid(stack), **table}
    kept, results = [], []
    for position, date in enumerate(dates):
        one, name = stack.passes[date], ids[date]
        progress(0.85 + 0.15 * position / len(dates), f"Writing {name}")
        contents = {"id": name, "request": request.content(), **context.opening, **told}
        product = write_product(
            results_folder(request, settings),
            name,
            stack.grid.crop(stack.window),
            relative_to(stack.window, tiles),
            date_index=date,
            report=contents,
            title=title_of(one),
            provenance=partial(context.provenance.of_result, name, one, stack, contents),
        )
        item = result_item(product, one, request, settings, report=contents, created=dt.datetime.now(dt.UTC))
        context.provenance.add_result(name, one, stack, contents, product.assets)
        kept.append(keep_result(item, settings, published=request.publish, cancelled=cancelled))
        if kept[-1].warning is not None:
            progress(0.85 + 0.15 * (position + 1) / len(dates), kept[-1].warning)
        results.append(tell_product(product, one))
    clock.lap("writing")
    return kept, {"results": results, "reused": False, **told, "seconds": clock.laps, "pixels": pixels}


def _measured(stacks: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Add up what the stacks computed now took."""
    computed = [told for told in stacks if not told["reused"]]
    if not computed:
        return {}
    from escape_process.retrieval import peak_device_memory  # noqa: PLC0415  # slow to import, and imported by now

    memory = peak_device_memory()
    return {
        "pixels": sum(told["pixels"] for told in computed),
        "seconds": sum(told["seconds"]["retrieval"] for told in computed),
        **({} if memory is None else {"device_bytes": memory}),
    }


def _item_collection(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items)}


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _rising(progress: Progress) -> Progress:
    """Return a progress that stays where it is while work is done again."""
    highest = 0.0

    def report(share: float, message: str) -> None:
        nonlocal highest
        highest = max(highest, share)
        progress(highest, message)

    return report


def _part(progress: Progress, start: float, length: float) -> Progress:
    """Return a progress that reports a part of the whole as if it were the whole."""
    return lambda share, message: progress(start + length * share, message)


class _Clock:
    """Seconds of each stage, for the report only."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
