"""A server with the process `echo` and a stand-in for the retrieval, and what a client does with it."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
from stand_in_server import serve_stand_in

ECHO = "echo"
PROCESS = "escape-soil-moisture"
OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
ASYNC = {"Prefer": "respond-async"}


def serve_echo(folder: Path) -> AbstractContextManager[str]:
    """Serve both processes from a folder; hosts of tests are on loopback."""
    return serve_stand_in(folder, {"ESCAPE_ECHO": "true"}, allowed_hosts=["127.0.0.1"])


class Client:
    """An HTTP client that knows the paths of OGC API - Processes."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.get = http.get
        self.delete = http.delete

    def execute(
        self, inputs: object, headers: dict[str, str] | None = None, process: str = ECHO, **members: object
    ) -> httpx.Response:
        """Send an execute request."""
        body = {"inputs": inputs, **members}
        return self.http.post(f"/processes/{process}/execution", json=body, headers=headers)

    def finished(self, accepted: httpx.Response) -> dict[str, Any]:
        """Wait for the job that was made and return its status."""
        assert accepted.status_code == 201, accepted.text
        return self.wait(accepted.headers["Location"])

    def wait(self, location: str, seconds: float = 180) -> dict[str, Any]:
        """Wait for a job and return its status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status: dict[str, Any] = self.get(location).json()
            if status["status"] not in ("accepted", "running"):
                return status
            time.sleep(0.05)
        raise TimeoutError(status)

    def results(self, inputs: object, **members: object) -> httpx.Response:
        """Execute as a job, wait for it and get its results by the link in its status."""
        status = self.finished(self.execute(inputs, ASYNC, **members))
        (href,) = [link["href"] for link in status["links"] if link["rel"] == f"{REL}results"]
        return self.get(href)
