"""Execution over HTTP: forms of the answer, preferences, and every error with its status and sentence."""

import httpx
import pytest

from .conftest import PROCESS, execute, finished

OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
ITEMS = {"type": "FeatureCollection", "features": []}


def test_processes_are_listed_and_described(client: httpx.Client) -> None:
    listed = client.get("/processes").json()["processes"]
    assert [process["id"] for process in listed] == [PROCESS]
    assert {"sync-execute", "async-execute"} <= set(listed[0]["jobControlOptions"])
    described = client.get(f"/processes/{PROCESS}").json()
    assert {"bbox", "geometry", "ids", "datetime", "members"} <= set(described["inputs"])
    assert set(described["outputs"]) == {"items", "report"}
    assert described["outputs"]["items"]["schema"]["contentMediaType"] == "application/geo+json"
    assert set(described["example"]["inputs"]) <= set(described["inputs"])


def test_unknown_process(client: httpx.Client) -> None:
    for answer in (client.get("/processes/other"), client.post("/processes/other/execution", json={"inputs": {}})):
        assert answer.status_code == 404
        assert answer.json()["type"] == f"{OGC}no-such-process"
        assert "other" in answer.json()["detail"]


def test_landing_page_links_to_everything(client: httpx.Client, url: str) -> None:
    links = client.get("/").json()["links"]
    relations = {link["rel"] for link in links}
    assert {"service-desc", "conformance", "http://www.opengis.net/def/rel/ogc/1.0/processes"} <= relations
    for wanted in (f"{url}/stac-api", f"{url}/catalog/catalog.json"):
        assert wanted in {link["href"] for link in links}
        assert client.get(wanted).status_code == 200
    assert client.get("/", headers={"Accept": "text/html"}).headers["Content-Type"].startswith("text/html")


def test_openapi_is_whole(client: httpx.Client) -> None:
    document = client.get("/openapi").json()
    assert f"/processes/{PROCESS}/execution" in document["paths"]
    references = _references(document)
    assert references
    for reference in references:
        assert reference.startswith("#/")
        node = document
        for part in reference[2:].split("/"):
            node = node[part]


def _references(node: object) -> list[str]:
    if isinstance(node, list):
        return [reference for child in node for reference in _references(child)]
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [reference for child in node.values() for reference in _references(child)]
    return []


def test_conformance_claims_only_what_is_there(client: httpx.Client) -> None:
    classes = client.get("/conformance").json()["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in classes
    assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/dismiss" in classes
    assert not any(name.endswith("processes-1/1.0/conf/html") for name in classes)


@pytest.mark.parametrize(("response", "accept"), [("document", "*/*"), ("raw", "application/json")])
def test_sync_answers_values_by_output_id(client: httpx.Client, response: str, accept: str) -> None:
    answer = execute(client, {"ids": ["x"], "seed": 7}, {"Accept": accept}, response=response)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["items"] == ITEMS
    assert answer.json()["report"]["seed"] == 7
    job = answer.headers["Link"].split(">")[0].lstrip("<")
    assert client.get(job).json()["status"] == "successful"


def test_one_raw_output_is_the_bare_value(client: httpx.Client) -> None:
    answer = execute(client, {"ids": ["x"]}, outputs={"items": {"transmissionMode": "value"}})
    assert answer.json() == ITEMS
    assert answer.headers["Content-Type"] == "application/geo+json"
    plain = execute(client, {"ids": ["x"]}, {"Accept": "application/json"}, outputs={"items": {}})
    assert plain.headers["Content-Type"] == "application/json"


def test_one_output_of_a_document_keeps_its_id(client: httpx.Client) -> None:
    assert execute(client, {"ids": ["x"]}, outputs={"items": {}}, response="document").json() == {"items": ITEMS}


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async, handling=strict", "respond-async; x=1, wait=0"])
def test_a_client_may_prefer_a_job(client: httpx.Client, url: str, prefer: str) -> None:
    answer = execute(client, {"ids": ["x-slow-0.2"]}, {"Prefer": prefer})
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "respond-async"
    status = answer.json()
    assert answer.headers["Location"] == f"{url}/jobs/{status['jobID']}"
    assert status["processID"] == PROCESS
    assert status["status"] in ("accepted", "running")
    assert finished(client, answer)["status"] == "successful"


@pytest.mark.parametrize("prefer", ["respond-async, wait=60", "wait=50,Respond-Async", "respond-async; x=1, wait=40"])
def test_a_client_may_wait_for_a_job(client: httpx.Client, prefer: str) -> None:
    answer = execute(client, {"ids": ["x-slow-0.2"]}, {"Prefer": prefer}, response="document")
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"].startswith("wait=")
    assert answer.json()["items"] == ITEMS


@pytest.mark.parametrize("prefer", ["wait=60", "respond-sync", "return=minimal", ""])
def test_anything_else_is_answered_at_once(client: httpx.Client, prefer: str) -> None:
    assert execute(client, {"ids": ["x"]}, {"Prefer": prefer}).status_code == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8"])
def test_results_are_json_whatever_a_client_accepts(client: httpx.Client, accept: str) -> None:
    answer = execute(client, {"ids": ["x"]}, {"Prefer": "respond-async"}, response="document")
    finished(client, answer)
    results = client.get(f"{answer.headers['Location']}/results", headers={"Accept": accept})
    assert results.headers["Content-Type"] == "application/json"
    assert results.json()["items"] == ITEMS


@pytest.mark.parametrize("body", ["[]", "1", "null", '"x"', "{", "", '{"inputs": {"seed": NaN}}', "\x00", "[" * 20000])
def test_a_body_that_is_no_request(client: httpx.Client, body: str) -> None:
    answer = client.post(f"/processes/{PROCESS}/execution", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The request")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, ["one of bbox, geometry and ids"]),
        ([], ["inputs", "object"]),
        ({"ids": ["x"], "members": 0}, ["members", "0"]),
        ({"ids": ["x"], "members": 1000}, ["members", "1000"]),
        ({"ids": ["x"], "members": "ten"}, ["members", "ten"]),
        ({"ids": ["x"], "colour": 1}, ["Unknown input", "colour"]),
        ({"bbox": [3, 41, 2, 40]}, ["bbox", "reversed"]),
        ({"bbox": [0, 0, 1]}, ["bbox", "four numbers"]),
        ({"bbox": [0, 0, 1, 91]}, ["bbox", "91"]),
        ({"ids": ["x"], "datetime": "2024-06-01/2024-05-01"}, ["datetime", "reversed"]),
        ({"ids": ["x"], "datetime": "yesterday"}, ["datetime", "yesterday"]),
        ({"ids": ["x"], "resolution": -5}, ["resolution", "-5"]),
    ],
)
@pytest.mark.parametrize("prefer", ["respond-async", "wait=5"])
def test_wrong_inputs_make_no_job(client: httpx.Client, inputs: object, words: list[str], prefer: str) -> None:
    before = client.get("/jobs").json()["numberMatched"]
    answer = execute(client, inputs, {"Prefer": prefer})
    assert answer.status_code == 400
    assert answer.json()["code"] == "InvalidParameterValue"
    assert answer.json()["status"] == 400
    for word in words:
        assert word in answer.json()["detail"]
    assert client.get("/jobs").json()["numberMatched"] == before


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"outputs": {"maps": {}}}, ["Unknown output", "maps", "items, report"]),
        ({"outputs": ["maps"]}, ["Unknown output", "maps"]),
        ({"outputs": 3}, ["outputs"]),
        ({"outputs": {"items": {"transmissionMode": "pigeon"}}}, ["items", "pigeon"]),
        ({"response": "html"}, ["response", "html"]),
        ({"subscriber": {"failedUri": "http://127.0.0.1:1/"}}, ["subscriber", "successUri"]),
    ],
)
def test_wrong_members_of_the_request(client: httpx.Client, members: dict[str, object], words: list[str]) -> None:
    answer = execute(client, {"ids": ["x"]}, **members)
    assert answer.status_code == 400
    for word in words:
        assert word in answer.json()["detail"]


@pytest.mark.parametrize(
    ("id", "status", "code", "sentence"),
    [
        ("no-scenes", 422, "NoApplicableScene", "dual-pol (HH, HV)"),
        ("upstream", 502, "UpstreamError", "did not answer within 30 s"),
        ("storage", 507, "InsufficientStorage", "the disk is full"),
        ("bug", 500, "NoApplicableCode", "Internal error in job"),
    ],
)
def test_each_failure_has_its_status_and_sentence(
    client: httpx.Client, id: str, status: int, code: str, sentence: str
) -> None:
    answer = execute(client, {"ids": [id]})
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert sentence in answer.json()["detail"]
    assert "secret" not in answer.text

    answer = execute(client, {"ids": [id]}, {"Prefer": "respond-async"})
    assert answer.status_code == 201
    job = finished(client, answer)
    assert job["status"] == "failed"
    assert sentence in job["message"]
    assert "secret" not in str(job)
    assert not any(link["rel"].endswith("/results") for link in job["links"])
    results = client.get(f"{answer.headers['Location']}/results")
    assert results.status_code == status
    assert results.json()["code"] == code
    assert results.json()["detail"] == job["message"]


def test_the_cause_of_an_internal_error_is_in_the_log(client: httpx.Client, folder) -> None:
    sentence = execute(client, {"ids": ["bug"]}).json()["detail"]
    job = sentence.split()[4].rstrip(";")
    log = (folder / "server.log").read_text()
    assert f"Job {job}: internal error" in log
    assert "KeyError: '/secret/path'" in log


def test_errors_outside_the_contract_are_json_too(client: httpx.Client) -> None:
    missing = client.get("/nothing/here")
    assert missing.status_code == 404
    assert missing.json()["status"] == 404
    wrong = client.put(f"/processes/{PROCESS}/execution")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
