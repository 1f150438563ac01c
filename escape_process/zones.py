"""Values per polygon: powers averaged over each polygon and date before the retrieval, not maps averaged after it."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

import escape_process  # its array API loads torch when first used
from escape_process.engine import blocks_of, storage_faults_told
from escape_process.errors import CancelledError, InvalidInputError
from escape_process.layers import FLAGS
from escape_process.readers import StackReader, times_of
from escape_process.records import POLARIZATIONS, Grid, Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

if TYPE_CHECKING:
    from escape_process.retrieval import Ensemble

BLOCK_EDGE = 128


def zone_table(
    reader: StackReader,
    ensemble: "Ensemble",
    request: RetrievalRequest,
    settings: Settings,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
    """Retrieve one value per polygon of the request and date of the stack.

    Returns
    -------
    A row a polygon and date that meet: zone (`name_of` the feature), datetime,
    cells (valid cells averaged), soil_moisture, its total, aleatoric and epistemic uncertainty (the last does not
    average down), p05, p95, rms_height (m), vegetation, flags (bits) and flag_names. JSON-ready.

    Raises
    ------
    InvalidInputError
        where the request has no zones.
    """
    if request.zones is None:
        raise InvalidInputError("Input zones is missing.")
    stack = reader.stack
    zones = [_Zone.of(feature, number, stack.grid) for number, feature in enumerate(request.zones["features"])]
    means = [_mean(reader, zone.shape, cancelled) for zone in zones]
    cells = np.stack([mean.cells for mean in means])
    if not (cells > 0).any():
        return []
    shape = cells.shape
    many = len(stack.passes) > 1
    times = np.broadcast_to(times_of(stack), shape)
    sigma0 = np.stack([mean.sigma0 for mean in means])
    result = escape_process.retrieve(
        sigma0[:, 0],
        sigma0[:, 1],
        sigma0[:, 2],
        np.stack([mean.incidence_angle for mean in means]),
        frequency=stack.passes[0].scenes[0].frequency,
        looks=np.stack([mean.looks for mean in means]),
        noise_floor=means[0].noise_floor,
        place=np.broadcast_to(np.arange(len(zones))[:, np.newaxis], shape) if many else None,
        time=times if many else None,
        members=request.members,
        seed=request.seed,
        device=settings.device,
        mode=request.mode,
        ensemble=ensemble,
    )
    names = (
        "soil_moisture",
        "soil_moisture_uncertainty",
        "soil_moisture_aleatoric",
        "soil_moisture_epistemic",
        "soil_moisture_p05",
        "soil_moisture_p95",
        "rms_height",
        "rms_height_uncertainty",
        "vegetation",
    )
    rows = []
    for number, zone in enumerate(zones):
        for date, one in enumerate(stack.passes):
            if cells[number, date] == 0:
                continue
            flags = int(result.flags[number, date])
            rows.append(
                {
                    "zone": zone.name,
                    "datetime": one.datetime.isoformat(),
                    "cells": int(cells[number, date]),
                    **{name: _number(getattr(result, name)[number, date]) for name in names},
                    "flags": flags,
                    "flag_names": [flag.name for flag in FLAGS if flags & flag.mask],
                }
            )
    return rows


@dataclass(frozen=True)
class _Zone:
    name: str
    shape: BaseGeometry
    """In the grid's CRS."""

    @classmethod
    def of(cls, feature: dict[str, Any], number: int, grid: Grid) -> "_Zone":
        transformer = Transformer.from_crs("OGC:CRS84", grid.crs, always_xy=True)
        shape = shapely.geometry.shape(feature["geometry"])
        return cls(name_of(feature, number), shapely.transform(shape, transformer.transform, interleaved=False))


@dataclass(frozen=True, eq=False)
class _Mean:
    """Means over the valid cells of one zone, by date; NaN where there is none."""

    sigma0: NDArray[np.float64]
    """(3, D), linear power."""
    incidence_angle: NDArray[np.float64]
    looks: NDArray[np.float64]
    """Summed over the cells."""
    cells: NDArray[np.int64]
    noise_floor: tuple[float, float, float] | None


def _mean(reader: StackReader, shape: BaseGeometry, cancelled: Callable[[], bool]) -> _Mean:
    """Average one zone block by block; cells count whose centre lies inside."""
    grid, dates = reader.stack.grid, len(reader.stack.passes)
    power = np.zeros((len(POLARIZATIONS), dates))
    angle, looks = np.zeros(dates), np.zeros(dates)
    cells = np.zeros(dates, dtype=np.int64)
    floor = None
    window = _window_of(shape, grid)
    for block in [] if window is None else blocks_of(grid, window, BLOCK_EDGE):
        if cancelled():
            raise CancelledError("The job was dismissed.")
        target = grid.crop(block)
        inside = ~geometry_mask([shape], target.shape, target.transform)
        if not inside.any():
            continue
        observed = reader.load(block)
        floor = observed.noise_floor
        valid = np.isfinite(observed.sigma0).all(axis=1) & np.isfinite(observed.incidence_angle) & inside
        power += np.where(valid, np.moveaxis(observed.sigma0, 1, 0), 0).sum(axis=(2, 3), dtype=np.float64)
        angle += np.where(valid, observed.incidence_angle, 0).sum(axis=(1, 2), dtype=np.float64)
        looks += np.where(valid, observed.looks, 0).sum(axis=(1, 2), dtype=np.float64)
        cells += valid.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Mean(power / cells, angle / cells, np.maximum(looks, 1.0), cells, floor)


def _window_of(shape: BaseGeometry, grid: Grid) -> Window | None:
    """Return the cells around a shape's bounds, or None where it misses the grid."""
    left, bottom, right, top = shape.bounds
    first_column, first_row = ~grid.transform @ (left, top)
    last_column, last_row = ~grid.transform @ (right, bottom)
    row, column = max(0, int(np.floor(first_row))), max(0, int(np.floor(first_column)))
    stop_row, stop_column = min(grid.height, int(np.ceil(last_row))), min(grid.width, int(np.ceil(last_column)))
    if stop_row <= row or stop_column <= column:
        return None
    return Window(row, column, stop_row - row, stop_column - column)


def write_table(rows: Sequence[Mapping[str, Any]], zones: Mapping[str, Any], path: Path) -> None:
    """Write the rows of `zone_table` as CSV or, to a name that ends in .geojson or .json, as features of the zones.

    Raises
    ------
    StorageError
        where the file cannot be written.
    """
    if path.suffix in (".geojson", ".json"):
        shapes = {name_of(feature, number): feature["geometry"] for number, feature in enumerate(zones["features"])}
        features = [{"type": "Feature", "geometry": shapes[row["zone"]], "properties": dict(row)} for row in rows]
        text = json.dumps({"type": "FeatureCollection", "features": features}, indent=2, allow_nan=False)
    else:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(rows[0] if rows else ["zone"])
        writer.writerows([" ".join(cell) if isinstance(cell, list) else cell for cell in row.values()] for row in rows)
        text = buffer.getvalue()
    with storage_faults_told("table of zones"):
        path.write_text(text, encoding="utf-8", newline="")


def name_of(feature: Mapping[str, Any], number: int) -> str:
    """Return a zone's name: the feature's id, its property `id` or `name`, or its number."""
    properties = feature.get("properties") or {}
    return str(feature.get("id", properties.get("id", properties.get("name", number))))


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
