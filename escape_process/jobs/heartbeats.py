"""Which workers live: a table beside the jobs', so that the web server can tell whether anybody would run a job."""

import time
from pathlib import Path

import sqlalchemy as sa

from escape_process.jobs.database import Database

FRESH_SECONDS = 30.0
"""A worker that has said nothing for so long is taken for dead; it speaks every few seconds."""
_FORGOTTEN_SECONDS = 86_400.0

_METADATA = sa.MetaData()
_WORKERS = sa.Table(
    "escape_workers",
    _METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("beat", sa.Float, nullable=False),
)


class Heartbeats:
    """The table of workers. Takes the same connection as `JobStore`."""

    def __init__(self, connection: str | Path, folder: Path = Path()) -> None:
        self._database = Database(str(connection), folder, _METADATA)

    def beat(self, name: str) -> None:
        """Say that a worker lives."""
        present = time.time()
        old = sa.or_(_WORKERS.c.name == name, _WORKERS.c.beat < present - _FORGOTTEN_SECONDS)
        with self._database.writing() as connection:
            connection.execute(sa.delete(_WORKERS).where(old))
            connection.execute(sa.insert(_WORKERS).values(name=name, beat=present))

    def leave(self, name: str) -> None:
        """Say that a worker stops."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(_WORKERS).where(_WORKERS.c.name == name))

    def living(self) -> int:
        """Return how many workers live."""
        query = sa.select(sa.func.count()).select_from(_WORKERS).where(_WORKERS.c.beat >= time.time() - FRESH_SECONDS)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Close the database."""
        self._database.close()
