"""The worker: takes jobs from the queue in order of arrival and runs each as a process of its own.

One thread, one loop. It claims a job where it has room, starts its process, and then only watches: whether the job was
dismissed, runs too long or takes too much memory, or has ended. Any worker sends the jobs of a dead one back to wait;
the next attempt finds the blocks that are finished already.
"""

import contextlib
import datetime as dt
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pygeoapi.process.base import JobNotFoundError
from pygeoapi.process.manager.base import get_manager

from escape_process.children import die_with_parent
from escape_process.engine import remove_unwanted_blocks
from escape_process.errors import EscapeError, StorageError
from escape_process.folders import remove_abandoned
from escape_process.jobs.callbacks import Callbacks
from escape_process.jobs.manager import JobManager
from escape_process.jobs.processes import Group, is_gone, this_process
from escape_process.jobs.startup import configure_logging, load_config
from escape_process.jobs.store import Job
from escape_process.settings import OWNERS, Settings

LOGGER = logging.getLogger("escape_process.jobs.worker")  # not __main__, which run as a module has

SLOTS = 1
"""Jobs run at once: there is one device. For another device start another worker that sees only it."""
LIGHT_SLOTS = 4
"""Further jobs at once, that take no device."""
PAUSE = 0.1
"""Seconds between two rounds of the loop."""
BEAT_EVERY = 5.0
STALE_SECONDS = 30.0
"""A worker that has said nothing for so long is taken for dead."""
SWEEP_EVERY = 600.0
CLEAR_EVERY = 2.0
COOPERATION_SECONDS = 2.0
"""What a dismissed job has to end by itself before its processes are told to."""


@dataclass
class _Running:
    """A job in a slot."""

    job: Job
    group: Group
    over: float | None = None
    """When its record was first seen to have moved on."""


class Worker:
    """Runs the jobs of one configuration."""

    def __init__(self, manager: JobManager, callbacks: Callbacks) -> None:
        self._manager = manager
        self._store = manager.store
        self._settings = manager.settings()
        self._callbacks = callbacks
        self._name = this_process()
        self._running: list[_Running] = []
        self._spare = self._new_group()
        self._publisher: threading.Thread | None = None
        self._stopping = False
        self._due: dict[str, float] = {}
        self._process_ids = list(manager.processes)

    def request_stop(self) -> None:
        """Ask the loop to end. Sets a flag only, so that a signal handler may call it."""
        self._stopping = True

    def run(self) -> None:
        """Work until asked to stop; then unfinished jobs go back to wait."""
        LOGGER.info("Worker %s: ready", self._name)
        while not self._stopping:
            try:
                self._round()
            except (StorageError, OSError):
                LOGGER.exception("Worker %s: the queue cannot be read or written, or no process started", self._name)
                time.sleep(2.0)
            time.sleep(PAUSE)
        self._stop()

    def _round(self) -> None:
        if self._is_due("alive", BEAT_EVERY):
            self._manager.heartbeats.beat(self._name)
        if self._running and self._is_due("beat", BEAT_EVERY):
            self._store.beat(self._name)
        for one in list(self._running):
            if self._watch(one):
                self._running.remove(one)
        if self._is_due("stale", 1.0):
            self._take_back()
        for light in (False, True):
            self._fill(light)
        if self._is_due("clear", CLEAR_EVERY):
            remove_unwanted_blocks(self._settings.blocks_dir, self._store.unfinished)
        if self._is_due("sweep", SWEEP_EVERY):
            self._sweep()

    def _is_due(self, what: str, seconds: float) -> bool:
        present = time.monotonic()
        if present < self._due.get(what, 0.0):
            return False
        self._due[what] = present + seconds
        return True

    def _fill(self, light: bool) -> None:
        """Start jobs in the free slots of a kind."""
        room = LIGHT_SLOTS if light else SLOTS
        while sum(one.job.light == light for one in self._running) < room:
            job = self._store.claim(self._name, self._process_ids, light=light)
            if job is None:
                return
            self._running.append(_Running(job, self._start(job)))
            self._callbacks.tell(job)

    def _start(self, job: Job) -> Group:
        """Give a job to the process that waits for one, and start another to wait."""
        line = f"{job.id} {job.attempt}"
        group = self._spare
        try:
            group.give(line)
        except BrokenPipeError:  # it has ended while it waited
            group = self._new_group()
            group.give(line)
        self._spare = self._new_group()
        return group

    @staticmethod
    def _new_group() -> Group:
        return Group([sys.executable, "-m", "escape_process.jobs.child", str(os.getpid())])

    def _watch(self, one: _Running) -> bool:
        """Look after a running job; return whether its slot is free again."""
        if one.group.has_ended():
            self._close(one)
            return True
        if one.over is None and not self._store.is_running(one.job.id, one.job.attempt):
            one.over = time.monotonic()
        if one.over is not None:
            if time.monotonic() - one.over >= COOPERATION_SECONDS:
                one.group.stop()
            return False
        limits, spent = self._manager.limits, one.group.seconds()
        if spent > limits.max_seconds:
            self._end_early(one, "TimeLimitExceeded", f"The job ran longer than the {limits.max_seconds:g} s allowed.")
        elif limits.max_rss_mib is not None and one.group.memory_mib() > limits.max_rss_mib:
            sentence = f"The job took more memory than the {limits.max_rss_mib:g} MiB allowed: ask for a smaller area."
            self._end_early(one, "MemoryLimitExceeded", sentence)
        return False

    def _end_early(self, one: _Running, code: str, sentence: str) -> None:
        if self._store.fail(one.job.id, one.job.attempt, 500, code, sentence):
            self._manager.files.log(one.job.id, f"Failed: {sentence}")
        one.over = time.monotonic() - COOPERATION_SECONDS
        one.group.stop()

    def _close(self, one: _Running) -> None:
        """Settle the record of an attempt whose processes have ended."""
        self._lose(one.job, one.group.fate)
        try:
            job = self._store.get(one.job.id)
        except JobNotFoundError:
            self._manager.files.remove(one.job.id)  # a log line written after it was removed
            return
        self._manager.files.remove_others(job)
        if job.status != "successful":
            self._remove_abandoned()
            self._due.pop("sweep", None)  # of what it may have left in object storage, too
        if job.attempt == one.job.attempt and job.status in ("successful", "failed"):
            self._tell(job)

    def _remove_abandoned(self) -> None:
        unpublished = self._settings.unpublished_dir
        owned = unpublished.glob(f"{OWNERS}*")
        for folder in (self._settings.results_dir, self._settings.staging_dir, unpublished, *owned):
            remove_abandoned(folder)

    def _tell(self, job: Job) -> None:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            self._callbacks.tell(job, self._manager.files.read_results(job) if job.status == "successful" else None)

    def _lose(self, job: Job, fate: str) -> None:
        """Send a job whose attempt left no outcome back to wait, or fail it after too many such attempts."""
        if not self._store.is_running(job.id, job.attempt):
            return
        most = self._manager.limits.max_attempts
        if job.lost + 1 < most:
            sentence = f"attempt {job.attempt} left no outcome: {fate}."
            done = self._store.requeue(job.id, job.attempt, sentence, lost=True)
        else:
            sentence = f"The job was given up after {most} attempts that left no outcome; of the last one, {fate}."
            done = self._store.fail(job.id, job.attempt, 500, "JobLost", sentence)
        if done:
            LOGGER.warning("Job %s: %s", job.id, sentence)
            self._manager.files.log(job.id, sentence[0].upper() + sentence[1:])

    def _take_back(self) -> None:
        """Find running jobs that nobody runs."""
        mine = {(one.job.id, one.job.attempt) for one in self._running}
        for job in self._store.running():
            if job.runner == self._name:
                lost = (job.id, job.attempt) not in mine
            else:
                stale = job.beat is None or time.time() - job.beat > STALE_SECONDS
                lost = stale or job.runner is None or is_gone(job.runner)
            if lost:
                self._lose(job, "its worker died")

    def _sweep(self) -> None:
        """Remove finished jobs and their files once they are old, and results that killed processes began."""
        self._remove_abandoned()
        before = dt.datetime.now(dt.UTC) - dt.timedelta(days=self._manager.limits.keep_days)
        for job_id in self._store.finished_before(before):
            if self._store.remove(job_id):
                self._manager.files.remove(job_id)
                LOGGER.info("Job %s: removed, finished before %s", job_id, before.date())

        if self._publisher is None or not self._publisher.is_alive():
            # beside the loop, since a STAC API and object storage may take their time; what is cut off is repeated
            target, arguments = _settle, (self._manager.settings(),)
            self._publisher = threading.Thread(target=target, args=arguments, daemon=True)
            self._publisher.start()

    def _stop(self) -> None:
        """End the running jobs' processes and send the jobs back to wait; that counts as no attempt."""
        self._spare.stop()
        while self._running or not self._spare.has_ended():
            for one in list(self._running):
                one.group.stop()
                if one.group.has_ended():
                    self._running.remove(one)
                    reason = "the worker was stopped."
                    if self._store.requeue(one.job.id, one.job.attempt, reason, lost=False):
                        self._manager.files.log(one.job.id, "Stopped with its worker; waits to be run again.")
                    self._close(one)
            self._spare.stop()
            time.sleep(0.02)
        self._callbacks.finish(1.0)
        with contextlib.suppress(StorageError):
            self._manager.heartbeats.leave(self._name)
        self._manager.heartbeats.close()
        self._store.close()
        LOGGER.info("Worker %s: stopped", self._name)


def _settle(settings: Settings) -> None:
    """Remove what killed uploads left in object storage; publish results that a STAC API could not take before."""
    if not any(settings.outbox_dir.glob("[!.]*.json")) and not any(settings.staging_dir.glob("[!.]*")):
        return
    from escape_process.publishing import publish_waiting, sweep_uploads  # noqa: PLC0415  # slow to import

    try:
        sweep_uploads(settings)
    except EscapeError as error:
        LOGGER.warning("What an upload left stays in object storage for now: %s", error)
    try:
        for one in publish_waiting(settings):
            LOGGER.info("Result %s: %s", one.id, "published" if one.reason is None else one.reason)
    except EscapeError as error:
        LOGGER.warning("Results wait to be published: %s", error)


def work(config: Path, server: int | None = None) -> None:
    """Run jobs until SIGTERM or SIGINT.

    Parameters
    ----------
    config
        The server's configuration.
    server
        Process id of the server that started this worker, with which it ends.

    Raises
    ------
    InvalidInputError
        where the configuration cannot be used.
    """
    os.environ["PYGEOAPI_CONFIG"] = str(config.resolve())
    document = load_config(config)
    manager = get_manager(document)
    worker = Worker(manager, Callbacks(manager.settings(), document["server"]["url"]))
    with _signals_to(worker):
        if server is not None:
            die_with_parent(server, signal.SIGTERM)
        worker.run()


@contextlib.contextmanager
def _signals_to(worker: Worker) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    earlier = {number: signal.signal(number, lambda number, frame: worker.request_stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    configure_logging()
    work(Path(os.environ["PYGEOAPI_CONFIG"]), int(sys.argv[1]))
