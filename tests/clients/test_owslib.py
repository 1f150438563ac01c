"""OWSLib: it lists, describes and executes; for jobs it has its general request only."""

from collections.abc import Iterator

import pytest
from echo_server import ECHO, PROCESS, Client
from owslib.ogcapi.processes import Processes


@pytest.fixture
def processes(url: str) -> Iterator[Processes]:
    """Return OWSLib's client; its headers are shared by all of its clients, so they are put back."""
    opened = Processes(url)
    before = dict(opened.headers)
    yield opened
    opened.headers.clear()
    opened.headers.update(before)


def test_list_and_describe(processes: Processes) -> None:
    assert [process["id"] for process in processes.processes()] == [PROCESS, ECHO]
    assert next(iter(processes.process(ECHO)["inputs"])) == "message"
    assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in processes.conformance()["conformsTo"]
    assert "/processes/echo/execution" in processes.api()["paths"]


def test_execute(processes: Processes) -> None:
    assert processes.execute(ECHO, inputs={"message": "x", "array": [1]}) == {"message": "x", "array": [1]}


def test_a_job_from_submission_to_dismissal(processes: Processes, client: Client) -> None:
    status = processes.execute(ECHO, inputs={"message": "x", "pause": 0.2}, async_=True)
    location = processes.response_headers["Location"]
    assert location.endswith(status["jobID"])
    client.wait(location)
    path = f"jobs/{status['jobID']}"
    assert processes._request(path=path)["status"] == "successful"
    assert processes._request(path=f"{path}/results") == {"message": "x", "pause": 0.2}
    assert path.removeprefix("jobs/") in [job["jobID"] for job in processes._request(path="jobs")["jobs"]]
    assert processes._request(method="DELETE", path=path)["status"] == "dismissed"
