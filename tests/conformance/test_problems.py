"""Errors: whatever goes wrong, one shape (RFC 7807 and the standard's exception schema) with an honest type."""

import http

import httpx
import ogc_schemas
import pytest
from echo_server import ASYNC, ECHO, OGC, PROCESS, Client

TYPES = {f"{OGC}no-such-process", f"{OGC}no-such-job", f"{OGC}result-not-ready", "about:blank"}
"""All that the standard defines; without more to say than the status, RFC 7807 has about:blank."""
EXECUTION = f"/processes/{ECHO}/execution"


def check_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    problem = answer.json()
    ogc_schemas.check(problem, ogc_schemas.EXCEPTION)
    assert problem["type"] in TYPES
    assert problem["title"] == http.HTTPStatus(status).phrase
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["description"] == problem["detail"]
    assert problem["code"]
    assert " " not in problem["code"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/processes/none", 404),
        ("GET", "/processes?limit=0", 400),
        ("GET", "/?f=xml", 400),
        ("PUT", "/processes", 405),
        ("GET", "/jobs/none", 404),
        ("GET", "/jobs/none/results", 404),
        ("DELETE", "/jobs/none", 404),
        ("GET", "/jobs?status=lost", 400),
        ("GET", "/jobs?datetime=yesterday", 400),
        ("GET", "/jobs?processID=%00", 400),
        ("GET", "/jobs/%00", 404),
        ("GET", "/jobs/none/results?f=xml", 400),
        ("GET", EXECUTION, 405),
        ("POST", EXECUTION, 400),
        ("POST", "/processes/none/execution", 404),
        ("GET", "/catalog/none.json", 404),
        ("GET", "/unpublished/none", 404),
        ("GET", "/collections/none", 404),  # pygeoapi's own views from here on
        ("GET", "/collections/none/items", 404),
        ("GET", "/collections/none/queryables", 404),
        ("GET", "/openapi?f=xml", 400),
        ("GET", "/TileMatrixSets/none", 400),
    ],
)
def test_every_error_has_one_shape(client: Client, method: str, path: str, status: int) -> None:
    check_problem(client.http.request(method, path), status)


def test_long_bodies(client: Client) -> None:
    check_problem(client.http.post(EXECUTION, content=b" " * (2**20 + 1)), 413)


@pytest.mark.parametrize(
    ("id", "status", "code"),
    [
        ("no-scenes", 422, "NoApplicableScene"),
        ("upstream", 502, "UpstreamError"),
        ("storage", 507, "InsufficientStorage"),
        ("bug", 500, "NoApplicableCode"),
    ],
)
def test_failed_jobs_and_synchronous_failures(client: Client, id: str, status: int, code: str) -> None:
    accepted = client.execute({"ids": [id]}, ASYNC, process=PROCESS)
    client.finished(accepted)
    for answer in (
        client.execute({"ids": [id]}, process=PROCESS),
        client.get(f"{accepted.headers['Location']}/results"),
        client.get(f"{accepted.headers['Location']}/results/items"),
    ):
        check_problem(answer, status)
        assert answer.json()["code"] == code


def test_results_of_dismissed_and_unfinished_jobs(client: Client) -> None:
    accepted = client.execute({"message": "x", "pause": 30}, ASYNC)
    results = f"{accepted.headers['Location']}/results"
    unfinished = client.get(results)
    check_problem(unfinished, 404)
    assert unfinished.json()["type"] == f"{OGC}result-not-ready"
    client.delete(accepted.headers["Location"])
    check_problem(client.get(results), 410)
