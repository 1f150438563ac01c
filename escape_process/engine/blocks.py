"""Blocks of a grid and their files: anchored cuts, files that appear whole, folders that outlive an interruption."""

import contextlib
import errno
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from escape_process.errors import EscapeError, StorageError, TransientError
from escape_process.folders import held, remove_unheld
from escape_process.records import Grid, Window

_NOTE = ".job"
"""Suffix of the notes in a folder of blocks, one a job."""

_STORAGE_FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the largest size allowed",
    errno.EACCES: "the folder is not writable",
    errno.EPERM: "the folder is not writable",
    errno.EROFS: "the folder is not writable",
}


@contextlib.contextmanager
def storage_faults_told(what: str) -> Iterator[None]:
    """Turn the operating system's refusal to store `what` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE_FAULTS:
            raise
        raise StorageError(
            f"The {what} cannot be written: {_STORAGE_FAULTS[error.errno]}. Nothing was published; ask the operator to"
            " make room or set another data folder, then repeat the request."
        ) from error


def check_writable(*folders: Path) -> None:
    """Make folders where missing and try to write in each, so that a long job does not end in a refusal.

    Raises
    ------
    StorageError
        where one cannot be written.
    """
    with storage_faults_told("results"):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0")


def blocks_of(grid: Grid, window: Window, edge: int) -> list[Window]:
    """Cut a window of a grid along the grid's own raster of square blocks, row by row.

    The cuts are anchored to the grid, not to the window, so that overlapping requests share them.
    """
    if window.row + window.height > grid.height or window.column + window.width > grid.width:
        raise ValueError(f"{window} exceeds a grid of {grid.height} x {grid.width} pixels")
    blocks = []
    for row, height in _cuts(window.row, window.height, edge):
        for column, width in _cuts(window.column, window.width, edge):
            blocks.append(Window(row, column, height, width))
    return blocks


def _cuts(start: int, length: int, edge: int) -> list[tuple[int, int]]:
    stop = start + length
    firsts = [start, *range((start // edge + 1) * edge, stop, edge)]
    return [(first, min(last, stop) - first) for first, last in zip(firsts, [*firsts[1:], stop], strict=True)]


def file_of(block: Window, folder: Path) -> Path:
    """Return where a block's result lies: an uncompressed .npz."""
    return folder / f"r{block.row}_c{block.column}_{block.height}x{block.width}.npz"


def save_block(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write a block's arrays to a file, which appears complete or not at all."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy types the names' own keyword, allow_pickle
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def blocks_folder(folder: Path, job: str | None = None) -> Iterator[Path]:
    """Give the folder of a request's blocks; remove it when they have been used, or when the request has failed.

    What is finished stays for the next attempt after an interruption (a crash, a kill). In a job it also stays where a
    host failed for the moment, and after it was used, since the job's outcome is not yet recorded. A folder in which
    another process works, or which another job will go on from, stays, too.

    Parameters
    ----------
    job
        Id of the job that the blocks are for, noted in the folder; see `remove_unwanted_blocks`.
    """
    note = None if job is None else folder / f"{job}{_NOTE}"
    done = job is None
    try:
        with contextlib.ExitStack() as stack:
            with storage_faults_told("intermediate results"):
                stack.enter_context(held(folder))
                if note is not None:
                    note.touch()
            yield folder
    except BaseException as error:
        goes_on = job is not None and isinstance(error, TransientError)
        done = isinstance(error, EscapeError) and not goes_on
        raise
    finally:
        if done:
            _leave(folder, note)


def _leave(folder: Path, note: Path | None) -> None:
    if note is not None:
        note.unlink(missing_ok=True)
    if not any(folder.glob(f"*{_NOTE}")):
        remove_unheld(folder, if_unknown=True)


def remove_unwanted_blocks(parent: Path, unfinished: Callable[[], Collection[str]]) -> None:
    """Remove the blocks of jobs none of which is unfinished, such as a dismissed one's that had to be killed."""
    for folder in parent.glob("*"):
        jobs = {note.stem for note in folder.glob(f"*{_NOTE}")}
        if jobs and jobs.isdisjoint(unfinished()):
            remove_unheld(folder, if_unknown=True)
