"""Real rasters and scenes of known content."""

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from escape_process.records import Angle, Band, Mask, Scene

ORIGIN = Affine(25, 0, 600000, 0, -25, 4600000)
CRS = "EPSG:32630"


def write(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """Write one single-band GeoTIFF."""
    options = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
        "crs": CRS,
        "transform": ORIGIN,
        **profile,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **options) as raster:
        raster.write(values, 1)
    return path


MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """Return a function that writes rasters and describes them as a scene."""

    def make(
        rasters: Mapping[str, np.ndarray],
        name: str = "scene",
        profile: Mapping[str, Any] | None = None,
        angle: np.ndarray | float = 30.0,
        mask: np.ndarray | None = None,
        band: Mapping[str, Any] | None = None,
        **scene: Any,
    ) -> Scene:
        folder = tmp_path / name
        profile = dict(profile or {})
        bands = {
            polarization: Band(
                key=polarization,
                href=str(write(folder / f"{polarization}.tif", values, **profile)),
                **{"encoding": "linear", **(band or {})},
            )
            for polarization, values in rasters.items()
        }
        where = Angle("incidence_angle_deg", constant_deg=angle) if isinstance(angle, float) else None
        if isinstance(angle, np.ndarray):
            where = Angle("LIN", href=str(write(folder / "LIN.tif", angle, **profile)))
        masked = None
        if mask is not None:
            href = str(write(folder / "MSK.tif", mask, **profile))
            masked = Mask("MSK", href, invalid=frozenset({0}), layover_shadow=frozenset({2, 3}), water=frozenset({4}))
        assert where is not None
        values = {
            "id": name,
            "item": {"id": name},
            "href": f"https://catalogue.example/{name}.json",
            "datetime": dt.datetime(2024, 5, 1, 23, tzinfo=dt.UTC),
            "bands": bands,
            "angle": where,
            "mask": masked,
            "geometry": {},
            "frequency": 1.2365e9,
            "looks": 25.0,
            "resolution_cell": None,
            "pass_key": name,
            **scene,
        }
        return Scene(**values)

    return make


def quad(shape: tuple[int, int], hh: float = 0.1, hv: float = 0.01, vv: float = 0.12) -> dict[str, np.ndarray]:
    """Return constant linear powers."""
    powers = {"HH": hh, "HV": hv, "VH": hv, "VV": vv}
    return {name: np.full(shape, power, dtype=np.float32) for name, power in powers.items()}
