"""ogc-api-processes-client: generated from the standard's own schemas, so a strict reader of every answer."""

from collections.abc import Iterator

import pytest
from echo_server import ECHO, PROCESS, Client

ogc = pytest.importorskip("ogc_api_processes_client", reason="its licence, EUPL, keeps it out of the dev group")


@pytest.fixture
def api(url: str) -> Iterator["ogc.ApiClient"]:
    """Return its connection."""
    opened = ogc.ApiClient(ogc.Configuration(host=url))
    yield opened
    opened.rest_client.pool_manager.clear()


def test_capabilities(api: "ogc.ApiClient", url: str) -> None:
    assert any(link.href == f"{url}/processes" for link in ogc.CapabilitiesApi(api).get_landing_page().links)
    assert ogc.ConformanceDeclarationApi(api).get_conformance_classes().conforms_to


def test_list_and_describe(api: "ogc.ApiClient") -> None:
    assert [process.id for process in ogc.ProcessListApi(api).get_processes().processes] == [PROCESS, ECHO]
    for process in (PROCESS, ECHO):
        described = ogc.ProcessDescriptionApi(api).get_process_description(process)
        assert described.id == process
        assert described.outputs


def test_status_list_and_dismiss(api: "ogc.ApiClient", client: Client) -> None:
    accepted = client.execute({"message": "x", "pause": 60}, {"Prefer": "respond-async"})
    job = accepted.json()["jobID"]
    status = ogc.StatusApi(api).get_status(job)
    assert (status.job_id, status.process_id) == (job, ECHO)
    assert job in [one.job_id for one in ogc.JobListApi(api).get_jobs().jobs]
    assert ogc.DismissApi(api).dismiss(job).status == "dismissed"
    assert ogc.StatusApi(api).get_status(job).status == "dismissed"


def test_problems(api: "ogc.ApiClient") -> None:
    with pytest.raises(ogc.exceptions.NotFoundException) as caught:
        ogc.StatusApi(api).get_status("none")
    assert "no-such-job" in caught.value.body
