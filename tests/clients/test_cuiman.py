"""cuiman, of the eozilla project: its client reads every answer into models of the standard."""

import warnings
from collections.abc import Iterator

import pytest
from echo_server import ECHO, PROCESS, Client

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of its user interface
    cuiman = pytest.importorskip("cuiman", reason="cuiman is not installed")
    models = pytest.importorskip("gavicore.models", reason="cuiman is not installed")


@pytest.fixture
def api(url: str) -> Iterator["cuiman.Client"]:
    """Return its connection."""
    opened = cuiman.Client(api_url=url)
    yield opened
    opened.close()


def test_list_and_describe(api: "cuiman.Client") -> None:
    assert api.get_capabilities().links
    assert api.get_conformance().conformsTo
    assert [process.id for process in api.get_processes().processes] == [PROCESS, ECHO]
    for process in (PROCESS, ECHO):
        assert api.get_process(process).id == process


def test_jobs(api: "cuiman.Client", client: Client) -> None:
    accepted = client.execute({"message": "x"}, {"Prefer": "respond-async"}, response="document")
    job = accepted.json()["jobID"]
    client.wait(accepted.headers["Location"])
    assert str(api.get_job(job).status.value) == "successful"
    assert job in [one.jobID for one in api.get_jobs().jobs]
    assert "x" in str(api.get_job_results(job))
    assert str(api.dismiss_job(job).status.value) == "dismissed"
