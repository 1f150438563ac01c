"""What is done to each block of a stack, and the thread that reads blocks where they are computed."""

import sys
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from escape_process.records import Window

Arrays = Mapping[str, NDArray[np.generic]]
"""Result of one block: arrays by layer name, axes (date, y, x)."""
Results = Generator[tuple[Window, Arrays], None, None]
"""Results of blocks in any order."""


class BlockTask(Protocol):
    """What is done to each block. It is pickled, so it names rasters and holds none."""

    def reading(self) -> AbstractContextManager[Callable[[Window], Any]]:
        """Open what is read, for use in one thread; gives the function that reads one block.

        A failed read leaves through it, so that it may tell of the failure in other words.
        """
        ...

    def compute(self, block: Window, observed: Any, /) -> Arrays:
        """Compute a block from what was read of it. The same block gives the same arrays, wherever it is computed."""
        ...


class BlockReader:
    """Reads blocks of a task, one at a time, in a thread of its own; opens it at the first and keeps it open.

    The thread is not only for speed: rasters must be read by the thread that opened them.
    """

    def __init__(self, task: BlockTask) -> None:
        self._task = task
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._opened: tuple[ExitStack, Callable[[Window], Any]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._thread.shutdown()

    def submit(self, block: Window) -> "Future[Any]":
        """Have a block read."""
        return self._thread.submit(self._read, block)

    def close(self) -> None:
        """Have what is open closed once it is not read; a later block opens it again."""
        self._thread.submit(self._close)

    def _read(self, block: Window) -> Any:
        if self._opened is None:
            resources = ExitStack()
            self._opened = resources, resources.enter_context(self._task.reading())
        resources, read = self._opened
        try:
            return read(block)
        except BaseException:
            self._opened = None
            resources.__exit__(*sys.exc_info())  # raises where it has other words for the failure
            raise

    def _close(self) -> None:
        if self._opened is not None:
            resources, _ = self._opened
            self._opened = None
            resources.close()
