"""The database of the queue: a SQLite file by default, PostgreSQL where several hosts share one queue.

SQLite locks by means that network file systems do not keep, and a queue there would be damaged one day: such a folder
is refused. On PostgreSQL the same statements run; only the claim of a job skips rows that another worker holds.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from escape_process.errors import InvalidInputError, StorageError
from escape_process.folders import NETWORK_FILE_SYSTEMS, file_system

BUSY_SECONDS = 15
"""How long a statement waits for another process's."""

_ADDING = 0x45534341
"""Number of the advisory lock under which jobs are counted and added on PostgreSQL."""


class Database:
    """One lazily opened engine: pygeoapi builds a manager just to list processes, and a web worker is forked."""

    def __init__(self, connection: str, folder: Path, metadata: sa.MetaData) -> None:
        self._connection = connection
        self._folder = folder
        self._metadata = metadata
        self._lock = threading.Lock()
        self._engine: sa.Engine | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may use it."""
        return "://" in self._connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a transaction that changes nothing."""
        with self._faults_told(), self._open().connect() as connection:
            reader = connection.execution_options(reading=True)
            with reader.begin():
                yield reader

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[sa.Connection]:
        """Give a transaction that changes something.

        Parameters
        ----------
        alone
            No other transaction of this kind runs meanwhile; on SQLite no writing one does anyhow.
        """
        with self._faults_told(), self._open().begin() as connection:
            if alone:
                _take_lock(connection)
            yield connection

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError) as error:
            # what PostgreSQL says may name hosts and users: the chained error has it for the log
            reason = "" if self.is_shared else f": {getattr(error, 'orig', None) or error}"
            raise StorageError(f"Job records cannot be read or written on this server{reason}.") from error

    def _open(self) -> sa.Engine:
        with self._lock:
            if self._engine is None:
                engine = self._shared() if self.is_shared else self._file(self._folder / self._connection)
                self._metadata.create_all(engine)
                with engine.begin() as connection:
                    _take_lock(connection)
                    _add_columns(connection, self._metadata)
                self._engine = engine
            return self._engine

    def _shared(self) -> sa.Engine:
        try:
            url = sa.make_url(self._connection)
        except sa.exc.ArgumentError as error:
            raise InvalidInputError(
                "manager.connection is neither a file nor an address such as postgresql://user@host/name."
            ) from error
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise InvalidInputError(
                f"manager.connection names the database {url.get_backend_name()!r}: it may be a file or PostgreSQL."
            )
        try:
            return sa.create_engine(url.set(drivername="postgresql+pg8000"), pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise InvalidInputError(
                "manager.connection names PostgreSQL, whose driver is missing: install escape-process[postgresql]."
            ) from error

    def _file(self, path: Path) -> sa.Engine:
        refuse_network_folder(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        return engine


def _take_lock(connection: sa.Connection) -> None:
    """Wait until no other transaction has it; on SQLite a writing one is alone from its start."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADDING)))


def _add_columns(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Add what tables made by an earlier version lack; columns have never been removed or changed."""
    for table in metadata.tables.values():
        known = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                added = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {added}")


def _prepare(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself: `_begin` does
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: sa.Connection) -> None:
    """Take the write lock at the start: a transaction that asked for it midway could not wait for it."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def refuse_network_folder(folder: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Refuse a folder on a file system that is known to be a network's.

    Raises
    ------
    InvalidInputError
        naming the file system.
    """
    kind = file_system(folder.resolve(), mounts)
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        raise InvalidInputError(
            f"The job records lie on a network file system ({kind}), where SQLite cannot lock: set manager.connection"
            " to a file on a local disk or to a PostgreSQL database."
        )
