"""Archives that nobody vouches for: whatever they hold, nothing lands outside, and nothing half-written remains."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from escape_process.errors import EscapeError, InvalidInputError, StorageError, UpstreamError
from escape_process.readers import archives
from escape_process.readers.archives import archived_names, unpack
from escape_process.settings import Settings

SETTINGS = Settings()
LEAST = b"II*\x00 and so on"


def make_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "A.ZIP"])
def test_members_come_out_whole_and_once(tmp_path: Path, name: str) -> None:
    members = {"scene/HH.tif": LEAST, "./scene/VV.tif": LEAST * 3, "summary.txt": b""}
    make = make_zip if name.lower().endswith("zip") else make_tar
    archive = make(tmp_path / name, members)
    folder = unpack(str(archive), tmp_path / "out", SETTINGS)
    assert folder.name.lower() == "a"
    assert {path: (folder / path).read_bytes() for path in members} == members
    stamp = (folder / "summary.txt").stat().st_mtime_ns
    assert unpack(str(archive), tmp_path / "out", SETTINGS) == folder
    assert (folder / "summary.txt").stat().st_mtime_ns == stamp
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_backslashes_of_windows_programs_separate_folders(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"top\\": b"", "top\\scene\\HH.tif": LEAST, "top/summary.txt": b""})
    folder = unpack(str(archive), tmp_path / "out", SETTINGS)
    assert everything(folder) == ["top", "top/scene", "top/scene/HH.tif", "top/summary.txt"]
    twice = make_zip(tmp_path / "b.zip", {"top/HH.tif": LEAST, "top\\HH.tif": LEAST})
    with pytest.raises(InvalidInputError, match=r"holds 'HH.tif' twice"):
        unpack(str(twice), tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_no_disk_holds_are_bad_input(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Told before anything is written, and not as a fault of the disk."""
    for number, (members, sentence) in enumerate(
        (({"a": b"", "a/HH.tif": LEAST}, "'a' as file and folder"), ({"a" * 256 + "/HH.tif": LEAST}, "leads elsewhere"))
    ):
        archive = make(tmp_path / f"{number}.{'zip' if make is make_zip else 'tar'}", members)
        with pytest.raises(InvalidInputError, match=sentence):
            unpack(str(archive), tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_archives_of_one_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one = unpack(str(make_zip(tmp_path / "a.zip", {"HH.tif": b"1"})), tmp_path / "out", SETTINGS)
    two = unpack(str(make_zip(tmp_path / "b" / "a.zip", {"HH.tif": b"2"})), tmp_path / "out", SETTINGS)
    assert (one / "HH.tif").read_bytes() == b"1"
    assert (two / "HH.tif").read_bytes() == b"2"


EVIL = [
    "../HH.tif",
    "a/../../HH.tif",
    "/etc/HH.tif",
    "//host/HH.tif",
    "..",
    "a\\..\\HH.tif",
    "C:HH.tif",
    "C:/HH.tif",
    "a\nb/HH.tif",
    "\u202ehh.tif",
    "a" * 2000,
    "a//b.tif",
]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_members_that_lead_elsewhere_are_refused(tmp_path: Path, make: object, name: str) -> None:
    (tmp_path / "in").mkdir()
    suffix = ".zip" if make is make_zip else ".tar"
    archive = make(tmp_path / "in" / f"a{suffix}", {"HH.tif": LEAST, name: LEAST})  # type: ignore[operator]
    with pytest.raises(InvalidInputError, match="leads elsewhere"):
        unpack(str(archive), tmp_path / "deep" / "out", SETTINGS)
    assert everything(tmp_path) == ["in", f"in/a{suffix}"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("HH.tif")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InvalidInputError, match=r"'HH\.tif', which is a link or no file"):
        unpack(str(tmp_path / "a.tar"), tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("HH.tif")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(InvalidInputError, match="link"):
        unpack(str(tmp_path / "a.zip"), tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_bombs_are_refused_before_anything_is_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    path = tmp_path / name
    block = bytes(2**20)
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("HH.tif", "w") as member:
            for _ in range(30):
                member.write(block)
    else:
        with gzip.open(path, "wb") as stream:
            header = tarfile.TarInfo("HH.tif")
            header.size = 30 * 2**20
            stream.write(header.tobuf())
            for _ in range(30):
                stream.write(block)
    assert path.stat().st_size < 2**17
    with pytest.raises(InvalidInputError, match="unpacks to more than"):
        unpack(str(path), tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_tar_that_claims_a_petabyte(tmp_path: Path) -> None:
    header = tarfile.TarInfo("HH.tif")
    header.size = 2**50
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(InvalidInputError, match="unpacks to more than"):
        unpack(str(tmp_path / "a.tar"), tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_that_would_fill_the_memory(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 2**36
    with gzip.open(tmp_path / "a.tar.gz", "wb") as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        stream.write(bytes(2**20))
    with pytest.raises(InvalidInputError, match="damaged"):
        unpack(str(tmp_path / "a.tar.gz"), tmp_path / "out", SETTINGS)


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    archive = make_zip(tmp_path / "a.zip", {f"{number}.tif": b"" for number in range(4)})
    with pytest.raises(InvalidInputError, match="more than 3 files"):
        archived_names(str(archive), SETTINGS)


def test_repeated_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("HH.tif", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("HH.tif", "2")
    with pytest.raises(InvalidInputError, match="twice"):
        unpack(str(tmp_path / "a.zip"), tmp_path / "out", SETTINGS)


def test_size_in_the_directory_that_is_not_the_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"HH.tif": bytes(5000)}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (100).to_bytes(4, "little")  # uncompressed size
    path.write_bytes(content)
    with pytest.raises(InvalidInputError):
        unpack(str(path), tmp_path / "out", SETTINGS)
    assert everything(tmp_path / "out") == []


def test_encrypted_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"HH.tif": LEAST})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="encrypted"):
        unpack(str(path), tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_mislabelled_archive(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match="truncated, damaged or not of the kind"):
        unpack(str(tmp_path / name), tmp_path / "out", SETTINGS)


def test_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="does not exist"):
        unpack(str(tmp_path / "a.zip"), tmp_path / "out", SETTINGS)


def test_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip", {"HH.tif": LEAST})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 3})())
    with pytest.raises(StorageError, match="no room"):
        unpack(str(archive), tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
@given(cut=st.floats(0, 1), flip=st.floats(0, 1), bit=st.integers(0, 7), truncated=st.booleans())
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_a_sentence_or_the_files(
    tmp_path_factory: pytest.TempPathFactory, name: str, cut: float, flip: float, bit: int, truncated: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    members = {"HH.tif": LEAST * 20, "VV.tif": bytes(range(256)) * 4}
    path = (make_zip if name.endswith("zip") else make_tar)(folder / name, members)
    content = bytearray(path.read_bytes())
    content[int(flip * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content[: int(cut * len(content))] if truncated else content)
    try:
        out = unpack(str(path), folder / "out", SETTINGS)
    except EscapeError as error:
        said, left = str(error), everything(folder / "out")
    else:
        said, left = ".", [path for path in out.rglob("*") if not path.resolve().is_relative_to(out)]
    assert said.endswith(".")
    assert left == []
