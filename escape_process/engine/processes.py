"""Blocks computed by worker processes of this machine, which end with this process whatever becomes of it.

The pools of the standard library do not say which block a lost worker had, have their workers import the caller's main
module, and leave them behind when the caller is killed.
"""

import logging
import os
import pickle
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait

from escape_process.engine.tasks import Arrays, BlockTask, Results
from escape_process.errors import CancelledError, EngineError
from escape_process.records import Window

LOGGER = logging.getLogger(__name__)

MOST_LOSSES = 3
"""Workers that one block may cost."""
LOOK_EVERY = 0.2
"""Seconds between two questions whether to go on."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""There are as many workers as cores."""


def compute_in_processes(
    task: BlockTask, blocks: Sequence[Window], count: int | None, cancelled: Callable[[], bool]
) -> Results:
    """Compute blocks as workers are free for them.

    Parameters
    ----------
    count
        Worker processes; None: one a core.
    """
    content = pickle.dumps(task)
    waiting, losses = deque(blocks), Counter[Window]()
    workers: list[_Worker] = []
    try:
        for _ in range(min(count or len(os.sched_getaffinity(0)), len(blocks))):
            workers.append(_Worker(content))
            workers[-1].give(waiting.popleft())
        while workers:
            if cancelled():
                raise CancelledError("The job was dismissed.")
            ready = wait([worker.connection for worker in workers], LOOK_EVERY)
            for worker in [one for one in workers if one.connection in ready]:
                block, answer = worker.block, worker.answer()
                if answer is None:
                    workers.remove(worker)
                    losses[block] += 1
                    _check_losses(losses[block], worker.stop())
                    waiting.appendleft(block)
                    workers.append(_Worker(content))
                    worker = workers[-1]  # noqa: PLW2901
                elif isinstance(answer, BaseException):
                    raise answer
                if waiting:
                    worker.give(waiting.popleft())
                else:
                    workers.remove(worker)
                    worker.stop()
                if answer is not None:
                    yield block, answer
    finally:
        for worker in workers:
            worker.stop()


def _check_losses(count: int, fate: str) -> None:
    if count >= MOST_LOSSES:
        raise EngineError(
            f"A block ended each of the {count} processes that computed it, the last one {fate}: ask for a coarser"
            " resolution or fewer dates, or have the operator give more memory or fewer processes."
        )
    LOGGER.warning("a worker process was lost, %s; its block is computed again", fate)


class _Worker:
    """A process that computes one block at a time."""

    block: Window
    """The block at hand."""

    def __init__(self, content: bytes) -> None:
        self.connection, other = Pipe()
        program = [sys.executable, "-m", "escape_process.engine.worker", str(os.getpid()), str(other.fileno())]
        with other:
            self._process = subprocess.Popen(
                program, pass_fds=[other.fileno()], env=os.environ | ONE_THREAD, stdin=subprocess.DEVNULL
            )
        self._content: bytes | None = content

    def give(self, block: Window) -> None:
        """Hand it a block; where it has ended, `answer` says so."""
        self.block = block
        try:
            if self._content is not None:
                self.connection.send_bytes(self._content)
                self._content = None
            self.connection.send(block)
        except OSError:
            pass

    def answer(self) -> Arrays | BaseException | None:
        """Return the result of its block, the error that ended it, or None where the process was lost."""
        try:
            answer: Arrays | BaseException = self.connection.recv()
        except (EOFError, OSError):
            return None
        return answer

    def stop(self) -> str:
        """Make sure that it has ended, and say how it did."""
        self.connection.close()
        self._process.kill()
        code = self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"with exit code {code}"
