"""A cluster for the tests of this folder; worker processes find the tests' tasks."""

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
def cluster(_importable_tasks: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster; a test that kills of it brings back what it killed."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
