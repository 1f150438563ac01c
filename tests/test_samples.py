"""The catalogue that comes with the software: what the code builds, valid, small and labelled as simulated."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo import cog_validate
from stac_validation import validate_offline

from escape_process.catalogue.scenes import scene_from_item
from escape_process.errors import InvalidInputError
from escape_process.records import Refusal, Scene
from escape_process.request import RetrievalRequest
from escape_process.samples import build_sample_catalogue, write_simulated
from escape_process.simulate import utm_grid

ROOT = Path(__file__).parent.parent
CATALOG = ROOT / "catalog"
TRUTH = ROOT / "tests" / "data" / "sample_truth"
QUAD = ("sim-marchfeld-20240517", "sim-salamanca-20240504", "sim-salamanca-20240518", "sim-salamanca-20240601")
DUAL = "sim-salamanca-20240511-dualpol"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the catalogue and its truth anew."""
    folder = tmp_path_factory.mktemp("rebuilt")
    build_sample_catalogue(folder / "catalog", folder / "truth")
    return folder


@pytest.fixture(scope="module")
def items() -> dict[str, pystac.Item]:
    """Items of the committed catalogue, as a walk from its root finds them."""
    root = pystac.Catalog.from_file(str(CATALOG / "catalog.json"))
    return {item.id: item for item in root.get_items(recursive=True)}


def without_bytes(document: Any) -> Any:
    """Leave out what depends on the build of the raster library."""
    if isinstance(document, dict):
        return {
            key: without_bytes(value)
            for key, value in document.items()
            if key not in ("file:size", "file:checksum", "processing:software")
        }
    return [without_bytes(value) for value in document] if isinstance(document, list) else document


def files_of(folder: Path, pattern: str) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob(pattern))


@pytest.mark.parametrize(("committed", "part"), [(CATALOG, "catalog"), (TRUTH, "truth")])
def test_build_gives_what_is_committed(rebuilt: Path, committed: Path, part: str) -> None:
    assert files_of(rebuilt / part, "*") == files_of(committed, "*")
    for name in files_of(committed, "*.json"):
        one, other = (json.loads((folder / name).read_text()) for folder in (committed, rebuilt / part))
        assert without_bytes(one) == without_bytes(other), name
    for name in files_of(committed, "*.tif"):
        with rasterio.open(committed / name) as one, rasterio.open(rebuilt / part / name) as other:
            assert (one.crs, one.transform, one.dtypes, one.nodata) == (
                other.crs,
                other.transform,
                other.dtypes,
                other.nodata,
            )
            difference = np.abs(one.read(1).astype(np.int64) - other.read(1))
        assert np.mean(difference <= 1) >= 0.999, name


def test_building_over_it_changes_nothing(rebuilt: Path) -> None:
    before = {path: path.read_bytes() for path in rebuilt.rglob("*.json")}
    build_sample_catalogue(rebuilt / "catalog", rebuilt / "truth")
    assert {path: path.read_bytes() for path in rebuilt.rglob("*.json")} == before


def test_catalogue_is_small_and_holds_no_truth() -> None:
    assert sum(path.stat().st_size for path in CATALOG.rglob("*") if path.is_file()) < 6e6
    assert sum(path.stat().st_size for path in TRUTH.rglob("*")) < 1.5e6
    names = {path.name for path in CATALOG.rglob("*.tif")}
    assert names == {"HH.tif", "HV.tif", "VH.tif", "VV.tif", "local_incidence_angle.tif", "mask.tif"}


def test_walk_finds_five_scenes_over_two_places(items: dict[str, pystac.Item]) -> None:
    assert sorted(items) == sorted([*QUAD, DUAL])
    grids = {str(item.properties["proj:transform"]) for key, item in items.items() if "salamanca" in key}
    assert len(grids) == 1
    orbits = {items[key].properties["sat:relative_orbit"] for key in QUAD if "salamanca" in key}
    assert len(orbits) == 1
    for item in items.values():
        assert item.get_collection() is not None
        for asset in item.assets.values():
            assert not asset.href.startswith("/")
            assert Path(asset.get_absolute_href() or "").is_file()


def test_everything_says_that_it_is_simulated(items: dict[str, pystac.Item]) -> None:
    collection = json.loads((CATALOG / "samples" / "collection.json").read_text())
    assert "Simulated" in collection["title"]
    assert "Simulated" in collection["description"]
    for item in items.values():
        assert "Simulated" in item.properties["title"]
        assert "not an observation" in item.properties["description"]
        assert item.properties["escape:simulated"] is True
        assert item.properties["platform"] == "simulated"


def test_retrieval_takes_the_quad_pol_scenes_and_refuses_the_other() -> None:
    request = RetrievalRequest(ids=["any"])
    for name in (*QUAD, DUAL):
        path = CATALOG / "samples" / name / f"{name}.json"
        scene = scene_from_item(json.loads(path.read_text()), str(path), request)
        if name == DUAL:
            assert isinstance(scene, Refusal)
            assert "VV" in scene.reason
        else:
            assert isinstance(scene, Scene)
            assert scene.warnings == ()
            assert (scene.looks, scene.frequency) == (28.0, 1.2365e9)


def test_rasters_are_cogs_that_agree_with_their_items(items: dict[str, pystac.Item]) -> None:
    for item in items.values():
        for asset in item.assets.values():
            path = asset.get_absolute_href()
            assert cog_validate(path, quiet=True) == (True, [], [])
            band = asset.extra_fields["bands"][0]
            with rasterio.open(path) as raster:
                assert list(raster.shape) == item.properties["proj:shape"]
                assert raster.crs.to_string() == item.properties["proj:code"]
                assert (raster.dtypes[0], raster.nodata) == (band["data_type"], band["nodata"])
                assert raster.scales[0] == band.get("raster:scale", 1.0)


def test_all_metadata_is_valid(shared_data: Path) -> None:
    documents = [json.loads(path.read_text()) for path in CATALOG.rglob("*.json")]
    found = sorted(document["type"] for document in documents)
    assert found == ["Catalog", "Collection", "Collection"] + 5 * ["Feature"]
    for document in documents:
        used = validate_offline(document, shared_data / "stac_schemas")
        assert len(used) == 1 + len(document.get("stac_extensions", []))


def dates(count: int) -> Iterator[dt.datetime]:
    for number in range(count):
        yield dt.datetime(2024, 5, 4, 23, 28, tzinfo=dt.UTC) + dt.timedelta(days=14 * number)


def test_own_season_becomes_a_catalogue(tmp_path: Path) -> None:
    seen: list[float] = []
    path = write_simulated(
        tmp_path / "scenes",
        utm_grid(-5.44, 41.26, 48, 40),
        list(dates(2)),
        name="mine",
        truth_folder=tmp_path / "truth",
        progress=lambda share, message: seen.append(share),
    )
    collection = pystac.Collection.from_file(str(path))
    assert [item.id for item in collection.get_items()] == ["mine-20240504", "mine-20240518"]
    assert seen == [0.5, 1.0]
    assert len(list((tmp_path / "truth").glob("mine-20240518_*.tif"))) == 3


def test_two_passes_of_a_day_get_ids_of_their_own(tmp_path: Path) -> None:
    day = next(dates(1))
    passes = [day.replace(hour=hour) for hour in (10, 22)]
    path = write_simulated(tmp_path, utm_grid(0, 0, 32, 32), passes, polarizations=("HH", "HV"))
    ids = [item.id for item in pystac.Collection.from_file(str(path)).get_items()]
    assert ids == ["simulated-20240504T102800", "simulated-20240504T222800"]


def test_truth_among_the_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="apart"):
        write_simulated(tmp_path, utm_grid(0, 0, 32, 32), list(dates(1)), truth_folder=tmp_path / "truth")
    assert not list(tmp_path.iterdir())
