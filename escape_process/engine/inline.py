"""Blocks computed in this process: the next one is read while one is computed."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

from escape_process.engine.tasks import BlockReader, BlockTask, Results
from escape_process.errors import CancelledError
from escape_process.records import Window


def compute_inline(task: BlockTask, blocks: Sequence[Window], cancelled: Callable[[], bool]) -> Results:
    """Compute blocks in order."""
    with BlockReader(task) as reader:
        coming = reader.submit(blocks[0])
        for block, following in zip_longest(blocks, blocks[1:]):
            if cancelled():
                raise CancelledError("The job was dismissed.")
            observed = coming.result()
            if following is not None:
                coming = reader.submit(following)
            yield block, task.compute(block, observed)
