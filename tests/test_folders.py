"""Folders that are held, and those that killed processes left behind."""

import os
import threading
from pathlib import Path

import pytest

from escape_process import folders
from escape_process.folders import held, partial_folder, remove_abandoned, remove_unheld


def test_a_held_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with held(folder), held(folder):
        remove_unheld(folder, if_unknown=True)
        assert folder.exists()
    remove_unheld(folder, if_unknown=False)
    assert not folder.exists()
    remove_unheld(folder, if_unknown=True)


def test_whoever_holds_a_folder_has_it_whole_however_often_it_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    done = threading.Event()

    def remove() -> None:
        while not done.is_set():
            remove_unheld(folder, if_unknown=True)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for number in range(300):
            with held(folder):
                file = folder / str(number)
                file.touch()
                assert file.exists()
    finally:
        done.set()
        remover.join()


def test_a_partial_folder_is_gone_unless_it_is_renamed(tmp_path: Path) -> None:
    with partial_folder(tmp_path, "one") as partial:
        remove_abandoned(tmp_path)
        (partial / "file").touch()
    assert list(tmp_path.iterdir()) == []
    with partial_folder(tmp_path, "one") as partial:
        partial.rename(tmp_path / "one")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_where_nobody_can_tell_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "file_system", lambda folder: "nfs4")
    abandoned = tmp_path / ".partial-one-x"
    abandoned.mkdir()
    remove_abandoned(tmp_path)
    assert abandoned.exists()
    os.utime(abandoned, (0, 0))
    remove_abandoned(tmp_path)
    assert not abandoned.exists()
