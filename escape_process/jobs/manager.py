"""The job manager that pygeoapi-config.yml names: checks requests, queues them and waits for those who want to wait.

Stock pygeoapi runs every async job at once in a thread of its own, reports neither progress nor the reason of a
failure, and cannot cancel. Here a job is a row of `JobStore`; workers (`worker.py`), processes of their own, take jobs
in order of arrival, so that no job ends with the web server. A processor under this manager answers
`{output id: value}`, and may offer

- `check(inputs)`: raises `EscapeError` where a request is wrong, before a job is made of it;
- `job`, `progress`, `cancelled` and `owner`: attributes that are set for the job at hand;
- `measured`: what the execution did and took, for /metrics, see `Measures.record`;
- `is_light(inputs)`: whether such a request takes no device, so that a worker runs its job beside the others.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pygeoapi.process.base import BaseProcessor, JobResultNotFoundError
from pygeoapi.process.manager.base import BaseManager
from pygeoapi.util import JobStatus, RequestedProcessExecutionMode

from escape_process.errors import InvalidInputError, QueueFullError
from escape_process.jobs.echo import with_echo
from escape_process.jobs.heartbeats import Heartbeats
from escape_process.jobs.job_files import JobFiles
from escape_process.jobs.limits import Limits
from escape_process.jobs.measures import Measures
from escape_process.jobs.store import RETRY_SECONDS, UNFINISHED, Job, JobFilter, JobStore, now
from escape_process.settings import Settings

LOGGER = logging.getLogger(__name__)

POLL = (0.02, 0.2)
"""Seconds between two looks at a job that a client waits for, the first and the longest."""


class JobManager(BaseManager):  # type: ignore[misc]  # pygeoapi has no types
    """The queue as the web server sees it.

    `connection` (a file, or the address of a PostgreSQL database) and `output_dir` (results) are relative to the
    folder of the configuration. Nothing is opened before the first use, since pygeoapi builds a manager only to list
    processes, too. `limits` has what the worker keeps to.
    """

    def __init__(self, manager_def: dict[str, Any]) -> None:
        super().__init__(with_echo(manager_def))
        self.is_async = True
        folder = Path(os.environ.get("PYGEOAPI_CONFIG", "pygeoapi-config.yml")).resolve().parent
        self.limits = Limits.read(manager_def)
        self.files = JobFiles(folder / manager_def["output_dir"], self.settings)
        self.store = JobStore(manager_def["connection"], folder)
        self.heartbeats = Heartbeats(manager_def["connection"], folder)
        self.measures = Measures(manager_def["connection"], folder)
        self._stopping = threading.Event()
        self._seats: threading.Semaphore | None = None

    def settings(self) -> Settings:
        """Return the settings of the process of this package that the configuration lists.

        Raises
        ------
        InvalidInputError
            where it lists none.
        """
        for process_id in self.processes:
            settings = getattr(self.get_processor(process_id), "settings", None)
            if isinstance(settings, Settings):
                return settings
        raise InvalidInputError("The configuration lists no process of this package under resources.")

    def request_stop(self) -> None:
        """Let nobody wait for a job any longer. Sets a flag only, so that a signal handler may call it."""
        self._stopping.set()

    def limit_waiting(self, most: int) -> None:
        """Let so many clients wait for results at once: each holds a thread of the web server."""
        self._seats = threading.Semaphore(most)

    def execute_process(  # noqa: PLR0917  # pygeoapi's signature, and more
        self,
        process_id: str,
        data_dict: Any,
        execution_mode: RequestedProcessExecutionMode | None = None,
        requested_outputs: Mapping[str, Any] | list[str] | None = None,
        subscriber: Any = None,
        requested_response: str = "raw",
        owner: str | None = None,
        wait: float | None = None,
    ) -> tuple[str, str, Any, JobStatus, dict[str, str]]:
        """Make a job of a request; wait for it unless the client asked otherwise.

        Parameters
        ----------
        owner
            Subject of the client's token.
        wait
            Of an asynchronous execution: seconds to wait for the results before answering with the job's status.

        Returns pygeoapi's tuple of job id, media type, outputs, status and headers. The status is `accepted` where
        the client is to ask again later: also a synchronous one, when the server stops and the job will go on after
        its restart.

        Raises
        ------
        EscapeError
            where the request is wrong or the queue is full: no job is made.
        """
        processor = self.get_processor(process_id)  # never kept on self: other threads ask for other processes
        outputs = _check_outputs(processor, requested_outputs)
        if requested_response not in ("raw", "document"):
            raise InvalidInputError(f"response must be raw or document, not {requested_response!r}.")
        told = None if subscriber is None else self._read_subscriber(subscriber)
        if hasattr(processor, "check"):
            processor.check(data_dict)
        light = hasattr(processor, "is_light") and bool(processor.is_light(data_dict))
        created = now()
        job = Job(
            id=str(uuid.uuid4()),
            process_id=process_id,
            inputs=json.dumps(data_dict),
            outputs=json.dumps(outputs),
            response="document" if requested_response == "document" else "raw",
            status="accepted",
            message="Accepted: waits for its turn.",
            progress=0,
            created=created,
            updated=created,
            owner=owner,
            subscriber=told,
            light=light,
        )
        respond_async = execution_mode == RequestedProcessExecutionMode.respond_async
        with self._seat(needed=not respond_async, wanted=bool(wait)) as seated:
            self.store.add(job, self.limits.max_queue, self.limits.max_jobs_per_owner)
            LOGGER.info("Job %s: accepted", job.id)
            finished = self._wait(job.id, (wait or 0) if respond_async else None) if seated else None
        if finished is None:
            applied = {"Preference-Applied": RequestedProcessExecutionMode.respond_async.value} if respond_async else {}
            return job.id, "application/json", None, JobStatus.accepted, applied
        applied = {"Preference-Applied": f"wait={wait:g}"} if respond_async and wait else {}
        values = self.results(finished) if finished.status == "successful" else None
        return job.id, "application/json", values, JobStatus[finished.status], applied

    def results(self, job: Job) -> dict[str, Any]:
        """Return the values of a successful job by output id.

        Raises
        ------
        JobResultNotFoundError
            where the file is gone.
        """
        try:
            return self.files.read_results(job)
        except FileNotFoundError as error:
            raise JobResultNotFoundError(f"The results of job {job.id} are no longer stored.") from error

    def provenance(self, job: Job) -> dict[str, Any]:
        """Return what the results of a successful job were made of.

        Raises
        ------
        JobResultNotFoundError
            where the file is gone, or the process tells none.
        """
        try:
            return self.files.read_provenance(job)
        except FileNotFoundError as error:
            raise JobResultNotFoundError(f"The provenance of job {job.id} is not stored.") from error

    def log_of(self, job: Job) -> str:
        """Return what happened to a job, a line an event; empty before it starts."""
        return self.files.read_log(job.id)

    def dismiss(self, job_id: str) -> Job:
        """Cancel an unfinished job, or remove a finished one and its files. What was published stays.

        Raises
        ------
        JobNotFoundError
            where no job has that id.
        """
        job = self.store.get(job_id)
        if self.store.dismiss(job_id):
            LOGGER.info("Job %s: dismissed while %s", job_id, job.status)
        elif self.store.remove(job_id):
            self.files.remove(job_id)
            LOGGER.info("Job %s: removed", job_id)
        return job

    def _read_subscriber(self, subscriber: Any) -> str:
        from escape_process.jobs.callbacks import read_subscriber  # noqa: PLC0415  # an HTTP client: not for each job

        return read_subscriber(subscriber, self.settings())

    @contextmanager
    def _seat(self, *, needed: bool, wanted: bool) -> Iterator[bool]:
        """Give a place to wait for results, where one is needed or wanted; False: there is none.

        Raises
        ------
        QueueFullError
            where one is needed and there is none.
        """
        if self._seats is None or not (needed or wanted):
            yield needed or wanted
            return
        if not self._seats.acquire(blocking=False):
            if needed:
                raise QueueFullError(
                    "As many clients wait for their results as this server lets: ask for a job by Prefer:"
                    " respond-async, or try again later.",
                    RETRY_SECONDS,
                )
            yield False
            return
        try:
            yield True
        finally:
            self._seats.release()

    def _wait(self, job_id: str, seconds: float | None) -> Job | None:
        """Return a job once it is finished; None where that takes longer, or the server stops."""
        end = None if seconds is None else time.monotonic() + seconds
        pause, longest = POLL
        while end is None or time.monotonic() < end:
            job = self.store.get(job_id)
            if job.status not in UNFINISHED:
                return job
            if self._stopping.wait(pause if end is None else max(0.0, min(pause, end - time.monotonic()))):
                return None
            pause = min(2 * pause, longest)
        return None

    # What pygeoapi's own views of jobs ask for, where this package's are not installed.

    def get_jobs(self, status: JobStatus | None = None, limit: int | None = None, offset: int | None = None) -> Any:
        """Return jobs as pygeoapi's list page wants them."""
        jobs, count = self.store.page(limit or 10, offset or 0, JobFilter(None if status is None else status.value))
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


def _check_outputs(processor: BaseProcessor, requested: Any) -> dict[str, dict[str, str]]:
    """Return the outputs asked for with their transmission modes; none for all by value."""
    if requested is None:
        return {}
    if not isinstance(requested, Mapping | list) or not all(isinstance(name, str) for name in requested):
        raise InvalidInputError("outputs must be an object with a member for each output asked for.")
    known = processor.metadata["outputs"]
    modes = processor.metadata.get("outputTransmission", ["value"])
    outputs = {}
    for name in requested:
        if name not in known:
            raise InvalidInputError(f"Unknown output {name!r}; the outputs are {', '.join(known)}.")
        wish = requested[name] if isinstance(requested, Mapping) else {}
        if not isinstance(wish, Mapping):
            raise InvalidInputError(f"Output {name} must be an object, such as one with the member transmissionMode.")
        mode = wish.get("transmissionMode", "value")
        if mode not in modes:
            raise InvalidInputError(
                f"Output {name} has transmissionMode {mode!r}; this process answers by {' or '.join(modes)} only."
            )
        _check_format(name, wish.get("format"), known[name].get("schema", {}))
        outputs[name] = {"transmissionMode": mode}
    return outputs


def _check_format(name: str, form: Any, schema: Mapping[str, Any]) -> None:
    """Refuse a format that an output does not come in, rather than answer another one."""
    stated = form.get("mediaType") if isinstance(form, Mapping) else None
    offered = ("application/json", schema.get("contentMediaType", "text/plain"))
    if stated is not None and str(stated).partition(";")[0].strip().lower() not in offered:
        raise InvalidInputError(
            f"Output {name} cannot come as {stated!r}; it comes as {' or '.join(dict.fromkeys(offered))}."
        )


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
