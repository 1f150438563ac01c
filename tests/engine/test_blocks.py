"""Blocks and their folders: anchored cuts, and who removes what is left of an attempt."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from escape_process.engine import blocks_folder, blocks_of, remove_unwanted_blocks
from escape_process.errors import CancelledError, EscapeError, SceneError, TransientError
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
        (None, "a", True),
        (None, None, False),
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
    attempt(folder, SceneError("wrong"), "a")
    assert (folder / "block").exists()
    remove_unwanted_blocks(tmp_path / "blocks", set)
    assert not folder.exists()
