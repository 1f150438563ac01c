"""A server with the process `echo` and a stand-in for the retrieval, and what a client does with it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from escape_process.jobs.serve import background

HERE = Path(__file__).parent
ECHO = "echo"
PROCESS = "escape-soil-moisture"
OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
ASYNC = {"Prefer": "respond-async"}


@contextmanager
def serve_echo(folder: Path) -> Iterator[str]:
    """Serve both processes from a folder; hosts of tests are on loopback."""
    config = yaml.safe_load((HERE.parent / "pygeoapi-config.yml").read_text())
    processor = config["resources"][PROCESS]["processor"]
    processor["name"] = "stand_in.StandIn"
    processor["settings"] |= {"catalog_seed": None, "allowed_hosts": ["127.0.0.1"]}
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    search = os.pathsep.join([str(HERE / "server"), os.environ.get("PYTHONPATH", "")])
    environment = {"ESCAPE_DATA_DIR": "data", "PYTHONPATH": search, "ESCAPE_ECHO": "true"}
    with (folder / "server.log").open("ab") as log, background(path, environment=environment, log=log) as url:
        yield url


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
