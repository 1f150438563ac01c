"""The benchmark of throughput: its scenes are what they claim, its parts measure what happened, its page is whole."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scaling import measuring, page, scenes
from scaling.page import Results, Row, Spread
from scaling.scenes import Case

from escape_process.layers import LAYERS


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 150 x 150 pixels that repeats one of 64 x 64."""
    folder = tmp_path_factory.mktemp("scene")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "BASE_EDGE", 64)
        base = scenes.make_base(folder / "base")
    return scenes.make_scene(base, 150, folder)


@pytest.mark.parametrize("name", ["HH", "VH", "local_incidence_angle", "mask"])
def test_a_scene_is_the_small_one_mirrored(catalogue: Path, name: str) -> None:
    with rasterio.open(catalogue.parent.parent / "base" / f"{name}.tif") as raster:
        small, stored = raster.read(1), (raster.crs, raster.transform, raster.nodata, raster.scales, raster.units)
    with rasterio.open(catalogue.parent.parent / scenes.SCENE_ID / f"{name}.tif") as raster:
        values = raster.read(1)
        assert (raster.crs, raster.transform, raster.nodata, raster.scales, raster.units) == stored
    np.testing.assert_array_equal(values, np.pad(small, ((0, 86), (0, 86)), mode="symmetric"))


def test_sizes_are_of_each_channel() -> None:
    assert [Case(size, False).edge for size in (1, 4, 16, 64)] == [1000, 2000, 4000, 8000]
    assert abs(Case(5.6, True).edge ** 2 / 5.6e6 - 1) < 1e-3


@pytest.fixture(scope="module")
def measured(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Row:
    data = str(tmp_path_factory.mktemp("data"))
    asked = {"catalogue": str(catalogue), "data": data, "resolution": None, "members": 2}
    told = measuring.request(**asked, engine="inline", workers=2)
    floor = measuring.floor(str(catalogue), told["folder"], 2)
    rates = measuring.rates(**asked, workers=2)
    return Row(Case(0.0225, False), {**told, "seconds": 20.0, "cpu": 15.0, "peak": 5e8}, floor, rates)


def test_the_parts_measure_one_request(measured: Row) -> None:
    assert measured.request["shape"] == [75, 75]
    assert 0.7 * measured.cells < measured.request["cells"] <= measured.cells
    assert set(measured.request["checksums"]) == {layer.name for layer in LAYERS}
    assert all(seconds > 0 for seconds in (*measured.request["laps"].values(), *measured.floor.values()))
    assert measured.rates["inference"] > measured.rates["map"] > 0
    assert measured.rates["table"] > 0


def test_the_floor_writes_the_same_layers(measured: Row) -> None:
    folder = Path(measured.request["folder"])
    for layer in LAYERS:
        with (
            rasterio.open(folder / f"{layer.name}.tif") as made,
            rasterio.open(folder / f"floor_{layer.name}.tif") as again,
        ):
            assert (again.profile, again.block_shapes) == (made.profile, made.block_shapes)
            np.testing.assert_array_equal(again.read(1), made.read(1))


def test_a_part_runs_in_a_process_that_is_watched() -> None:
    with pytest.raises(SystemExit, match="floor failed"):
        measuring.run_part("floor", {}, 1)


def test_the_page_is_whole(measured: Row) -> None:
    def sized(megapixels: float, native: bool, peak: float) -> Row:
        request = json.loads(json.dumps({**measured.request, "peak": peak, "seconds": 50.0}))
        return Row(Case(megapixels, native), request, measured.floor, measured.rates)

    rows = [measured, sized(4, False, 4e8), sized(64, False, 4.4e8), sized(5.6, True, 4e8)]
    spreads = [Spread(rows[1].case, engine, 2, rows[1].request) for engine in ("inline", "processes")]
    text = page.write(Results(rows, spreads, 2, 24.0, 3.0, 2, 10))
    assert "simulated" in text
    assert "Still to be measured" in text
    assert "| peak memory of 64 Mpx over that of 4 Mpx | 1.15 | 1.10 |" in text
    assert "others were computing" in text
    tables = [part for part in text.split("\n\n") if part.startswith("| ")]
    assert len(tables) == 4
    for lines in (part.splitlines() for part in tables):
        assert len({line.count(" | ") for line in lines}) == 1
