"""Bounds of a request, headers of every answer, and files that no path leads to."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from serving import PROCESS, ROOT
from stand_in_server import write_config

from escape_process.errors import InvalidInputError
from escape_process.jobs.serve import free_port, serve, wait_ready
from escape_process.settings import Settings
from escape_process.stages import check_size

from .conftest import Serve

MAX_BODY = 2000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, serve_with: Serve) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("limits")
    catalog = folder / "data" / "catalog"
    catalog.mkdir(parents=True)
    (catalog / "page.html").write_text("<script>alert(1)</script>")
    (folder / "data" / "unpublished" / "a").mkdir(parents=True)
    with serve_with(folder, max_body=MAX_BODY) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("path", [f"/processes/{PROCESS}/execution", "/stac-api/search", "/jobs", "/nothing"])
def test_long_bodies_are_refused(client: httpx.Client, path: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 100

    for body in (b" " * (MAX_BODY + 1), chunks()):
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["detail"].startswith(f"The request's body is longer than {MAX_BODY} bytes")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_refusal_reaches_a_client_that_is_still_sending(client: httpx.Client, connection: str) -> None:
    piece, pieces = b" " * 2**16, 64
    fields = f"Host: here\r\nConnection: {connection}\r\nContent-Length: {len(piece) * pieces}\r\n"
    assert client.base_url.port is not None
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as sender:
        sender.sendall(f"POST /jobs HTTP/1.1\r\n{fields}\r\n".encode())
        for _ in range(pieces):
            time.sleep(0.02)
            sender.sendall(piece)
        assert sender.recv(2**16).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", ["/stac-api/search", f"/processes/{PROCESS}/execution"])
def test_a_body_that_ends_early_is_refused(client: httpx.Client, path: str) -> None:
    """Not waited for: whoever reads it must not ask for the rest again and again."""
    assert client.base_url.port is not None
    fields = "Host: here\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as sender:
        sender.sendall(f'POST {path} HTTP/1.1\r\n{fields}\r\n{{"limit"'.encode())
        sender.shutdown(socket.SHUT_WR)
        assert sender.recv(2**16).startswith(b"HTTP/1.1 400 ")


_IMPATIENT = """
import sys
from pathlib import Path
from escape_process.jobs import serve
serve.READ_SECONDS = 1.0
serve.serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), threads=2, with_worker=False)
"""


def test_requests_that_stall_free_their_threads(tmp_path: Path) -> None:
    """Two half requests, one of them dripping, and two threads: the third request is answered all the same."""
    config, port = write_config(tmp_path), free_port()
    search = os.pathsep.join([str(ROOT / "tests" / "server"), os.environ.get("PYTHONPATH", "")])
    variables = os.environ | {"ESCAPE_DATA_DIR": "data", "PYTHONPATH": search}
    program = [sys.executable, "-c", _IMPATIENT, str(config), str(port)]
    with (tmp_path / "server.log").open("ab") as log, subprocess.Popen(program, env=variables, stderr=log) as server:
        try:
            wait_ready(f"http://127.0.0.1:{port}", server, 300)
            with (
                socket.create_connection(("127.0.0.1", port), timeout=30) as head,
                socket.create_connection(("127.0.0.1", port), timeout=30) as body,
            ):
                head.sendall(b"GET / HTTP/1.1\r\nHo")
                body.sendall(b"POST /jobs HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(15):
                    body.sendall(b" ")
                    threading.Event().wait(0.1)  # here time.sleep does not
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as other:
                    assert other.get("/health/live").status_code == 200
                assert head.recv(100) == b""  # closed without an answer: there was no request
            assert "Traceback" not in (tmp_path / "server.log").read_text()
        finally:
            server.terminate()


def test_short_bodies_are_read_whole(client: httpx.Client) -> None:
    body = b'{"inputs": {"ids": ["x"]}, "response": "document"}'
    padded = body + b" " * (MAX_BODY - len(body))
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    for content in (padded, iter([padded[:100], padded[100:]])):
        answer = client.post(f"/processes/{PROCESS}/execution", content=content, headers=headers)
        assert answer.status_code == 201, answer.text
    answer = client.post("/stac-api/search", content=iter([b'{"limit":', b" 1}"]), headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "path", ["/", "/?f=html", "/jobs", "/openapi?f=html", "/nothing", "/catalog/catalog.json", "/stac-api", "/metrics"]
)
def test_every_answer_has_security_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert headers.get_list("X-Frame-Options") == ["DENY"]
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    is_page = headers["Content-Type"].startswith("text/html")
    assert ("script-src" in policy) == is_page
    assert ("sandbox" in policy) == (not is_page)


def test_the_policy_names_each_host_that_pages_load_from(client: httpx.Client) -> None:
    for path in ("/?f=html", "/processes?f=html", f"/processes/{PROCESS}?f=html", "/jobs?f=html", "/openapi?f=html"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        for line in answer.text.splitlines():
            if "<script" in line or 'rel="stylesheet"' in line:
                for part in line.split('"'):
                    if part.startswith("https://"):
                        assert f"https://{httpx.URL(part).host}" in policy, part


def test_a_page_among_the_files_runs_nothing(client: httpx.Client) -> None:
    answer = client.get("/catalog/page.html")
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "script" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("route", ["/catalog", "/unpublished", "/static", "/stac", "/schemas", "/stac-api/collections"])
@pytest.mark.parametrize(
    "up", ["..", "%2e%2e", "%252e%252e", "..%2f..", "..%5c..", "%c0%ae%c0%ae", ".%2e", "..;", "%2e%2e%00", "a/../.."]
)
def test_no_path_leads_out(client: httpx.Client, route: str, up: str) -> None:
    for target in ("jobs.sqlite", "config.yml", "server.lock", "..%2f..%2f..%2fetc%2fpasswd", "../../../etc/passwd"):
        raw = client.base_url.copy_with(raw_path=f"{route}/{up}/{target}".encode())
        answer = client.get(raw, follow_redirects=True)
        assert answer.status_code in (400, 404), raw
        assert "root:" not in answer.text
        assert b"SQLite" not in answer.content


@pytest.mark.parametrize("job", ["..%2f..%2fconfig.yml", "%2e%2e", "..%5c..%5cx", "*", "a%00b"])
def test_a_job_id_is_no_path(client: httpx.Client, job: str) -> None:
    for rest in ("", "/results", "/results/items", "/logs"):
        raw = client.base_url.copy_with(raw_path=f"/jobs/{job}{rest}".encode())
        assert client.get(raw).status_code == 404, raw
    assert client.delete(client.base_url.copy_with(raw_path=f"/jobs/{job}".encode())).status_code in (404, 405)


def test_the_administration_interface_is_off_and_stays_off(client: httpx.Client, tmp_path: Path) -> None:
    assert client.get("/admin/config").status_code == 404
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    config["server"]["admin"] = True
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    with pytest.raises(InvalidInputError, match=r"server\.admin"):
        serve(tmp_path / "config.yml")


def test_a_connection_is_kept_while_a_client_thinks(client: httpx.Client) -> None:
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=60)
    connection.connect()
    connection.auto_open = 0  # fail where it was closed rather than open another
    for pause in (0, 5):
        time.sleep(pause)
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def stack_of(height: int, width: int, dates: int) -> Any:
    return SimpleNamespace(window=SimpleNamespace(height=height, width=width), passes=[None] * dates)


def test_results_that_are_too_large() -> None:
    settings = Settings(max_pixels=1_000_000)
    check_size([stack_of(1000, 500, 2)], settings)
    with pytest.raises(
        InvalidInputError, match=r"^The result would have 1,000,001 pixels on 3 dates, .* coarser"
    ) as told:
        check_size([stack_of(1000, 500, 2), stack_of(1, 1, 1)], settings)
    assert "1,000,000" in str(told.value)
