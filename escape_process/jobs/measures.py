"""What jobs did and took, by process: a table beside the jobs', so that no sum falls when a job is removed."""

import logging
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from escape_process.errors import StorageError
from escape_process.jobs.database import Database
from escape_process.jobs.processes import peak_memory

LOGGER = logging.getLogger(__name__)

PIXELS, SECONDS, RETRIEVALS = "pixels", "seconds", "retrievals"
RESIDENT, DEVICE = "resident_bytes", "device_bytes"

_METADATA = sa.MetaData()
_MEASURES = sa.Table(
    "escape_measures",
    _METADATA,
    sa.Column("process_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)


class Measures:
    """The table of measures. Takes the same connection as `JobStore`."""

    def __init__(self, connection: str | Path, folder: Path = Path()) -> None:
        self._database = Database(str(connection), folder, _METADATA)

    def record(self, process_id: str, measured: Mapping[str, float]) -> None:
        """Add what an execution did and took; what cannot be recorded stops no job.

        Parameters
        ----------
        measured
            A processor's `pixels` and the `seconds` of their retrieval, which are added up, and the most
            `device_bytes`. The most resident memory of this process is added to them.
        """
        sums = {name: measured[name] for name in (PIXELS, SECONDS) if name in measured}
        if sums:
            sums[RETRIEVALS] = 1
        newest = {RESIDENT: float(peak_memory()), **{name: measured[name] for name in (DEVICE,) if name in measured}}
        try:
            with self._database.writing(alone=True) as connection:
                for name, value in sums.items():
                    _put(connection, process_id, name, value, _MEASURES.c.value + value)
                for name, value in newest.items():
                    _put(connection, process_id, name, value, value)
        except StorageError:
            LOGGER.warning("What a job of %s took cannot be recorded", process_id)

    def read(self) -> dict[tuple[str, str], float]:
        """Return the sums and the newest values by process and name."""
        with self._database.reading() as connection:
            return {(row.process_id, row.name): row.value for row in connection.execute(sa.select(_MEASURES))}

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _put(
    connection: sa.Connection, process_id: str, name: str, first: float, later: float | sa.ColumnElement[float]
) -> None:
    known = sa.update(_MEASURES).where(_MEASURES.c.process_id == process_id, _MEASURES.c.name == name)
    if connection.execute(known.values(value=later)).rowcount == 0:
        connection.execute(sa.insert(_MEASURES).values(process_id=process_id, name=name, value=first))
