"""Maps of results in object storage: nothing of them is on this server's disk."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from s3_server import BUCKET, S3Server
from serving import PROCESS
from stand_in_server import serve_stand_in
from waiting import wait_for
from werkzeug.exceptions import NotFound

from escape_process.layers import LAYER
from escape_process.viewer.results import Results

from .conftest import ALICE, colour_at, lon_lat, pixels_of, settings_in, write_result

PLACES = {"open": f"soil/{PROCESS}", "hidden": "soil/unpublished"}
"""Where the files of each result are in the bucket."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def client(folder: Path, s3_server: S3Server) -> Iterator[httpx.Client]:
    """Serve results whose links are signed."""
    s3_server.clear()
    storage = s3_server.bucket(f"s3://{BUCKET}/soil", presign=60)
    settings = settings_in(folder, object_storage=storage)
    for id in PLACES:
        write_result(id, folder, settings, publish=id == "open")
    assert not list((folder / "data").rglob("*.tif"))
    with (
        serve_stand_in(folder, object_storage=storage) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("id", PLACES)
def test_tiles_and_values(client: httpx.Client, s3_server: S3Server, id: str) -> None:
    told = client.get(f"/maps/{id}").json()
    name = "rms_height"
    with rasterio.MemoryFile(s3_server.get(f"{PLACES[id]}/{id}/{name}.tif")) as file, file.open() as raster:
        values = raster.read(1, masked=True)
        place = (30, 50)
        lon, lat = lon_lat(raster, *place)
    assert colour_at(client, told, name, lon, lat)[3] == 255
    found = client.get(f"/maps/{id}/values", params={"lon": lon, "lat": lat}).json()
    assert found["values"][name] == values[place]
    assert None not in found["values"].values()
    assert set(found["values"]) == set(LAYER)
    assert client.get(told["item"], follow_redirects=True).json()["id"] == id
    for download in told["downloads"]:
        answer = client.get(download["href"])
        assert answer.status_code == 307
        content = httpx.get(answer.headers["Location"], trust_env=False).content
        assert len(content) == download["size"]


def test_many_at_once(client: httpx.Client) -> None:
    addresses = [f"/maps/{id}/{layer}/9/250/192.png" for id in PLACES for layer in ("soil_moisture", "flags")] * 8
    with ThreadPoolExecutor(32) as threads:
        pixels = list(threads.map(lambda address: pixels_of(client.get(address)), addresses))
    for first, again in zip(pixels[:4], pixels[-4:], strict=True):
        np.testing.assert_array_equal(first, again)
        assert first[..., 3].any()


def test_a_result_with_a_damaged_file_is_none(client: httpx.Client, s3_server: S3Server) -> None:
    key, tile = f"{PLACES['open']}/open/soil_moisture_p95.tif", "/maps/open/soil_moisture_p95/9/250/192.png"
    stored = s3_server.get(key)
    s3_server.put(key, stored[: len(stored) // 2])
    seen: list[httpx.Response] = []

    def is_none() -> bool:
        seen.append(client.get(tile))
        return seen[-1].status_code == 404

    try:
        wait_for(is_none, 60)
    finally:
        s3_server.put(key, stored)
    assert {answer.status_code for answer in seen} <= {404, 422}
    assert all(answer.json()["detail"].endswith(".") for answer in seen)
    assert pixels_of(client.get(tile))[..., 3].any()


def test_links_that_a_page_with_a_token_can_follow(client: httpx.Client, folder: Path, s3_server: S3Server) -> None:
    storage = s3_server.bucket(f"s3://{BUCKET}/soil", presign=60)
    settings = settings_in(folder, object_storage=storage, auth={"token": {"alice": ALICE}})
    write_result("hers", folder, settings.of_owner("alice"), publish=False)
    results = Results(settings)
    for id in ("open", "hers"):
        result = results.find(id, "alice")
        for key, asset in result.item["assets"].items():
            assert asset["href"].startswith(s3_server.url)
            content = httpx.get(asset["href"], trust_env=False).raise_for_status().content
            assert len(content) == asset["file:size"], key
    signed = results.find("hers", "alice").href
    assert signed is not None
    assert httpx.get(signed, trust_env=False).json()["id"] == "hers"
    assert "Signature" not in json.dumps(httpx.get(signed, trust_env=False).json())
    for owner in (None, "bob"):
        with pytest.raises(NotFound):
            results.find("hers", owner)
