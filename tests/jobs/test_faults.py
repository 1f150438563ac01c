"""What a job needs fails in its middle: it ends with a clear sentence, or goes on once that is there again."""

import http.server
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Quiet, in_thread

from .conftest import ROOT, wait_for
from .sample_service import INPUTS, PROCESS, check_published, leftovers, serving, stopped

IMPATIENT = {"max_retries": 2, "retry_seconds": 0.5}


class Host(http.server.ThreadingHTTPServer):
    """Serves the sample catalogue by ranges while it is not gone."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.is_gone = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Host

    def do_GET(self) -> None:
        if self.server.is_gone:
            self.close_connection = True  # without an answer
            return
        content = (ROOT / "catalog" / self.path.lstrip("/")).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(asked[1]), min(int(asked[2]) + 1, len(content))) if asked else (0, len(content))
        self.send_response(206 if asked else 200)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(content[start:stop])


@pytest.fixture
def host() -> Iterator[Host]:
    with in_thread(Host()) as host:
        yield host


def log_of(folder: Path, job: str) -> str:
    return (folder / "data" / "jobs" / f"{job}.log").read_text()


def test_a_host_that_comes_back(tmp_path: Path, host: Host) -> None:
    (tmp_path / "stop").write_text("blocks")
    with serving(tmp_path, IMPATIENT, **_reading(host)) as service:
        job = service.execute(INPUTS, process=PROCESS)
        stopped(tmp_path)
        host.is_gone = True
        (tmp_path / "stop").unlink()
        status = wait_for(lambda: (now := service.status(job))["message"].startswith("Waits") and now)
        assert status["status"] in ("accepted", "running")
        assert re.match(r"Waits 0\.5 s to be tried again, 1 of 2 times: .* at 127\.0\.0\.1 ", status["message"])
        host.is_gone = False
        status = service.finished(job)
        assert status["status"] == "successful", status
        assert "cannot be reached" in log_of(tmp_path, job)
        computed = (tmp_path / "blocks.txt").read_text().split()
        assert len(computed) == len(set(computed)) > 2
        check_published(tmp_path)
        wait_for(lambda: not leftovers(tmp_path))


def test_a_host_that_stays_away(tmp_path: Path, host: Host) -> None:
    (tmp_path / "stop").write_text("blocks")
    with serving(tmp_path, IMPATIENT, **_reading(host)) as service:
        job = service.execute(INPUTS, process=PROCESS)
        stopped(tmp_path)
        host.is_gone = True
        (tmp_path / "stop").unlink()
        status = service.finished(job)
        assert status["status"] == "failed"
        assert "cannot be reached" in status["message"]
        assert status["message"].endswith("The job was tried 3 times.")
        assert service.client.get(f"/jobs/{job}/results").status_code == 502
        assert ["1 of 2" in log_of(tmp_path, job), "2 of 2" in log_of(tmp_path, job)] == [True, True]
        wait_for(lambda: not leftovers(tmp_path))

        at_once = service.finished(service.execute(INPUTS, process=PROCESS))
        assert "cannot be reached" in at_once["message"]
        assert "tried" not in at_once["message"]

        host.is_gone = False
        assert service.finished(service.execute(INPUTS, process=PROCESS))["status"] == "successful"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    with serving(tmp_path) as service:
        status = service.finished(service.execute(INPUTS, process=PROCESS))
        assert status["status"] == "failed"
        assert "intermediate results cannot be written" in status["message"]
        assert leftovers(tmp_path) == []
        (tmp_path / "full").unlink()
        assert service.finished(service.execute(INPUTS, process=PROCESS))["status"] == "successful"
        check_published(tmp_path)


def _reading(host: Host) -> dict[str, Any]:
    return {"catalogs": {"sample": f"{host.url}/samples/collection.json"}, "http_attempts": 1}
