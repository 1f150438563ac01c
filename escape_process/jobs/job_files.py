"""The files of a job beside its record: results, one file an attempt, and a log for people."""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from escape_process.engine import storage_faults_told
from escape_process.jobs.store import Job

LOGGER = logging.getLogger(__name__)


class JobFiles:
    """The folder of all jobs' files.

    The name of a result has the attempt in it, and only the attempt of a successful job's record is ever read: what
    an attempt that lost its job writes late changes no answer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write_results(self, job: Job, values: Mapping[str, Any]) -> None:
        """Store the values of an attempt, whole or not at all.

        Raises
        ------
        StorageError
            where they cannot be written.
        """
        text = json.dumps(values, allow_nan=False)
        path = self._results(job)
        part = path.with_suffix(".part")
        try:
            with storage_faults_told("results"):
                path.parent.mkdir(parents=True, exist_ok=True)
                part.write_text(text, encoding="utf-8")
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def read_results(self, job: Job) -> dict[str, Any]:
        """Return the values of a successful job.

        Raises
        ------
        FileNotFoundError
            where they are gone.
        """
        values: dict[str, Any] = json.loads(self._results(job).read_text(encoding="utf-8"))
        return values

    def remove_others(self, job: Job) -> None:
        """Remove the results of all attempts but the one that counts."""
        keep = self._results(job) if job.status == "successful" else None
        for path in self._folder.glob(f"{job.id}.*"):
            if path != keep and path.suffix in (".json", ".part"):
                path.unlink(missing_ok=True)

    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""
        for path in self._folder.glob(f"{job_id}.*"):
            path.unlink(missing_ok=True)

    def log(self, job_id: str, sentence: str) -> None:
        """Add a line to a job's log; a log that cannot be written stops no job."""
        time = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._log_path(job_id).open("a", encoding="utf-8") as file:
                file.write(f"{time} {sentence}\n")
        except OSError:
            LOGGER.warning("Job %s: its log cannot be written", job_id)

    def read_log(self, job_id: str) -> str:
        """Return a job's log, empty where there is none."""
        try:
            return self._log_path(job_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def _results(self, job: Job) -> Path:
        return self._folder / f"{job.id}.{job.attempt}.json"

    def _log_path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.log"
