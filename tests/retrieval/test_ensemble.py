"""Keeping an ensemble in a file."""

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
