"""Every bad input over HTTP: the right status, one sentence naming field and value, nothing left behind."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pystac_client
import pytest
import rasterio
from loopback import Quiet, in_thread
from result_checks import check_result
from serving import PROCESS, ROOT, SAMPLE_INPUTS, Server, serve

from escape_process.jobs.serve import free_port

SCENE = "sim-salamanca-20240518"
BBOX = SAMPLE_INPUTS["bbox"]
SMALL = {"bbox": [-5.45, 41.25, -5.43, 41.27]}


def edit_raster(name: str, change: Callable[[np.ndarray], np.ndarray], **profile: Any) -> Callable[[Path], None]:
    """Return an act that rewrites one raster of a scene."""

    def act(folder: Path) -> None:
        path = folder / name
        with rasterio.open(path) as raster:
            options, values = raster.profile, raster.read(1)
        values = change(values)
        options = {"driver": "GTiff", "count": 1, **{key: options[key] for key in ("crs", "transform", "nodata")}}
        path.unlink()
        options.update(height=values.shape[0], width=values.shape[1], dtype=values.dtype, **profile)
        with rasterio.open(path, "w", **options) as raster:
            raster.write(values, 1)

    return act


def edit_item(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Return an act that changes a scene's item."""

    def act(folder: Path) -> None:
        path = folder / f"{SCENE}.json"
        item = json.loads(path.read_text())
        change(item)
        path.write_text(json.dumps(item))

    return act


def truncate(folder: Path) -> None:
    path = folder / "VV.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_radiometry(item: dict[str, Any]) -> None:
    item["properties"].pop("product:type", None)
    for asset in item["assets"].values():
        asset["roles"] = [role for role in asset["roles"] if role != "sigma0"]


def without_angle(item: dict[str, Any]) -> None:
    del item["assets"]["local_incidence_angle"]
    for name in ("view:incidence_angle", "view:off_nadir"):
        item["properties"].pop(name, None)


SPOILED: dict[str, tuple[Callable[[Path], None], int, list[str]]] = {
    "missing": (lambda folder: (folder / "VV.tif").unlink(), 502, ["VV.tif"]),
    "truncated": (truncate, 422, ["VV"]),
    "not-a-raster": (lambda folder: (folder / "VV.tif").write_text("no raster") and None, 422, ["VV.tif"]),
    "no-crs": (edit_raster("VV.tif", lambda dn: dn, crs=None), 422, ["VV", "no CRS"]),
    "other-shape": (edit_raster("VV.tif", lambda dn: dn[:-3]), 422, ["VV", "381 x 384", "384 x 384"]),
    "other-grid": (
        edit_raster("VV.tif", lambda dn: dn, transform=rasterio.Affine(25, 0, 0, 0, -25, 0)),
        422,
        ["VV", "another grid"],
    ),
    "masked": (edit_raster("mask.tif", np.zeros_like), 422, ["No pixel of", SCENE]),
    "no-radiometry": (edit_item(without_radiometry), 422, ["radiometry"]),
    "no-angle": (edit_item(without_angle), 422, ["incidence_angle_deg"]),
}


def linear_with(bad: dict[tuple[int, int], float]) -> Callable[[Path], None]:
    """Return an act that stores VV as linear power with bad values at pixels."""

    def change(dn: np.ndarray) -> np.ndarray:
        power = (dn.astype(np.float64) ** 2 * 10**-8.3).astype(np.float32)
        for pixel, value in bad.items():
            power[pixel] = value
        return power

    def act(folder: Path) -> None:
        edit_raster("VV.tif", change, nodata=None)(folder)

        def declare(item: dict[str, Any]) -> None:
            item["assets"]["VV"]["bands"][0].update(data_type="float32", unit="1")
            item["assets"]["VV"]["bands"][0].pop("nodata", None)
            item["assets"]["VV"].pop("escape:calibration_factor_db", None)

        edit_item(declare)(folder)

    return act


class Odd(Quiet, BaseHTTPRequestHandler):
    """A host that answers with what is no catalogue."""

    answers: ClassVar = {
        "/html": (200, "text/html", b"<html>no catalogue</html>"),
        "/other.json": (200, "application/json", b'{"hello": "world"}'),
        "/broken": (500, "text/plain", b"out of order"),
    }

    def do_GET(self) -> None:
        status, kind, content = self.answers.get(self.path, (404, "text/plain", b"not here"))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def odd_host() -> Iterator[str]:
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Odd)) as host:
        yield f"http://127.0.0.1:{host.server_address[1]}"


def copy_samples(folder: Path) -> Path:
    shutil.copytree(ROOT / "catalog" / "samples", folder)
    collection = json.loads((folder / "collection.json").read_text())
    collection["links"] = [link for link in collection["links"] if link["rel"] not in ("root", "parent")]
    (folder / "collection.json").write_text(json.dumps(collection))
    return folder


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a copy of the samples for each way of spoiling one scene."""
    folder = tmp_path_factory.mktemp("spoiled")
    catalogs: dict[str, Path] = {}
    for name, (act, _, _) in SPOILED.items():
        act(copy_samples(folder / name) / SCENE)
        catalogs[name] = folder / name / "collection.json"
    bad = {(10, 10): np.nan, (11, 11): np.inf, (12, 12): 0.0, (13, 13): -1.0}
    linear_with(bad)(copy_samples(folder / "bad-pixels") / SCENE)
    catalogs["bad-pixels"] = folder / "bad-pixels" / "collection.json"
    (copy_samples(folder / "lost-item") / SCENE / f"{SCENE}.json").unlink()
    catalogs["lost-item"] = folder / "lost-item" / "collection.json"
    with serve(folder, catalogs) as server:
        yield server


@pytest.mark.parametrize("name", sorted(SPOILED))
def test_a_spoiled_scene_is_refused_in_one_sentence(spoiled: Server, name: str) -> None:
    _, status, parts = SPOILED[name]
    sentence = spoiled.refusal({"catalog": name, "ids": [SCENE]}, status)
    for part in parts:
        assert part in sentence
    spoiled.check_nothing_left()


def test_a_spoiled_scene_does_not_stop_the_others(spoiled: Server) -> None:
    answer = spoiled.execute({**SMALL, "catalog": "no-crs", "members": 2}).json()
    assert len(answer["items"]["features"]) == 2
    reasons = {one["id"]: one["reason"] for one in answer["report"]["refused"]}
    assert "no CRS" in reasons[SCENE]


def test_bad_pixels_are_left_out(spoiled: Server, tmp_path: Path) -> None:
    response = spoiled.execute({"catalog": "bad-pixels", "ids": [SCENE], "resolution": 25, "members": 2})
    assert response.status_code == 200, response.text
    (item,) = response.json()["items"]["features"]
    layers = check_result(spoiled.client, item, tmp_path)
    for pixel in ((10, 10), (11, 11), (12, 12), (13, 13)):
        assert np.isnan(layers["soil_moisture"][pixel])
        assert layers["flags"][pixel] == 1
    assert np.isfinite(layers["soil_moisture"][10, 12])


def test_a_listed_item_that_is_missing(spoiled: Server) -> None:
    sentence = spoiled.refusal({"catalog": "lost-item", "ids": [SCENE]}, 502)
    assert SCENE in sentence
    answer = spoiled.execute({**SMALL, "catalog": "lost-item", "dry_run": True}).json()
    assert len(answer["report"]["scenes"]) == 2
    reasons = {one["id"]: one["reason"] for one in answer["report"]["refused"]}
    assert "does not exist" in reasons[f"{SCENE}.json"]


@pytest.mark.parametrize("path", ["/html", "/other.json", "/broken", "/nothing"])
def test_a_catalogue_that_is_none(server: Server, odd_host: str, path: str) -> None:
    sentence = server.refusal({**SMALL, "catalog": odd_host + path}, 502)
    assert odd_host.removeprefix("http://") in sentence or path.strip("/") in sentence


def test_a_catalogue_that_cannot_be_reached(server: Server) -> None:
    port = free_port()
    assert str(port) in server.refusal({**SMALL, "catalog": f"http://127.0.0.1:{port}/catalog.json"}, 502)


@pytest.mark.parametrize("name", ["nowhere", "/etc/passwd", "file:///etc/passwd", "../catalog.json"])
def test_a_catalogue_that_nobody_configured(server: Server, name: str) -> None:
    sentence = server.refusal({**SMALL, "catalog": name}, 400)
    assert name in sentence
    assert "sample" in sentence


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({"bbox": [1, 2, 3]}, ["bbox", "[1, 2, 3]"]),
        ({"bbox": [-5.4, 41.29, -5.48, 41.23]}, ["bbox", "reversed", "41.29"]),
        ({"bbox": [-5.4, 41.23, 200, 41.29]}, ["bbox", "200"]),
        ({"bbox": BBOX, "datetime": "2024-06-01/2024-05-01"}, ["datetime", "reversed"]),
        ({"bbox": BBOX, "datetime": "last week"}, ["datetime", "last week"]),
        ({"bbox": BBOX, "colour": "red"}, ["colour"]),
        ({"bbox": BBOX, "members": "ten"}, ["members", "ten"]),
        ({"bbox": BBOX, "members": 0}, ["members", "0"]),
        ({"bbox": BBOX, "members": 1000}, ["members", "1000"]),
        ({"bbox": BBOX, "resolution": 0}, ["resolution", "0"]),
        ({"bbox": BBOX, "resolution": 10}, ["resolution", "10", "finer", "25 x 25 m"]),
        ({"bbox": BBOX, "resolution": 20000}, ["resolution", "20000", "coarser"]),
    ],
)
def test_a_wrong_request(server: Server, inputs: dict[str, Any], parts: list[str]) -> None:
    sentence = server.refusal(inputs, 400)
    for part in parts:
        assert part in sentence
    server.check_nothing_left()


def test_a_bbox_across_the_antimeridian_is_searched(server: Server) -> None:
    sentence = server.refusal({"bbox": [179, -20, -178, -15]}, 422)
    assert "179" in sentence


def test_no_scene_at_all(server: Server) -> None:
    sentence = server.refusal({"bbox": BBOX, "datetime": "1999-01-01/1999-12-31"}, 422)
    assert "1999" in sentence


def test_only_dual_pol_scenes(server: Server) -> None:
    sentence = server.refusal({"bbox": BBOX, "datetime": "2024-05-11/2024-05-12"}, 422)
    assert "VV" in sentence
    assert "HH, HV" in sentence


def test_an_asynchronous_job_fails_with_the_same_sentence(server: Server) -> None:
    inputs = {"bbox": BBOX, "datetime": "2024-05-11/2024-05-12"}
    said = server.refusal(inputs, 422)
    job = server.execute(inputs, asynchronous=True).headers["Location"]
    while (status := server.client.get(job).json())["status"] in ("accepted", "running"):
        time.sleep(0.05)
    assert status["status"] == "failed"
    assert status["message"] == said
    results = server.client.get(f"{job}/results")
    assert results.status_code == 422
    assert results.json()["description"] == said


@pytest.mark.parametrize("where", ["results", "work"])
def test_a_full_disk(tmp_path: Path, where: str) -> None:
    """A real file system that holds no map takes the place of a folder of the server's."""
    with serve(tmp_path) as server:
        full = server.data / ("work" if where == "work" else f"catalog/{PROCESS}")
        full.mkdir(parents=True, exist_ok=True)
        collection = server.client.get(f"/catalog/{PROCESS}/collection.json").content
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(full)], check=False, capture_output=True
        )
        if mounted.returncode != 0:
            pytest.skip("cannot mount a small file system here")
        try:
            if where == "results":
                (full / "collection.json").write_bytes(collection)
            sentence = server.refusal({**SAMPLE_INPUTS, "members": 2}, 507)
            assert "full" in sentence
            server.check_nothing_left()
            found = pystac_client.Client.open(f"{server.url}/stac-api").search(collections=[PROCESS])
            assert not list(found.items())
        finally:
            subprocess.run(["umount", str(full)], check=True)


@pytest.mark.parametrize("where", ["results", "work"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    """A read-only file system takes the place of a folder of the server's: root may write anywhere else."""
    with serve(tmp_path) as server:
        locked = server.data / ("work" if where == "work" else f"catalog/{PROCESS}")
        locked.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            locked.chmod(0o555)
        elif subprocess.run(["mount", "--bind", "-o", "ro", str(locked), str(locked)], check=False).returncode != 0:
            pytest.skip("cannot mount read-only here")
        try:
            assert "not writable" in server.refusal(SAMPLE_INPUTS, 507)
        finally:
            if os.geteuid() == 0:
                subprocess.run(["umount", str(locked)], check=True)
            else:
                locked.chmod(0o755)
