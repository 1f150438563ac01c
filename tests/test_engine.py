"""The loop over blocks: anchored cuts, files that appear whole, resumed work, told faults."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from escape_process.engine import blocks_folder, blocks_of, map_blocks, remove_unwanted_blocks
from escape_process.errors import CancelledError, EscapeError, SceneError, StorageError, TransientError
from escape_process.records import Grid, Window

GRID = Grid("EPSG:32630", Affine(50, 0, 600000, 0, -50, 4600000), 300, 200)


@given(
    st.integers(0, 199), st.integers(0, 299), st.integers(1, 200), st.integers(1, 300), st.sampled_from([16, 64, 512])
)
def test_blocks_cover_the_window_once_along_the_grids_own_cuts(
    row: int, column: int, height: int, width: int, edge: int
) -> None:
    window = Window(row, column, min(height, 200 - row), min(width, 300 - column))
    covered = np.zeros(GRID.shape, dtype=int)
    for block in blocks_of(GRID, window, edge):
        covered[block.row : block.row + block.height, block.column : block.column + block.width] += 1
        assert block.row // edge == (block.row + block.height - 1) // edge
        assert block.column // edge == (block.column + block.width - 1) // edge
    inside = np.zeros(GRID.shape, dtype=bool)
    inside[window.row : window.row + window.height, window.column : window.column + window.width] = True
    assert (covered == inside).all()


def numbered(block: Window) -> dict[str, np.ndarray]:
    return {"soil_moisture": np.full((1, block.height, block.width), block.row + block.column, dtype=np.float32)}


def test_finished_blocks_are_not_computed_again(tmp_path: Path) -> None:
    blocks = blocks_of(GRID, Window(0, 0, 200, 300), 128)
    asked: list[Window] = []

    def failing_at_third(block: Window) -> dict[str, np.ndarray]:
        asked.append(block)
        if len(asked) == 3:
            raise RuntimeError("interrupted")
        return numbered(block)

    with pytest.raises(RuntimeError, match="interrupted"):
        map_blocks(failing_at_third, blocks, tmp_path)
    seen: list[tuple[int, int]] = []
    files = map_blocks(failing_at_third, blocks, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert len(asked) == 3 + len(blocks) - 2
    assert seen == [(number + 1, len(blocks)) for number in range(len(blocks))]
    for block, path in files:
        with np.load(path) as arrays:
            assert (arrays["soil_moisture"] == block.row + block.column).all()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_cancelled_between_blocks_keeps_what_is_finished(tmp_path: Path) -> None:
    blocks = blocks_of(GRID, Window(0, 0, 200, 300), 128)
    answers = iter([False, False, True])
    with pytest.raises(CancelledError):
        map_blocks(numbered, blocks, tmp_path, cancelled=lambda: next(answers))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((StorageError, NotADirectoryError)):
        map_blocks(numbered, blocks_of(GRID, Window(0, 0, 10, 10), 16), tmp_path / "file" / "blocks")


class Killed(BaseException):
    """Ends an attempt as a signal does."""


def attempt(folder: Path, error: BaseException | None = None, job: str | None = None) -> None:
    with contextlib.suppress(EscapeError, Killed), blocks_folder(folder, job) as given:
        (given / "block").touch()
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "job", "stays"),
    [
        (None, "a", False),
        (SceneError("wrong"), "a", False),
        (CancelledError("dismissed"), "a", False),
        (Killed(), "a", True),
        (TransientError("away"), "a", True),
        (TransientError("away"), None, False),
        (Killed(), None, True),
    ],
)
def test_blocks_stay_for_the_next_attempt_alone(
    tmp_path: Path, error: BaseException | None, job: str | None, stays: bool
) -> None:
    folder = tmp_path / "blocks" / "one"
    attempt(folder, error, job)
    assert (folder / "block").exists() is stays
    remove_unwanted_blocks(tmp_path / "blocks", lambda: {"a"})
    assert folder.exists() is stays
    remove_unwanted_blocks(tmp_path / "blocks", lambda: {"b"})
    assert folder.exists() is (stays and job is None)  # without a job nobody knows who comes back


def test_blocks_that_another_job_needs_stay(tmp_path: Path) -> None:
    folder = tmp_path / "blocks" / "one"
    attempt(folder, Killed(), "a")
    attempt(folder, None, "b")
    assert (folder / "block").exists()
    remove_unwanted_blocks(tmp_path / "blocks", lambda: {"a"})
    assert (folder / "block").exists()
    with blocks_folder(folder, "c"):
        remove_unwanted_blocks(tmp_path / "blocks", set)
        assert (folder / "block").exists()
    attempt(folder, None, "a")
    assert not folder.exists()
