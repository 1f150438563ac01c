"""The notebook of docs/, executed against a real server; the other tests open what it left in the catalogue."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pystac
import pystac_client
import pytest
from nbclient import NotebookClient
from serving import PROCESS, ROOT, Server, serve

NOTEBOOK = ROOT / "docs" / "soil-moisture.ipynb"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the sample catalogue."""
    with serve(tmp_path_factory.mktemp("ecosystem")) as running:
        yield running


@pytest.fixture(scope="session")
def executed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """Execute the notebook; what fails in it is in its outputs."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    environment = {
        **os.environ,
        "ESCAPE_URL": server.url,
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONWARNINGS": "default",
    }
    asyncio.run(client.async_execute(env=environment))
    return notebook


@pytest.fixture(scope="session")
def items(executed: nbformat.NotebookNode, server: Server) -> list[pystac.Item]:
    """Find by search what the notebook's request published, in order of time."""
    catalogue = pystac_client.Client.open(f"{server.url}/stac-api")
    found = list(catalogue.search(collections=[PROCESS]).items())
    assert len(found) == 3, "the notebook left other results than one a date"
    return sorted(found, key=lambda item: str(item.datetime))
