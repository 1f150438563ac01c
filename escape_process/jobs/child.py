"""One attempt of one job: `python -m escape_process.jobs.child WORKER`, started by a worker.

A process of its own, so that whatever happens in it (a crash, too much memory, a computation that listens to nobody)
ends here, and a kill gives everything back, the device's memory too. A worker starts it ahead of need, since imports
take longer than a small job; it then waits for a line with the job's id and attempt. It loads the processor from the
configuration: nothing else is handed over.
"""

import datetime as dt
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pygeoapi.process.manager.base import get_manager

from escape_process.children import die_with_parent
from escape_process.engine import remove_unwanted_blocks
from escape_process.errors import CancelledError, EscapeError, StorageError, TransientError
from escape_process.jobs.manager import JobManager
from escape_process.jobs.startup import configure_logging, load_config
from escape_process.jobs.store import Job, outputs_of, rfc3339

LOGGER = logging.getLogger("escape_process.jobs.child")  # not __main__, which run as a module has

REPORT_EVERY = 0.25
"""Seconds between two reports of progress, or two questions whether to go on: more would only wear the disk."""

LOG_EVERY = 5
"""Percent between two lines of a job in the log."""

RECORD_SECONDS = 30.0
"""How long an outcome is tried to be recorded where the records cannot be written."""


def run_job(manager: JobManager, job_id: str, attempt: int) -> None:
    """Run a job whose attempt a worker has claimed, and record its outcome."""
    job = manager.store.get(job_id)
    if job.attempt != attempt or job.status != "running":
        return
    started = time.monotonic()
    watch = _Watch(manager, job)
    manager.files.log(job_id, f"Attempt {attempt} started.")
    LOGGER.info("Job %s: started", job_id)
    try:
        values = _execute(manager, job, watch)
        manager.files.write_results(job, values)
    except CancelledError as error:
        _fail(manager, job, error)  # changes nothing where it was dismissed: the pipeline may give up by itself
    except TransientError as error:
        # at the first contact nothing is done yet, and the address may be wrong: the client learns of it at once
        if not ((watch.has_begun or job.retries) and _retry(manager, job, error)):
            _fail(manager, job, _final(job, error))
    except EscapeError as error:
        LOGGER.warning("Job %s: failed: %s", job_id, error)
        _fail(manager, job, error)
    except Exception:
        LOGGER.exception("Job %s: internal error", job_id)
        sentence = f"Internal error in job {job_id}; the operator finds its cause in the server's log."
        _fail(manager, job, EscapeError(sentence))
    else:
        if _recorded(lambda: manager.store.succeed(job_id, attempt)):
            manager.files.log(job_id, f"Done after {time.monotonic() - started:.1f} s.")
            remove_unwanted_blocks(manager.settings().blocks_dir, manager.store.unfinished)
    LOGGER.info("Job %s: ended after %.1f s", job_id, time.monotonic() - started)


def _execute(manager: JobManager, job: Job, watch: "_Watch") -> dict[str, Any]:
    processor = manager.get_processor(job.process_id)
    processor.job = job.id
    processor.progress = watch.progress
    processor.cancelled = watch.cancelled
    processor.owner = job.owner
    _, values = processor.execute(json.loads(job.inputs), outputs_of(job) or None)
    manager.measures.record(job.process_id, getattr(processor, "measured", {}))
    provenance = getattr(processor, "provenance", None)
    if provenance is not None:
        manager.files.write_provenance(job, provenance)
    return dict(values)


def _retry(manager: JobManager, job: Job, error: TransientError) -> bool:
    """Send a job back to wait until its host may be there again; False where that was done as often as allowed."""
    limits = manager.limits
    if job.retries >= limits.max_retries:
        return False
    seconds = limits.retry_seconds * 2**job.retries
    message = f"Waits {seconds:g} s to be tried again, {job.retries + 1} of {limits.max_retries} times: {error}"
    if _recorded(lambda: manager.store.retry(job.id, job.attempt, message, seconds)):
        LOGGER.warning("Job %s: %s", job.id, message)
        manager.files.log(job.id, message)
    return True


def _final(job: Job, error: TransientError) -> EscapeError:
    if not job.retries:
        return error
    return TransientError(f"{error} The job was tried {job.retries + 1} times.")


def _fail(manager: JobManager, job: Job, error: EscapeError) -> None:
    sentence = str(error)
    if _recorded(lambda: manager.store.fail(job.id, job.attempt, error.http_status, error.code, sentence)):
        manager.files.log(job.id, f"Failed: {sentence}")


def _recorded(move: Any) -> bool:
    """Make a move of the record; try again for a while where the database cannot be written."""
    end = time.monotonic() + RECORD_SECONDS
    while True:
        try:
            return bool(move())
        except StorageError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


class _Watch:
    """Writes a job's progress to its record, never falling, and learns there whether the job is still wanted."""

    def __init__(self, manager: JobManager, job: Job) -> None:
        self._store = manager.store
        self._files = manager.files
        self._job = job
        self._started = time.monotonic()
        self._percent = 0
        self._message = ""
        self._reported = self._asked = time.monotonic()
        self._logged = -LOG_EVERY
        self._unwanted = False

    def progress(self, share: float, message: str) -> None:
        """Report the share done.

        Raises
        ------
        CancelledError
            where the job is not wanted any more, so that a long stage that only reports is left, too.
        """
        percent = max(self._percent, min(99, int(100 * share)))
        due = time.monotonic() - self._reported >= REPORT_EVERY
        if message != self._message or (due and percent != self._percent):
            told = (self._job.id, self._job.attempt, percent, message, self._estimated_finish(share))
            self._unwanted = not self._store.report(*told)
            self._reported = self._asked = time.monotonic()
            if percent >= self._logged + LOG_EVERY or message != self._message:
                self._files.log(self._job.id, f"{percent:3d} % {message}")
            if percent >= self._logged + LOG_EVERY:
                LOGGER.info("Job %s: %2d %% %s", self._job.id, percent, message)
                self._logged = percent
            self._percent, self._message = percent, message
        if self.cancelled():
            raise CancelledError("The job was dismissed.")

    @property
    def has_begun(self) -> bool:
        """Whether some of the work is done."""
        return self._percent > 0

    def cancelled(self) -> bool:
        """Whether the job was dismissed, or given to another worker."""
        if not self._unwanted and time.monotonic() - self._asked >= REPORT_EVERY:
            self._unwanted = not self._store.is_running(self._job.id, self._job.attempt)
            self._asked = time.monotonic()
        return self._unwanted

    def _estimated_finish(self, share: float) -> str | None:
        """Return when the job will be done if it goes on at this pace; None while that is a guess."""
        elapsed = time.monotonic() - self._started
        if share < 0.05 or elapsed < 2:
            return None
        remaining = elapsed * (1 - share) / share
        return rfc3339(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=remaining))


def main() -> None:
    """Wait for a job and run it; end where the worker closes the line instead."""
    die_with_parent(int(sys.argv[1]), signal.SIGKILL)
    # as an exception, so that what is half-written is cleared; finished blocks stay for the next attempt
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    configure_logging()
    manager = get_manager(load_config(Path(os.environ["PYGEOAPI_CONFIG"])))
    line = sys.stdin.readline().split()
    if line:
        run_job(manager, line[0], int(line[1]))


if __name__ == "__main__":
    main()
