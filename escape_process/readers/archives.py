"""Unpacks products that come as zip or tar archives, distrusting all that an archive says of itself."""

import gzip
import hashlib
import io
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from escape_process.errors import EscapeError, InvalidInputError, StorageError
from escape_process.hrefs import file_name, open_href
from escape_process.settings import Settings

MOST_MEMBERS = 10_000
MOST_BYTES = 200 * 2**30
"""Of all members together; a PALSAR-2 quad-pol scene of level 1.1 has some 10 GiB."""
HIGHEST_RATIO = 200
"""Unpacked to packed bytes; radar images shrink to a half, an empty one to a thousandth."""
ALWAYS_ALLOWED = 256 * 2**20
"""Bytes that an archive may unpack to whatever its ratio."""

_CHUNK = 2**20
_LONGEST_READ = 2**24
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error),
    *(EOFError, ValueError, ArithmeticError, RuntimeError, LookupError),
)
"""What the libraries raise of archives that are damaged or use what they do not know."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    mark: str
    """What tells its contents from others of its name and size."""


class _Bounded(io.RawIOBase):
    """A stream that gives no more at a time than a header may take, so that none fills the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError("a header is longer than any header")
        return self._stream.read(size)


class _Zip:
    """A zip archive's members."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        self._archive = zipfile.ZipFile(stream)

    def members(self) -> Iterator[_Member]:
        for found in self._archive.infolist():
            kind = stat.S_IFMT(found.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _link(self._name, found.filename)
            if found.flag_bits & 1:
                raise InvalidInputError(f"The archive {self._name} is encrypted: decrypt it first.")
            if not _is_folder(found):
                yield _Member(_plain(_slashed(found.orig_filename)), found.file_size, f"{found.CRC:08x}")

    def contents(self) -> Iterator[tuple[str, IO[bytes]]]:
        for found in self._archive.infolist():
            if not _is_folder(found):
                with self._archive.open(found) as stream:
                    yield _plain(_slashed(found.orig_filename)), stream


class _Tar:
    """A tar archive's members, plain or compressed."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        self._stream = stream

    def _opened(self) -> tarfile.TarFile:
        self._stream.seek(0)
        packed = self._stream.read(2) == b"\x1f\x8b"
        self._stream.seek(0)
        plain = gzip.GzipFile(fileobj=self._stream) if packed else self._stream
        return tarfile.open(fileobj=cast(BinaryIO, _Bounded(cast(IO[bytes], plain))), mode="r:")

    def members(self) -> Iterator[_Member]:
        with self._opened() as archive:
            for found in archive:
                if found.isreg() and not found.issparse():
                    yield _Member(_plain(found.name), found.size, str(found.mtime))
                elif not found.isdir():
                    raise _link(self._name, found.name)

    def contents(self) -> Iterator[tuple[str, IO[bytes]]]:
        with self._opened() as archive:
            for found in archive:
                stream = archive.extractfile(found) if found.isreg() else None
                if stream is not None:
                    yield _plain(found.name), stream


def archived_names(href: str, settings: Settings) -> list[str]:
    """Return the names of an archive's files, checked as `unpack` does.

    Raises
    ------
    InvalidInputError
        as `unpack`.
    UpstreamError
        where the archive is missing or its host fails.
    """
    with _opened(href, settings) as (archive, size):
        return [member.name for member in _checked(archive, file_name(href), size)]


def unpack(href: str, folder: Path, settings: Settings) -> Path:
    """Unpack an archive into a folder of its own below `folder`, unless it was before.

    Everything is checked before anything is written, and the folder gets its name when it is complete.

    Returns
    -------
    The folder of the archive's files: named like the archive, in one named by what it holds.

    Raises
    ------
    InvalidInputError
        where the archive is damaged or encrypted, where a member leaves the folder, is a link or a device, or where it
        unpacks to absurdly much.
    StorageError
        where the disk has no room or cannot be written.
    UpstreamError
        where the archive is missing or its host fails.
    """
    name = file_name(href)
    with _opened(href, settings) as (archive, size):
        members = _checked(archive, name, size)
        said = repr([(member.name, member.size, member.mark) for member in members])
        key = hashlib.sha256(f"{size} {said}".encode()).hexdigest()[:10]
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", re.sub(r"\.(zip|tar|tar\.gz|tgz)$", "", name, flags=re.IGNORECASE))
        target = folder / key
        files = stem.lstrip(".") or "archive"
        if target.is_dir():
            return target / files
        try:
            folder.mkdir(parents=True, exist_ok=True)
            needed = sum(member.size for member in members)
            if shutil.disk_usage(folder).free < needed:
                raise StorageError(
                    f"The archive {name} unpacks to {needed // 2**20 + 1} MiB, but the disk has no room."
                )
            with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as temporary:
                root = Path(temporary) / "complete"
                (root / files).mkdir(parents=True)
                _write(archive, members, root / files, name)
                root.replace(target)
        except OSError as error:
            if isinstance(error, gzip.BadGzipFile):
                raise
            raise StorageError(f"The archive {name} cannot be unpacked: {error.strerror}.") from error
    return target / files


@contextmanager
def _opened(href: str, settings: Settings) -> Iterator[tuple[_Zip | _Tar, int]]:
    """Open an archive; failures inside the block become sentences."""
    name = file_name(href)
    with open_href(href, settings) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        try:
            yield (_Zip(stream, name) if name.lower().endswith(".zip") else _Tar(stream, name)), size
        except EscapeError:
            raise
        except _UNREADABLE as error:
            raise InvalidInputError(
                f"The archive {name} is truncated, damaged or not of the kind that its name says: fetch it anew."
            ) from error


def _checked(archive: _Zip | _Tar, name: str, size: int) -> Sequence[_Member]:
    """Return the members of an archive whose promises are bearable."""
    members: list[_Member] = []
    total = 0
    names: set[str] = set()
    for member in archive.members():
        _check_name(member.name, name)
        if member.name in names:
            raise InvalidInputError(f"The archive {name} holds {_shown(member.name)} twice: it is not trusted.")
        names.add(member.name)
        members.append(member)
        total += member.size
        if len(members) > MOST_MEMBERS:
            raise InvalidInputError(f"The archive {name} holds more than {MOST_MEMBERS} files: no product does.")
        if total > MOST_BYTES or total > max(ALWAYS_ALLOWED, HIGHEST_RATIO * size):
            raise InvalidInputError(
                f"The archive {name} of {size} bytes unpacks to more than {total} bytes: no product does."
            )
    folders = {one[: match.start()] for one in names for match in re.finditer("/", one)}
    if both := folders & names:
        raise InvalidInputError(f"The archive {name} holds {_shown(min(both))} as file and folder: it is not trusted.")
    return members


def _slashed(member: str) -> str:
    """Return a name with the separators of the format: some programs for Windows write backslashes."""
    return member.replace("\\", "/")


def _is_folder(found: zipfile.ZipInfo) -> bool:
    return found.is_dir() or _slashed(found.orig_filename).endswith("/")


def _plain(member: str) -> str:
    """Leave out the parts of a name that say nothing."""
    return "/".join(part for part in member.split("/") if part != ".")


def _check_name(member: str, archive: str) -> None:
    parts = member.split("/")
    plain = member.isprintable() and "\\" not in member and ":" not in member
    too_long = len(member) > 1000 or max(len(part.encode("utf-8", "replace")) for part in parts) > 255
    if not plain or too_long or ".." in parts or member.startswith("/") or "" in parts:
        raise InvalidInputError(f"The archive {archive} holds {_shown(member)}, which leads elsewhere: not trusted.")


def _write(archive: _Zip | _Tar, members: Sequence[_Member], root: Path, name: str) -> None:
    sizes = {member.name: member.size for member in members}
    for member, stream in archive.contents():
        if member not in sizes:
            raise InvalidInputError(f"The archive {name} changed while it was read: try again.")
        path = root / member
        path.parent.mkdir(parents=True, exist_ok=True)
        left = sizes[member]
        with path.open("xb") as file:
            while chunk := stream.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise InvalidInputError(f"The archive {name} holds more of {_shown(member)} than it says.")
                file.write(chunk)
        if left:
            raise InvalidInputError(f"The archive {name} holds less of {_shown(member)} than it says: fetch it anew.")


def _link(archive: str, member: str) -> InvalidInputError:
    return InvalidInputError(
        f"The archive {archive} holds {_shown(member)}, which is a link or no file at all: it is not trusted."
    )


def _shown(member: str) -> str:
    return repr(file_name(member) or "a member without a name")
