"""What lies beside or inside C3 and T3 matrices: incidence angles, complex elements, borders without data."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from matrix_files import SHAPE, matrices, write_envi
from pyproj import Transformer

from escape_process.catalogue.scenes import scene_from_item
from escape_process.catalogue.sources import Declaration, SourceItem
from escape_process.make_items import make_items
from escape_process.readers import load_observables, open_scene
from escape_process.records import Observables, Pass, Scene, Stack, Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

DECLARED = Declaration(
    datetime=dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC), frequency=1.27e9, looks=9.0, radiometry="sigma0"
)
ANGLE = np.linspace(30, 40, SHAPE[1], dtype=np.float32) * np.ones((SHAPE[0], 1), np.float32)
GRID: dict[str, Any] = {"crs": "EPSG:32630", "transform": Affine(25, 0, 600000, 0, -25, 4600000)}


def make(place: Path, out: Path) -> SourceItem:
    made = make_items([str(place)], out, declared=DECLARED)
    assert not made.failures
    (one,) = made.items
    return one


def observe(one: SourceItem) -> Observables:
    scene = scene_from_item(one.item, "/item.json", RetrievalRequest(ids=["any"]))
    assert isinstance(scene, Scene), scene
    opened = open_scene(scene, Settings())
    window = Window(0, 0, *SHAPE)
    return load_observables(Stack((Pass("pass", (opened,)),), opened.grid, window, factor=1), window, Settings())


def write_tif(path: Path, bands: dict[str, np.ndarray], dtype: str = "float32", named: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "count": len(bands), "dtype": dtype, **GRID}
    with rasterio.open(path, "w", **profile) as raster:
        for index, (name, values) in enumerate(bands.items(), 1):
            raster.write(values.astype(dtype), index)
            if named:
                raster.set_band_description(index, name)
    return path


@pytest.mark.parametrize("how", ["SNAP", "PolSARpro in radians", "GeoTIFF beside", "band", "GeoTIFFs"])
def test_the_angle_of_a_matrix_is_found(tmp_path: Path, how: str) -> None:
    powers, c3, _ = matrices()
    place = folder = tmp_path / "scene"
    if how == "SNAP":
        write_envi(folder.with_suffix(".data"), c3, suffix=".img", header=".hdr", order=1)
        angles = {"localIncidenceAngle": ANGLE, "projectedLocalIncidenceAngle": 0 * ANGLE}
        write_envi(folder.with_suffix(".data"), angles, suffix=".img", header=".hdr", order=1)
        (tmp_path / "scene.dim").write_text("<Dimap_Document/>")
        place = tmp_path
    elif how == "PolSARpro in radians":
        write_envi(folder, {**c3, "theta": np.radians(ANGLE)})
    elif how == "GeoTIFF beside":
        write_envi(folder, c3)
        write_tif(folder / "scene_LIA.tif", {"": ANGLE})
    elif how == "band":
        write_tif(folder / "scene_C3.tif", {"localIncidenceAngle": ANGLE, **c3})
    else:
        for name, values in {**c3, "local_incidence_angle": ANGLE}.items():
            write_tif(folder / f"{name}.tif", {"": values})
    one = make(place, tmp_path / "out")
    assert one.id in ("scene", "scene_C3")
    assert not any("No incidence angle" in warning for warning in one.warnings)
    found = observe(one)
    assert np.degrees(found.incidence_angle[0]) == pytest.approx(ANGLE, rel=1e-5)
    assert found.sigma0[0] == pytest.approx(np.stack([powers[name] for name in ("HH", "HV", "VV")]), rel=1e-5)


@pytest.mark.parametrize("matrix", ["C3", "T3"])
@pytest.mark.parametrize("how", ["named", "unnamed", "files"])
def test_complex_elements_are_read(tmp_path: Path, matrix: str, how: str) -> None:
    powers, c3, t3 = matrices()
    parts = c3 if matrix == "C3" else t3
    names = [f"{matrix[0]}{place}" for place in ("11", "12", "13", "22", "23", "33")]
    whole = {
        name: parts[name] if name in parts else parts[f"{name}_real"] + 1j * parts[f"{name}_imag"] for name in names
    }
    place = tmp_path / "held" / f"scene_{matrix}.tif"
    if how == "files":
        for name, values in whole.items():
            write_tif(place.with_name(f"{name}.tif"), {"": values}, "complex64")
    else:
        write_tif(place, whole, "complex64", named=how == "named")
    one = make(place.parent, tmp_path / "out")
    assert any("have no names" in warning for warning in one.warnings) == (how == "unnamed")
    scene = scene_from_item(
        {**one.item, "properties": {**one.item["properties"], "view:incidence_angle": 35}},
        "/i.json",
        RetrievalRequest(ids=["any"]),
    )
    assert isinstance(scene, Scene), scene
    opened = open_scene(scene, Settings())
    window = Window(0, 0, *SHAPE)
    stack = Stack((Pass("pass", (opened,)),), opened.grid, window, factor=1)
    found = load_observables(stack, window, Settings())
    assert found.sigma0[0] == pytest.approx(np.stack([powers[name] for name in ("HH", "HV", "VV")]), rel=1e-5)


def test_a_real_file_in_place_of_a_complex_one_is_refused(tmp_path: Path) -> None:
    _, _, t3 = matrices()
    for name in ("T11", "T22", "T33"):
        write_tif(tmp_path / "held" / f"{name}.tif", {"": t3[name]})
    write_tif(tmp_path / "held" / "T12.tif", {"": t3["T12_real"]})
    made = make_items([str(tmp_path / "held")], tmp_path / "out", declared=DECLARED)
    assert "T12.tif holds float32 values: give it complex, or its real part as T12_real.tif" in str(
        made.failures[0].error
    )


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_the_footprint_is_that_of_the_data(tmp_path: Path, fill: float) -> None:
    _, c3, _ = matrices()
    for values in c3.values():
        values[:10], values[:, 40:] = fill, fill
    one = make(write_envi(tmp_path / "C3", c3), tmp_path / "out")
    to_map = Transformer.from_crs("OGC:CRS84", "EPSG:32630", always_xy=True)
    outline = shapely.transform(shapely.geometry.shape(one.item["geometry"]), to_map.transform, interleaved=False)
    expected = (600000, 4600000 - 31 * 25, 600000 + 40 * 25, 4600000 - 10 * 25)
    assert outline.bounds == pytest.approx(expected, abs=1.0)


def test_a_matrix_without_a_valid_pixel_is_refused(tmp_path: Path) -> None:
    _, c3, _ = matrices()
    write_envi(tmp_path / "C3", {name: 0 * values for name, values in c3.items()})
    made = make_items([str(tmp_path / "C3")], tmp_path / "out", declared=DECLARED)
    assert str(made.failures[0].error) == "C11.bin has no valid pixel."


def test_absurd_sizes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    profile: dict[str, Any] = {"driver": "GTiff", "count": 9, "dtype": "float32", "sparse_ok": True, **GRID}
    profile |= {"compress": "deflate", "width": 40_000, "BIGTIFF": "YES"}
    for height, options, sentence in (
        (40_000, {"blockysize": 40_000}, "lies in blocks of 40000 x 40000 pixels, too large to decode"),
        (120_000, {"tiled": True, "blockxsize": 4096, "blockysize": 4096}, "120000 x 40000 pixels: no scene is as"),
    ):
        path = tmp_path / "held" / "scene_C3.tif"
        path.parent.mkdir(exist_ok=True)
        with rasterio.open(path, "w", height=height, **profile, **options):
            pass
        made = make_items([str(path)], tmp_path / "out", declared=DECLARED)
        assert sentence in str(made.failures[0].error)
