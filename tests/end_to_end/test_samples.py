"""The sample scenes through the real server: executed, checked, found by search, answered again."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pystac_client
import pytest
import rasterio
from prometheus_client.parser import text_string_to_metric_families
from rasterio.windows import Window
from result_checks import check_result
from serving import PROCESS, ROOT, SAMPLE_INPUTS, Server, serve
from stac_validation import validate_offline

from escape_process.layers import UNUSABLE
from escape_process.samples import write_simulated
from escape_process.simulate import utm_grid

TRUTH = ROOT / "tests" / "data" / "sample_truth"


@pytest.fixture(scope="module")
def answer(server: Server) -> dict[str, Any]:
    """Return the answer to the sample request for one date."""
    response = server.execute(SAMPLE_INPUTS)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


@pytest.fixture(scope="module")
def item(answer: dict[str, Any]) -> dict[str, Any]:
    """Return its one result item."""
    (found,) = answer["items"]["features"]
    return dict(found)


def test_the_result_is_complete_and_right(server: Server, item: dict[str, Any], tmp_path: Path) -> None:
    layers = check_result(server.client, item, tmp_path)
    usable = np.isfinite(layers["soil_moisture"]) & (layers["flags"].astype(int) & UNUSABLE == 0)
    assert usable.mean() > 0.2
    left, top = item["properties"]["proj:transform"][2], item["properties"]["proj:transform"][5]
    with rasterio.open(TRUTH / "sim-salamanca-20240518_soil_moisture.tif") as raster:
        column, row = (round(value) for value in ~raster.transform @ (left, top))
        height, width = usable.shape
        stored = raster.read(1, window=Window(column, row, width, height), masked=True)
        truth = np.ma.filled(stored * raster.scales[0] + raster.offsets[0], np.nan)
    usable &= np.isfinite(truth)
    error = (layers["soil_moisture"] - truth)[usable]
    inside = (truth >= layers["soil_moisture_p05"]) & (truth <= layers["soil_moisture_p95"])
    assert np.corrcoef(layers["soil_moisture"][usable], truth[usable])[0, 1] > 0.5
    assert error.std() < truth[usable].std()
    assert 0.80 <= inside[usable].mean() <= 0.99


def test_the_result_says_that_it_is_simulated(item: dict[str, Any]) -> None:
    assert item["properties"]["escape:simulated"] is True
    assert "simulated" in item["properties"]["title"].lower()


def test_the_item_validates_offline(item: dict[str, Any], shared_data: Path) -> None:
    validate_offline(item, shared_data / "stac_schemas")


def test_the_result_is_found_by_stac_search(server: Server, item: dict[str, Any]) -> None:
    client = pystac_client.Client.open(f"{server.url}/stac-api")
    found = list(
        client.search(
            collections=[PROCESS], bbox=SAMPLE_INPUTS["bbox"], datetime=SAMPLE_INPUTS["datetime"], max_items=10
        ).items()
    )
    assert [one.id for one in found] == [item["id"]]
    href = found[0].assets["soil_moisture"].href
    with rasterio.open(href) as raster:
        window = raster.read(1, window=Window(10, 20, 30, 40))
    assert window.shape == (40, 30)
    assert not list(client.search(collections=[PROCESS], bbox=[0, 0, 1, 1]).items())


def test_the_result_hangs_in_the_browsable_tree(server: Server, item: dict[str, Any]) -> None:
    served = pystac.Catalog.from_file(f"{server.url}/catalog/catalog.json")
    assert item["id"] in {one.id for one in served.get_items(recursive=True)}
    on_disk = pystac.Catalog.from_file(str(server.data / "catalog" / "catalog.json"))
    assert item["id"] in {one.id for one in on_disk.get_items(recursive=True)}
    name = f"{PROCESS}/{item['id']}/{item['id']}.json"
    assert server.client.get(f"/catalog/{name}").content == (server.data / "catalog" / name).read_bytes()


def test_the_same_request_is_answered_from_the_catalogue(server: Server, item: dict[str, Any]) -> None:
    again = server.execute(SAMPLE_INPUTS).json()
    assert again["report"]["stacks"][0]["reused"]
    assert again["items"]["features"] == [item]


def test_the_same_request_computed_anew_gives_the_same_bytes(server: Server, item: dict[str, Any]) -> None:
    (anew,) = server.execute({**SAMPLE_INPUTS, "reuse": False}).json()["items"]["features"]
    times = {"created", "updated", "processing:datetime"}
    assert {key: value for key, value in anew["properties"].items() if key not in times} == {
        key: value for key, value in item["properties"].items() if key not in times
    }
    for key, asset in item["assets"].items():
        if key != "provenance":  # has the job and its times in it
            assert anew["assets"][key]["file:checksum"] == asset["file:checksum"], key
    collection = server.client.get(f"/catalog/{PROCESS}/collection.json").json()
    linked = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert len(linked) == len(set(linked))


def test_a_smaller_area_gives_the_same_answer_there(server: Server, tmp_path: Path) -> None:
    (item,) = server.execute(SAMPLE_INPUTS).json()["items"]["features"]  # as it is now: computed anew above
    (part,) = server.execute({**SAMPLE_INPUTS, "bbox": [-5.46, 41.24, -5.43, 41.27]}).json()["items"]["features"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "part").mkdir()
    whole_layers = check_result(server.client, item, tmp_path / "whole")
    part_layers = check_result(server.client, part, tmp_path / "part")
    whole_origin, part_origin = (one["properties"]["proj:transform"] for one in (item, part))
    column = round((part_origin[2] - whole_origin[2]) / 50)
    row = round((whole_origin[5] - part_origin[5]) / 50)
    height, width = part["properties"]["proj:shape"]
    for name, values in part_layers.items():
        overlap = whole_layers[name][row : row + height, column : column + width]
        np.testing.assert_array_equal(values, overlap, err_msg=name)


def test_unpublished_results_are_served_but_not_listed(server: Server, tmp_path: Path) -> None:
    inputs = {**SAMPLE_INPUTS, "bbox": [-5.45, 41.25, -5.44, 41.26], "publish": False}
    (hidden,) = server.execute(inputs).json()["items"]["features"]
    check_result(server.client, hidden, tmp_path)
    client = pystac_client.Client.open(f"{server.url}/stac-api")
    assert not list(client.search(ids=[hidden["id"]]).items())


def test_dry_run_names_what_would_be_used_and_refused(server: Server) -> None:
    inputs = {"catalog": "sample", "bbox": SAMPLE_INPUTS["bbox"], "dry_run": True}
    answer = server.execute(inputs).json()
    assert answer["items"]["features"] == []
    assert len(answer["report"]["scenes"]) == 3
    (decoy,) = answer["report"]["refused"]
    assert decoy["id"] == "sim-salamanca-20240511-dualpol"
    assert "VV" in decoy["reason"]


def test_a_dry_run_waits_for_no_other_job(server: Server) -> None:
    jobs = [server.execute({**SAMPLE_INPUTS, "seed": seed, "reuse": False}, asynchronous=True) for seed in (101, 102)]
    assert server.execute({**SAMPLE_INPUTS, "dry_run": True}).status_code == 200
    assert server.client.get(jobs[1].headers["Location"]).json()["status"] == "accepted"
    for job in reversed(jobs):
        server.client.delete(job.headers["Location"]).raise_for_status()


def test_dates_over_the_same_ground_give_an_item_each(server: Server, tmp_path: Path) -> None:
    inputs = {"catalog": "sample", "bbox": [-5.46, 41.24, -5.43, 41.27]}
    items = server.execute(inputs).json()["items"]["features"]
    dates = [one["properties"]["datetime"][:10] for one in items]
    assert sorted(dates) == ["2024-05-04", "2024-05-18", "2024-06-01"]
    for one in items:
        folder = tmp_path / one["id"]
        folder.mkdir()
        check_result(server.client, one, folder)


def test_deterministic_mode_resolution_and_crs_are_honoured(server: Server, tmp_path: Path) -> None:
    inputs = {**SAMPLE_INPUTS, "mode": "deterministic", "members": 4, "resolution": 120, "crs": 32629}
    (one,) = server.execute(inputs).json()["items"]["features"]
    assert one["properties"]["proj:code"] == "EPSG:32629"
    assert one["properties"]["proj:transform"][0] == 120
    layers = check_result(server.client, one, tmp_path)
    assert np.isfinite(layers["soil_moisture"]).mean() > 0.3
    assert layers["members_used"].max() <= 4


def test_a_polygon_cuts_the_map(server: Server, tmp_path: Path) -> None:
    triangle = [[-5.46, 41.24], [-5.43, 41.24], [-5.46, 41.27], [-5.46, 41.24]]
    inputs = {
        "catalog": "sample",
        "datetime": SAMPLE_INPUTS["datetime"],
        "geometry": {"type": "Polygon", "coordinates": [triangle]},
    }
    (one,) = server.execute(inputs).json()["items"]["features"]
    finite = np.isfinite(check_result(server.client, one, tmp_path)["soil_moisture"])
    assert finite[-3, 3]
    assert not finite[3, -3]
    assert 0.3 < finite.mean() < 0.6


@pytest.mark.parametrize("where", ["/stac-api", "/catalog/samples/collection.json"])
def test_scenes_are_found_and_read_over_http(server: Server, item: dict[str, Any], where: str) -> None:
    """The server's own STAC API and static tree serve as remote catalogues, rasters read by range requests."""
    inputs = {**SAMPLE_INPUTS, "catalog": server.url + where, "collections": ["samples"]}
    response = server.execute(inputs)
    assert response.status_code == 200, response.text
    (one,) = response.json()["items"]["features"]
    assert one["assets"]["soil_moisture"]["file:checksum"] == item["assets"]["soil_moisture"]["file:checksum"]


def test_a_filter_narrows_the_search(server: Server) -> None:
    inputs = {
        "catalog": "sample",
        "bbox": SAMPLE_INPUTS["bbox"],
        "filter": {"op": ">", "args": [{"property": "datetime"}, {"timestamp": "2024-05-20T00:00:00Z"}]},
        "dry_run": True,
    }
    scenes = server.execute(inputs).json()["report"]["scenes"]
    assert [scene["id"] for scene in scenes] == ["sim-salamanca-20240601"]


def test_a_scene_across_the_antimeridian(tmp_path: Path) -> None:
    when = dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC)
    path = write_simulated(tmp_path / "fiji", utm_grid(179.995, -17.0, width=96, height=96), [when], name="fiji")
    with serve(tmp_path, {"fiji": path}) as other:
        inputs = {"catalog": "fiji", "bbox": [179.98, -17.02, -179.99, -16.98], "members": 2}
        response = other.execute(inputs)
        assert response.status_code == 200, response.text
        (one,) = response.json()["items"]["features"]
        layers = check_result(other.client, one, tmp_path)
        assert np.isfinite(layers["soil_moisture"]).mean() > 0.5
        west, _, east, _ = one["bbox"]
        assert west > 179
        assert east < -179
        found = pystac_client.Client.open(f"{other.url}/stac-api").search(
            collections=[PROCESS], bbox=[179.98, -17.02, -179.99, -16.98]
        )
        assert [entry.id for entry in found.items()] == [one["id"]]


def test_zones_give_a_table_and_a_repeated_request_the_same(server: Server) -> None:
    field = [[-5.46, 41.24], [-5.45, 41.24], [-5.45, 41.25], [-5.46, 41.25], [-5.46, 41.24]]
    far = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    zones = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "id": "field", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            for ring in (field, far)
        ],
    }
    inputs = {"catalog": "sample", "bbox": [-5.46, 41.24, -5.43, 41.27], "zones": zones}
    told = server.execute(inputs).json()["report"]["stacks"][0]
    rows = told["zones"]
    assert [row["zone"] for row in rows] == ["field"] * 3
    assert sorted(row["datetime"][:10] for row in rows) == ["2024-05-04", "2024-05-18", "2024-06-01"]
    for row in rows:
        assert 300 < row["cells"] < 450
        assert row["soil_moisture_p05"] < row["soil_moisture"] < row["soil_moisture_p95"]
        assert row["soil_moisture_uncertainty"] >= row["soil_moisture_epistemic"]
    again = server.execute(inputs).json()["report"]["stacks"][0]
    assert again["reused"]
    assert again["zones"] == rows


def test_the_pixels_retrieved_are_counted(server: Server, answer: dict[str, Any]) -> None:
    (told,) = answer["report"]["stacks"]
    assert 0 < told["pixels"] <= told["grid"]["width"] * told["grid"]["height"]
    assert told["seconds"]["retrieval"] > 0
    families = {family.name: family for family in text_string_to_metric_families(server.client.get("/metrics").text)}
    (counted,) = families["escape_pixels_retrieved"].samples
    assert counted.labels == {"process": PROCESS}
    assert counted.value >= told["pixels"]
    kinds = {sample.labels["memory"]: sample.value for sample in families["escape_job_peak_memory_bytes"].samples}
    assert kinds["resident"] > 1e8  # at the least the libraries


def test_nothing_unfinished_remains(server: Server) -> None:
    server.check_nothing_left()
