"""One simulated scene and the ensembles calibrated on it, shared by all tests of the retrieval."""

import pytest
from retrieval.simulated import simulate_scene

from escape_process import retrieval


@pytest.fixture(scope="session")
def scene():
    return simulate_scene()


@pytest.fixture(scope="session")
def ensemble(scene):
    return retrieval.calibrate(**scene.arguments())


@pytest.fixture(scope="session")
def result(scene, ensemble):
    return retrieval.retrieve(**scene.arguments(), ensemble=ensemble)


@pytest.fixture(scope="session")
def deterministic(scene):
    return retrieval.calibrate(**scene.arguments(), mode="deterministic")
