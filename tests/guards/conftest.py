"""A host on loopback that must not be reached and counts who comes by; servers with settings of a test's own."""

import http.server
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from loopback import Quiet, in_thread
from serving import PROCESS
from stand_in_server import serve_stand_in

from escape_process import guard


class Canary(http.server.ThreadingHTTPServer):
    """Answers everything, and counts it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.hits: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.bodies: dict[str, bytes] = {}
        self.port = self.server_address[1]
        self.url = f"http://{host}:{self.port}"


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Canary

    def do_GET(self) -> None:
        self.server.hits.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        target = self.server.redirects.get(self.path)
        self.send_response(self.server.statuses.get(self.path, 200 if target is None else 302))
        if target is not None:
            self.send_header("Location", target)
        body = self.server.bodies.get(self.path, b"{}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()


@pytest.fixture
def canary() -> Iterator[Canary]:
    """Give a host on loopback."""
    with in_thread(Canary()) as host:
        yield host


@pytest.fixture
def other() -> Iterator[Canary]:
    """Give another host on loopback, for redirects."""
    with in_thread(Canary()) as host:
        yield host


class Names(dict[str, list[list[str]]]):
    """Addresses by host name: one list for each question, the last one for ever."""

    def resolve(self, host: str, port: int) -> list[str]:
        if host not in self:
            return _RESOLVE(host, port)
        answers = self[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


_RESOLVE = guard.resolve


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Give host names whose addresses the test decides."""
    known = Names()
    monkeypatch.setattr(guard, "resolve", known.resolve)
    return known


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serve_with() -> Serve:
    """Return a function that serves a process that needs no scenes, from a folder, with further settings."""
    return serve_stand_in


def execute(client: httpx.Client, *ids: str, **headers: str) -> httpx.Response:
    """Ask for a job."""
    body = {"inputs": {"ids": list(ids)}, "response": "document"}
    prefer = {"Prefer": "respond-async", **headers}
    return client.post(f"/processes/{PROCESS}/execution", json=body, headers=prefer)


def finished(client: httpx.Client, job: str, seconds: float = 30) -> dict[str, Any]:
    """Wait for a job and return its status."""
    end = time.monotonic() + seconds
    status: dict[str, Any] = {}
    while time.monotonic() < end:
        status = client.get(f"/jobs/{job}").json()
        if status["status"] not in ("accepted", "running"):
            return status
        time.sleep(0.05)
    raise TimeoutError(status)
