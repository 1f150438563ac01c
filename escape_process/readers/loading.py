"""Read blocks of a stack: stored values to sigma0 on the result's grid, power averaged over full-resolution pixels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.warp import Resampling, reproject, transform, transform_bounds
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.layers import FLAG
from escape_process.physics.radiometry import linear_from_db
from escape_process.readers.decode import decode_power, sigma0_from
from escape_process.readers.frames import seam_weights
from escape_process.readers.rasters import Raster, open_layer
from escape_process.readers.stacks import looks_of_cells
from escape_process.records import POLARIZATIONS, Angle, Band, Grid, Mask, Observables, OpenedScene, Pass, Stack, Window
from escape_process.settings import Settings

LEAST_VALID_SHARE = 0.5
"""A cell with a smaller share of valid source pixels has no value."""
MASKED_SHARE = 0.25
"""A cell of which more than this share lies in layover, shadow or water is flagged so."""

Float32 = NDArray[np.float32]
Uint16 = NDArray[np.uint16]


class StackReader:
    """Reads blocks of one stack; keeps its rasters open. Use it as a context manager, in one thread."""

    def __init__(self, stack: Stack, settings: Settings) -> None:
        self.stack = stack
        self._settings = settings
        self._open: dict[tuple[str | None, str | None], Raster] = {}
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._open.clear()
        return bool(self._resources.__exit__(kind, error, trace))

    def load(self, window: Window) -> Observables:
        """Read the observables of one window of the stack's grid.

        Returns
        -------
        Observables with axes (date, polarization, y, x).

        Raises
        ------
        SceneError
            naming the item and the asset where a raster cannot be read to its end; its `scene` is the item's id.
        """
        dates = [self._load_pass(one, window) for one in self.stack.passes]
        return Observables(
            sigma0=np.stack([date.sigma0 for date in dates]),
            incidence_angle=np.stack([date.incidence_angle for date in dates]),
            looks=np.stack([date.looks for date in dates]),
            flags=np.stack([date.flags for date in dates]),
            noise_floor=noise_floor(self.stack),
        )

    def _load_pass(self, one: Pass, window: Window) -> "_Frame":
        """Merge the frames of one pass; where they overlap, each fades out towards its end."""
        if len(one.scenes) == 1:
            return self._load_scene(one.scenes[0], window)
        frames = [self._load_scene(scene, window) for scene in one.scenes]
        covering = [position for position, frame in enumerate(frames) if frame.valid.any()]
        if len(covering) < 2:
            return frames[covering[0] if covering else 0]
        weights = seam_weights(one.scenes, covering, self.stack.grid, window)
        return _blended([frames[position] for position in covering], weights)

    def _load_scene(self, scene: OpenedScene, window: Window) -> "_Frame":
        try:
            return self._load_frame(scene, window)
        except SceneError as error:
            error.scene = scene.id
            raise

    def _load_frame(self, scene: OpenedScene, window: Window) -> "_Frame":
        source = _source_window(scene, self.stack, window)
        if source is None:
            return _Frame.empty(window, scene)
        angle = self._incidence_angle(scene, source)
        excluded, layover, water = self._mask(scene, source)
        average = _Averager(scene, self.stack, window, source)
        channels: dict[str, Float32] = {}
        valid_share = np.ones((window.height, window.width), dtype=np.float32)
        valid_everywhere: NDArray[np.bool_] = np.isfinite(angle) & ~excluded
        powers: dict[str, Float32] = {}
        for polarization, band in scene.bands.items():
            power = decode_power(
                self._read(scene, band, source),
                band,
                self._nodata(band),
            )
            powers[polarization] = sigma0_from(power, band.convention, angle)
        cross = [powers.pop(name) for name in ("HV", "VH") if name in powers]
        powers["HV"] = cross[0] if len(cross) == 1 else (cross[0] + cross[1]) / np.float32(2)
        for power in powers.values():
            valid_everywhere &= np.isfinite(power)
        for polarization in POLARIZATIONS:
            channels[polarization], valid_share = average(np.where(valid_everywhere, powers[polarization], np.nan))
        usable = valid_share >= LEAST_VALID_SHARE
        sigma0 = np.stack([np.where(usable, channels[name], np.float32(np.nan)) for name in POLARIZATIONS])
        mean_angle, _ = average(np.where(np.isfinite(angle), angle, np.nan))
        flags = np.zeros(usable.shape, dtype=np.uint16)
        for name, where in (("layover_shadow", layover), ("open_water", water)):
            if where is not None:
                share, _ = average(where.astype(np.float32))
                flags[share > MASKED_SHARE] |= FLAG[name].mask
        flags |= _advisory_flags(scene)
        looks = looks_of_cells(scene, valid_share * average.pixels_a_cell).astype(np.float32)
        return _Frame(sigma0, mean_angle, looks, flags)

    def _incidence_angle(self, scene: OpenedScene, source: RasterWindow) -> Float32:
        """Return the local incidence angle in rad of a window of the source, NaN where missing."""
        if scene.angle.constant_deg is not None:
            return np.full((source.height, source.width), math.radians(scene.angle.constant_deg), dtype=np.float32)
        if scene.angle.href is None:
            raise SceneError(f"{scene.id} has no incidence angle.")
        values = self._read(scene, scene.angle, source)
        scale = scene.angle.scale
        if scale is None:
            scale = 0.01 if np.issubdtype(values.dtype, np.integer) and values.max(initial=0) > 100 else 1.0
        degrees = values.astype(np.float32) * np.float32(scale)
        nodata = self._nodata(scene.angle)
        with np.errstate(invalid="ignore"):
            valid = (degrees > 0) & (degrees < 90)
        if nodata is not None and np.isfinite(nodata):
            valid &= values != nodata
        return np.where(valid, np.radians(degrees), np.float32(np.nan))

    def _mask(
        self, scene: OpenedScene, source: RasterWindow
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """Return where the scene's mask excludes pixels, and where because of layover or shadow, and of water."""
        mask = scene.mask
        if mask is None:
            return np.zeros((source.height, source.width), dtype=bool), None, None
        values = self._read(scene, mask, source)
        layover = np.isin(values, list(mask.layover_shadow))
        water = np.isin(values, list(mask.water))
        return np.isin(values, list(mask.invalid)) | layover | water, layover, water

    def _read(self, scene: OpenedScene, place: Band | Angle | Mask, source: RasterWindow) -> NDArray[np.generic]:
        try:
            values: NDArray[np.generic] = self._raster(place).read(place.index, window=source)
        except RasterioIOError as error:
            raise SceneError(
                f"Asset {place.key} of {scene.id} cannot be read to its end: the file is damaged or cut short."
            ) from error
        return values

    def _raster(self, place: Band | Angle | Mask) -> Raster:
        layer = (place.href, None if place.source is None else place.source.layer)
        if layer not in self._open:
            self._open[layer] = self._resources.enter_context(open_layer(place, self._settings))
        return self._open[layer]

    def _nodata(self, place: Band | Angle | Mask) -> float | None:
        value = self._raster(place).nodatavals[place.index - 1]
        return None if value is None else float(value)


@contextmanager
def open_stack(stack: Stack, settings: Settings) -> Iterator[StackReader]:
    """Open a stack for reading block by block."""
    with StackReader(stack, settings) as reader:
        yield reader


def load_observables(stack: Stack, window: Window, settings: Settings) -> Observables:
    """Read the observables of one window of a stack's grid."""
    with open_stack(stack, settings) as reader:
        return reader.load(window)


def noise_floor(stack: Stack) -> tuple[float, float, float] | None:
    """Return the highest annotated noise-equivalent sigma0 of a stack, linear, or None where a scene has none."""
    floors: list[Mapping[str, float]] = [scene.noise_floor_db for one in stack.passes for scene in one.scenes]
    values = []
    for polarization in POLARIZATIONS:
        found = [floor.get(polarization, floor.get("VH") if polarization == "HV" else None) for floor in floors]
        known = [value for value in found if value is not None]
        if len(known) < len(floors):
            return None
        values.append(float(linear_from_db(max(known))))
    return (values[0], values[1], values[2])


@dataclass(frozen=True, eq=False)
class _Frame:
    """One scene, or the merged frames of a pass, on a window of the grid."""

    sigma0: Float32
    incidence_angle: Float32
    looks: Float32
    flags: Uint16

    @classmethod
    def empty(cls, window: Window, scene: OpenedScene) -> "_Frame":
        shape = (window.height, window.width)
        nothing = np.full(shape, np.nan, dtype=np.float32)
        return cls(
            np.full((len(POLARIZATIONS), *shape), np.nan, dtype=np.float32),
            nothing,
            np.ones(shape, dtype=np.float32),
            np.full(shape, _advisory_flags(scene), dtype=np.uint16),
        )

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(Y, X), where there is a value."""
        return np.asarray(np.isfinite(self.sigma0).all(axis=0))


def _blended(frames: Sequence[_Frame], weights: Sequence[NDArray[np.float64]]) -> _Frame:
    """Average the frames of one pass with weights where they are valid.

    They show the same echoes, so that averaging them adds no looks. A cell has the flags of the frames that are valid
    there, of all frames where none is.
    """
    valid = np.stack([frame.valid for frame in frames])
    any_valid = valid.any(axis=0)
    share = np.where(valid, np.stack(weights), 0.0)
    share = np.divide(share, share.sum(axis=0), out=np.zeros_like(share), where=any_valid)

    def mean(values: list[Float32]) -> Float32:
        total = sum(np.where(part > 0, part * value, 0) for part, value in zip(share, values, strict=True))
        return np.where(any_valid, total, values[0]).astype(np.float32)

    flags = np.stack([frame.flags for frame in frames])
    return _Frame(
        np.stack([mean([frame.sigma0[channel] for frame in frames]) for channel in range(len(POLARIZATIONS))]),
        mean([frame.incidence_angle for frame in frames]),
        mean([frame.looks for frame in frames]),
        np.bitwise_or.reduce(np.where(valid | ~any_valid, flags, np.uint16(0)), axis=0),
    )


class _Averager:
    """Means of source pixels over the cells of one window: by blocks where the grids nest, else by warping."""

    def __init__(self, scene: OpenedScene, stack: Stack, window: Window, source: RasterWindow) -> None:
        self._factor = stack.factor
        self._target = stack.grid.crop(window)
        self._source = scene.grid.crop(Window(source.row_off, source.col_off, source.height, source.width))
        self._scene_shape = scene.grid.shape
        if self._factor is not None:
            offset_row, offset_column = _nested_offset(scene, stack.grid, self._factor, window)
            self._pad = (source.row_off - offset_row, source.col_off - offset_column)
            self.pixels_a_cell = float(self._factor**2)
        else:
            self.pixels_a_cell = _area_ratio(self._target, self._source)

    def __call__(self, values: NDArray[np.floating]) -> tuple[Float32, Float32]:
        """Return the mean over the valid pixels of each cell, NaN where there is none, and the share that is valid."""
        if self._factor is None:
            return self._warped(values)
        shape = (self._target.height * self._factor, self._target.width * self._factor)
        if values.shape != shape:
            padded = np.full(shape, np.nan, dtype=np.float32)
            row, column = self._pad
            padded[row : row + values.shape[0], column : column + values.shape[1]] = values
            values = padded
        valid = np.isfinite(values)
        count = self._sums(valid, np.int64)
        total = self._sums(np.where(valid, values, 0), np.float64)
        with np.errstate(invalid="ignore"):
            mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return mean.astype(np.float32), (count / self._factor**2).astype(np.float32)

    def _sums(self, values: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Add up the pixels of each cell: whole rows first, which is several times as fast as cell by cell."""
        factor = self._factor or 1
        rows = values.reshape(self._target.height, factor, -1).sum(axis=1, dtype=dtype)
        total: NDArray[Any] = rows[:, ::factor].copy()
        for column in range(1, factor):
            total += rows[:, column::factor]
        return total

    def _warped(self, values: NDArray[np.floating]) -> tuple[Float32, Float32]:
        valid = np.isfinite(values)
        share, total = self._reproject(valid.astype(np.float32)), self._reproject(np.where(valid, values, 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(share > 0, total / share, np.nan)
        return mean.astype(np.float32), share

    def _reproject(self, values: NDArray[np.floating]) -> Float32:
        out = np.zeros(self._target.shape, dtype=np.float32)
        reproject(
            np.ascontiguousarray(values, dtype=np.float32),
            out,
            src_transform=self._source.transform,
            src_crs=self._source.crs,
            dst_transform=self._target.transform,
            dst_crs=self._target.crs,
            resampling=Resampling.average,
            init_dest_nodata=False,
            tolerance=0.0,
        )
        return out


def _area_ratio(target: Grid, source: Grid) -> float:
    """Return how many source pixels the middle cell of the target covers."""
    row, column = target.height / 2, target.width / 2
    corners = [target.transform @ at for at in ((column, row), (column + 1, row), (column, row + 1))]
    xs, ys = transform(target.crs, source.crs, *map(list, zip(*corners, strict=True)))
    columns, rows = zip(*(~source.transform @ at for at in zip(xs, ys, strict=True)), strict=True)
    area = (columns[1] - columns[0]) * (rows[2] - rows[0]) - (columns[2] - columns[0]) * (rows[1] - rows[0])
    return float(max(1.0, abs(area)))


def _advisory_flags(scene: OpenedScene) -> np.uint16:
    bits = FLAG["encoding_assumed"].mask * scene.encoding_assumed
    bits |= FLAG["not_terrain_corrected"].mask * (not scene.terrain_corrected)
    return np.uint16(bits)


def _nested_offset(scene: OpenedScene, grid: Grid, factor: int, window: Window) -> tuple[int, int]:
    """Return the scene's row and column at the window's upper left corner."""
    one, other = scene.grid.transform, grid.transform
    row = round((other.f - one.f) / one.e) + window.row * factor
    column = round((other.c - one.c) / one.a) + window.column * factor
    return row, column


def _source_window(scene: OpenedScene, stack: Stack, window: Window) -> RasterWindow | None:
    """Return the scene's pixels under a window of the grid, or None where there are none."""
    if stack.factor is not None:
        row, column = _nested_offset(scene, stack.grid, stack.factor, window)
        stop_row, stop_column = row + window.height * stack.factor, column + window.width * stack.factor
    else:
        target = stack.grid.crop(window)
        left, bottom, right, top = transform_bounds(target.crs, scene.grid.crs, *target.bounds, densify_pts=51)
        inverse = ~scene.grid.transform
        first_column, first_row = inverse @ (left, top)
        last_column, last_row = inverse @ (right, bottom)
        row, column = math.floor(first_row) - 2, math.floor(first_column) - 2
        stop_row, stop_column = math.ceil(last_row) + 2, math.ceil(last_column) + 2
    row, column = max(0, row), max(0, column)
    stop_row, stop_column = min(scene.grid.height, stop_row), min(scene.grid.width, stop_column)
    if stop_row <= row or stop_column <= column:
        return None
    return RasterWindow(column, row, stop_column - column, stop_row - row)
