import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_results import GRID, made_arrays, made_tiles
from rio_cogeo import cog_validate

from escape_process.errors import StorageError
from escape_process.layers import FLAG, LAYER, LAYERS
from escape_process.product import cogs, write_product
from escape_process.records import Grid, Product

TITLE = "ALOS2014555550-140829, 2024-06-01 15:30 UTC"


def write(folder: Path, tiles: Any, grid: Grid = GRID, **options: Any) -> Product:
    return write_product(folder, "one", grid, tiles, **{"date_index": 0, "report": {"a": 1}, "title": TITLE, **options})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Product, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("product")
    arrays = made_arrays(GRID, dates=2)
    return write(folder / "results", made_tiles(folder / "tiles", GRID, arrays), date_index=1), arrays


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_layer_is_a_cog_with_the_values_it_was_given(made: tuple[Product, dict[str, Any]], layer: Any) -> None:
    product, arrays = made
    path = Path(product.folder) / f"{layer.name}.tif"
    valid, errors, warnings = cog_validate(path, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    expected = arrays[layer.name][1]
    with rasterio.open(path) as raster:
        assert (raster.crs.to_string(), raster.transform, raster.shape) == (GRID.crs, GRID.transform, GRID.shape)
        assert (raster.dtypes, raster.nodata) == ((layer.dtype,), layer.nodata)
        assert (raster.descriptions, raster.units) == ((layer.name,), (layer.unit,))
        assert raster.block_shapes == [(512, 512)]
        assert raster.overviews(1) == [2]
        structure = raster.tags(ns="IMAGE_STRUCTURE")
        assert structure["COMPRESSION"] == "DEFLATE"
        assert structure["PREDICTOR"] == ("3" if layer.dtype == "float32" else "2")
        assert raster.tags() == {"AREA_OR_POINT": "Area"}
        told = {name.removeprefix("STATISTICS_").lower(): float(value) for name, value in raster.tags(1).items()}
        assert told == ({} if layer.nodata is None else product.assets[layer.name].statistics)
        values = raster.read(1)
    if layer.nodata is None:
        np.testing.assert_array_equal(values, expected)
    else:
        np.testing.assert_array_equal(values == layer.nodata, np.isnan(expected))
        np.testing.assert_allclose(
            values[values != layer.nodata], expected[np.isfinite(expected)] * layer.scale_from_si, rtol=1e-6
        )


def test_statistics_are_those_of_the_valid_pixels_in_the_file(made: tuple[Product, dict[str, Any]]) -> None:
    product, arrays = made
    has_data = np.isfinite(arrays["soil_moisture"][1])
    for layer in LAYERS:
        with rasterio.open(Path(product.folder) / f"{layer.name}.tif") as raster:
            values = raster.read(1)
        counted = values[has_data if layer.nodata is None else values != layer.nodata].astype(np.float64)
        assert product.assets[layer.name].statistics == pytest.approx(
            {
                "minimum": counted.min(),
                "maximum": counted.max(),
                "mean": counted.mean(),
                "stddev": counted.std(),
                "valid_percent": 100 * counted.size / values.size,
            },
            rel=1e-9,
        )


def test_sizes_and_checksums_are_those_of_the_bytes(made: tuple[Product, dict[str, Any]]) -> None:
    product, _ = made
    names = sorted(path.name for path in Path(product.folder).iterdir())
    assert names == sorted(file.name for file in product.assets.values())
    for file in product.assets.values():
        content = (Path(product.folder) / file.name).read_bytes()
        assert file.size == len(content)
        assert file.checksum == "1220" + hashlib.sha256(content).hexdigest()


def test_shares_count_the_valid_pixels(made: tuple[Product, dict[str, Any]]) -> None:
    product, arrays = made
    has_data = np.isfinite(arrays["soil_moisture"][1])
    assert product.valid_share == pytest.approx(has_data.mean())
    poor = (arrays["flags"][1][has_data] & FLAG["poor_fit"].mask) != 0
    assert product.flag_shares["poor_fit"] == pytest.approx(poor.mean())
    assert product.flag_shares["encoding_assumed"] == 1.0
    assert product.flag_shares["no_data"] == 0.0
    assert set(product.flag_shares) == set(FLAG)


def test_the_same_blocks_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    tiles = made_tiles(tmp_path / "tiles", GRID, made_arrays(GRID))
    first = write(tmp_path / "first", tiles)
    second = write(tmp_path / "second", tiles[::-1])
    assert first.assets == second.assets


def test_pixels_that_no_block_covers_have_no_data(tmp_path: Path) -> None:
    arrays = made_arrays(GRID, hole=False)
    tiles = made_tiles(tmp_path / "tiles", GRID, arrays)[:1]
    product = write(tmp_path / "results", tiles)
    inside = np.zeros(GRID.shape, bool)
    inside[: tiles[0][0].height, : tiles[0][0].width] = True
    expected = {"flags": FLAG["no_data"].mask, "members_used": 0}
    for layer in LAYERS:
        with rasterio.open(Path(product.folder) / f"{layer.name}.tif") as raster:
            values = raster.read(1)
        assert (values[~inside] == expected.get(layer.name, layer.nodata)).all()
        assert not (values[inside] == layer.nodata).any()
    assert product.valid_share == inside.mean()


def test_a_result_without_a_valid_pixel_is_still_whole(tmp_path: Path) -> None:
    arrays = made_arrays(GRID)
    for values in arrays.values():
        values[:] = np.nan if values.dtype.kind == "f" else 0
    product = write(tmp_path / "results", made_tiles(tmp_path / "tiles", GRID, arrays))
    assert product.valid_share == 0.0
    assert product.assets["soil_moisture"].statistics == {"valid_percent": 0.0}


def test_a_small_grid_needs_no_overviews(tmp_path: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=3, height=2)
    product = write(tmp_path / "results", made_tiles(tmp_path / "tiles", grid, made_arrays(grid, hole=False)), grid)
    assert cog_validate(Path(product.folder) / "soil_moisture.tif", strict=True)[0]


def test_infinite_values_are_missing(tmp_path: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=3, height=2)
    arrays = made_arrays(grid, hole=False)
    arrays["vegetation"][0, 0, 0] = np.inf
    product = write(tmp_path / "results", made_tiles(tmp_path / "tiles", grid, arrays), grid)
    with rasterio.open(Path(product.folder) / "vegetation.tif") as raster:
        assert raster.read(1)[0, 0] == LAYER["vegetation"].nodata


def test_writing_again_replaces_the_files_and_keeps_the_item_until_it_is_published(tmp_path: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=30, height=20)
    tiles = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    folder = Path(write(tmp_path / "results", tiles, grid).folder)
    (folder / "one.json").write_text("{}")
    (folder / "left over.txt").write_text("")
    product = write(tmp_path / "results", tiles, grid, report={"a": 2})
    assert json.loads((folder / "report.json").read_text()) == {"a": 2}
    assert (folder / "one.json").exists()
    assert not (folder / "left over.txt").exists()
    assert len(list(folder.iterdir())) == len(product.assets) + 1
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one"]


@pytest.mark.parametrize("id", ["../one", "", ".one", "a/b", "a b"])
def test_an_id_that_is_no_folder_name_is_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(ValueError, match="name of a folder"):
        write_product(tmp_path, id, GRID, [], date_index=0, report={}, title=TITLE)


def test_a_report_with_nan_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=30, height=20)
    tiles = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path / "results", tiles, grid, report={"a": float("nan")})
    assert list((tmp_path / "results").iterdir()) == []


def test_a_failure_in_the_middle_leaves_the_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=30, height=20)
    tiles = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    before = write(tmp_path / "results", tiles, grid)
    monkeypatch.setattr(cogs, "draw_quicklook", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "results", tiles, grid)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one"]
    for file in before.assets.values():
        assert (Path(before.folder) / file.name).stat().st_size == file.size


WRITE_IN_ANOTHER_PROCESS = """
import os, resource, signal, sys, tempfile
from pathlib import Path
import rasterio.shutil
from affine import Affine
from escape_process.errors import StorageError
from escape_process.product import cogs
from escape_process.records import Grid, Window

how, folder, tile, height, width = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])

def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

def first(action, function):
    def both(*args, **options):
        action()
        return function(*args, **options)
    return both

if how == "full from the start":
    limit()
elif how == "full at the COG":
    rasterio.shutil.copy = first(limit, rasterio.shutil.copy)
elif how == "full at the quicklook":
    cogs.draw_quicklook = first(limit, cogs.draw_quicklook)
elif how == "killed":
    cogs.draw_quicklook = first(lambda: os.kill(os.getpid(), signal.SIGKILL), cogs.draw_quicklook)
elif how == "not writable" and os.getuid() == 0:
    tempfile.mkdtemp = first(lambda: os.seteuid(65534), tempfile.mkdtemp)
grid = Grid("EPSG:32630", Affine(50, 0, 432000, 0, -50, 4512000), width, height)
try:
    cogs.write_product(folder, "one", grid, [(Window(0, 0, height, width), tile)], date_index=0, report={}, title="one")
except StorageError as error:
    print(error)
    sys.exit(7)
"""


def write_in_another_process(how: str, folder: Path, tile: Path, grid: Grid) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITE_IN_ANOTHER_PROCESS, how, str(folder), str(tile), *map(str, grid.shape)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", ["full from the start", "full at the COG", "full at the quicklook"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=200, height=100)
    ((_, tile),) = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    done = write_in_another_process(how, tmp_path / "results", tile, grid)
    assert done.returncode == 7, done.stderr
    assert "result one cannot be written" in done.stdout
    assert str(tmp_path) not in done.stdout
    assert list((tmp_path / "results").iterdir()) == []


def test_a_folder_that_is_not_writable_is_told(tmp_path: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=20, height=10)
    ((_, tile),) = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    results = tmp_path / "results"
    results.mkdir(mode=0o555)
    done = write_in_another_process("not writable", results, tile, grid)
    assert done.returncode == 7, done.stderr
    assert "the folder is not writable" in done.stdout
    assert list(results.iterdir()) == []


def test_a_killed_process_leaves_nothing_visible_and_the_next_one_succeeds(tmp_path: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, width=200, height=100)
    ((_, tile),) = tiles = made_tiles(tmp_path / "tiles", grid, made_arrays(grid))
    results = tmp_path / "results"
    done = write_in_another_process("killed", results, tile, grid)
    assert done.returncode == -signal.SIGKILL
    (abandoned,) = results.iterdir()
    assert abandoned.name.startswith(".")
    write(results, tiles, grid)
    assert [path.name for path in results.iterdir()] == ["one"]


def test_a_file_in_the_place_of_the_folder_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises((StorageError, OSError)):
        write(tmp_path / "results", [])
