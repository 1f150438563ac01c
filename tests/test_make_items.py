"""Items of whatever products lie in folders, archives and behind addresses."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result

from escape_process.catalogue.sources import Declaration
from escape_process.cli import main
from escape_process.errors import InvalidInputError
from escape_process.make_items import make_items

GRID = Affine(25, 0, 290800, 0, -25, 4575300)
SAID = ("--datetime", "2024-05-04T12:00:00Z", "--radiometry", "sigma0", "--encoding", "dn")
DECLARED = Declaration(datetime=dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC), radiometry="sigma0", encoding="dn")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def write(path: Path, value: int = 900, **profile: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crs": "EPSG:32630", "transform": GRID, "nodata": 0, "dtype": "uint16", "count": 1, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=8, width=12, **options) as raster:
        raster.write(np.full((8, 12), value, dtype=np.uint16), 1)
    return path


def write_scene(folder: Path, pattern: str = "{}.tif") -> Path:
    for name in ("HH", "HV", "VV"):
        write(folder / pattern.format(name))
    return folder


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_hundred_products_with_a_bad_one(tmp_path: Path) -> None:
    first = write_scene(tmp_path / "held" / "scene-000")
    for number in range(1, 100):
        shutil.copytree(first, tmp_path / "held" / f"scene-{number:03}")
    bad = tmp_path / "held" / "scene-050"
    (bad / "VV.tif").write_bytes((bad / "VV.tif").read_bytes()[:100])
    (tmp_path / "held" / "notes").mkdir()
    (tmp_path / "held" / "notes" / "readme.txt").write_text("no product")
    out = tmp_path / "mine"
    result = call("make-item", tmp_path / "held", "--out", out, *SAID)
    assert result.exit_code == 2
    reported = [line for line in result.stderr.splitlines() if line.startswith("escape-process:")]
    assert len(reported) == 1
    assert reported[0].startswith("escape-process: scene-050: The file VV.tif is not a GeoTIFF")
    links = json.loads((out / "collection.json").read_text())["links"]
    assert len([link for link in links if link["rel"] == "item"]) == 99
    before = contents(out)
    assert call("make-item", tmp_path / "held", "--out", out, *SAID).exit_code == 2
    assert contents(out) == before


def test_collection_inside_the_folder_of_products(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene")
    assert call("make-item", tmp_path, "--out", tmp_path, *SAID).exit_code == 0
    before = contents(tmp_path)
    assert call("make-item", tmp_path, "--out", tmp_path, *SAID).exit_code == 0
    assert contents(tmp_path) == before


def test_scenes_that_share_a_folder_are_told_apart(tmp_path: Path) -> None:
    write_scene(tmp_path / "held", "a_{}_SLP.tif")
    write_scene(tmp_path / "held", "b_{}_SLP.tif")
    write(tmp_path / "held" / "a_LIN.tif", 3500)
    write(tmp_path / "held" / "mask.tif", 1)
    made = make_items([str(tmp_path / "held")], tmp_path / "out", declared=DECLARED)
    assert {item.id: set(item.item["assets"]) for item in made.items} == {
        "a": {"HH", "HV", "VV", "local_incidence_angle", "mask"},
        "b": {"HH", "HV", "VV", "mask"},
    }


def test_files_given_one_by_one_are_one_product(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene")
    made = make_items([str(path) for path in sorted(folder.iterdir())], tmp_path / "out", declared=DECLARED)
    assert [item.id for item in made.items] == ["scene"]


def test_nothing_recognized(tmp_path: Path) -> None:
    write(tmp_path / "held" / "chart.tif")
    write(tmp_path / "held" / "below" / "chart.tif")
    made = make_items([str(tmp_path / "held"), str(tmp_path / "none")], tmp_path / "out")
    assert [failure.name for failure in made.failures] == ["below", "none"]
    assert "holds no product" in str(made.failures[0].error)
    assert "is not a folder" in str(made.failures[1].error)
    assert made.collection is None
    assert made.exit_code == 2


def test_one_id_for_several_products_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "a")
    write_scene(tmp_path / "b")
    with pytest.raises(InvalidInputError, match="2 were found"):
        make_items([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", declared=Declaration(id="one"))


def test_second_product_of_one_id_is_reported(tmp_path: Path) -> None:
    for part in "ab":
        write_scene(tmp_path / part / "scene")
    result = call("make-item", tmp_path / "a" / "scene", tmp_path / "b" / "scene", "--out", tmp_path / "out", *SAID)
    assert result.exit_code == 2
    assert "Another product gave the item id 'scene'" in result.stderr


def test_declared_properties_and_format_test(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene")
    options = ("--property", "sat:relative_orbit=137", "--property", "note=real pixels", "--format-test", "--json")
    result = call("make-item", folder, "--out", tmp_path / "out", *SAID, *options)
    assert result.exit_code == 0
    properties = json.loads(result.stdout)["items"][0]["properties"]
    assert (properties["sat:relative_orbit"], properties["note"]) == (137, "real pixels")
    assert properties["escape:format_test"] is True
    refused = call("make-item", folder, "--out", tmp_path / "out", "--property", "137")
    assert refused.exit_code == 2
    assert "KEY=VALUE" in refused.stderr
