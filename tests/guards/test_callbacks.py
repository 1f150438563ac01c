"""Subscribers that do harm: an answer that never ends, or only drips, holds neither thread nor memory."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from loopback import Quiet, in_thread
from waiting import wait_for

from escape_process.jobs import callbacks
from escape_process.jobs.callbacks import Callbacks
from escape_process.jobs.store import Job, now
from escape_process.settings import Settings

SETTINGS = Settings(allowed_hosts=["127.0.0.1"])


class Endless(Quiet, http.server.BaseHTTPRequestHandler):
    """Answers for as long as anybody listens: at /drip a header, a byte at a time; else a body at full speed."""

    server: "Host"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        if self.path != "/drip":
            self.wfile.write(b"no\r\n\r\n")
        try:
            while not self.server.ended.is_set():
                self.wfile.write(b"x" if self.path == "/drip" else b"x" * 2**20)
                self.server.sent += 1
                self.server.ended.wait(0.05 if self.path == "/drip" else 0)
        except OSError:
            self.server.ended.set()


class Host(http.server.ThreadingHTTPServer):
    """Counts what it could send."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Endless)
        self.sent = 0
        self.ended = threading.Event()


@pytest.fixture
def host() -> Iterator[Host]:
    with in_thread(Host()) as server:
        try:
            yield server
        finally:
            server.ended.set()


def done(url: str) -> Job:
    """Return a finished job whose subscriber is at an address."""
    subscriber = json.dumps({"successUri": url})
    moment = now()
    return Job("a", "p", "{}", "{}", "raw", "successful", "Done.", 100, moment, moment, subscriber=subscriber)


@pytest.mark.parametrize("path", ["drip", "body"])
def test_an_answer_without_end_is_left(host: Host, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "LONGEST", 0.5)
    told = Callbacks(SETTINGS, "http://here")
    told.tell(done(f"http://127.0.0.1:{host.server_port}/{path}"), {"message": "x"})
    wait_for(host.ended.is_set, 20)  # by our side, which has closed the connection
    told.finish(20)
    assert [one.name for one in threading.enumerate() if one.name == "callback"] == []
    assert host.sent < 200  # bytes of a header in half a second; MiB of a body that went into buffers, if any did
