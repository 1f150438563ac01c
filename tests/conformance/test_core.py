"""Landing page, conformance, processes and their descriptions. Names carry the abstract tests of OGC 18-062r2."""

import json
import re
from typing import Any

import jsonschema
import ogc_schemas
import pytest
from echo_server import ECHO, OGC, PROCESS, REL, Client

CONFORMANCE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"


def links_of(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def test_a01_a02_landing_page(client: Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    page = answer.json()
    ogc_schemas.check(page, ogc_schemas.LANDING_PAGE)
    assert page["title"]
    for rel in ("service-desc", "service-doc", "conformance", f"{REL}processes", f"{REL}job-list"):
        (href,) = links_of(page, rel)
        assert client.get(href).status_code == 200
    for href in links_of(page, "alternate"):
        assert client.get(href).headers["Content-Type"].startswith("text/html")


def test_a03_a04_api_definition(client: Client) -> None:
    (href,) = links_of(client.get("/").json(), "service-desc")
    answer = client.get(href)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/vnd.oai.openapi+json;version=3.0")
    assert answer.json()["openapi"].startswith("3.0.")


def test_a05_a06_conformance(client: Client) -> None:
    answer = client.get("/conformance")
    assert answer.status_code == 200
    ogc_schemas.check(answer.json(), ogc_schemas.CONFORMANCE)
    claimed = {name.removeprefix(CONFORMANCE) for name in answer.json()["conformsTo"] if name.startswith(CONFORMANCE)}
    assert claimed == {"core", "json", "oas30", "ogc-process-description", "job-list", "dismiss", "callback"}


def test_a07_http(client: Client, url: str) -> None:
    answer = client.get("/processes")
    assert answer.http_version == "HTTP/1.1"
    assert client.http.head("/processes").content == b""
    refused = client.http.put("/processes")
    assert refused.status_code == 405
    assert "GET" in refused.headers["Allow"]
    assert client.get("/nothing").status_code == 404
    assert client.get(f"{url}/processes", params={"f": "xml"}).status_code == 400


def test_a08_a10_process_list(client: Client) -> None:
    answer = client.get("/processes")
    assert answer.status_code == 200
    ogc_schemas.check(answer.json(), ogc_schemas.PROCESS_LIST)
    assert [process["id"] for process in answer.json()["processes"]] == [PROCESS, ECHO]
    for process in answer.json()["processes"]:
        assert client.get(links_of(process, "self")[0]).json()["id"] == process["id"]


def test_a09_a12_limit_of_the_process_list(client: Client) -> None:
    assert len(client.get("/processes", params={"limit": 1}).json()["processes"]) == 1
    assert len(client.get("/processes", params={"limit": 100}).json()["processes"]) == 2
    assert client.get("/processes", params={"limit": 10_001}).status_code == 200  # as many as one answer has
    for wrong in ("0", "x", "-1", "1.5"):
        answer = client.get("/processes", params={"limit": wrong})
        assert answer.status_code == 400
        assert "limit" in answer.json()["detail"]


def test_a11_next_page_of_the_process_list(client: Client) -> None:
    first = client.get("/processes", params={"limit": 1}).json()
    (following,) = links_of(first, "next")
    second = client.get(following).json()
    assert [page["processes"][0]["id"] for page in (first, second)] == [PROCESS, ECHO]
    assert links_of(second, "next") == []
    assert client.get(links_of(second, "prev")[0]).json()["processes"] == first["processes"]


@pytest.mark.parametrize("process", [ECHO, PROCESS])
def test_a13_a14_process_description(client: Client, process: str) -> None:
    answer = client.get(f"/processes/{process}")
    assert answer.status_code == 200
    described = answer.json()
    ogc_schemas.check(described, ogc_schemas.PROCESS)
    assert described["jobControlOptions"] == ["sync-execute", "async-execute", "dismiss"]
    assert described["outputTransmission"] == ["value", "reference"]
    (execution,) = links_of(described, f"{REL}execute")
    assert execution.endswith(f"/processes/{process}/execution")


def test_a15_no_such_process(client: Client) -> None:
    for answer in (client.get("/processes/other"), client.execute({"message": "x"}, process="other")):
        assert answer.status_code == 404
        ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)
        assert answer.json()["type"] == f"{OGC}no-such-process"
        assert answer.json()["status"] == 404


@pytest.mark.parametrize("process", [ECHO, PROCESS])
def test_a48_to_a54_every_input_and_output_has_a_schema_of_the_subset(client: Client, process: str) -> None:
    described = client.get(f"/processes/{process}").json()
    for part in ("inputs", "outputs"):
        for entry in described[part].values():
            schema = entry["schema"]
            ogc_schemas.check(schema, {"$defs": {"subset": ogc_schemas.SUBSET}, "$ref": "#/$defs/subset"})
            assert ("type" in schema) != ("oneOf" in schema)  # mixed kinds by oneOf
    kinds = client.get(f"/processes/{ECHO}").json()["inputs"]
    assert next(iter(kinds)) == "message"
    assert list(kinds) == list(client.get(f"/processes/{ECHO}").json()["outputs"])


def test_a55_json(client: Client) -> None:
    for path in ("/", "/conformance", "/processes", f"/processes/{ECHO}", "/jobs"):
        for asked in ({"headers": {"Accept": "application/json"}}, {"params": {"f": "json"}}, {}):
            answer = client.get(path, **asked)
            assert answer.headers["Content-Type"] == "application/json"
            answer.json()


def test_a56_a57_html(client: Client) -> None:
    """The class `html` is not claimed: results have no page. What has one shows it."""
    for path in ("/", "/conformance", "/processes", f"/processes/{ECHO}", f"/processes/{PROCESS}", "/jobs"):
        for asked in ({"headers": {"Accept": "text/html"}}, {"params": {"f": "html"}}):
            answer = client.get(path, **asked)
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith("text/html")
            assert answer.text.startswith("<!doctype html>")


def test_a58_to_a60_openapi_is_complete_and_whole(client: Client) -> None:
    document = client.get("/openapi").json()
    paths = set(document["paths"])
    assert {f"/processes/{ECHO}/execution", f"/processes/{PROCESS}/execution", "/jobs/{jobId}/results"} <= paths
    text = json.dumps(document)
    for reference in re.findall(r'"\$ref": "([^"]*)"', text):
        assert reference.startswith("#/")
        node = document
        for part in reference[2:].split("/"):
            node = node[part]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "default" not in operation["responses"]
            assert all(response for response in operation["responses"].values())
    assert "requestBody" in document["paths"][f"/processes/{ECHO}/execution"]["post"]


@pytest.mark.parametrize("process", [ECHO, PROCESS])
def test_a58_execute_requests_have_a_schema_of_their_own(client: Client, process: str) -> None:
    document = client.get("/openapi").json()
    schema = {**document["components"]["schemas"][f"execute-{process}"], "components": document["components"]}
    validator = jsonschema.Draft4Validator(schema)  # the dialect whose bounds OpenAPI 3.0 has
    described = client.get(f"/processes/{process}").json()
    assert validator.is_valid(described["example"])
    assert not validator.is_valid({"inputs": {"unknown": 1}})
    assert not validator.is_valid({})
    assert not validator.is_valid({**described["example"], "outputs": {"unknown": {}}})


def test_a61_a62_exceptions_and_security_of_openapi(client: Client) -> None:
    document = client.get("/openapi").json()
    assert "securitySchemes" not in document["components"]  # no token is asked for here
    for response in document["components"]["responses"].values():
        assert response["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/exception"
    refused = client.execute({"message": 1})
    jsonschema.validate(refused.json(), document["components"]["schemas"]["exception"])
