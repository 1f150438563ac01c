"""The files of a job beside its record: results and provenance, one file each an attempt, and a log for people.

Where results go to object storage so do these, the log once the job has ended.
"""

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from escape_process.engine import storage_faults_told
from escape_process.errors import InvalidInputError, UpstreamError
from escape_process.jobs.store import UNFINISHED, Job
from escape_process.settings import Settings

LOGGER = logging.getLogger(__name__)

_RESULTS, _PROVENANCE, _LOG = ".json", ".prov", "log"


class JobFiles:
    """The folder of all jobs' files.

    The name of a result has the attempt in it, and only the attempt of a successful job's record is ever read: what
    an attempt that lost its job writes late changes no answer.
    """

    def __init__(self, folder: Path, settings: Callable[[], Settings]) -> None:
        self._folder = folder
        self._settings = cache(settings)  # asked for late: they are those of a process

    def write_results(self, job: Job, values: Mapping[str, Any]) -> None:
        """Store the values of an attempt, whole or not at all.

        Raises
        ------
        StorageError
            where they cannot be written.
        UpstreamError
            where object storage does not take them.
        """
        self._write(job, _RESULTS, values)

    def read_results(self, job: Job) -> dict[str, Any]:
        """Return the values of a successful job.

        Raises
        ------
        FileNotFoundError
            where they are gone.
        """
        return self._read(job, _RESULTS)

    def write_provenance(self, job: Job, document: Mapping[str, Any]) -> None:
        """Store what the results of an attempt were made of, as `write_results`."""
        self._write(job, _PROVENANCE, document)

    def read_provenance(self, job: Job) -> dict[str, Any]:
        """Return what the results of a successful job were made of.

        Raises
        ------
        FileNotFoundError
            where it is gone, or the process tells none.
        """
        return self._read(job, _PROVENANCE)

    def remove_others(self, job: Job) -> None:
        """Remove the files of all attempts but the one that counts; the job has ended, its log with it."""
        keep = [f"{job.attempt}{kind}" for kind in (_RESULTS, _PROVENANCE)] if job.status == "successful" else []
        for path in self._folder.glob(f"{job.id}.*"):
            if path.name.removeprefix(f"{job.id}.") not in keep and path.suffix in (_RESULTS, _PROVENANCE, ".part"):
                path.unlink(missing_ok=True)
        with _storage_faults_logged(job.id):
            self._remove_objects(job.id, keep=(*keep, _LOG))
            if job.status not in UNFINISHED:
                self._hand_over_log(job.id)

    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""
        for path in self._folder.glob(f"{job_id}.*"):
            path.unlink(missing_ok=True)
        with _storage_faults_logged(job_id):
            self._remove_objects(job_id, keep=())

    def log(self, job_id: str, sentence: str) -> None:
        """Add a line to a job's log; a log that cannot be written stops no job."""
        time = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._log_path(job_id).open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{time} {sentence}\n")
        except OSError:
            LOGGER.warning("Job %s: its log cannot be written", job_id)

    def read_log(self, job_id: str) -> str:
        """Return a job's log, empty where there is none."""
        place = self._place(job_id)
        kept = None if place is None else _objects().read_object(f"{place}/{_LOG}", self._settings())
        return (kept or b"").decode() + self._log_on_disk(job_id)

    def _write(self, job: Job, kind: str, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, allow_nan=False)
        place = self._place(job.id)
        if place is not None:
            _objects().write_object(f"{place}/{job.attempt}{kind}", text.encode(), self._settings(), "application/json")
            return
        path = self._path(job, kind)
        part = path.with_suffix(f"{kind}.part")
        try:
            with storage_faults_told("results"):
                path.parent.mkdir(parents=True, exist_ok=True)
                part.write_text(text, encoding="utf-8")
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _read(self, job: Job, kind: str) -> dict[str, Any]:
        place = self._place(job.id)
        stored = None if place is None else _objects().read_object(f"{place}/{job.attempt}{kind}", self._settings())
        values: dict[str, Any] = json.loads(
            self._path(job, kind).read_text(encoding="utf-8") if stored is None else stored
        )
        return values

    def _hand_over_log(self, job_id: str) -> None:
        place = self._place(job_id)
        if place is not None and self._log_path(job_id).exists():
            content = self.read_log(job_id).encode()
            _objects().write_object(f"{place}/{_LOG}", content, self._settings(), "text/plain; charset=utf-8")
            self._log_path(job_id).unlink(missing_ok=True)

    def _remove_objects(self, job_id: str, keep: Sequence[str]) -> None:
        place = self._place(job_id)
        if place is not None:
            names = _objects().sizes_of_results(place, self._settings())
            _objects().delete([f"{place}/{name}" for name in names if name not in keep], self._settings())

    def _place(self, job_id: str) -> str | None:
        """Return the s3 address of a job's folder; None where its files lie on disk."""
        try:
            storage = self._settings().object_storage
        except InvalidInputError:  # a configuration without a process of this package
            return None
        return None if storage is None else f"{storage.place}/jobs/{job_id}"

    def _path(self, job: Job, kind: str) -> Path:
        return self._folder / f"{job.id}.{job.attempt}{kind}"

    def _log_path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.{_LOG}"

    def _log_on_disk(self, job_id: str) -> str:
        try:
            return self._log_path(job_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""


def _objects() -> ModuleType:
    """Return the client of object storage, which a job without it does not wait for."""
    from escape_process import objects  # noqa: PLC0415  # slow to import

    return objects


@contextlib.contextmanager
def _storage_faults_logged(job_id: str) -> Iterator[None]:
    try:
        yield
    except UpstreamError as error:
        LOGGER.warning("Job %s: its files cannot be put in order: %s", job_id, error)
