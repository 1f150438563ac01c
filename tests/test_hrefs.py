"""Bytes by address: ranges, retries, damaged files, and a GDAL that never opens an address itself."""

import contextlib
import http.server
import io
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from loopback import Quiet, in_thread
from rasterio.crs import CRS
from rasterio.windows import Window

from escape_process import hrefs, remote, sources
from escape_process.errors import SceneError, StorageError, UpstreamError
from escape_process.settings import Settings

SETTINGS = Settings(http_timeout=2.0, http_attempts=3, allowed_hosts=("127.0.0.1",))
GEOREFERENCE = Affine(10, 0, 3e5, 0, -10, 4e6)
Answer = Callable[["_Handler"], None]


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range")))
        self.server.answers[self.path.split("?")[0]](self)

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client may have read enough
            self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


def ranged(content: bytes, etag: str = '"1"') -> Answer:
    """Serve ranges as RFC 9110 has them."""

    def answer(handler: _Handler) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range") or "")
        if wanted is None:
            handler.send(200, content)
            return
        start, stop = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
        if start >= len(content):
            handler.send(416, Content_Range=f"bytes */{len(content)}")
            return
        handler.send(206, content[start:stop], Content_Range=f"bytes {start}-{stop - 1}/{len(content)}", ETag=etag)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Give each answer once, the last one for ever."""
    left = list(answers)

    def answer(handler: _Handler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.send(code)


@pytest.fixture
def server() -> Iterator[_Server]:
    with in_thread(_Server()) as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


@pytest.fixture
def geotiff(tmp_path: Path) -> Path:
    path = tmp_path / "HH.tif"
    pixels = np.random.default_rng(0).integers(0, 60000, (600, 500)).astype("uint16")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=500,
        height=600,
        count=1,
        dtype="uint16",
        crs="EPSG:32630",
        transform=GEOREFERENCE,
        tiled=True,
        blockxsize=128,
        blockysize=128,
        compress="deflate",
    ) as dataset:
        dataset.write(pixels, 1)
    return path


CONTENT = np.random.default_rng(1).bytes(5 * sources.BLOCK_SIZE + 12345)


@given(st.data())
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranges_give_the_bytes_of_the_file(server: _Server, data: st.DataObject) -> None:
    server.answers["/file.bin"] = ranged(CONTENT)
    whole = io.BytesIO(CONTENT)
    with hrefs.open_href(server.url("/file.bin"), SETTINGS) as file:
        for _ in range(4):
            place = data.draw(st.integers(0, len(CONTENT) + 10))
            length = data.draw(st.sampled_from([0, 1, 1000, sources.BLOCK_SIZE, 3 * sources.BLOCK_SIZE + 7, -1]))
            assert file.seek(place) == whole.seek(place)
            assert file.read(length) == whole.read(length)
            assert file.tell() == whole.tell()
        assert file.seek(-5, os.SEEK_END) == len(CONTENT) - 5
        assert file.read() == CONTENT[-5:]


def test_only_what_is_read_is_fetched_and_only_once(server: _Server) -> None:
    server.answers["/file.bin"] = ranged(CONTENT)
    with hrefs.open_href(server.url("/file.bin"), SETTINGS) as file:
        for _ in range(3):
            file.seek(3 * sources.BLOCK_SIZE + 5)
            assert file.read(10) == CONTENT[3 * sources.BLOCK_SIZE + 5 :][:10]
    block = sources.BLOCK_SIZE
    assert server.seen == [
        ("/file.bin", f"bytes=0-{block - 1}"),
        ("/file.bin", f"bytes={3 * block}-{4 * block - 1}"),
    ]


def test_the_cache_stays_bounded(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CACHED_BLOCKS", 2)
    server.answers["/file.bin"] = ranged(CONTENT)
    with contextlib.closing(remote.open_source(server.url("/file.bin"), SETTINGS)) as source:
        assert source.read_at(0, len(CONTENT)) == CONTENT
        assert source.read_at(0, 10) == CONTENT[:10]
        assert isinstance(source, remote.RemoteSource)
        assert len(source._blocks) <= 2


def test_local_files_open_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    with hrefs.open_href(str(tmp_path / "a.bin"), SETTINGS) as file:
        file.seek(7)
        assert file.read(9) == CONTENT[7:16]
    assert hrefs.read_bytes(str(tmp_path / "a.bin"), SETTINGS) == CONTENT


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_failures_are_tried_again(server: _Server, code: int) -> None:
    server.answers["/a.json"] = in_turn(status(code), status(code), ranged(b'{"a": 1}'))
    assert hrefs.read_json(server.url("/a.json"), SETTINGS) == {"a": 1}
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("7", 7, 7),
        ("86400", 30, 30),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 30, 30),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 5),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 5),
        ("tomorrow", 0, 5),
        ("-1", 0, 5),
        ("9" * 400, 0, 5),
    ],
)
def test_a_host_says_when_to_come_again(
    server: _Server, monkeypatch: pytest.MonkeyPatch, said: str, least: float, most: float
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    server.answers["/a.json"] = in_turn(lambda handler: handler.send(429, Retry_After=said), ranged(b"{}"))
    assert hrefs.read_json(server.url("/a.json"), SETTINGS) == {}
    assert len(waits) == 1
    assert least <= waits[0] <= most


def test_a_host_that_keeps_failing_is_named_after_the_last_attempt(server: _Server) -> None:
    server.answers["/a.json"] = status(503)
    with pytest.raises(
        UpstreamError, match=r"^a\.json at 127\.0\.0\.1 failed with HTTP status 503; try again later\.$"
    ):
        hrefs.read_json(server.url("/a.json?signature=secret"), SETTINGS)
    assert len(server.seen) == SETTINGS.http_attempts


def test_a_dropped_connection_is_tried_again(server: _Server) -> None:
    def drop(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"only this")
        handler.close_connection = True

    server.answers["/a.json"] = in_turn(drop, ranged(b"[]"))
    assert hrefs.read_json(server.url("/a.json"), SETTINGS) == []


def test_a_missing_file_is_not_asked_for_again(server: _Server) -> None:
    server.answers["/HH.tif"] = status(404)
    with pytest.raises(hrefs.StatusError, match=r"HH\.tif at 127\.0\.0\.1 does not exist") as caught:
        hrefs.open_href(server.url("/HH.tif?sig=secret"), SETTINGS)
    assert caught.value.status == 404
    assert "secret" not in str(caught.value)
    assert len(server.seen) == 1


def test_signatures_and_passwords_reach_no_message_and_no_log(
    server: _Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.answers["/HH.tif"] = status(403)
    address = server.url("/HH.tif?sig=secret").replace("//", "//user:password@")
    with pytest.raises(UpstreamError) as caught:
        hrefs.open_href(address, SETTINGS)
    assert "secret" not in str(caught.value) + caplog.text
    assert "password" not in str(caught.value) + caplog.text


def test_a_host_that_drips_is_given_up(server: _Server) -> None:
    released = threading.Event()

    def drip(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            while not released.wait(0.01):
                handler.wfile.write(b"1")

    server.answers["/slow.json"] = drip
    settings = SETTINGS.model_copy(update={"http_timeout": 0.2, "http_attempts": 1})
    try:
        for read in (hrefs.read_bytes, hrefs.open_href):
            with pytest.raises(UpstreamError, match=r"slow\.json at 127\.0\.0\.1 did not answer within 0\.2 s"):
                read(server.url("/slow.json"), settings)
    finally:
        released.set()


def test_a_slow_host_is_named(server: _Server) -> None:
    released = threading.Event()
    server.answers["/slow.json"] = lambda handler: (released.wait(5), handler.send(200))[1]
    try:
        with pytest.raises(UpstreamError, match=r"slow\.json at 127\.0\.0\.1 did not answer within 0\.2 s"):
            hrefs.read_bytes(
                server.url("/slow.json"), SETTINGS.model_copy(update={"http_timeout": 0.2, "http_attempts": 1})
            )
    finally:
        released.set()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/HH.tif", "http://", "http://[bad/HH.tif", "http://a b/HH.tif", "http://\0/HH.tif"]
)
def test_unreachable_and_invalid_addresses_are_upstream_errors(address: str) -> None:
    with pytest.raises(UpstreamError):
        hrefs.open_href(address, SETTINGS)


def test_a_server_that_ignores_ranges_is_read_whole(server: _Server, geotiff: Path) -> None:
    content = geotiff.read_bytes()
    server.answers["/HH.tif"] = lambda handler: handler.send(200, content)
    with hrefs.open_href(server.url("/HH.tif"), SETTINGS) as file:
        file.seek(1000)
        assert file.read(100) == content[1000:1100]
    with hrefs.open_raster(server.url("/HH.tif"), SETTINGS) as dataset, rasterio.open(geotiff) as local:
        np.testing.assert_array_equal(dataset.read(1), local.read(1))
    assert len(server.seen) == 2


def test_a_full_disk_is_said(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def __init__(self, max_size: int) -> None:
            super().__init__()

        def write(self, content: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(remote.tempfile, "SpooledTemporaryFile", Full)
    server.answers["/HH.tif"] = lambda handler: handler.send(200, CONTENT)
    with pytest.raises(StorageError, match="free some disk space"):
        hrefs.open_href(server.url("/HH.tif"), SETTINGS)


def test_an_empty_remote_file_is_empty(server: _Server) -> None:
    server.answers["/empty.tif"] = ranged(b"")
    with hrefs.open_href(server.url("/empty.tif"), SETTINGS) as file:
        assert file.read() == b""
    with (
        pytest.raises(SceneError, match=r"empty\.tif is not a GeoTIFF"),
        hrefs.open_raster(server.url("/empty.tif"), SETTINGS),
    ):
        pass


def test_a_file_that_changes_while_it_is_read_is_refused(server: _Server) -> None:
    server.answers["/file.bin"] = in_turn(ranged(CONTENT), ranged(CONTENT, etag='"2"'))
    with (
        hrefs.open_href(server.url("/file.bin"), SETTINGS) as file,
        pytest.raises(UpstreamError, match="changed while it was read"),
    ):
        file.read()


def test_endless_documents_are_cut(server: _Server) -> None:
    server.answers["/a.json"] = ranged(b" " * 5000)
    with pytest.raises(UpstreamError, match="longer than"):
        hrefs.read_bytes(server.url("/a.json"), SETTINGS, limit=1000)


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe\xfa", b"[" * 100_000])
def test_what_is_not_json_is_said(server: _Server, body: bytes) -> None:
    server.answers["/a.json"] = ranged(body)
    with pytest.raises(UpstreamError, match=r"a\.json at 127\.0\.0\.1 is not JSON"):
        hrefs.read_json(server.url("/a.json"), SETTINGS)


def test_a_remote_raster_reads_as_the_local_one(server: _Server, geotiff: Path) -> None:
    server.answers["/HH.tif"] = ranged(geotiff.read_bytes())
    with hrefs.open_raster(server.url("/HH.tif"), SETTINGS) as dataset, rasterio.open(geotiff) as local:
        window = Window(100, 200, 300, 150)
        np.testing.assert_array_equal(dataset.read(1, window=window), local.read(1, window=window))
        assert dataset.transform == local.transform
        assert dataset.crs == local.crs


def test_gdal_opens_no_address_and_probes_no_sidecar(
    server: _Server, geotiff: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sidecars beside the raster could redirect GDAL: it must not look for them, and its own HTTP must not run."""
    (geotiff.parent / "HH.tif.aux.xml").write_text("<broken")
    server.answers["/HH.tif"] = ranged(geotiff.read_bytes())
    with rasterio.Env(CPL_DEBUG=True), hrefs.open_raster(server.url("/HH.tif"), SETTINGS) as dataset:
        dataset.read(1, out_shape=(60, 50))
        assert dataset.overviews(1) == []
        assert dataset.dataset_mask().all()
    with hrefs.open_raster(str(geotiff), SETTINGS) as dataset:
        assert len(dataset.files) == 1
    assert {path for path, _ in server.seen} == {"/HH.tif"}
    assert "CURL" not in capfd.readouterr().err


def test_texts_in_a_header_that_are_no_utf8_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "local.tif"
    crs = CRS.from_wkt('LOCAL_CS["a place of its own",UNIT["metre",1]]')
    profile = {"height": 4, "width": 4, "count": 1, "dtype": "uint8", "transform": Affine(1, 0, 9, 0, -1, 9)}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, **profile):
        pass
    content = path.read_bytes()
    assert b"a place of its own" in content
    path.write_bytes(content.replace(b"a place of its own", b"a place \xb3f its own"))
    with pytest.raises(SceneError, match="header is damaged"), hrefs.open_raster(str(path), SETTINGS) as dataset:
        dataset.crs.to_wkt()


def test_a_virtual_raster_cannot_send_gdal_to_an_address(server: _Server, geotiff: Path) -> None:
    virtual = f"""<VRTDataset rasterXSize="500" rasterYSize="600"><VRTRasterBand dataType="UInt16"><SimpleSource>
        <SourceFilename>/vsicurl/{server.url("/other.tif")}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
    server.answers["/HH.tif"] = ranged(virtual.encode())
    server.answers["/other.tif"] = ranged(geotiff.read_bytes())
    with (
        pytest.raises(SceneError, match=r"HH\.tif is not a GeoTIFF"),
        hrefs.open_raster(server.url("/HH.tif"), SETTINGS) as dataset,
    ):
        dataset.read(1)
    assert {path for path, _ in server.seen} == {"/HH.tif"}


@pytest.mark.parametrize(
    "href",
    [
        "/vsicurl/http://127.0.0.1:9/HH.tif",
        "/vsizip/a.zip/HH.tif",
        "file:///etc/passwd",
        "s3://bucket/HH.tif",
        "ftp://host/HH.tif",
        "GTIFF_DIR:1:/vsicurl/http://127.0.0.1:9/HH.tif",
    ],
)
def test_only_paths_and_http_addresses_are_opened(href: str) -> None:
    with pytest.raises((SceneError, UpstreamError)), hrefs.open_raster(href, SETTINGS):
        pass
    with pytest.raises((SceneError, UpstreamError)):
        hrefs.open_href(href, SETTINGS)


def test_a_truncated_raster_is_named_even_among_others(geotiff: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "other" / "HH.tif"
    damaged.parent.mkdir()
    content = geotiff.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])

    def read_both(first: Path, second: Path) -> None:
        with hrefs.open_raster(str(first), SETTINGS) as outer, hrefs.open_raster(str(second), SETTINGS) as inner:
            inner.read(1)
            outer.read(1)

    with pytest.raises(SceneError, match=r"^The raster HH\.tif is truncated or damaged") as caught:
        read_both(damaged, geotiff)
    assert str(tmp_path) not in str(caught.value)
    renamed = damaged.rename(damaged.with_name("VV.tif"))
    with pytest.raises(SceneError, match=r"VV\.tif"):
        read_both(renamed, geotiff)
    with pytest.raises(SceneError, match=r"VV\.tif"):
        read_both(geotiff, renamed)


@given(st.integers(0, 3000), st.integers(1, 255))
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits_never_raise_anything_else(geotiff: Path, place: int, flip: int) -> None:
    content = bytearray(geotiff.read_bytes())
    content[place] ^= flip
    damaged = geotiff.with_name("flipped.tif")
    damaged.write_bytes(content)
    with contextlib.suppress(SceneError), hrefs.open_raster(str(damaged), SETTINGS) as dataset:
        if dataset.width * dataset.height < 10**7:
            dataset.read(1)


def test_a_host_that_fails_midway_is_blamed_not_the_raster(server: _Server, tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    pixels = np.random.default_rng(2).integers(0, 60000, (1024, 1024)).astype("uint16")
    profile = {"driver": "GTiff", "width": 1024, "height": 1024, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=GEOREFERENCE, **profile) as dataset:
        dataset.write(pixels, 1)
    server.answers["/big.tif"] = in_turn(ranged(path.read_bytes()), status(404))
    with (
        pytest.raises(UpstreamError, match=r"big\.tif at 127\.0\.0\.1 does not exist"),
        hrefs.open_raster(server.url("/big.tif"), SETTINGS) as dataset,
    ):
        dataset.read(1)


def test_a_raster_without_georeference_opens_quietly(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8") as dataset,
    ):
        dataset.write(np.full((4, 4), 7, "uint8"), 1)
    with hrefs.open_raster(str(path), SETTINGS) as dataset:
        assert dataset.crs is None
        assert dataset.read(1)[0, 0] == 7


def test_threads_read_side_by_side(server: _Server, geotiff: Path) -> None:
    server.answers["/HH.tif"] = ranged(geotiff.read_bytes())
    with rasterio.open(geotiff) as local:
        expected = int(local.read(1).sum())
    sums: list[int] = []

    def read() -> None:
        with hrefs.open_raster(server.url("/HH.tif"), SETTINGS) as dataset:
            sums.append(int(dataset.read(1).sum()))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [expected] * 6


@pytest.mark.parametrize("href", ["catalog/\ud800.json", "https://127.0.0.1:1/\ud800.json"])
def test_half_a_character_is_no_name_of_a_file(href: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        hrefs.read_json(href, Settings(http_attempts=1, allowed_hosts=("127.0.0.1",)))
    str(caught.value).encode()
