"""A cluster for the tests of this folder; worker processes find the tests' tasks."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_cluster import Cluster, running_cluster

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _importable_tasks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="session")
def _cluster(_importable_tasks: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """Run a cluster; a test that kills of it brings back what it killed.

    A client of Dask that is closed while it connects drops the new socket unclosed (tornado hands it to a task that
    is cancelled by then). What a test so leaves is found here, where it is only told, and in no later test.
    """
    yield _cluster
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only tell of a socket left open, in tests that use the cluster."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("default:unclosed <socket:ResourceWarning"))
