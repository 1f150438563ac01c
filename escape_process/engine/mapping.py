"""The seam: blocks in, files out, whoever computes them."""

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from escape_process.engine import blocks as files
from escape_process.engine.blocks import file_of, storage_faults_told
from escape_process.engine.inline import compute_inline
from escape_process.engine.processes import compute_in_processes
from escape_process.engine.tasks import Arrays, BlockTask, Results
from escape_process.errors import EngineError
from escape_process.records import Window
from escape_process.settings import Settings


def check_engine(settings: Settings) -> None:
    """Check that the engine of the settings can be used, before any work.

    Raises
    ------
    EngineError
        where its software or one of its files is missing.
    """
    cluster = settings.dask
    if settings.engine != "dask" or cluster is None:
        return
    if importlib.util.find_spec("distributed") is None:
        raise EngineError("Setting engine = 'dask': Dask is not installed; install escape-process[dask].")
    for name in ("ca", "cert", "key"):
        try:
            getattr(cluster, name).open("rb").close()
        except OSError as error:
            raise EngineError(f"Setting dask.{name}: the file cannot be read: {error.strerror}.") from error


def map_blocks(
    task: BlockTask,
    blocks: Sequence[Window],
    folder: Path,
    settings: Settings,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    computed: Callable[[Arrays], None] = lambda arrays: None,
) -> list[tuple[Window, Path]]:
    """Compute each block that `folder` does not hold yet, by the engine of the settings.

    A block is written here, while the next ones are read and computed: nobody else needs the folder.

    Parameters
    ----------
    folder
        Names the content: everything that the result depends on but the block itself. Made where missing.
    progress
        Called with the numbers of blocks done and in all, after each.
    cancelled
        Asked again and again.
    computed
        Called with the result of each block that was computed now.

    Returns
    -------
    Each block with its file, an uncompressed .npz.

    Raises
    ------
    CancelledError
        once `cancelled` answers true; finished blocks stay.
    StorageError
        where a result cannot be written.
    EngineError
        where workers cannot compute the blocks.
    TransientError
        where a cluster is away for the moment.
    """
    with storage_faults_told("intermediate results"):
        folder.mkdir(parents=True, exist_ok=True)
    paths = [(block, file_of(block, folder)) for block in blocks]
    missing = [block for block, path in paths if not path.exists()]
    done = 0
    for done in range(1, 1 + len(blocks) - len(missing)):  # goes on below
        progress(done, len(blocks))
    if not missing:
        return paths
    with closing(_computed(task, missing, settings, cancelled)) as results, ThreadPoolExecutor(1) as writing:
        written: Future[None] | None = None
        for block, arrays in results:
            if written is not None:
                written.result()
            written = writing.submit(_write, file_of(block, folder), arrays)
            computed(arrays)
            done += 1
            progress(done, len(blocks))
        if written is not None:
            written.result()
    return paths


def _computed(task: BlockTask, blocks: Sequence[Window], settings: Settings, cancelled: Callable[[], bool]) -> Results:
    """Return the results of blocks as they come."""
    if settings.engine == "processes":
        return compute_in_processes(task, blocks, settings.processes, cancelled)
    if settings.engine == "dask" and settings.dask is not None:
        from escape_process.engine.cluster import compute_on_cluster  # noqa: PLC0415  # an optional extra

        return compute_on_cluster(task, blocks, settings.dask, cancelled)
    return compute_inline(task, blocks, cancelled)


def _write(path: Path, arrays: Arrays) -> None:
    with storage_faults_told("intermediate results"):
        files.save_block(path, arrays)
