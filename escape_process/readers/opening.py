"""Open a scene's rasters for the first time: do they agree, and what do the pixels tell that the metadata did not?"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.readers.computed import maps_ground
from escape_process.readers.decode import decode_power, infer_encoding, measure_looks
from escape_process.readers.rasters import Raster, open_layer
from escape_process.records import Angle, Band, Encoding, Grid, Mask, OpenedScene, Scene
from escape_process.settings import Settings

PROBE_EDGE = 512
"""Pixels along each side of the window from which encoding, unit and looks are inferred."""
LEAST_KNOWN = 0.1
"""Share of a window that must hold values for something to be inferred from it."""


def open_scene(scene: Scene, settings: Settings) -> OpenedScene:
    """Check that a scene's rasters agree and resolve what only they can tell.

    Returns
    -------
    The scene with its grid, the encoding of each band and the looks resolved, and a warning for each thing inferred.

    Raises
    ------
    SceneError
        naming the item, the asset and the value, where a raster has no CRS, a rotated grid, or another shape or grid
        than its siblings, lacks the band named, or holds complex numbers.
    UpstreamError
        where a raster is missing or its host does not answer.
    """
    grid: Grid | None = None
    reference = ""
    bands: dict[str, Band] = {}
    looks: list[float] = []
    for polarization, band in scene.bands.items():
        with open_layer(band, settings) as raster:
            found = _grid_of(raster, scene, band.key)
            if grid is None:
                grid, reference = found, band.key
            _check_agreement(found, grid, scene, band.key, reference)
            values = _sample(raster, scene, band)
            resolved = band if band.encoding else replace(band, encoding=_inferred(values, raster, scene, band))
            bands[polarization] = resolved
            if scene.looks is None and polarization in ("HH", "VV"):
                measured = measure_looks(decode_power(values, resolved, raster.nodatavals[band.index - 1]))
                looks.extend([] if measured is None else [measured])
    if grid is None:
        raise SceneError(f"{scene.id} has no bands.")
    warnings = list(scene.warnings)
    angle = scene.angle
    for extra in (scene.angle, scene.mask):
        if extra is not None and extra.href is not None:
            with open_layer(extra, settings) as raster:
                _check_agreement(_grid_of(raster, scene, extra.key), grid, scene, extra.key, reference)
                _probe(raster, scene, extra, RasterWindow(0, 0, 1, 1))
                if extra is scene.angle and scene.angle.scale is None:
                    angle, said = _with_unit(scene.angle, _sample(raster, scene, extra))
                    warnings += said
    assumed = [band.key for name, band in bands.items() if scene.bands[name].encoding is None]
    assumed = list(dict.fromkeys(assumed))
    if assumed:
        encodings = sorted({str(band.encoding) for band in bands.values()})
        warnings.append(f"The encoding of {', '.join(assumed)} is not declared; read as {', '.join(encodings)}.")
    if scene.looks is None:
        number = float(np.median(looks)) if looks else 1.0
        warnings.append(
            f"The number of looks is not stated; measured as {number:.1f} a pixel."
            if looks
            else "The number of looks is neither stated nor measurable; taken as 1 a pixel."
        )
    else:
        number = scene.looks
    known = {field.name: getattr(scene, field.name) for field in fields(Scene)}
    known.update(bands=bands, angle=angle, looks=number, warnings=tuple(warnings))
    return OpenedScene(**known, grid=grid, encoding_assumed=bool(assumed))


def pixel_size(grid: Grid) -> tuple[float, float]:
    """Return a grid's pixel width and height in metres; those of a geographic grid at its centre."""
    width, height = abs(grid.transform.a), abs(grid.transform.e)
    crs = CRS.from_user_input(grid.crs)
    if not crs.is_geographic:
        factor = crs.axis_info[0].unit_conversion_factor
        return width * factor, height * factor
    _, south, _, north = grid.bounds
    degree = math.radians(1) * 6_371_008.8
    return width * degree * math.cos(math.radians((south + north) / 2)), height * degree


def _grid_of(raster: Raster, scene: Scene, key: str) -> Grid:
    if raster.crs is None:
        raise SceneError(f"Asset {key} of {scene.id} has no CRS; georeference it first.")
    transform = raster.transform
    if transform.b or transform.d or transform.e >= 0 or transform.a <= 0:
        raise SceneError(f"Asset {key} of {scene.id} has a rotated or south-up grid; warp it to a north-up grid first.")
    if not maps_ground(transform, (raster.height, raster.width), raster.crs):
        raise SceneError(f"Asset {key} of {scene.id} has a georeference that maps no ground; georeference it anew.")
    authority = raster.crs.to_authority()
    code = ":".join(authority) if authority else raster.crs.to_wkt()
    return Grid(code, transform, raster.width, raster.height)


def _check_agreement(found: Grid, grid: Grid, scene: Scene, key: str, reference: str) -> None:
    if found.shape != grid.shape:
        raise SceneError(
            f"Asset {key} of {scene.id} has {found.height} x {found.width} pixels, but {reference} has"
            f" {grid.height} x {grid.width}; all rasters of a scene must share one grid."
        )
    tolerance = 0.1 * abs(grid.transform.a)
    close = all(abs(one - other) < tolerance for one, other in zip(found.bounds, grid.bounds, strict=True))
    if found.crs != grid.crs or not close:
        raise SceneError(
            f"Asset {key} of {scene.id} lies on another grid ({found.crs}, origin {found.transform.c:.10g},"
            f" {found.transform.f:.10g}) than {reference} ({grid.crs}, origin {grid.transform.c:.10g},"
            f" {grid.transform.f:.10g}); all rasters of a scene must share one grid."
        )


def _probe(raster: Raster, scene: Scene, place: Band | Angle | Mask, window: RasterWindow) -> NDArray[Any]:
    """Read a window of a band that is there and holds real numbers, or refuse the scene."""
    if not 1 <= place.index <= raster.count:
        raise SceneError(
            f"Asset {place.key} of {scene.id} has {raster.count} bands, so band {place.index} cannot be read."
        )
    values = raster.read(place.index, window=window)
    if np.iscomplexobj(values):
        raise SceneError(
            f"Asset {place.key} of {scene.id} holds complex numbers ({values.dtype}): give detected rasters (power or"
            " amplitude)."
        )
    return values


def _inferred(values: NDArray[Any], raster: Raster, scene: Scene, band: Band) -> Encoding:
    """Return how a band stores power by a sample of it, or refuse what cannot be power."""
    known = values[_known(values, raster, band)]
    encoding = infer_encoding(known)
    if encoding is None:
        median = float(np.median(known[np.isfinite(known)]))
        raise SceneError(
            f"Asset {band.key} of {scene.id} does not tell how it stores power, and its values ({known.dtype}, median"
            f" {median:.4g}) are neither digital numbers, linear power nor dB: declare its encoding, or its unit and"
            " scale."
        )
    return encoding


def _with_unit(angle: Angle, values: NDArray[Any]) -> tuple[Angle, list[str]]:
    """Return an incidence angle with the unit that its values tell, and what was assumed."""
    whole = np.issubdtype(values.dtype, np.integer)
    known = values[np.isfinite(values) & (values > 0)]
    most = float(known.max(initial=0))
    if whole and most > 100:
        scale, unit = 0.01, "hundredths of a degree"
    elif not whole and 0 < most <= math.pi / 2:
        scale, unit = math.degrees(1.0), "radians"
    else:
        return angle, []
    return replace(angle, scale=scale), [f"Asset {angle.key} does not tell its unit; its values are read as {unit}."]


def _sample(raster: Raster, scene: Scene, place: Band | Angle | Mask) -> NDArray[Any]:
    """Read a window in the middle, or beside it where there is hardly a value."""
    middle: NDArray[Any] | None = None
    for window in _windows(raster):
        values = _probe(raster, scene, place, window)
        middle = values if middle is None else middle
        if _known(values, raster, place).mean() >= LEAST_KNOWN:
            return values
    if middle is None:
        raise ValueError("a raster has at least one window")
    return middle


def _known(values: NDArray[Any], raster: Raster, place: Band | Angle | Mask) -> NDArray[np.bool_]:
    """Tell which values are there: finite, not 0 and not nodata."""
    known: NDArray[np.bool_] = np.isfinite(values) & (values != 0)
    declared = place.nodata if isinstance(place, Band) else None
    for missing in (raster.nodatavals[place.index - 1], declared):
        if missing is not None and math.isfinite(missing):
            known &= values != missing
    return known


def _windows(raster: Raster) -> Iterator[RasterWindow]:
    """Yield windows to look into, the central one first."""
    height, width = min(raster.height, PROBE_EDGE), min(raster.width, PROBE_EDGE)
    for down, across in sorted(itertools.product((0.5, 0.25, 0.75), repeat=2), key=lambda at: at != (0.5, 0.5)):
        yield RasterWindow(int((raster.width - width) * across), int((raster.height - height) * down), width, height)
