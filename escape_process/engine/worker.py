"""One worker process of `engine: processes`: `python -m escape_process.engine.worker PARENT DESCRIPTOR`.

It is handed a task, then block after block, and answers each with its result or with the error that it ended in.
"""

import contextlib
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from escape_process.children import die_with_parent
from escape_process.engine.tasks import Arrays, BlockReader, BlockTask
from escape_process.errors import EscapeError
from escape_process.records import Window


def main() -> None:
    """Compute blocks until the line is closed."""
    die_with_parent(int(sys.argv[1]), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the parent decides
    with Connection(int(sys.argv[2])) as connection:
        task: BlockTask = pickle.loads(connection.recv_bytes())
        with BlockReader(task) as reader, contextlib.suppress(EOFError):
            while True:
                connection.send(_answer(task, reader, connection.recv()))


def _answer(task: BlockTask, reader: BlockReader, block: Window) -> Arrays | BaseException:
    try:
        return task.compute(block, reader.submit(block).result())
    except EscapeError as error:
        return error
    except Exception:
        return RuntimeError(f"a worker process failed:\n{traceback.format_exc()}")


if __name__ == "__main__":
    main()
