"""Keeping an ensemble in a file."""

import re
import tracemalloc
import zipfile

import numpy as np
import pytest
from retrieval.simulated import assert_identical

from escape_process import retrieval
from escape_process.errors import InvalidInputError


@pytest.mark.parametrize("name", ["ensemble", "deterministic"])
def test_round_trip(request, name, scene, tmp_path):
    kept = request.getfixturevalue(name)
    kept.save(tmp_path / "a.ensemble")
    loaded = retrieval.load_ensemble(tmp_path / "a.ensemble")
    assert loaded.report == kept.report
    rows = scene.arguments(slice(0, 500))
    assert_identical(retrieval.retrieve(**rows, ensemble=kept), retrieval.retrieve(**rows, ensemble=loaded))


def test_equal_ensembles_give_equal_bytes(scene, tmp_path):
    for name in ("one", "two"):
        retrieval.calibrate(**scene.arguments(), members=2).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_failed_save_leaves_nothing(ensemble, tmp_path, monkeypatch):
    (tmp_path / "kept").write_text("before")

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        ensemble.save(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "before"


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "some.file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"some\.file"):
        retrieval.load_ensemble(path)


def test_pickles_are_not_executed(tmp_path):
    np.savez(tmp_path / "evil.npz", header=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInputError, match="no ensemble"):
        retrieval.load_ensemble(tmp_path / "evil.npz")


def _rewritten(ensemble, path, change):
    """Save an ensemble, and change one of its arrays' bytes on the way."""
    ensemble.save(path)
    members = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            members[name] = archive.read(name)
    members["log_a.npy"] = change(members["log_a.npy"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_an_array_that_claims_gigabytes_is_refused_before_room_is_made(ensemble, tmp_path):
    def claim(content):
        found = re.search(rb"'shape': \((\d+), 3\), } {11}", content)
        return content.replace(found[0], b"'shape': (20000000000%b, 3), }" % found[1])

    _rewritten(ensemble, tmp_path / "a.npz", claim)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInputError, match="no ensemble"):
            retrieval.load_ensemble(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("at", "value"), [(6, 1), (8, 8), (8, 14)])  # encrypted, deflated, packed by LZMA
def test_an_archive_that_cannot_be_unpacked_is_refused(ensemble, tmp_path, at, value):
    _rewritten(ensemble, tmp_path / "a.npz", lambda content: content)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\3\4") + at] = content[content.index(b"PK\1\2") + at + 2] = value
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InvalidInputError, match="no ensemble"):
        retrieval.load_ensemble(tmp_path / "a.npz")
