"""A PostgreSQL server of its own for tests: in a temporary folder, on loopback, as a user without rights."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

from escape_process.jobs.serve import free_port

INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian installs servers, a folder a version."""
EXTENSIONS = Path("/usr/share/postgresql")


def programs(extension: str | None = None) -> Path | None:
    """Return the folder of the newest server's programs that is installed, with an extension; None where none is."""
    found = [path.parent for path in INSTALLED.glob("*/bin/initdb")]
    if extension is not None:
        found = [one for one in found if (EXTENSIONS / one.parent.name / f"extension/{extension}.control").exists()]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a PostgreSQL server; give the address of a database."""
    where = programs("postgis") or programs()
    if where is None:
        pytest.skip(f"no PostgreSQL server is installed in {INSTALLED}")
    pytest.importorskip("pg8000", reason="the extra postgresql is not installed", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("postgresql")
    for parent in folder.parents:
        if parent.owner() == "root" and parent.is_relative_to(tmp_path_factory.getbasetemp().parent):
            parent.chmod(parent.stat().st_mode | 0o011)
    with _running(where, folder) as port:
        yield f"postgresql://escape@127.0.0.1:{port}/postgres"


@contextmanager
def _running(where: Path, folder: Path) -> Iterator[int]:
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chown(folder, 65534, 65534)
    data, port = folder / "data", free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    init = [*as_user, str(where / "initdb"), "-D", str(data), "-U", "escape", "-A", "trust", "--no-sync"]
    subprocess.run(init, check=True, **quiet)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(data)]
    with subprocess.Popen([*as_user, str(where / "postgres"), "-D", str(data), *options], **quiet) as server:
        try:
            ready = [str(where / "pg_isready"), "--host=127.0.0.1", f"--port={port}"]  # it listens before it answers
            wait_for(lambda: subprocess.run(ready, check=False, **quiet).returncode == 0, 60)
            yield port
        finally:
            server.send_signal(signal.SIGQUIT)


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of loopback."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
