from pathlib import Path

import numpy as np
import pytest
from made_results import GRID, made_arrays, made_tiles

from escape_process.product.tiles import Tile, tiles_of_date
from escape_process.records import Window


def test_reads_one_date_of_one_layer(tmp_path: Path) -> None:
    arrays = made_arrays(GRID, dates=3)
    for window, path in made_tiles(tmp_path, GRID, arrays):
        rows = slice(window.row, window.row + window.height)
        columns = slice(window.column, window.column + window.width)
        for date in range(3):
            for name in ("soil_moisture", "flags", "members_used"):
                read = Tile(window, path, date).read(name)
                np.testing.assert_array_equal(read, arrays[name][date, rows, columns])
                assert read.dtype == arrays[name].dtype


@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_what_cannot_be_read_in_place(tmp_path: Path, order: str) -> None:
    values = np.asarray(np.arange(24.0).reshape(2, 3, 4), order=order)
    save = np.savez_compressed if order == "C" else np.savez
    save(tmp_path / "tile.npz", soil_moisture=values)
    tile = Tile(Window(0, 0, 3, 4), tmp_path / "tile.npz", 1)
    np.testing.assert_array_equal(tile.read("soil_moisture"), values[1])


@pytest.mark.parametrize(
    ("window", "date"), [(Window(0, 0, 3, 5), 0), (Window(0, 0, 3, 4), 2), (Window(0, 0, 4, 3), 0)]
)
def test_another_shape_than_the_window_is_refused(tmp_path: Path, window: Window, date: int) -> None:
    np.savez(tmp_path / "tile.npz", soil_moisture=np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="shape"):
        Tile(window, tmp_path / "tile.npz", date).read("soil_moisture")


def test_blocks_outside_the_grid_or_overlapping_are_refused() -> None:
    whole = Window(0, 0, *GRID.shape)
    with pytest.raises(ValueError, match="outside"):
        tiles_of_date(GRID, [(Window(0, 1, *GRID.shape), Path("a.npz"))], 0)
    with pytest.raises(ValueError, match="overlap"):
        tiles_of_date(GRID, [(whole, Path("a.npz")), (Window(0, 0, 1, 1), Path("b.npz"))], 0)
