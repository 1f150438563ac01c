"""Job records: one SQLite table.

A job only moves forward (accepted, running, then one of successful, failed, dismissed), and every move is one
conditional UPDATE. So whoever comes late, such as a runner whose job was dismissed meanwhile, changes nothing.
"""

import datetime as dt
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pygeoapi.process.base import JobNotFoundError

from escape_process.errors import StorageError

Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
Response = Literal["raw", "document"]

UNFINISHED = ("accepted", "running")


@dataclass(frozen=True)
class Job:
    """One execution of a process: a row of the table."""

    id: str
    process_id: str
    inputs: str
    """JSON, as the client sent it."""
    outputs: str
    """JSON list of the output ids asked for; empty: all."""
    response: Response
    """Form of the results that the client asked for."""
    status: Status
    message: str
    """A sentence for a person; of a failed job, why."""
    progress: int
    """Percent done."""
    created: str
    updated: str
    started: str | None = None
    finished: str | None = None
    http_status: int | None = None
    """Of a failed job: the status of its results."""
    code: str | None = None
    """Of a failed job: the exception code of its results."""


_COLUMNS = [field.name for field in fields(Job)]
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, process_id TEXT NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL, response TEXT NOT NULL,
    status TEXT NOT NULL, message TEXT NOT NULL, progress INTEGER NOT NULL, created TEXT NOT NULL,
    updated TEXT NOT NULL, started TEXT, finished TEXT, http_status INTEGER, code TEXT
)
"""


def now() -> str:
    """Return the present as RFC 3339 text, UTC."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class JobStore:
    """The table of jobs. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One connection for all threads, opened by the first use: pygeoapi builds a manager just to list processes."""
        with self._lock:
            try:
                if self._open is None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    opened = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
                    opened.row_factory = sqlite3.Row
                    opened.execute("PRAGMA journal_mode=WAL")
                    opened.execute("PRAGMA synchronous=NORMAL")
                    opened.execute(_TABLE)
                    opened.execute("CREATE INDEX IF NOT EXISTS jobs_created ON jobs (created)")
                    self._open = opened
                yield self._open
            except (sqlite3.OperationalError, OSError) as error:
                raise StorageError(f"Job records cannot be read or written on this server: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def add(self, job: Job) -> None:
        """Add a new job."""
        marks = ", ".join("?" * len(_COLUMNS))
        with self._connection() as connection:
            connection.execute(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", list(asdict(job).values()))

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        JobNotFoundError
            where no job has that id.
        """
        with self._connection() as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", [job_id]).fetchone()
        if row is None:
            raise JobNotFoundError(f"There is no job {job_id}.")
        return Job(**row)

    def page(self, limit: int, offset: int = 0, status: str | None = None) -> tuple[list[Job], int]:
        """Return jobs, newest first, and how many there are in all."""
        where, values = ("", []) if status is None else (" WHERE status = ?", [status])
        with self._connection() as connection:
            rows = connection.execute(
                f"SELECT * FROM jobs{where} ORDER BY created DESC, id LIMIT ? OFFSET ?", [*values, limit, offset]
            ).fetchall()
            count = connection.execute(f"SELECT count(*) FROM jobs{where}", values).fetchone()[0]
        return [Job(**row) for row in rows], count

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        with self._connection() as connection:
            connection.execute("DELETE FROM jobs WHERE id = ?", [job_id])

    def begin(self, job_id: str) -> bool:
        """Say that an accepted job runs; False where it was dismissed before its turn."""
        return self._move(job_id, ("accepted",), status="running", message="Started.", started=now())

    def report(self, job_id: str, progress: int, message: str) -> bool:
        """Say how far a running job is."""
        return self._move(job_id, ("running",), progress=progress, message=message)

    def succeed(self, job_id: str) -> bool:
        """Say that a running job is done and its results are in place."""
        return self._move(job_id, ("running",), status="successful", message="Done.", progress=100, finished=now())

    def fail(self, job_id: str, http_status: int, code: str, sentence: str) -> bool:
        """Say why an unfinished job failed."""
        return self._move(
            job_id,
            UNFINISHED,
            status="failed",
            message=sentence,
            finished=now(),
            http_status=http_status,
            code=code,
        )

    def dismiss(self, job_id: str) -> bool:
        """Say that a client does not want an unfinished job any more; False where it is already finished."""
        return self._move(job_id, UNFINISHED, status="dismissed", message="Dismissed.", finished=now())

    def unfinished(self) -> list[str]:
        """Return the ids of all unfinished jobs."""
        with self._connection() as connection:
            rows = connection.execute(f"SELECT id FROM jobs WHERE status IN {UNFINISHED}").fetchall()
        return [row["id"] for row in rows]

    def _move(self, job_id: str, states: tuple[str, ...], **changes: Any) -> bool:
        changes["updated"] = now()
        assignments = ", ".join(f"{name} = ?" for name in changes)
        marks = ", ".join("?" * len(states))
        with self._connection() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND status IN ({marks})",
                [*changes.values(), job_id, *states],
            )
            return cursor.rowcount == 1


def outputs_of(job: Job) -> list[str]:
    """Return the output ids asked for; empty: all."""
    names: list[str] = json.loads(job.outputs)
    return names
