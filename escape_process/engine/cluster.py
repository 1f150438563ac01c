"""Blocks computed by the workers of a Dask cluster, which the operator runs: `dask scheduler`, `dask worker`.

The cluster is told references, never arrays, and gives results back; a lost worker's blocks go to another one. What
travels, secrets of the settings among it, travels by TLS alone and stands in no log.
"""

import asyncio
import concurrent.futures
import hashlib
import logging
import pickle
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, KilledWorker
from distributed.client import ClosedClientError
from distributed.security import Security
from distributed.versions import get_versions

from escape_process.computing import DaskCluster
from escape_process.engine.tasks import Arrays, BlockReader, BlockTask, Results
from escape_process.errors import CancelledError, EngineError, EscapeError, TransientError
from escape_process.records import Window

LOGGER = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
LOOK_EVERY = 0.2
"""Seconds between two questions whether to go on."""
COUNT_EVERY = 2.0
"""Seconds between two looks at the workers."""
WORKERLESS_SECONDS = 60.0
"""How long a cluster may be without a worker that can compute, which may be on its way."""
RETRIES = 2
"""Of a block that failed for a reason that is no sentence of ours."""
AHEAD = 2
"""Blocks handed out a worker thread: one to compute, one to go on with."""
OPEN_TASKS = 2
"""Tasks whose rasters a worker keeps open."""

PACKAGES = ("escape-process", "torch", "dask", "distributed")
"""What must be the same on both sides, besides Python."""

Versions = Mapping[str, str]
"""Empty where something is not installed."""


@dataclass(frozen=True)
class Packed:
    """A task on its way; secrets in it stand in no log that shows a call's arguments."""

    content: bytes = field(repr=False)
    versions: Versions
    """Of those who packed it."""


def compute_on_cluster(
    task: BlockTask, blocks: Sequence[Window], cluster: DaskCluster, cancelled: Callable[[], bool]
) -> Results:
    """Compute blocks as the cluster is free for them, handing out no more than it can soon begin."""
    packed = Packed(pickle.dumps(task), own_versions())
    waiting = deque(blocks)
    running: dict[Any, tuple[Window, Any]] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    with _connected(cluster) as client:
        count = _Count(client, cluster)
        _check_versions(client, count.workers)
        while waiting or running:
            if cancelled():
                with _losses_told():
                    client.cancel([future for _, future in running.values()])
                raise CancelledError("The job was dismissed.")
            slots = count.slots()
            while waiting and len(running) < slots * AHEAD:
                block = waiting.popleft()
                with _losses_told():
                    future = client.submit(
                        compute_block, packed, block, pure=False, retries=RETRIES, resources=cluster.resources or None
                    )
                coming = asyncio.run_coroutine_threadsafe(
                    client.gather(future, asynchronous=True), client.loop.asyncio_loop
                )
                running[coming] = block, future
                coming.add_done_callback(ended.put)
            try:
                coming = ended.get(timeout=LOOK_EVERY)
            except Empty:
                continue
            block, future = running.pop(coming)
            yield block, _result(coming, future)


class _Count:
    """The workers that can compute, looked at now and then."""

    def __init__(self, client: Client, cluster: DaskCluster) -> None:
        self._client = client
        self._resources = cluster.resources
        self._looked = self._seen = time.monotonic()
        self.workers = self._look()

    def slots(self) -> int:
        """Return how many blocks are computed at once.

        Raises
        ------
        TransientError
            where there has been no worker for long.
        """
        present = time.monotonic()
        if present - self._looked >= COUNT_EVERY:
            self._looked, self.workers = present, self._look()
        if self.workers:
            self._seen = present
        elif present - self._seen > WORKERLESS_SECONDS:
            wanted = ", ".join(f"{name} {amount:g}" for name, amount in self._resources.items())
            raise TransientError(
                f"The Dask cluster has had no worker{f' with {wanted}' if wanted else ''} for"
                f" {WORKERLESS_SECONDS:g} s: the operator has to start one."
            )
        return max(1, sum(self.workers.values()))

    def _look(self) -> dict[str, int]:
        """Return the blocks that each worker can compute at once, by address."""
        with _losses_told():
            known = self._client.scheduler_info(n_workers=-1).get("workers")
        if known is None:  # it was not asked: the client is looking for its scheduler again
            raise _lost()
        slots = {address: self._slots(worker) for address, worker in known.items()}
        return {address: number for address, number in slots.items() if number}

    def _slots(self, worker: Mapping[str, Any]) -> int:
        offered = worker.get("resources") or {}
        shares = [int(offered.get(name, 0) // amount) for name, amount in self._resources.items()]
        return min([int(worker["nthreads"]), *shares])


@contextmanager
def _connected(cluster: DaskCluster) -> Iterator[Client]:
    security = Security(
        require_encryption=True,
        tls_ca_file=str(cluster.ca),
        tls_client_cert=str(cluster.cert),
        tls_client_key=str(cluster.key),
    )
    try:
        client = Client(cluster.scheduler, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # the latter where no TLS is spoken
        LOGGER.warning("the Dask scheduler %s cannot be reached: %s", cluster.scheduler, error)
        raise TransientError(
            "The Dask scheduler cannot be reached, or does not accept this server's certificate."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


_LOSSES = (OSError, ClosedClientError)


@contextmanager
def _losses_told() -> Iterator[None]:
    """Turn a lost connection into a sentence."""
    try:
        yield
    except _LOSSES as error:
        raise _lost() from error


def _lost() -> TransientError:
    return TransientError("The Dask scheduler was lost while it computed; finished blocks are kept.")


def _result(coming: Any, future: Any) -> Arrays:
    """Return what a block came to, or raise what it ended in."""
    try:
        answer: Arrays | EscapeError = coming.result()
    except KilledWorker as error:
        raise EngineError(
            "A block ended each of the Dask workers that computed it: ask for a coarser resolution or fewer dates, or"
            " have the operator give the workers more memory."
        ) from error
    except (*_LOSSES, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
        if future.status == "error":  # it is the block's own
            raise
        raise _lost() from error
    if isinstance(answer, EscapeError):
        raise answer
    return answer


def own_versions() -> Versions:
    """Return the versions here of what must be the same on both sides."""
    return _versions(get_versions(PACKAGES)["packages"])


def _versions(packages: Mapping[str, str | None]) -> Versions:
    """Return versions as far as they matter: not Python's third number, nor for which device torch was built."""
    known = {name: packages.get(name) or "" for name in ("python", *PACKAGES)}
    known["python"] = ".".join(known["python"].split(".")[:2])
    known["torch"] = known["torch"].partition("+")[0]
    return known


def _check_versions(client: Client, workers: Mapping[str, Any]) -> None:
    """Refuse to work with workers of other versions, whose results would be others or none."""
    with _losses_told():
        found = client.get_versions(packages=PACKAGES)["workers"]
    for address in workers:
        if address in found:
            _compare(own_versions(), _versions(found[address]["packages"]))


def _compare(wanted: Versions, found: Versions) -> None:
    for name, version in wanted.items():
        if found[name] != version:
            has = f"{name} {found[name]}" if found[name] else f"no {name}"
            raise EngineError(
                f"A worker of the Dask cluster has {has}, but this server has {name} {version}: the operator has to"
                " start all workers from the server's own image."
            )


_open: OrderedDict[str, tuple[BlockTask, BlockReader]] = OrderedDict()
_opening = threading.Lock()


def compute_block(packed: Packed, block: Window) -> Arrays | EscapeError:
    """Compute one block, on a worker; a failure with a sentence is an answer, since no repetition would change it."""
    try:
        _compare(packed.versions, own_versions())
        task, reader = _opened(packed)
        return task.compute(block, reader.submit(block).result())
    except EscapeError as error:
        return error


def _opened(packed: Packed) -> tuple[BlockTask, BlockReader]:
    """Return a task of which other blocks were computed here before, or begin with it."""
    key = hashlib.sha256(packed.content).hexdigest()
    with _opening:
        if key not in _open:
            task: BlockTask = pickle.loads(packed.content)
            _open[key] = task, BlockReader(task)
        _open.move_to_end(key)
        while len(_open) > OPEN_TASKS:
            _, (_, reader) = _open.popitem(last=False)
            reader.close()
        return _open[key]
