"""The command: what it prints, where it writes, how it exits."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from shapely.geometry import shape

from escape_process.cli import main

ROOT = Path(__file__).parent.parent
CONFIG = ["--config", str(ROOT / "pygeoapi-config.yml")]
BBOX = "--bbox=-5.46,41.24,-5.43,41.27"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments], catch_exceptions=False)


@pytest.mark.parametrize("command", main.commands)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"escape-process {command}" in result.output.partition("Examples:")[2]


def test_openapi_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGEOAPI_CONFIG", "")  # set by the command, put back by this
    monkeypatch.setenv("ESCAPE_URL", "https://soil.example.org")
    document = json.loads(call("openapi", *CONFIG).output)
    assert document["servers"] == [{"url": "https://soil.example.org"}]
    assert "/processes/escape-soil-moisture/execution" in document["paths"]


def test_dry_run_as_json(tmp_path: Path) -> None:
    result = call("run", *CONFIG, BBOX, "--dry-run", "--json", "--out", str(tmp_path))
    assert result.exit_code == 0
    report = json.loads(result.stdout)["report"]
    assert [scene["id"] for scene in report["scenes"]] == [
        "sim-salamanca-20240504",
        "sim-salamanca-20240518",
        "sim-salamanca-20240601",
    ]
    assert [one["id"] for one in report["refused"]] == ["sim-salamanca-20240511-dualpol"]
    for one in (*report["scenes"], *report["refused"]):
        item = json.loads((ROOT / "catalog" / "samples" / one["id"] / f"{one['id']}.json").read_text())
        difference = shape(one["geometry"]).symmetric_difference(shape(item["geometry"]))
        assert difference.area < 0.001 * shape(item["geometry"]).area


def test_bad_input_exits_with_2(tmp_path: Path) -> None:
    result = call("run", *CONFIG, BBOX, "--members", "0", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr == "escape-process: Input members = 0: should be greater than or equal to 1.\n"


def test_a_failure_exits_with_1(tmp_path: Path) -> None:
    result = call("run", *CONFIG, BBOX, "--datetime", "2024-05-11", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "VV" in result.stderr


def test_scenes_of_ones_own_from_simulation_to_map(tmp_path: Path) -> None:
    """Simulate, make items anew of the bare rasters, run on them, and find what was made."""
    scenes, mine, out = tmp_path / "scenes", tmp_path / "mine", tmp_path / "out"
    simulated = call("simulate", str(scenes), "--size", "96", "--truth", str(tmp_path / "truth"))
    assert simulated.exit_code == 0, simulated.output
    folder = scenes / "simulated-20240504"
    made = call(
        *("make-item", str(folder), "--out", str(mine), "--id", "mine", "--datetime", "2024-05-04T23:28:31Z"),
        *("--radiometry", "sigma0", "--encoding", "dn", "--looks", "28", "--frequency", "1.2365e9", "--json"),
    )
    assert made.exit_code == 0, made.output
    assert [item["id"] for item in json.loads(made.stdout)["items"]] == ["mine"]
    done = call(
        *("run", *CONFIG, "--catalog", str(mine / "collection.json"), "--ids", "mine", "--members", "3"),
        *("--out", str(out), "--json"),
    )
    assert done.exit_code == 0, done.output
    (item,) = json.loads(done.stdout)["items"]["features"]
    with rasterio.open(item["assets"]["soil_moisture"]["href"]) as raster:
        moisture = raster.read(1, masked=True)
    assert moisture.shape == (48, 48)
    assert 0.02 < float(np.ma.mean(moisture)) < 0.5
    assert (out / "catalog" / "escape-soil-moisture" / item["id"] / f"{item['id']}.json").is_file()


def test_a_table_of_zones(tmp_path: Path) -> None:
    ring = [[-5.46, 41.24], [-5.45, 41.24], [-5.45, 41.25], [-5.46, 41.25], [-5.46, 41.24]]
    feature = {"type": "Feature", "id": "field", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    fields = tmp_path / "fields.geojson"
    fields.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    ask = ["run", *CONFIG, BBOX, "--datetime", "2024-05-18", "--members", "3", "--out", str(tmp_path / "out")]
    for name in ("table.csv", "table.geojson"):
        result = call(*ask, "--zones", f"@{fields}", "--table", str(tmp_path / name))
        assert result.exit_code == 0, result.output
    header, row = (tmp_path / "table.csv").read_text().splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert values["zone"] == "field"
    assert 0.02 < float(values["soil_moisture"]) < 0.5
    (one,) = json.loads((tmp_path / "table.geojson").read_text())["features"]
    assert one["geometry"]["coordinates"] == [ring]
    assert one["properties"]["soil_moisture"] == float(values["soil_moisture"])
    assert call(*ask, "--table", str(tmp_path / "table.csv")).exit_code == 2


def test_the_truth_must_lie_apart(tmp_path: Path) -> None:
    result = call("simulate", str(tmp_path), "--size", "64", "--truth", str(tmp_path / "truth"))
    assert result.exit_code == 2
    assert "apart" in result.stderr
