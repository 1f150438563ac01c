"""Results as a folder of their own: all that is wanted, or nothing, and never over what is there."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from escape_process.catalogue import directory
from escape_process.catalogue.directory import check_vacant, write_directory
from escape_process.cli import main
from escape_process.errors import InvalidInputError, StorageError
from escape_process.settings import Settings

ROOT = Path(__file__).parents[2]
CONFIG = ["--config", str(ROOT / "pygeoapi-config.yml")]
BOX = [10.0, 45.0, 10.1, 45.1]
RING = [[10.0, 45.0], [10.1, 45.0], [10.1, 45.1], [10.0, 45.1], [10.0, 45.0]]


def _item(files: Path, id: str, *links: dict[str, Any]) -> dict[str, Any]:
    """Return a result whose one file lies in the folder of results."""
    (files / id).mkdir(parents=True)
    (files / id / "soil_moisture.tif").write_bytes(id.encode())
    times = {"datetime": "2024-05-18T00:00:00Z"}
    times |= {"start_datetime": times["datetime"], "end_datetime": times["datetime"]}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": id,
        "geometry": {"type": "Polygon", "coordinates": [RING]},
        "bbox": BOX,
        "properties": {**times, "title": id, "gsd": 50.0},
        "links": list(links),
        "assets": {"soil_moisture": {"href": f"https://escape.example.org/catalog/x/{id}/soil_moisture.tif"}},
        "collection": "escape-soil-moisture",
    }


def test_links_that_lead_nowhere_for_others_are_left_out(tmp_path: Path) -> None:
    public = {"rel": "derived_from", "href": "https://stac.example.org/items/one", "title": "one"}
    private = {"rel": "derived_from", "href": "/data/staged/two.json", "title": "two"}
    own = {"rel": "self", "href": "https://escape.example.org/catalog/x/a/a.json"}
    items = [_item(tmp_path / "files", "a", public, private, own), _item(tmp_path / "files", "b")]
    write_directory(items, tmp_path / "files", tmp_path / "new" / "out", Settings())
    out = tmp_path / "new" / "out"
    stored = json.loads((out / "a" / "a.json").read_text())
    assert [link for link in stored["links"] if link["rel"] in ("derived_from", "self")] == [public]
    assert (out / "b" / "soil_moisture.tif").read_bytes() == b"b"
    listed = [link["href"] for link in json.loads((out / "catalog.json").read_text())["links"]]
    assert listed == ["./catalog.json", "./a/a.json", "./b/b.json"]
    assert json.loads((out / "collection.json").read_text())["extent"]["spatial"]["bbox"] == [BOX]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize("fault", ["missing", "full"])
def test_nothing_is_left_of_what_cannot_be_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    items = [_item(tmp_path / "files", "a"), _item(tmp_path / "files", "b")]
    if fault == "missing":
        (tmp_path / "files" / "b" / "soil_moisture.tif").unlink()
    else:
        copyfile = shutil.copyfile

        def fill_up(source: Path, target: Path) -> None:
            copyfile(source, target)
            if source.read_bytes() == b"b":
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(directory.shutil, "copyfile", fill_up)
    why = {"missing": "file soil_moisture.tif is missing", "full": "disk is full"}[fault]
    with pytest.raises(StorageError, match=why):
        write_directory(items, tmp_path / "files", tmp_path / "new" / "out", Settings())
    assert list((tmp_path / "new").iterdir()) == []


def test_an_empty_folder_is_taken_and_another_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_directory([_item(tmp_path / "files", "a")], tmp_path / "files", tmp_path / "empty", Settings())
    assert (tmp_path / "empty" / "a" / "a.json").exists()
    (tmp_path / "file").touch()
    for name in ("empty", "file"):
        with pytest.raises(InvalidInputError, match=name):
            check_vacant(tmp_path / name)


def test_a_folder_in_use_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESCAPE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    words = ["--bbox=-5.46,41.24,-5.43,41.27", "--stac-out", str(tmp_path / "mine")]
    result = CliRunner().invoke(main, ["run", *CONFIG, *words])
    assert result.exit_code == 2
    assert "mine" in result.output
    assert not (tmp_path / "data").exists()


def test_a_folder_stands_for_the_catalogue_in_it_and_the_command_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container whose entry point is the command is handed the whole command line by runners of packages."""
    monkeypatch.setenv("ESCAPE_DATA_DIR", str(tmp_path / "data"))
    samples = ROOT / "catalog" / "samples"
    words = [*CONFIG, "--bbox=-5.46,41.24,-5.43,41.27", "--stac-out", str(tmp_path / "out"), "--dry-run", "--json"]
    result = CliRunner().invoke(main, ["escape-process", "run", "--catalog", str(samples), *words])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.output)["report"]["scenes"]) == 3
    assert not (tmp_path / "out").exists()
