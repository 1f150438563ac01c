"""Object storage by address: ranges of one version, listings, uploads that are looked at, sentences."""

import hashlib
import http.server
import io
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from loopback import Quiet, in_thread
from rasterio.windows import Window
from s3_server import BUCKET, S3Server

from escape_process import hrefs, objects
from escape_process.catalogue.item_assets import resolve
from escape_process.errors import InvalidInputError, SceneError, TransientError, UpstreamError
from escape_process.settings import Settings
from escape_process.targets import Bucket


def settings_of(s3: S3Server, **options: Any) -> Settings:
    return Settings.model_validate({"buckets": [s3.bucket()], "http_timeout": 10.0, "http_attempts": 2, **options})


def storing(s3: S3Server, **options: Any) -> Settings:
    return settings_of(s3, buckets=[], object_storage=s3.bucket(f"s3://{BUCKET}/soil", **options))


@pytest.fixture
def geotiff(tmp_path: Path) -> Path:
    path = tmp_path / "HH.tif"
    values = np.random.default_rng(0).random((700, 900), dtype=np.float32)
    profile = {"driver": "GTiff", "width": 900, "height": 700, "count": 1, "dtype": "float32", "tiled": True}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=Affine(10, 0, 3e5, 0, -10, 4e6), **profile) as dataset:
        dataset.write(values, 1)
    return path


def test_a_raster_reads_as_its_file(s3: S3Server, geotiff: Path) -> None:
    s3.put("scenes/one/HH.tif", geotiff.read_bytes())
    href = f"s3://{BUCKET}/scenes/one/HH.tif"
    window = Window(300, 200, 256, 256)
    with hrefs.open_raster(href, settings_of(s3)) as stored, rasterio.open(geotiff) as local:
        assert stored.crs == local.crs
        assert (stored.read(1, window=window) == local.read(1, window=window)).all()
        assert (stored.read(1) == local.read(1)).all()
    with hrefs.open_href(href, settings_of(s3)) as file:
        file.seek(-10, os.SEEK_END)
        assert file.read() == geotiff.read_bytes()[-10:]
    s3.put("scenes/one.json", b'{"a": 1}')
    assert hrefs.read_json(f"s3://{BUCKET}/scenes/one.json", settings_of(s3)) == {"a": 1}


def test_an_object_that_changes_is_not_read_on(s3: S3Server) -> None:
    s3.put("a.bin", bytes(objects.PART_SIZE))
    source = objects.open_source(f"s3://{BUCKET}/a.bin", settings_of(s3))
    assert source.read_at(0, 4) == bytes(4)
    s3.put("a.bin", b"\1" * objects.PART_SIZE)
    with pytest.raises(UpstreamError, match=r"a\.bin at maps changed while it was read"):
        source.read_at(4 * 2**20, 4)


def test_folders_are_listed(s3: S3Server) -> None:
    for key in ("p/one/HH.tif", "p/one/VV.tif", "p/two.tif", "pq/HH.tif"):
        s3.put(key, b"x")
    assert hrefs.list_hrefs(f"s3://{BUCKET}/p/", settings_of(s3)) == [
        f"s3://{BUCKET}/p/one/HH.tif",
        f"s3://{BUCKET}/p/one/VV.tif",
        f"s3://{BUCKET}/p/two.tif",
    ]
    with pytest.raises(SceneError, match="cannot be listed"):
        hrefs.list_hrefs("https://example.org/p/", settings_of(s3))


def test_only_configured_places_are_asked(s3: S3Server) -> None:
    s3.put("private/a.bin", b"x")
    s3.put("scenes/a.bin", b"x")
    settings = settings_of(s3, buckets=[s3.bucket(f"s3://{BUCKET}/scenes")])
    assert hrefs.read_bytes(f"s3://{BUCKET}/scenes/a.bin", settings) == b"x"
    for href in (f"s3://{BUCKET}/private/a.bin", f"s3://{BUCKET}/scenesx/a.bin", "s3://other/a.bin", f"s3://{BUCKET}"):
        with pytest.raises(SceneError, match="no bucket that is read here"):
            hrefs.open_href(href, settings)
    for sly in ("scenes/../private/a.bin", "scenes//a.bin", "scenes/./a.bin", "scenes/"):
        with pytest.raises(SceneError, match="no valid address"):
            hrefs.open_href(f"s3://{BUCKET}/{sly}", settings)
    kept = storing(s3)
    s3.put("soil/unpublished/one/a.bin", b"x")
    s3.put(f"soil/{kept.results_collection}/one/a.bin", b"x")
    assert hrefs.read_bytes(f"s3://{BUCKET}/soil/{kept.results_collection}/one/a.bin", kept) == b"x"
    with pytest.raises(SceneError, match="no bucket that is read here"):  # only its reader knows its address
        hrefs.read_bytes(f"s3://{BUCKET}/soil/unpublished/one/a.bin", kept)


def test_failures_are_sentences(s3: S3Server) -> None:
    with pytest.raises(UpstreamError, match=r"^a\.tif at maps does not exist; check the address\.$"):
        hrefs.open_href(f"s3://{BUCKET}/a.tif", settings_of(s3))
    gone = Settings.model_validate(
        {"buckets": [{"url": "s3://maps", "endpoint": "http://127.0.0.1:9", "key_id": "a", "secret": "b"}]}
        | {"http_attempts": 1}
    )
    with pytest.raises(TransientError, match=r"^a\.tif at maps cannot be reached: the object storage fails"):
        hrefs.open_href(f"s3://{BUCKET}/a.tif", gone)
    with pytest.raises(InvalidInputError, match="object_storage") as caught:
        Settings.load({"object_storage": {"url": "s3://maps", "key_id": "top-secret"}}, Path())
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "said", "passing"),
    [
        (401, "is not open to the credentials", False),
        (403, "is not open to the credentials", False),
        (404, "does not exist", False),
        (400, "is refused by the object storage (HTTP status 400)", False),
        (301, "lies in another region", False),
        (429, "try again later", True),
        (500, "try again later", True),
    ],
)
def test_what_the_storage_answers_is_told(status: int, said: str, passing: bool) -> None:
    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

    with in_thread(http.server.HTTPServer(("127.0.0.1", 0), Handler)) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        bucket = {"url": "s3://maps", "endpoint": endpoint, "key_id": "key", "secret": "hidden"}
        settings = Settings.model_validate({"buckets": [bucket], "http_attempts": 1})
        for ask in (objects.list_hrefs, hrefs.read_bytes):
            with pytest.raises(UpstreamError) as caught:
                ask("s3://maps/folder", settings)
            assert said in str(caught.value)
            assert "hidden" not in str(caught.value)
            assert isinstance(caught.value, TransientError) == passing


@pytest.mark.parametrize("size", [0, 5, objects.PART_SIZE + 1])
def test_an_upload_is_whole(size: int, s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(os.urandom(size))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    settings = storing(s3)
    href = f"s3://{BUCKET}/soil/one/a.tif"
    objects.upload(path, href, settings, media_type="image/tiff", sha256=sha256, mark="one")
    assert s3.get("soil/one/a.tif") == path.read_bytes()
    assert s3.client.head(f"/{BUCKET}/soil/one/a.tif").headers["Content-Type"] == "image/tiff"
    parts = s3.client.head(f"/{BUCKET}/soil/one/a.tif").headers["ETag"].strip('"').partition("-")[2]
    assert parts == ("2" if size > objects.PART_SIZE else "")
    assert objects.sizes_of_results(f"s3://{BUCKET}/soil/one", settings) == {"a.tif": size}
    if not parts:  # moto opens what came in parts to everybody
        assert httpx.get(f"{s3.url}/{BUCKET}/soil/one/a.tif", trust_env=False).status_code == 403
    assert httpx.get(objects.sign(href, settings, 60), trust_env=False).content == path.read_bytes()


def test_other_bytes_than_meant_are_removed(s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"what is there")
    meant = hashlib.sha256(b"what was meant").hexdigest()
    href = f"s3://{BUCKET}/soil/one/a.tif"
    with pytest.raises(UpstreamError, match="stored with other bytes"):
        objects.upload(path, href, storing(s3), media_type="image/tiff", sha256=meant, mark="one")
    assert s3.stored() == []


def test_addresses_beside_an_object() -> None:
    item = "s3://maps/scenes/one/one.json"
    assert resolve("./HH.tif", item) == "s3://maps/scenes/one/HH.tif"
    assert resolve("../two/HH.tif", item) == "s3://maps/scenes/two/HH.tif"
    assert resolve("../../../../HH.tif", item) == "s3://maps/HH.tif"
    assert resolve("s3://other/HH.tif", item) == "s3://other/HH.tif"
    assert resolve("one/one.json", "s3://maps/catalog.json") == "s3://maps/one/one.json"


@given(st.text(max_size=60))
def test_no_address_leads_out_of_a_prefix(text: str) -> None:
    bucket = Bucket(url="s3://maps/scenes", endpoint="http://127.0.0.1:9", key_id="a", secret="b")
    settings = Settings(buckets=(bucket,))
    try:
        _, key = objects._place(f"s3://maps/scenes/{text}", bucket, settings)
    except SceneError:
        return
    assert key.startswith("scenes/")
    assert ".." not in key.split("/")
    assert io.BytesIO(key.encode("utf-8", "surrogatepass"))
