import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from affine import Affine
from made_results import GRID, made_arrays, made_tiles

from escape_process.product import write_product
from escape_process.product.quicklook import Caption, draw_quicklook
from escape_process.records import Grid

CAPTION = Caption("ALOS2014555550-140829, 2024-06-01 15:30 UTC", 0.9, 0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quicklook")
    tiles = made_tiles(folder / "tiles", GRID, made_arrays(GRID))
    return Path(write_product(folder, "one", GRID, tiles, date_index=0, report={}, title=CAPTION.title).folder)


def test_it_is_a_picture_1200_pixels_wide(folder: Path, tmp_path: Path) -> None:
    draw_quicklook(folder, CAPTION, tmp_path / "a.png")
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[1] == 1200
    assert 400 < picture.shape[0] < 1200
    colours = np.unique((picture[..., :3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)
    assert len(colours) > 1000


def test_simulated_data_is_labelled_so(folder: Path, tmp_path: Path) -> None:
    red = []
    for title in ("a scene", "a scene (simulated)", "a scene (format test)", "a scene (simulated, format test)"):
        draw_quicklook(folder, Caption(title, 0.9, 0.8), tmp_path / "a.png")
        picture = (matplotlib.image.imread(tmp_path / "a.png")[..., :3] * 255).round().astype(int)
        red.append(int((np.abs(picture - (0xB0, 0x00, 0x20)).max(axis=-1) < 20).sum()))
    assert red[0] == 0
    assert all(count > 100 for count in red[1:])
    assert red[3] > red[1] + 100, "both labels are there"


def test_threads_draw_the_same_bytes_at_once(folder: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: draw_quicklook(folder, CAPTION, path), paths))
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize(
    "grid",
    [
        Grid("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 50), width=60, height=20),
        Grid("EPSG:32630", Affine(50, 0, 432_000, 0, -50, 4_512_000), width=5, height=40),
        Grid("EPSG:32630", Affine(50, 0, 432_000, 0, -50, 4_512_000), width=1, height=1),
        Grid("EPSG:3413", Affine(1000, 0, -500_000, 0, -1000, -500_000), width=40, height=30),
    ],
    ids=["longitude, latitude", "tall", "one pixel", "polar"],
)
def test_any_grid_can_be_drawn(tmp_path: Path, grid: Grid) -> None:
    tiles = made_tiles(tmp_path / "tiles", grid, made_arrays(grid, hole=False))
    product = write_product(tmp_path, "one", grid, tiles, date_index=0, report={}, title=CAPTION.title)
    picture = matplotlib.image.imread(Path(product.folder) / "thumbnail.png")
    assert picture.shape[1] == 1200


def test_drawing_needs_no_global_state() -> None:
    code = "import sys, escape_process.product; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
