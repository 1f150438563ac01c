"""Results that a STAC API has yet to take: one file each, so that neither a crash nor an outage loses one."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from escape_process.engine import storage_faults_told
from escape_process.errors import StorageError, UpstreamError
from escape_process.settings import Settings

LOCK_SECONDS = 120.0


class Outbox:
    """A folder of item descriptions by id, as they are to be posted: a later description takes the place of another."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.outbox_dir

    def put(self, item: Mapping[str, Any]) -> None:
        """Store an item, whole and on the disk.

        Raises
        ------
        StorageError
            where it cannot be written.
        """
        path = self._path(item["id"])
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with storage_faults_told("outbox"):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("w", encoding="utf-8") as file:
                    json.dump(item, file, allow_nan=False)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def get(self, id: str) -> dict[str, Any] | None:
        """Return a waiting item; None where it does not wait.

        Raises
        ------
        StorageError
            where what waits is damaged.
        """
        try:
            item = json.loads(self._path(id).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            item = None
        if not isinstance(item, dict) or item.get("id") != id:
            raise StorageError(f"What waits under {id} is damaged: ask for that result anew.")
        return item

    def ids(self) -> list[str]:
        """Return the ids of what waits, oldest first."""
        waiting = []
        for path in self._folder.glob("[!.]*.json"):
            with contextlib.suppress(FileNotFoundError):  # published meanwhile
                waiting.append((path.stat().st_mtime_ns, path.name.removesuffix(".json")))
        return [id for _, id in sorted(waiting)]

    def remove(self, id: str) -> None:
        """Take an item out."""
        self._path(id).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other deliveries from this folder out, so that an older description never overtakes a newer one.

        Raises
        ------
        UpstreamError
            where another has been delivering for too long.
        """
        with storage_faults_told("outbox"):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self._folder / ".lock", timeout=LOCK_SECONDS)
            try:
                lock.acquire()
            except filelock.Timeout as error:
                raise UpstreamError("another process is publishing; try again later.") from error
        try:
            yield
        finally:
            lock.release()

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.json"
