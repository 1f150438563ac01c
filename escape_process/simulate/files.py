"""Writes simulated scenes as an analyst receives them, and their truth apart."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile

from escape_process.errors import InvalidInputError, StorageError
from escape_process.records import Grid
from escape_process.simulate.season import (
    LAYOVER,
    NODATA,
    POLARIZATIONS,
    SHADOW,
    VALID,
    WATER,
    SimulatedScene,
)

MASK_CLASSES = {NODATA: "no_data", VALID: "valid", LAYOVER: "layover", SHADOW: "shadow", WATER: "water"}
"""Meaning of the mask's values."""

TRUTH_SCALES = {"soil_moisture": 1e-4, "rms_height": 1e-6, "vegetation": 1e-4}
"""Value of one unit of the stored uint16, in m3 m-3, m and 1; 0 is no data."""
_UNITS = {"soil_moisture": "m3 m-3", "rms_height": "m", "vegetation": "1"}

_ANGLE_SCALE = 0.01


def _write_cog(
    path: Path,
    values: NDArray[Any],
    grid: Grid,
    *,
    nodata: int,
    description: str,
    unit: str = "",
    scale: float = 1.0,
    resampling: str = "average",
) -> Path:
    creation = {"blocksize": 128, "compress": "deflate", "level": 9, "overview_resampling": resampling}
    if values.dtype == np.uint16:
        creation["predictor"] = 2
    if max(grid.shape) <= 512:
        creation["overviews"] = "none"
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype, "nodata": nodata, "crs": grid.crs}
    try:
        with MemoryFile() as memory:
            with memory.open(**profile, width=grid.width, height=grid.height, transform=grid.transform) as dataset:
                dataset.write(values, 1)
                dataset.set_band_description(1, description)
                dataset.scales = (scale,)
                if unit:
                    dataset.set_band_unit(1, unit)
                dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION="Simulated by a forward model: not an observation.")
            rasterio.shutil.copy(memory.name, path, driver="COG", **creation)
    except (RasterioIOError, OSError) as error:
        raise StorageError(f"The raster {path.name} cannot be written: {error}.") from error
    return path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {folder.name} cannot be made: {error.strerror}.") from error


def write_scene(scene: SimulatedScene, folder: Path, polarizations: Sequence[str] = POLARIZATIONS) -> tuple[Path, ...]:
    """Write HH.tif, HV.tif, VH.tif, VV.tif, local_incidence_angle.tif and mask.tif into a folder.

    uint16 digital numbers of sigma0 (20 log10 DN - 83 dB, 0 is no data), hundredths of a degree (0 is no data), and a
    uint8 mask with the values of `MASK_CLASSES`; all cloud-optimized GeoTIFFs.

    Raises
    ------
    InvalidInputError
        for a polarization that is none.
    StorageError
        where the folder cannot be written.
    """
    unknown = sorted(set(polarizations) - set(POLARIZATIONS))
    if unknown:
        raise InvalidInputError(f"{unknown[0]!r} is not a polarization; they are {', '.join(POLARIZATIONS)}.")
    _make_folder(folder)
    paths = [
        _write_cog(folder / f"{name}.tif", scene.dn[name], scene.grid, nodata=0, description=name, unit="DN")
        for name in POLARIZATIONS
        if name in polarizations
    ]
    degrees = np.degrees(scene.incidence_angle.astype(np.float64))
    angle = np.clip(np.rint(degrees / _ANGLE_SCALE), 1, 9000).astype(np.uint16)
    angle[scene.mask == NODATA] = 0
    paths.append(
        _write_cog(
            folder / "local_incidence_angle.tif",
            angle,
            scene.grid,
            nodata=0,
            description="local incidence angle",
            unit="deg",
            scale=_ANGLE_SCALE,
        )
    )
    paths.append(
        _write_cog(folder / "mask.tif", scene.mask, scene.grid, nodata=0, description="mask", resampling="mode")
    )
    return tuple(paths)


def _aggregate(values: NDArray[np.float32], factor: int) -> NDArray[np.float64]:
    """Average blocks of cells; NaN where any of them is NaN."""
    height, width = (size // factor for size in values.shape)
    cropped = values[: height * factor, : width * factor].astype(np.float64)
    return np.asarray(cropped.reshape(height, factor, width, factor).mean(axis=(1, 3)))


def write_truth(scene: SimulatedScene, folder: Path, name: str, factor: int = 2) -> tuple[Path, ...]:
    """Write what went into a scene: NAME_soil_moisture.tif, NAME_rms_height.tif, NAME_vegetation.tif and NAME.json.

    Parameters
    ----------
    folder, name
        Where, and the stem of the file names: the scene's item id.
    factor
        Pixels averaged along each axis; cells with any pixel that has no soil to see are no data.

    Raises
    ------
    StorageError
        where the folder cannot be written.
    """
    _make_folder(folder)
    grid = scene.grid
    coarse = Grid(
        grid.crs, grid.transform @ Affine.scale(factor), width=grid.width // factor, height=grid.height // factor
    )
    paths = []
    for layer, scale in TRUTH_SCALES.items():
        stored = np.nan_to_num(np.rint(_aggregate(getattr(scene.truth, layer), factor) / scale), nan=0.0)
        paths.append(
            _write_cog(
                folder / f"{name}_{layer}.tif",
                np.clip(stored, 0, 65535).astype(np.uint16),
                coarse,
                nodata=0,
                description=f"true {layer.replace('_', ' ')}",
                unit=_UNITS[layer],
                scale=scale,
            )
        )
    drawn = {
        "simulated": True,
        "datetime": scene.datetime.isoformat(),
        "seed": scene.seed,
        "wetness": scene.truth.wetness,
        "scattering": {key: round(value, 6) for key, value in scene.truth.scattering.items()},
        "attenuation": {key: round(value, 6) for key, value in scene.truth.attenuation.items()},
        "gain_db": {key: round(value, 4) for key, value in scene.truth.gain_db.items()},
    }
    path = folder / f"{name}.json"
    try:
        path.write_text(json.dumps(drawn, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"The file {path.name} cannot be written: {error.strerror}.") from error
    return (*paths, path)
