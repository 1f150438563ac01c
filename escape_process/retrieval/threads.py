"""One torch thread a worker: results do not depend on the thread count, and busy machines stay usable.

The operations here are small. Splitting each over a team of threads gains little where the machine is idle and waits at
every one where it is not, so that work is split into chunks over a pool instead.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[int]:
    """Compute with one thread inside the block; gives the caller's thread count, and restores it."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield count
    finally:
        torch.set_num_threads(count)


def map_in_order(function: Callable[[Item], Result], items: list[Item], workers: int) -> Iterator[Result]:
    """Apply a function to items on a pool of one-threaded workers, without gradients, giving results in order."""

    def call(item: Item) -> Result:
        with torch.no_grad():
            return function(item)

    if workers < 2 or len(items) < 2:
        yield from map(call, items)
        return
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(call, items)
