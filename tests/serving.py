"""The real server with the real pipeline over a loopback socket, as a client sees it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from waiting import wait_for

from escape_process.jobs.serve import background

ROOT = Path(__file__).parents[1]
PROCESS = "escape-soil-moisture"
SAMPLE_INPUTS: Mapping[str, Any] = {
    "catalog": "sample",
    "bbox": [-5.48, 41.23, -5.40, 41.29],
    "datetime": "2024-05-18T00:00:00Z/2024-05-18T23:59:59Z",
}


class Server:
    """A running server as a client sees it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.client = httpx.Client(base_url=url, timeout=300, trust_env=False)

    def execute(self, inputs: Mapping[str, Any], *, asynchronous: bool = False, **body: Any) -> httpx.Response:
        """POST an execute request."""
        headers = {"Prefer": "respond-async"} if asynchronous else {}
        return self.client.post(
            f"/processes/{PROCESS}/execution",
            json={"inputs": dict(inputs), "response": "document", **body},
            headers=headers,
        )

    def refusal(self, inputs: Mapping[str, Any], status: int) -> str:
        """Execute a request that must fail; return its sentence."""
        answer = self.execute(inputs)
        assert answer.status_code == status, answer.text
        sentence: str = answer.json()["description"]
        assert str(self.folder) not in sentence
        return sentence

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    def check_nothing_left(self) -> None:
        """Check that files of unfinished work are gone, which the end of a job may precede by a moment."""
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not self._leftovers(), 10)
        assert self._leftovers() == []

    def _leftovers(self) -> list[str]:
        """Return files of unfinished work in the data folder."""
        results = self.data / "catalog" / PROCESS
        hidden = [str(path) for path in self.data.rglob("*") if path.name.startswith(".") and path.name[1:2] != "l"]
        blocks = [str(path) for path in (self.data / "work" / "blocks").glob("*")]
        orphans = [
            str(path) for path in results.glob("*/") if path.is_dir() and not (path / f"{path.name}.json").exists()
        ]
        return hidden + blocks + orphans


@contextmanager
def serve(
    folder: Path,
    catalogs: Mapping[str, Path | str] | None = None,
    allowed_hosts: Sequence[str] = ("127.0.0.1",),
    **more: Any,
) -> Iterator[Server]:
    """Serve the sample catalogue, and further ones by name, from a folder, with further settings.

    Hosts of tests are on loopback.
    """
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    settings = config["resources"][PROCESS]["processor"]["settings"]
    settings["catalog_seed"] = str(ROOT / "catalog")
    settings["catalogs"] = {
        "sample": str(ROOT / "catalog" / "samples" / "collection.json"),
        **{name: str(where) for name, where in (catalogs or {}).items()},
    }
    settings["allowed_hosts"] = list(allowed_hosts)
    settings.update(more)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    environment = {"ESCAPE_DATA_DIR": "data"}
    with (
        (folder / "server.log").open("ab") as log,
        background(path, environment=environment, log=log, seconds=300) as url,
    ):
        server = Server(url, folder)
        with server.client:
            yield server
