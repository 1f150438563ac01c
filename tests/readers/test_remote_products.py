"""Products behind addresses and large ones: read by parts, through the same door as all other bytes."""

import http.server
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from loopback import Quiet, in_thread
from matrix_files import SHAPE, matrices, write_envi
from nisar_files import GRIDS, write_gcov
from rasterio.windows import Window

from escape_process.errors import UpstreamError
from escape_process.readers import covariance, nisar
from escape_process.records import Source
from escape_process.settings import Settings

SETTINGS = Settings(http_timeout=5.0, http_attempts=1, allowed_hosts=("127.0.0.1",))


class _Ranges(Quiet, http.server.BaseHTTPRequestHandler):
    """Serves the files of a folder by ranges and counts the bytes."""

    protocol_version = "HTTP/1.1"
    folder: Path
    sent: list[int]

    def do_GET(self) -> None:
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self._answer(404, b"", {})
            return
        content = path.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if wanted is None:
            self._answer(200, content, {})
            return
        start, stop = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
        self._answer(206, content[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.sent.append(len(body))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[str, Path, list[int]]]:
    """Serve a folder on loopback: its address, the folder, bytes of each answer."""
    sent: list[int] = []
    handler = type("Handler", (_Ranges,), {"folder": tmp_path, "sent": sent})
    with in_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}", tmp_path, sent


def test_a_window_of_a_remote_gcov_fetches_a_part_of_it(host: tuple[str, Path, list[int]]) -> None:
    url, folder, sent = host
    rng = np.random.default_rng(0)
    powers = {name: rng.gamma(8, 0.1, size=(1500, 1400)).astype(np.float32) for name in ("HH", "HV", "VV")}
    size = write_gcov(folder / "g.h5", powers, storage={"chunks": (256, 256), "compression": "gzip"}).stat().st_size
    described = nisar.describe([f"{url}/g.h5"], SETTINGS)
    files = {key: asset["href"] for key, asset in described.assets.items()}
    with nisar.open_layer(Source("nisar", "VV", files), SETTINGS) as raster:
        values = raster.read(1, window=Window(700, 800, 100, 90))
    assert (values == powers["VV"][800:890, 700:800]).all()
    assert sum(sent) < size / 2


def test_remote_matrices_are_read_by_rows(host: tuple[str, Path, list[int]]) -> None:
    url, folder, _ = host
    powers, _, t3 = matrices()
    write_envi(folder / "T3", t3)
    described = covariance.describe([f"{url}/T3/{path.name}" for path in (folder / "T3").iterdir()], SETTINGS)
    assert described.id == "T3" or described.id.endswith("_T3")
    files = {key: asset["href"] for key, asset in described.assets.items()}
    with covariance.open_layer(Source("covariance", "HH", files), SETTINGS) as raster:
        assert raster.read(1, window=Window(0, 0, *SHAPE[::-1])) == pytest.approx(powers["HH"], rel=2e-6)
    (folder / "T3" / "T22.bin").unlink()
    with pytest.raises(UpstreamError, match=r"T22\.bin .*does not exist"):
        covariance.describe(list(files.values()), SETTINGS)


def test_memory_is_bounded_by_the_window_not_by_the_frame(tmp_path: Path) -> None:
    path = write_gcov(tmp_path / "g.h5", {name: np.ones((4, 4), np.float32) for name in ("HH", "HV", "VV")}, storage={})
    edge = 17_000
    with h5py.File(path, "r+") as file:
        for name in ("HHHH", "HVHV", "VVVV", "xCoordinates", "yCoordinates"):
            del file[f"{GRIDS}/{name}"]
        file[f"{GRIDS}/xCoordinates"] = 500_010.0 + 20 * np.arange(edge)
        file[f"{GRIDS}/yCoordinates"] = 5_149_130.0 - 20 * np.arange(edge)
        for name in ("HHHH", "HVHV", "VVVV"):
            whole = file.create_dataset(
                f"{GRIDS}/{name}", (edge, edge), "f4", chunks=(512, 512), compression="gzip", fillvalue=np.nan
            )
            whole[9000:9100, 9000:9100] = 0.25
    described = nisar.describe([str(path)], SETTINGS)
    files = {key: asset["href"] for key, asset in described.assets.items()}
    tracemalloc.start()
    try:
        with nisar.open_layer(Source("nisar", "HH", files), SETTINGS) as raster:
            values = raster.read(1, window=Window(8900, 8900, 300, 300))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.isfinite(values).sum() == 100 * 100
    assert peak < 40 * 2**20, "a layer of the frame has 1.1 GB"
