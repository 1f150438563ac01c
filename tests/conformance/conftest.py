"""A real server with the process `echo`, and a stand-in for the retrieval, over a real loopback socket."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from echo_server import Client, serve_echo


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the server: its configuration, `data/` and `server.log`."""
    return tmp_path_factory.mktemp("conformance")


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """Return the address of a server that all tests share."""
    with serve_echo(folder) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """Return a client of that server."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        yield Client(http)
