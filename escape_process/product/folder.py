"""A folder that appears whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from escape_process.engine import storage_faults_told
from escape_process.errors import StorageError
from escape_process.folders import PARTIAL, partial_folder, remove_abandoned

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
        remove_abandoned(parent)
        with partial_folder(parent, name) as partial:
            yield partial
            _put_in_place(partial, parent / name)


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
        earlier = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{target.name}-", dir=target.parent))
        with contextlib.suppress(FileNotFoundError):  # another job moved it first
            target.replace(earlier)
        shutil.rmtree(earlier, ignore_errors=True)
    raise OSError(errno.EBUSY, "the folder is being replaced again and again")


def sync(path: Path) -> None:
    """Force a file to the disk, so that a late write error is met here and not lost."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
