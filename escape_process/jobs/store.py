"""Job records: one table, in SQLite or PostgreSQL.

A job is accepted, then running, then one of successful, failed, dismissed; only a worker that stops or dies, or a host
that fails for the moment, sends a running job back to accepted. Each claim gives the job a new attempt number, and
every move is one conditional UPDATE on id, attempt and status. So whoever comes late, such as a child whose job was
dismissed or given to another worker meanwhile, changes nothing.
"""

import datetime as dt
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import sqlalchemy as sa
from pygeoapi.process.base import JobNotFoundError

from escape_process.errors import QueueFullError
from escape_process.jobs.database import Database

Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
Response = Literal["raw", "document"]

STATES: tuple[Status, ...] = get_args(Status)
UNFINISHED = ("accepted", "running")
RETRY_SECONDS = 30
"""What a client whom the full queue turned away is told to wait."""


@dataclass(frozen=True)
class Job:
    """One execution of a process: a row of the table."""

    id: str
    process_id: str
    inputs: str
    """JSON, as the client sent it."""
    outputs: str
    """JSON object: output id asked for to its {"transmissionMode": "value" or "reference"}; empty: all by value."""
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
    owner: str | None = None
    """Subject of the client's token; None: nobody's in particular."""
    subscriber: str | None = None
    """JSON object of the addresses successUri, inProgressUri and failedUri to be told of the job."""
    attempt: int = 0
    """Counts the claims of the job: the fence against those who come late."""
    lost: int = 0
    """Attempts that ended without an outcome."""
    runner: str | None = None
    """The worker that runs it, see `processes.this_process`."""
    beat: float | None = None
    """When that worker last said that it lives, seconds since 1970."""
    estimated_finish: str | None = None
    """RFC 3339, from the progress so far."""
    retries: int = 0
    """Times that it was sent back because a host failed for the moment."""
    due: float | None = None
    """Of a job sent back so: when it may be claimed again, seconds since 1970."""
    light: bool = False
    """Whether it takes no device."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows: those that meet every condition given."""

    status: Sequence[str] | str | None = None
    """One status or several."""
    process_ids: Sequence[str] | None = None
    datetime: tuple[dt.datetime | None, dt.datetime | None] | None = None
    """Interval of the time of creation; None is open."""
    min_duration: float | None = None
    """Seconds from the start to the end, or to now; jobs that have not started have none."""
    max_duration: float | None = None
    owner: str | None = None


_METADATA = sa.MetaData()
_SQL_TYPES = {
    "progress": sa.Integer,
    "http_status": sa.Integer,
    "attempt": sa.Integer,
    "lost": sa.Integer,
    "beat": sa.Float,
    "retries": sa.Integer,
    "due": sa.Float,
    "light": sa.Boolean,
}
_DEFAULTS: dict[str, str | sa.ColumnElement[bool]] = {"retries": "0", "light": sa.false()}
"""Of columns that were added later: what earlier jobs have."""
_NAMES = [field.name for field in fields(Job)]
_JOBS = sa.Table(
    "escape_jobs",
    _METADATA,
    *(
        sa.Column(
            name,
            _SQL_TYPES.get(name, sa.Text),
            primary_key=name == "id",
            server_default=_DEFAULTS.get(name),
        )
        for name in _NAMES
    ),
    sa.Column("began", sa.Float),  # `started` and `finished` as seconds since 1970: durations are compared in SQL
    sa.Column("ended", sa.Float),
    sa.Index("escape_jobs_created", "created", "id"),
    sa.Index("escape_jobs_status", "status", "created", "id"),
    sa.Index("escape_jobs_owner", "owner", "created"),
)
_FIELDS = [_JOBS.c[name] for name in _NAMES]
_LISTED = [sa.literal("").label(name) if name == "inputs" else _JOBS.c[name] for name in _NAMES]


def rfc3339(instant: dt.datetime) -> str:
    """Return an instant as the records have it: UTC, of one length, so that text sorts as time."""
    return instant.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def now() -> str:
    """Return the present as RFC 3339 text, UTC."""
    return rfc3339(dt.datetime.now(dt.UTC))


class JobStore:
    """The table of jobs. Safe to use from several threads and processes.

    Parameters
    ----------
    connection
        A file, relative to `folder`, or the address of a PostgreSQL database.
    """

    def __init__(self, connection: str | Path, folder: Path = Path()) -> None:
        self._database = Database(str(connection), folder, _METADATA)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add(self, job: Job, most_waiting: int | None = None, most_of_owner: int | None = None) -> None:
        """Add a new job.

        Raises
        ------
        QueueFullError
            where `most_waiting` jobs wait already, or `most_of_owner` of the job's owner are unfinished.
        """
        with self._database.writing(alone=True) as connection:
            if most_waiting is not None and _count(connection, _JOBS.c.status == "accepted") >= most_waiting:
                raise QueueFullError(
                    f"The queue is full: {most_waiting} jobs wait already. Try again later.", RETRY_SECONDS
                )
            mine = (_JOBS.c.owner == job.owner, _JOBS.c.status.in_(UNFINISHED))
            if None not in (most_of_owner, job.owner) and _count(connection, *mine) >= (most_of_owner or 0):
                raise QueueFullError(
                    f"You have {most_of_owner} unfinished jobs, the most allowed: wait for one or dismiss one.",
                    RETRY_SECONDS,
                )
            connection.execute(sa.insert(_JOBS).values(**asdict(job)))

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        JobNotFoundError
            where no job has that id.
        """
        row = None
        if "\0" not in job_id:  # which PostgreSQL takes for no text at all
            with self._database.reading() as connection:
                row = connection.execute(sa.select(*_FIELDS).where(_JOBS.c.id == job_id)).mappings().first()
        if row is None:
            raise JobNotFoundError(f"There is no job {job_id}.")
        return Job(**row)

    def page(self, limit: int, offset: int = 0, filter: JobFilter | None = None) -> tuple[list[Job], int]:
        """Return jobs, newest first, and how many there are in all.

        Without their inputs, which may be a megabyte each: `get` has them.
        """
        conditions = _conditions(filter or JobFilter())
        query = sa.select(*_LISTED).where(*conditions).order_by(_JOBS.c.created.desc(), _JOBS.c.id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings().all()
            count = _count(connection, *conditions)
        return [Job(**row) for row in rows], count

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each status."""
        query = sa.select(_JOBS.c.status, sa.func.count()).group_by(_JOBS.c.status)
        with self._database.reading() as connection:
            found = {status: int(count) for status, count in connection.execute(query)}
        return {status: found.get(status, 0) for status in STATES}

    def unfinished_of(self, owner: str) -> int:
        """Return how many unfinished jobs someone has."""
        with self._database.reading() as connection:
            return _count(connection, _JOBS.c.owner == owner, _JOBS.c.status.in_(UNFINISHED))

    def running(self) -> list[Job]:
        """Return the jobs that run, or whose worker died."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*_FIELDS).where(_JOBS.c.status == "running")).mappings().all()
        return [Job(**row) for row in rows]

    def unfinished(self) -> set[str]:
        """Return the ids of the jobs that wait or run."""
        with self._database.reading() as connection:
            return set(connection.execute(sa.select(_JOBS.c.id).where(_JOBS.c.status.in_(UNFINISHED))).scalars())

    def finished_before(self, instant: dt.datetime, limit: int = 100) -> list[str]:
        """Return ids of jobs that were finished before an instant."""
        query = sa.select(_JOBS.c.id).where(_JOBS.c.status.not_in(UNFINISHED), _JOBS.c.finished < rfc3339(instant))
        with self._database.reading() as connection:
            return list(connection.execute(query.limit(limit)).scalars())

    def remove(self, job_id: str) -> bool:
        """Forget a finished job; False where it is not finished or not there."""
        query = sa.delete(_JOBS).where(_JOBS.c.id == job_id, _JOBS.c.status.not_in(UNFINISHED))
        with self._database.writing() as connection:
            return connection.execute(query).rowcount == 1

    def claim(self, runner: str, process_ids: Sequence[str], *, light: bool = False) -> Job | None:
        """Give the light or other job that has waited longest to a worker; None where none of these processes waits."""
        waiting = (
            sa.select(_JOBS.c.id)
            .where(
                _JOBS.c.status == "accepted", _JOBS.c.process_id.in_(process_ids), _JOBS.c.light.is_(light), _is_due()
            )
            .order_by(_JOBS.c.created, _JOBS.c.id)
            .limit(1)
        )
        present = now()
        changes = {
            "status": "running",
            "message": "Started.",
            "attempt": _JOBS.c.attempt + 1,
            "runner": runner,
            "beat": time.time(),
            "started": present,
            "began": time.time(),
            "updated": present,
        }
        with self._database.reading() as connection:  # an idle worker asks often: only look, which blocks nobody
            if connection.execute(waiting).first() is None:
                return None
        first = waiting.with_for_update(skip_locked=True).scalar_subquery()
        query = sa.update(_JOBS).where(_JOBS.c.id == first, _JOBS.c.status == "accepted")
        with self._database.writing() as connection:
            row = connection.execute(query.values(**changes).returning(*_FIELDS)).mappings().first()
        return None if row is None else Job(**row)

    def beat(self, runner: str) -> None:
        """Say that a worker lives."""
        query = sa.update(_JOBS).where(_JOBS.c.runner == runner, _JOBS.c.status == "running")
        with self._database.writing() as connection:
            connection.execute(query.values(beat=time.time()))

    def is_running(self, job_id: str, attempt: int) -> bool:
        """Whether that attempt is still the one that counts."""
        query = sa.select(_JOBS.c.id).where(*_fence(job_id, attempt))
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def report(
        self, job_id: str, attempt: int, progress: int, message: str, estimated_finish: str | None = None
    ) -> bool:
        """Say how far a running job is; False where that attempt does not count any more."""
        changes = {"progress": progress, "message": message, "estimated_finish": estimated_finish}
        return self._move(_fence(job_id, attempt), **changes)

    def succeed(self, job_id: str, attempt: int) -> bool:
        """Say that a running job is done and its results are in place."""
        return self._move(_fence(job_id, attempt), **_end("successful", "Done."), progress=100)

    def fail(self, job_id: str, attempt: int, http_status: int, code: str, sentence: str) -> bool:
        """Say why a running job failed."""
        return self._move(_fence(job_id, attempt), **_end("failed", sentence), http_status=http_status, code=code)

    def requeue(self, job_id: str, attempt: int, reason: str, *, lost: bool) -> bool:
        """Send a running job back to wait; `lost`: its attempt ended without an outcome and counts as one."""
        back = _back(f"Waits to be run again: {reason}")
        return self._move(_fence(job_id, attempt), **back, lost=_JOBS.c.lost + int(lost))

    def retry(self, job_id: str, attempt: int, message: str, seconds: float) -> bool:
        """Send a running job back to wait for at least some seconds, because a host failed for the moment."""
        due = time.time() + seconds
        return self._move(_fence(job_id, attempt), **_back(message), retries=_JOBS.c.retries + 1, due=due)

    def dismiss(self, job_id: str) -> bool:
        """Say that a client does not want an unfinished job any more; False where it is already finished."""
        unfinished = (_JOBS.c.id == job_id, _JOBS.c.status.in_(UNFINISHED))
        return self._move(unfinished, **_end("dismissed", "Dismissed."))

    def _move(self, conditions: tuple[sa.ColumnElement[bool], ...], **changes: Any) -> bool:
        if "message" in changes:
            changes["message"] = _storable(changes["message"])
        with self._database.writing() as connection:
            query = sa.update(_JOBS).where(*conditions).values(updated=now(), **changes)
            return connection.execute(query).rowcount == 1


def _fence(job_id: str, attempt: int) -> tuple[sa.ColumnElement[bool], ...]:
    return _JOBS.c.id == job_id, _JOBS.c.attempt == attempt, _JOBS.c.status == "running"


def _storable(message: str) -> str:
    """Return a sentence without what no database holds: names in foreign catalogues may have halves of characters."""
    return message.encode(errors="replace").decode().replace("\0", "?")


def _is_due() -> sa.ColumnElement[bool]:
    return sa.or_(_JOBS.c.due.is_(None), _JOBS.c.due <= time.time())


def _back(message: str) -> dict[str, Any]:
    return {
        "status": "accepted",
        "message": message,
        "progress": 0,
        "runner": None,
        "beat": None,
        "started": None,
        "began": None,
        "estimated_finish": None,
    }


def _end(status: Status, message: str) -> dict[str, Any]:
    return {
        "status": status,
        "message": message,
        "finished": now(),
        "ended": time.time(),
        "estimated_finish": None,
        "runner": None,
        "beat": None,
    }


def _count(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(_JOBS).where(*conditions)).scalar_one())


def _conditions(filter: JobFilter) -> list[sa.ColumnElement[bool]]:
    columns = _JOBS.c
    conditions: list[sa.ColumnElement[bool]] = []
    if filter.status is not None:
        wanted = [filter.status] if isinstance(filter.status, str) else list(filter.status)
        conditions.append(columns.status.in_(wanted))
    if filter.process_ids is not None:
        conditions.append(columns.process_id.in_(list(filter.process_ids)))
    if filter.datetime is not None:
        start, end = filter.datetime
        conditions += [] if start is None else [columns.created >= rfc3339(start)]
        conditions += [] if end is None else [columns.created <= rfc3339(end)]
    duration = sa.func.coalesce(columns.ended, time.time()) - columns.began
    conditions += [] if filter.min_duration is None else [duration >= filter.min_duration]
    conditions += [] if filter.max_duration is None else [duration <= filter.max_duration]
    if filter.owner is not None:
        conditions.append(columns.owner == filter.owner)
    return conditions


def outputs_of(job: Job) -> list[str]:
    """Return the output ids asked for; empty: all."""
    return list(json.loads(job.outputs))


def outputs_by_mode(job: Job) -> dict[str, str]:
    """Return the output ids asked for with their transmission modes; empty: all by value."""
    return {name: wish["transmissionMode"] for name, wish in json.loads(job.outputs).items()}
