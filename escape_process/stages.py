"""Stages of a request that join readers, retrieval and product, which do not know each other."""

import contextlib
import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom

import escape_process  # its array API loads torch when first used
from escape_process import __version__
from escape_process.catalogue.duplicates import refusals_of_twins
from escape_process.engine import storage_faults_told
from escape_process.errors import InvalidInputError, SceneError, UpstreamError
from escape_process.hrefs import is_remote
from escape_process.layers import FLAG, LAYERS
from escape_process.objects import read_object, write_object
from escape_process.readers import Samples, open_scene, open_stack, places_of, times_of
from escape_process.records import Found, Grid, Observables, OpenedScene, Pass, Refusal, Scene, Stack, Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

if TYPE_CHECKING:
    from escape_process.retrieval import Ensemble

LOGGER = logging.getLogger(__name__)

SOURCE_PIXELS_A_BLOCK = 1024 * 1024
"""Bounds a block's memory, with the next: some ten bytes a source pixel, some hundred a cell and date."""
SAMPLES_A_BLOCK = 256 * 256
SMALLEST_BLOCK = 16


def open_scenes(found: Found, settings: Settings) -> tuple[tuple[OpenedScene, ...], Found]:
    """Open each scene found, or another item of its acquisition; those whose rasters are wrong are refused.

    Raises
    ------
    UpstreamError
        where no scene remains and a host's failure is among the reasons.
    """
    opened: list[OpenedScene] = []
    kept: list[Scene] = []
    refused, notes = list(found.refused), list(found.notes)
    upstream: UpstreamError | None = None
    for scene in found.scenes:
        for number, item in enumerate((scene, *scene.twins)):
            candidate = replace(item, pass_key=scene.pass_key, twins=scene.twins[number:])
            try:
                opened.append(open_scene(candidate, settings))
            except (SceneError, UpstreamError) as error:
                LOGGER.info("refused %s: %s", candidate.id, error)
                refused.append(Refusal(candidate.id, str(error), candidate.item))
                upstream = error if isinstance(error, UpstreamError) else upstream
                continue
            kept.append(candidate)
            refused += refusals_of_twins(candidate)
            if number > 0:
                notes.append(f"{scene.id} cannot be opened: {candidate.id} of the same acquisition is used instead.")
            break
    if not opened and upstream is not None:
        raise upstream
    return tuple(opened), Found(tuple(kept), tuple(refused), tuple(notes))


def check_size(stacks: Sequence[Stack], settings: Settings) -> None:
    """Refuse a request whose results would be larger than the operator allows, before any pixel is read.

    Raises
    ------
    InvalidInputError
        saying how to ask for less.
    """
    pixels = sum(stack.window.height * stack.window.width * len(stack.passes) for stack in stacks)
    if pixels > settings.max_pixels:
        dates = sum(len(stack.passes) for stack in stacks)
        raise InvalidInputError(
            f"The result would have {pixels:,} pixels on {dates} date{'' if dates == 1 else 's'}, more than the"
            f" {settings.max_pixels:,} of this server: ask for a smaller area, a coarser resolution or fewer dates."
        )


def result_id(one: Pass, stack: Stack, request: RetrievalRequest) -> str:
    """Return the id of a pass's result: the same request replaces itself, another never does."""
    digest = request.digest(__version__, *(fingerprint(scene) for each in stack.passes for scene in each.scenes))
    source = re.sub(r"[^A-Za-z0-9._-]+", "-", one.scenes[0].id).lstrip(".")
    return f"{source}_ssm_{digest[:10]}"


def fingerprint(scene: OpenedScene) -> str:
    """Return the SHA-256, in hex, of all that a scene brings into a result; independent of where on its host it lies.

    The hosts count, so that a catalogue that names foreign files under the checksums of others can never stand for
    theirs: published results and kept ensembles answer every owner.
    """
    assets = scene.item.get("assets", {})
    hosts = {urlsplit(asset["href"]).hostname for asset in assets.values() if is_remote(asset.get("href", ""))}
    content = {
        "id": scene.id,
        "collection": scene.item.get("collection"),
        "datetime": scene.datetime.isoformat(),
        "updated": scene.item.get("properties", {}).get("updated"),
        "files": {key: [assets[key].get("file:checksum"), assets[key].get("file:size")] for key in sorted(assets)},
        "bands": {
            polarization: [
                band.key,
                band.index,
                band.convention,
                band.encoding,
                band.calibration_factor_db,
                band.scale,
                band.offset,
                band.nodata,
            ]
            for polarization, band in sorted(scene.bands.items())
        },
        "angle": [scene.angle.key, scene.angle.index, scene.angle.scale, scene.angle.constant_deg],
        "looks": [scene.looks, scene.resolution_cell],
        "frequency": scene.frequency,
        "noise_floor_db": dict(scene.noise_floor_db),
        "grid": [scene.grid.crs, list(scene.grid.transform)[:6], scene.grid.shape],
    }
    if hosts:
        content["hosts"] = sorted(host or "" for host in hosts)
    if scene.item.get("properties", {}).get("escape:format_test"):
        content["format_test"] = True  # a result says so: one made before it was marked is not reused
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def ensemble_key(stack: Stack, request: RetrievalRequest) -> str:
    """Return the name under which a stack's ensemble is kept: independent of the area asked."""
    grid = stack.grid
    content = [
        __version__,
        [fingerprint(scene) for one in stack.passes for scene in one.scenes],
        [grid.crs, list(grid.transform)[:6], grid.shape],
        [request.mode, request.members, request.seed],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def calibrated(
    stack: Stack,
    request: RetrievalRequest,
    settings: Settings,
    draw: Callable[[], Samples],
    progress: Callable[[float, str], None],
) -> "Ensemble":
    """Return the stack's self-calibrated ensemble: the one kept from an earlier request, or a new one.

    Parameters
    ----------
    draw
        Draws the calibration sample; called only where no ensemble is kept.
    """
    with _kept_file("ensembles", f"{ensemble_key(stack, request)}.npz", settings) as path:
        return _calibrated_at(path, stack, request, settings, draw, progress)


@contextlib.contextmanager
def _kept_file(kind: str, name: str, settings: Settings) -> Iterator[Path]:
    """Give the place of a file that outlives requests; where results go to object storage, so does it."""
    storage = settings.object_storage
    if storage is None:
        yield settings.work_dir / kind / name
        return
    href = f"{storage.place}/work/{kind}/{name}"
    kept = read_object(href, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if kept is not None:
            path.write_bytes(kept)
        yield path
        content = path.read_bytes()
        if content != kept:
            write_object(href, content, settings, "application/octet-stream")


def _calibrated_at(  # noqa: PLR0917  # as `calibrated`
    path: Path,
    stack: Stack,
    request: RetrievalRequest,
    settings: Settings,
    draw: Callable[[], Samples],
    progress: Callable[[float, str], None],
) -> "Ensemble":
    if path.exists():
        try:
            kept = escape_process.load_ensemble(path)
        except InvalidInputError:
            LOGGER.warning("the calibration kept from an earlier request cannot be read; calibrating again")
        else:
            LOGGER.info("calibration kept from an earlier request")
            return kept
    samples = draw()
    first = stack.passes[0].scenes[0]
    LOGGER.info("calibrate %d members on %d samples", request.members, samples.looks.size)
    hh, hv, vv = samples.sigma0
    ensemble = escape_process.calibrate(
        hh,
        hv,
        vv,
        samples.incidence_angle,
        frequency=first.frequency,
        looks=samples.looks,
        place=samples.place if len(stack.passes) > 1 else None,
        time=samples.time if len(stack.passes) > 1 else None,
        members=request.members,
        seed=request.seed,
        device=settings.device,
        mode=request.mode,
        progress=progress,
    )
    with storage_faults_told("calibrated ensemble"):
        path.parent.mkdir(parents=True, exist_ok=True)
        ensemble.save(path)
    return escape_process.load_ensemble(path)  # what a repeated request will use, to the bit


@dataclass(frozen=True, eq=False)
class RetrieveBlock:
    """The retrieval of one block: observables in, layers out. It travels to whoever computes blocks."""

    stack: Stack
    ensemble: "Ensemble"
    request: RetrievalRequest
    settings: Settings

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[Window], Observables]]:
        """Open the stack's rasters."""
        with open_stack(self.stack, self.settings) as reader:
            yield reader.load

    def compute(self, window: Window, observed: Observables) -> Mapping[str, NDArray[np.generic]]:
        """Return each row of `layers.LAYERS` on a window of the stack's grid, axes (date, y, x)."""
        stack = self.stack
        sigma0, angle = self._cut(observed, window, stack.grid)
        valid = np.isfinite(sigma0).all(axis=1) & np.isfinite(angle)
        layers = _empty_layers(valid.shape)
        if valid.any():
            many = len(stack.passes) > 1
            shape = valid.shape
            result = escape_process.retrieve(
                sigma0[:, 0],
                sigma0[:, 1],
                sigma0[:, 2],
                angle,
                frequency=stack.passes[0].scenes[0].frequency,
                looks=observed.looks,
                noise_floor=observed.noise_floor,
                place=np.broadcast_to(places_of(stack, window), shape) if many else None,
                time=np.broadcast_to(times_of(stack)[:, np.newaxis, np.newaxis], shape) if many else None,
                members=self.request.members,
                seed=self.request.seed,
                device=self.settings.device,
                mode=self.request.mode,
                ensemble=self.ensemble,
            )
            layers = {layer.name: getattr(result, layer.name) for layer in LAYERS if layer.name != "incidence_angle"}
        layers["incidence_angle"] = np.where(valid, angle, np.float32(np.nan))
        flags = layers["flags"] | observed.flags
        layers["flags"] = np.where(valid, flags, flags | FLAG["no_data"].mask).astype(np.uint16)
        return layers

    def _cut(
        self, observed: Observables, window: Window, grid: Grid
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Blank what lies outside a geometry asked for; a bbox is answered by the rectangle of cells around it."""
        if self.request.geometry is None:
            return observed.sigma0, observed.incidence_angle
        target = grid.crop(window)
        outline = transform_geom("OGC:CRS84", target.crs, dict(self.request.geometry))
        outside = geometry_mask([outline], target.shape, target.transform, all_touched=True)
        return (
            np.where(outside, np.float32(np.nan), observed.sigma0),
            np.where(outside, np.float32(np.nan), observed.incidence_angle),
        )


def pixels_of(layers: Mapping[str, NDArray[np.generic]]) -> int:
    """Return how many pixels of a block were retrieved, each date on its own."""
    return int(np.isfinite(layers["incidence_angle"].astype(np.float32)).sum())


def _empty_layers(shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    return {
        layer.name: np.full(shape, np.nan if layer.dtype == "float32" else 0, dtype=layer.dtype) for layer in LAYERS
    }


def block_edge(stack: Stack) -> int:
    """Return the edge of a stack's blocks, in cells: the largest power of two within the bounds above."""
    scene = stack.passes[0].scenes[0]
    ratio = stack.factor or max(1.0, stack.grid.transform.a / abs(scene.grid.transform.a))
    edge = SMALLEST_BLOCK
    while (2 * edge * ratio) ** 2 <= SOURCE_PIXELS_A_BLOCK and (2 * edge) ** 2 * len(stack.passes) <= SAMPLES_A_BLOCK:
        edge *= 2
    return edge


def has_data(tiles: Sequence[tuple[Window, Path]], date_index: int) -> bool:
    """Tell whether any block of one date holds a value."""
    for _, path in tiles:
        with np.load(path) as arrays:
            if np.isfinite(arrays["soil_moisture"][date_index]).any():
                return True
    return False


def relative_to(window: Window, tiles: Sequence[tuple[Window, Path]]) -> list[tuple[Window, Path]]:
    """Return blocks with their place counted from a window's corner instead of the grid's."""
    return [
        (Window(tile.row - window.row, tile.column - window.column, tile.height, tile.width), path)
        for tile, path in tiles
    ]
