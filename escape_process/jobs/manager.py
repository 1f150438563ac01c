"""The job manager that pygeoapi-config.yml names: checks requests, queues them and runs them one at a time.

Stock pygeoapi runs every async job at once in a thread of its own, reports neither progress nor the reason of a
failure, and cannot cancel. Here a job is a row of `JobStore`, and one thread takes jobs in order of arrival: there is
one device to run them on. A processor under this manager answers `{output id: value}`, and may offer

- `check(inputs)`: raises `EscapeError` where a request is wrong, before a job is made of it;
- `progress` and `cancelled`: attributes that the manager sets for the job at hand.
"""

import json
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pygeoapi.process.base import BaseProcessor, JobResultNotFoundError
from pygeoapi.process.manager.base import BaseManager
from pygeoapi.util import JobStatus, RequestedProcessExecutionMode

from escape_process.errors import CancelledError, EscapeError, InvalidInputError, StorageError
from escape_process.jobs.store import UNFINISHED, Job, JobStore, now, outputs_of

LOGGER = logging.getLogger(__name__)

SERVER_STOPPED = (503, "ServerStopped", "The server was stopped before the job was done; send the request again.")
REPORT_EVERY = 0.25
"""Seconds between two reports of progress with the same message: more would only wear the disk."""

LOG_EVERY = 5
"""Percent between two lines of a job in the log."""


@dataclass
class _Ticket:
    """What the server keeps in memory of an unfinished job."""

    job: Job
    inputs: Any
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class JobManager(BaseManager):  # type: ignore[misc]  # pygeoapi has no types
    """Jobs of one server process, kept in a SQLite file beside their results.

    `connection` (the file) and `output_dir` (results) are relative to the folder of the configuration. Nothing is
    opened or started before `start`, since pygeoapi builds a manager only to list processes, too.
    """

    def __init__(self, manager_def: dict[str, Any]) -> None:
        super().__init__(manager_def)
        self.is_async = True
        folder = Path(os.environ.get("PYGEOAPI_CONFIG", "pygeoapi-config.yml")).resolve().parent
        self.output_dir = folder / manager_def["output_dir"]
        self.store = JobStore(folder / manager_def["connection"])
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._tickets: dict[str, _Ticket] = {}
        self._stopping = threading.Event()
        self._runner: threading.Thread | None = None

    def start(self) -> None:
        """Fail what a dead server left behind and begin to run jobs. Call once, in the process that serves."""
        self._fail_unfinished()
        self._runner = threading.Thread(target=self._run_jobs, name="jobs", daemon=True)
        self._runner.start()

    def request_stop(self) -> None:
        """Ask the running job to stop. Sets a flag only, so that a signal handler may call it."""
        self._stopping.set()

    def stop(self, seconds: float) -> bool:
        """Stop; unfinished jobs end as failed. Return whether the running job gave way in that time."""
        self.request_stop()
        self._queue.put(None)
        if self._runner is not None:
            self._runner.join(seconds)
        self._fail_unfinished()
        for ticket in list(self._tickets.values()):
            ticket.done.set()
        self.store.close()
        return self._runner is None or not self._runner.is_alive()

    def execute_process(  # noqa: PLR0917  # pygeoapi's signature
        self,
        process_id: str,
        data_dict: Any,
        execution_mode: RequestedProcessExecutionMode | None = None,
        requested_outputs: Mapping[str, Any] | list[str] | None = None,
        subscriber: Any = None,
        requested_response: str = "raw",
    ) -> tuple[str, str, Any, JobStatus, dict[str, str]]:
        """Make a job of a request; wait for it unless the client asked otherwise.

        Returns pygeoapi's tuple of job id, media type, outputs, status and headers.

        Raises
        ------
        EscapeError
            where the request is wrong: no job is made.
        """
        processor = self.get_processor(process_id)  # never kept on self: other threads ask for other processes
        outputs = _check_outputs(processor, requested_outputs)
        if subscriber is not None:
            raise InvalidInputError(
                "This server sends no callbacks: leave out subscriber and ask for the job's status."
            )
        if requested_response not in ("raw", "document"):
            raise InvalidInputError(f"response must be raw or document, not {requested_response!r}.")
        if hasattr(processor, "check"):
            processor.check(data_dict)
        ticket = self._accept(process_id, data_dict, outputs, requested_response)
        if execution_mode == RequestedProcessExecutionMode.respond_async:
            applied = {"Preference-Applied": RequestedProcessExecutionMode.respond_async.value}
            return ticket.job.id, "application/json", None, JobStatus.accepted, applied
        self._wait(ticket)
        job = self.store.get(ticket.job.id)
        if job.status in UNFINISHED:
            raise StorageError(f"The outcome of job {job.id} cannot be recorded on this server; is its disk full?")
        values = self.results(job) if job.status == "successful" else None
        return job.id, "application/json", values, JobStatus[job.status], {}

    def results(self, job: Job) -> dict[str, Any]:
        """Return the values of a successful job by output id.

        Raises
        ------
        JobResultNotFoundError
            where the file is gone.
        """
        try:
            text = self._result_path(job.id).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise JobResultNotFoundError(f"The results of job {job.id} are no longer stored.") from error
        values: dict[str, Any] = json.loads(text)
        return values

    def dismiss(self, job_id: str) -> Job:
        """Cancel an unfinished job, or remove a finished one and its results. What was published stays.

        Raises
        ------
        JobNotFoundError
            where no job has that id.
        """
        job = self.store.get(job_id)
        if self.store.dismiss(job_id):
            ticket = self._tickets.get(job_id)
            if ticket is not None:
                ticket.cancelled.set()
                ticket.done.set()
            LOGGER.info("Job %s: dismissed while %s", job_id, job.status)
        else:
            self.store.remove(job_id)
            self._result_path(job_id).unlink(missing_ok=True)
            LOGGER.info("Job %s: removed", job_id)
        return job

    def _wait(self, ticket: _Ticket) -> None:
        """Wait until a job is over; a stopping server waits no longer than a moment."""
        while not ticket.done.wait(0.5):
            if self._stopping.is_set() and not ticket.done.wait(1.0):
                self.store.fail(ticket.job.id, *SERVER_STOPPED)
                return

    def _accept(self, process_id: str, inputs: Any, outputs: list[str], response: str) -> _Ticket:
        created = now()
        job = Job(
            id=str(uuid.uuid4()),
            process_id=process_id,
            inputs=json.dumps(inputs),
            outputs=json.dumps(outputs),
            response="document" if response == "document" else "raw",
            status="accepted",
            message="Accepted: waits for its turn.",
            progress=0,
            created=created,
            updated=created,
        )
        self.store.add(job)
        ticket = _Ticket(job, inputs)
        self._tickets[job.id] = ticket
        self._queue.put(ticket)
        LOGGER.info("Job %s: accepted", job.id)
        return ticket

    def _run_jobs(self) -> None:
        while (ticket := self._queue.get()) is not None:
            try:
                if not self._stopping.is_set() and self.store.begin(ticket.job.id):
                    self._run(ticket)
            except StorageError:
                LOGGER.exception("Job %s: its state cannot be recorded", ticket.job.id)
            finally:
                self._tickets.pop(ticket.job.id, None)
                ticket.done.set()

    def _run(self, ticket: _Ticket) -> None:
        job_id = ticket.job.id
        started = time.monotonic()
        LOGGER.info("Job %s: started", job_id)
        try:
            processor = self.get_processor(ticket.job.process_id)
            processor.set_job_id(job_id)
            processor.progress = _Progress(self.store, job_id)
            processor.cancelled = lambda: ticket.cancelled.is_set() or self._stopping.is_set()
            _, values = processor.execute(ticket.inputs, outputs_of(ticket.job) or None)
            self._write_results(job_id, values)
        except CancelledError as error:
            if self._stopping.is_set():
                self.store.fail(job_id, *SERVER_STOPPED)
            else:  # else already dismissed, unless the pipeline gave up by itself
                self.store.fail(job_id, error.http_status, error.code, str(error))
        except EscapeError as error:
            LOGGER.warning("Job %s: failed: %s", job_id, error)
            self.store.fail(job_id, error.http_status, error.code, str(error))
        except Exception:
            LOGGER.exception("Job %s: internal error", job_id)
            sentence = f"Internal error in job {job_id}; the operator finds its cause in the server's log."
            self.store.fail(job_id, EscapeError.http_status, EscapeError.code, sentence)
        else:
            if not self.store.succeed(job_id):
                self._result_path(job_id).unlink(missing_ok=True)
        LOGGER.info("Job %s: ended after %.1f s", job_id, time.monotonic() - started)

    def _write_results(self, job_id: str, values: Mapping[str, Any]) -> None:
        text = json.dumps(values, allow_nan=False)
        path = self._result_path(job_id)
        part = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StorageError(f"The results cannot be stored on this server: {error.strerror}.") from error

    def _result_path(self, job_id: str) -> Path:
        path: Path = self.output_dir / f"{job_id}.json"
        return path

    def _fail_unfinished(self) -> None:
        for job_id in self.store.unfinished():
            LOGGER.warning("Job %s: failed, since the server stopped before it was done", job_id)
            self.store.fail(job_id, *SERVER_STOPPED)
            self._result_path(job_id).unlink(missing_ok=True)

    # What pygeoapi's own HTML pages of jobs ask for.

    def get_jobs(self, status: JobStatus | None = None, limit: int | None = None, offset: int | None = None) -> Any:
        """Return jobs as pygeoapi's list page wants them."""
        jobs, count = self.store.page(limit or 10, offset or 0, None if status is None else status.value)
        return {"jobs": [_as_pygeoapi(job) for job in jobs], "numberMatched": count}

    def get_job(self, job_id: str) -> dict[str, Any]:
        """Return one job as pygeoapi's page wants it."""
        return _as_pygeoapi(self.store.get(job_id))

    def get_job_result(self, job_id: str) -> tuple[str, Any]:
        """Return media type and values of a successful job."""
        return "application/json", self.results(self.store.get(job_id))

    def delete_job(self, job_id: str) -> bool:
        """Cancel or remove a job."""
        self.dismiss(job_id)
        return True


class _Progress:
    """Writes a job's progress to its record: never falling, and not more often than anybody looks."""

    def __init__(self, store: JobStore, job_id: str) -> None:
        self._store = store
        self._job_id = job_id
        self._percent = 0
        self._message = ""
        self._written = 0.0
        self._logged = -LOG_EVERY

    def __call__(self, share: float, message: str) -> None:
        percent = max(self._percent, min(99, int(100 * share)))
        due = time.monotonic() - self._written >= REPORT_EVERY
        if message != self._message or (due and percent != self._percent):
            self._store.report(self._job_id, percent, message)
            if percent >= self._logged + LOG_EVERY:
                LOGGER.info("Job %s: %2d %% %s", self._job_id, percent, message)
                self._logged = percent
            self._percent, self._message, self._written = percent, message, time.monotonic()


def _check_outputs(processor: BaseProcessor, requested: Any) -> list[str]:
    """Return the ids of the outputs asked for; none for all."""
    if requested is None:
        return []
    if not isinstance(requested, Mapping | list) or not all(isinstance(name, str) for name in requested):
        raise InvalidInputError("outputs must be an object with a member for each output asked for.")
    known = processor.metadata["outputs"]
    for name in requested:
        if name not in known:
            raise InvalidInputError(f"Unknown output {name!r}; the outputs are {', '.join(known)}.")
        wish = requested[name] if isinstance(requested, Mapping) else {}
        mode = wish.get("transmissionMode", "value") if isinstance(wish, Mapping) else "value"
        if mode != "value":
            raise InvalidInputError(f"Output {name} has transmissionMode {mode!r}; this server answers by value only.")
    return list(requested)


def _as_pygeoapi(job: Job) -> dict[str, Any]:
    return {
        "type": "process",
        "identifier": job.id,
        "process_id": job.process_id,
        "status": job.status,
        "message": job.message,
        "progress": job.progress,
        "created": job.created,
        "started": job.started or job.created,
        "finished": job.finished,
        "updated": job.updated,
        "mimetype": "application/json",
        "location": None,
    }
