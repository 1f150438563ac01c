"""A folder that appears whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from escape_process.engine import storage_faults_told
from escape_process.errors import StorageError

_ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which a partial folder belongs to a process that was killed."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@contextlib.contextmanager
def appearing_folder(parent: Path, name: str) -> Iterator[Path]:
    """Give a hidden folder to fill; it becomes `parent / name` at the end, or vanishes on any error.

    An earlier folder of that name is replaced, except for its item description (`<name>.json`), which stays until
    publishing replaces it: the catalogue would otherwise link to nothing in between.

    Raises
    ------
    StorageError
        where the disk is full or the folder is not writable.
    """
    if not _ID.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a folder")
    with storage_faults_told(f"result {name}"), _gdal_faults_told(name):
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{name}-", dir=parent))
        try:
            partial.chmod(0o755)  # mkdtemp's 0700 would keep a web server of another user out
            yield partial
            _put_in_place(partial, parent / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _gdal_faults_told(name: str) -> Iterator[None]:
    """Turn GDAL's refusal to write into a sentence. It gives no error number, and only files of the result are open."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise StorageError(
            f"The result {name} cannot be written: the disk is full or fails. Nothing was published; ask the operator"
            " to make room or set another data folder, then repeat the request."
        ) from error


def _put_in_place(partial: Path, target: Path) -> None:
    description = target / f"{target.name}.json"
    if description.exists():
        shutil.copyfile(description, partial / description.name)
    for _ in range(10):
        try:
            partial.replace(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        earlier = Path(tempfile.mkdtemp(prefix=f".partial-{target.name}-", dir=target.parent))
        with contextlib.suppress(FileNotFoundError):  # another job moved it first
            target.replace(earlier)
        shutil.rmtree(earlier, ignore_errors=True)
    raise OSError(errno.EBUSY, "the folder is being replaced again and again")


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(".partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Force a file to the disk, so that a late write error is met here and not lost."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
