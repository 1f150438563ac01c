"""Blocks computed by worker processes: the right result, or one clear sentence, and no process left."""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from block_tasks import BLOCKS, VICTIM, Numbered, are_right
from waiting import wait_for

from escape_process.engine import map_blocks
from escape_process.errors import CancelledError, EngineError, SceneError, UpstreamError
from escape_process.jobs.processes import Group
from escape_process.settings import Settings

TWO = Settings(engine="processes", processes=2)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Return its worker processes that run."""
    return [one for one in process.children() if "escape_process.engine.worker" in one.cmdline()]


def no_workers_left() -> bool:
    return not workers_of(psutil.Process())


def test_several_processes_compute(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    task = Numbered(tmp_path, seconds=0.05)
    files = map_blocks(task, BLOCKS, tmp_path / "blocks", TWO, progress=lambda done, total: seen.append((done, total)))
    assert are_right(files)
    assert seen == [(number + 1, len(BLOCKS)) for number in range(len(BLOCKS))]
    places, processes = zip(*task.lines(), strict=True)
    assert len(set(places)) == len(places) == len(BLOCKS)
    assert len(set(processes)) == 2
    assert os.getpid() not in processes
    assert no_workers_left()


def test_a_worker_killed_in_the_middle_costs_its_block_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = Numbered(tmp_path, "die once")
    with caplog.at_level(logging.WARNING):
        assert are_right(map_blocks(task, BLOCKS, tmp_path / "blocks", TWO))
    assert len(task.lines()) == len(BLOCKS) + 1
    assert "killed by signal 9" in caplog.text


def test_a_block_that_kills_each_worker_is_given_up(tmp_path: Path) -> None:
    task = Numbered(tmp_path, "die")
    with pytest.raises(EngineError, match=r"ended each of the 3 processes .* killed by signal 9"):
        map_blocks(task, BLOCKS, tmp_path / "blocks", TWO)
    tried = [place for place, _ in task.lines()].count(f"{VICTIM.row}_{VICTIM.column}")
    assert tried == 3
    assert no_workers_left()


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        ("refuse", SceneError, "The block at 64, 0 is wrong."),
        ("unreadable", UpstreamError, "The host at example.org sent half a block."),
        ("fail", RuntimeError, "ZeroDivisionError: a fault of ours"),
    ],
)
def test_what_fails_in_a_worker_fails_here(tmp_path: Path, act: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence) as raised:
        map_blocks(Numbered(tmp_path, act), BLOCKS, tmp_path / "blocks", Settings(engine="processes", processes=1))
    assert not isinstance(raised.value, SceneError) or raised.value.scene == "damaged"
    assert no_workers_left()


def test_cancelled_while_a_block_takes_long(tmp_path: Path) -> None:
    task = Numbered(tmp_path, seconds=600)
    with pytest.raises(CancelledError):
        map_blocks(task, BLOCKS, tmp_path / "blocks", TWO, cancelled=lambda: len(task.lines()) == 2)
    assert no_workers_left()


def program(folder: Path) -> list[str]:
    """Return the command of a process whose two workers compute long."""
    text = (
        "from pathlib import Path; from block_tasks import *; from escape_process.engine import map_blocks;"
        "from escape_process.settings import Settings;"
        f"folder = Path({str(folder)!r}); two = Settings(engine='processes', processes=2);"
        "map_blocks(Numbered(folder, seconds=600), BLOCKS, folder / 'blocks', two)"
    )
    return [sys.executable, "-c", text]


def have_ended(processes: list[psutil.Process]) -> bool:
    """Tell whether none of them runs any more."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)
    return False  # one went just now: look again


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(program(tmp_path))
    try:
        wait_for(lambda: len(Numbered(tmp_path).lines()) == 2)
        workers = workers_of(psutil.Process(parent.pid))
        assert len(workers) == 2
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: have_ended(workers), 10)


def test_workers_belong_to_the_group_of_their_job(tmp_path: Path) -> None:
    """So that a job's limit of memory counts them, and its end is theirs."""
    group = Group(program(tmp_path))
    group.give("")
    try:
        wait_for(lambda: len(Numbered(tmp_path).lines()) == 2)
        (leader,) = [one for one in psutil.Process().children() if workers_of(one)]
        workers = workers_of(leader)
        alone, together = (
            sum(one.memory_info().rss for one in members) / 2**20 for members in ([leader], [leader, *workers])
        )
        assert group.memory_mib() == pytest.approx(together, rel=0.05)
        assert together > 1.5 * alone
    finally:
        wait_for(lambda: group.stop() or group.has_ended())
    wait_for(lambda: have_ended(workers), 10)
