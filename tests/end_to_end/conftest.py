"""One server for the tests that share the sample catalogue."""

from collections.abc import Iterator

import pytest
from serving import Server, serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the sample catalogue."""
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running
