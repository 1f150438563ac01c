"""The loop over blocks in this process: resumed work, told faults, and what overlaps."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from block_tasks import BLOCKS, Numbered, are_right

from escape_process.engine import Arrays, blocks, map_blocks
from escape_process.errors import CancelledError, SceneError, StorageError, UpstreamError
from escape_process.records import Window
from escape_process.settings import Settings

INLINE = Settings()


def test_finished_blocks_are_not_computed_again(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="wrong"):
        map_blocks(Numbered(tmp_path, "refuse"), BLOCKS, tmp_path / "blocks", INLINE)
    seen: list[tuple[int, int]] = []
    again: list[Arrays] = []
    files = map_blocks(
        Numbered(tmp_path),
        BLOCKS,
        tmp_path / "blocks",
        INLINE,
        progress=lambda done, total: seen.append((done, total)),
        computed=again.append,
    )
    assert are_right(files)
    assert len(Numbered(tmp_path).lines()) == 6 + len(BLOCKS) - 5
    assert len(again) == len(BLOCKS) - 5
    assert seen == [(number + 1, len(BLOCKS)) for number in range(len(BLOCKS))]
    assert not list((tmp_path / "blocks").glob(".*"))


def test_cancelled_between_blocks_keeps_what_is_finished(tmp_path: Path) -> None:
    answers = iter([False, False, True])
    with pytest.raises(CancelledError):
        map_blocks(Numbered(tmp_path), BLOCKS, tmp_path / "blocks", INLINE, cancelled=lambda: next(answers))
    assert len(list((tmp_path / "blocks").iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((StorageError, NotADirectoryError)):
        map_blocks(Numbered(tmp_path), BLOCKS, tmp_path / "file" / "blocks", INLINE)


def test_a_disk_that_fills_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(path: Path, arrays: Arrays) -> None:
        with Path("/dev/full").open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    monkeypatch.setattr(blocks, "save_block", save)
    with pytest.raises(StorageError, match="the disk is full"):
        map_blocks(Numbered(tmp_path), BLOCKS[:1], tmp_path / "blocks", INLINE)


def test_a_failed_read_leaves_by_the_rasters_that_were_read(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="half a block"):
        map_blocks(Numbered(tmp_path, "unreadable"), BLOCKS, tmp_path / "blocks", INLINE)
    assert len(list((tmp_path / "blocks").iterdir())) == 5


class Watched:
    """Sees which stages of which blocks are under way at once."""

    def __init__(self) -> None:
        self.reads = [threading.Event() for _ in BLOCKS]
        self.computes = [threading.Event() for _ in BLOCKS]
        self.threads: set[threading.Thread] = set()
        self.most_ahead = 0
        self.is_closed = False

    @contextmanager
    def reading(self) -> Iterator[Callable[[Window], int]]:
        opened_by = threading.current_thread()

        def read(block: Window) -> int:
            assert threading.current_thread() is opened_by
            self.reads[BLOCKS.index(block)].set()
            return BLOCKS.index(block)

        yield read
        self.is_closed = threading.current_thread() is opened_by

    def compute(self, block: Window, observed: int, /) -> Arrays:
        self.computes[observed].set()
        if observed + 1 < len(BLOCKS):
            assert self.reads[observed + 1].wait(30), "the next block is not read meanwhile"
        self.most_ahead = max(self.most_ahead, sum(event.is_set() for event in self.reads) - observed - 1)
        return {"soil_moisture": np.zeros((1, block.height, block.width), np.float32)}


def test_reading_computing_and_writing_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, saved = Watched(), []

    def save(path: Path, arrays: Arrays) -> None:
        following = len(saved) + 1
        if following < len(BLOCKS):
            assert task.computes[following].wait(30), "the next block is not computed meanwhile"
        saved.append(path)

    monkeypatch.setattr(blocks, "save_block", save)
    files = map_blocks(task, BLOCKS, tmp_path / "blocks", INLINE)
    assert saved == [path for _, path in files]
    assert task.most_ahead == 1
    assert task.is_closed
