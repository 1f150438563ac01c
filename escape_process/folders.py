"""Folders that several processes use: held while somebody works in one, so that others can tell what was left behind.

A hold is the kernel's lock on the folder itself and ends with its process, however that ends. On a network's file
system other hosts do not see it: there nobody can tell whether a folder is held.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial-"
"""What the names of folders begin with that are filled and then renamed."""
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "lustre",
    "ceph",
    "gpfs",
    "beegfs",
    "glusterfs",
    "fuse.sshfs",
)
"""By the start of their names, those whose locks cannot be relied on."""

_ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which a partial folder is taken for a dead process's where nobody can tell."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder where missing and hold it; several processes may."""
    descriptor = _hold(folder)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def partial_folder(parent: Path, name: str) -> Iterator[Path]:
    """Give a new hidden folder, held, which is gone at the end unless it was renamed."""
    partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{name}-", dir=parent))
    try:
        with held(partial):
            partial.chmod(0o755)  # mkdtemp's 0700 would keep a web server of another user out
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def unheld(folder: Path, *, if_unknown: bool) -> Iterator[bool]:
    """Tell whether a folder is there and nobody holds it, and keep everybody from it meanwhile.

    Parameters
    ----------
    if_unknown
        What to tell where nobody can.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(_opened(folder))
        except FileNotFoundError:
            yield False
            return
        free = _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) if _is_local(folder) else if_unknown
        yield free and _leads_to(folder, descriptor)


def remove_unheld(folder: Path, *, if_unknown: bool) -> None:
    """Remove a folder unless somebody holds it.

    Parameters
    ----------
    if_unknown
        Whether to remove it where nobody can tell.
    """
    with unheld(folder, if_unknown=if_unknown) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove the partial folders of processes that were killed."""
    for folder in parent.glob(f"{PARTIAL}*"):
        remove_unheld(folder, if_unknown=is_old(folder))


def is_old(path: Path) -> bool:
    """Tell whether a file or folder has not changed for so long that its process is taken for dead; one gone is old."""
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_AFTER
    except FileNotFoundError:
        return True


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system that holds a folder; empty where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for line in lines:
        _, point, kind = line.split(" ")[:3]
        point = point.replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= longest:
            found, longest = kind, len(point)
    return found


def _is_local(folder: Path) -> bool:
    return not file_system(folder.resolve()).startswith(NETWORK_FILE_SYSTEMS)


def _hold(folder: Path) -> int:
    """Return the open descriptor that is the hold."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # also where it was removed between the attempt and the look at what is there
            if folder.is_file():
                raise
            continue
        with contextlib.suppress(FileNotFoundError), _opened(folder) as descriptor:
            _locked(descriptor, fcntl.LOCK_SH)  # waits for one who removes it
            if _leads_to(folder, descriptor):
                return os.dup(descriptor)  # the same lock: it goes with the last of the two


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Lock a folder; False where another's hold forbids it, or its file system knows no locks."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


def _leads_to(folder: Path, descriptor: int) -> bool:
    """Tell whether a path still leads to an open folder: it may have been removed, and made again."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
