"""A server for clients that other people wrote, as they find it."""

from collections.abc import Iterator

import httpx
import pytest
from echo_server import Client, serve_echo


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server that all tests share."""
    with serve_echo(tmp_path_factory.mktemp("clients")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """Return a plain client of that server."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        yield Client(http)
