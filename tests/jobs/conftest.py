"""Queues of both databases, a configuration with a process that ticks, and the processes of a running server."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import sqlalchemy as sa
import yaml
from waiting import wait_for

from escape_process.jobs.serve import free_port, wait_ready
from escape_process.jobs.store import JobStore

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TERMINAL = ("successful", "failed", "dismissed")


@pytest.fixture(scope="session")
def new_database(postgresql: str) -> Callable[[], str]:
    """Return what makes an empty database, which no other test's worker looks at, and gives its address."""
    numbers = itertools.count()

    def make() -> str:
        name = f"jobs{next(numbers)}"
        engine = sa.create_engine(postgresql.replace("://", "+pg8000://"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return f"{postgresql.rpartition('/')[0]}/{name}"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the connection of an empty queue in each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.sqlite")
    url: str = request.getfixturevalue("new_database")()
    return url


@pytest.fixture
def store(connection: str) -> Iterator[JobStore]:
    """Return an empty store."""
    store = JobStore(connection)
    yield store
    store.close()


def write_config(folder: Path, connection: str | None = None, **manager: Any) -> Path:
    """Write the repository's configuration with the ticking process in place of the retrieval."""
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    settings = {"data_dir": "data", "catalog_seed": None, "allowed_hosts": ["127.0.0.1"]}
    config["resources"] = {
        name: {"type": "process", "processor": {"name": f"ticking.{kind}", "settings": settings}}
        for name, kind in (("ticking", "Ticking"), ("light-ticking", "LightTicking"))
    }
    config["server"]["manager"] |= {"connection": connection or "data/jobs.sqlite", "output_dir": "data/jobs"} | manager
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return path


class Service:
    """A server with its worker, as processes; a client of it."""

    def __init__(self, folder: Path, config: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "ESCAPE_URL": self.url,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        }
        self._program = [sys.executable, "-m", "escape_process.cli"]
        self._config = ["--config", str(config)]
        self._options = options
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self.seen: set[psutil.Process] = set()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.server = self.run("serve", "--port", str(self.port), *self._options)
        wait_ready(self.url, self.server, 300)

    def run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start one of our commands."""
        command, *rest = arguments
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*self._program, command, *self._config, *rest], env=self.environment, stdout=log, stderr=log
            )

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Return the server's descendants whose command holds a word; remember all for `orphans`."""
        try:
            found = psutil.Process(self.server.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.seen |= set(found)
        return [one for one in found if word in _command(one)]

    def worker(self) -> psutil.Process:
        """Return the worker."""
        (worker,) = wait_for(lambda: self.processes("escape_process.jobs.worker"))
        return worker

    def orphans(self) -> list[str]:
        """Return what still runs of the processes seen."""
        return [_command(one) for one in self.seen if _runs(one)]

    def execute(self, inputs: dict[str, Any], *, process: str = "ticking", **body: Any) -> str:
        """Make a job; return its id."""
        answer = self.client.post(
            f"/processes/{process}/execution",
            json={"inputs": inputs, "response": "document", **body},
            headers={"Prefer": "respond-async"},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["jobID"])

    def status(self, job: str) -> dict[str, Any]:
        """Return a job's status."""
        answer = self.client.get(f"/jobs/{job}")
        return dict(answer.json()) if answer.status_code == 200 else {"status": "gone"}

    def finished(self, job: str, seconds: float = 300.0) -> dict[str, Any]:
        """Wait for the end of a job."""
        return dict(wait_for(lambda: (status := self.status(job))["status"] in TERMINAL and status, seconds))

    def ticks(self, name: str) -> list[int]:
        """Return the process ids that wrote the ticks of a job so far."""
        path = self.folder / f"{name}.ticks"
        return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.processes()
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        self.server.wait(60)

    def unfinished_files(self) -> list[str]:
        """Return names of half-written files."""
        return [path.name for path in (self.folder / "data").rglob("*") if path.suffix == ".part"]


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it has just ended
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def running(
    folder: Path, connection: str | None = None, options: Sequence[str] = (), **manager: Any
) -> Iterator[Service]:
    """Run a service in a folder; at the end nothing of it is left."""
    service = Service(folder, write_config(folder, connection, **manager), options)
    service.start()
    try:
        with service.client:
            yield service
    finally:
        service.stop()
    wait_for(lambda: not service.orphans())
