"""Execution: modes, inputs of every kind, and the forms of the answer, by POST and as a job's results."""

import base64
import email
import email.policy
import http.server
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import httpx
import ogc_schemas
import pytest
from echo_server import ASYNC, ECHO, OGC, PROCESS, REL, Client
from loopback import Quiet, in_thread

TEXT = "teststring"
IMAGE = base64.b64encode(b"II*\x00 is how a TIFF begins").decode()
GIVEN: dict[str, Any] = {
    "message": TEXT,
    "number": 1.5,
    "integer": 7,
    "flag": True,
    "array": [1, 2, 3],
    "object": {"a": {"b": [None, "c"]}},
    "mixed": TEXT,
    "image": IMAGE,
    "area": {"bbox": [51.9, 7, 52, 7.1], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"},
}
BOTH = {"message": TEXT, "integer": 7}
REFERENCE = {"transmissionMode": "reference"}
VALUE = {"transmissionMode": "value"}


def by_post(client: Client, inputs: object, **members: object) -> httpx.Response:
    return client.execute(inputs, **members)


def as_job(client: Client, inputs: object, **members: object) -> httpx.Response:
    return client.results(inputs, **members)


Ask = Callable[..., httpx.Response]
BOTH_WAYS = pytest.mark.parametrize("ask", [by_post, as_job])


def parts_of(answer: httpx.Response) -> dict[str, EmailMessage]:
    """Read a multipart answer as a mail reader does: part by Content-ID."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/related"
    return {str(part["Content-ID"]).strip("<>"): part for part in message.iter_parts()}


def references_of(answer: httpx.Response) -> dict[str, str]:
    """Return the addresses of Link headers by title."""
    links = [link for header in answer.headers.get_list("link") for link in header.split(", <")]
    return {
        link.split('title="')[1].split('"')[0]: link.split(">")[0].lstrip("<") for link in links if "title=" in link
    }


@pytest.mark.parametrize("prefer", ["respond-async", "respond-async; x=1, return=minimal"])
def test_a16_a34_async_makes_a_job(client: Client, url: str, prefer: str) -> None:
    answer = client.execute({"message": TEXT, "pause": 0.3}, {"Prefer": prefer})
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "respond-async"
    ogc_schemas.check(answer.json(), ogc_schemas.STATUS)
    assert answer.headers["Location"] == f"{url}/jobs/{answer.json()['jobID']}"
    ogc_schemas.check(client.get(answer.headers["Location"]).json(), ogc_schemas.STATUS)
    assert client.finished(answer)["status"] == "successful"


def test_a17_the_server_may_choose_after_a_wait(client: Client) -> None:
    soon = client.execute({"message": TEXT}, {"Prefer": "respond-async, wait=60"}, outputs={"message": VALUE})
    assert soon.status_code == 200
    assert soon.headers["Preference-Applied"] == "wait=60"
    assert soon.text == TEXT
    late = client.execute({"pause": 30}, {"Prefer": "respond-async, wait=0"})
    assert late.status_code == 201
    assert client.delete(late.headers["Location"]).status_code == 200


@pytest.mark.parametrize("headers", [None, {"Prefer": "respond-sync"}, {"Prefer": "wait=60"}])
def test_a18_without_a_preference_the_answer_is_the_results(client: Client, headers: dict[str, str] | None) -> None:
    assert client.execute({"message": TEXT}, headers).status_code == 200


def test_a19_a27_without_outputs_all_are_answered(client: Client) -> None:
    for members in ({}, {"outputs": {}}):
        answer = client.execute(GIVEN, response="document", **members)
        assert answer.status_code == 200
        assert answer.json() == GIVEN


@pytest.fixture(scope="module")
def alone(url: str) -> dict[str, list[Any]]:
    """Return the results of executions with one input each, bare and qualified; all are asked for at once."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        client = Client(http)
        asked = {
            name: [client.execute({name: given}, ASYNC, response="document") for given in (value, {"value": value})]
            for name, value in GIVEN.items()
        }
        for accepted in asked.values():
            for answer in accepted:
                client.finished(answer)
        return {
            name: [client.get(f"{answer.headers['Location']}/results").json() for answer in accepted]
            for name, accepted in asked.items()
        }


@pytest.mark.parametrize("name", GIVEN)
def test_a20_a21_a23_to_a27_each_kind_of_input_alone(alone: dict[str, list[Any]], name: str) -> None:
    """Inline: array, object, mixed, base64, bounding box and the rest, bare and qualified."""
    assert alone[name] == [{name: GIVEN[name]}] * 2


def test_a23_to_a27_the_odd_values_of_the_compliance_suite(client: Client) -> None:
    inputs = {
        "message": TEXT,
        "object": {"value": TEXT},
        "mixed": {"value": TEXT},
        "image": {"value": IMAGE, "format": {"mediaType": "image/tiff", "encoding": "base64"}},
        "area": {"crs": "urn:ogc:def:crs:EPSG:6.6:4326", "bbox": [345345345] * 4},
    }
    answer = client.execute(inputs, outputs=dict.fromkeys([*GIVEN, "pause"], VALUE), response="document")
    assert answer.status_code == 200
    assert answer.json()["object"] == {"value": TEXT}
    assert answer.json()["mixed"] == TEXT
    assert set(answer.json()) == set(inputs)


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """Return the address of a host that has inputs."""
    contents = {"/text": TEXT.encode(), "/object": b'{"a": 1}', "/image": b"II*\x00", "/long": b"x" * (2**20 + 1)}
    contents["/nan"] = b'{"a": NaN}'

    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def do_HEAD(self) -> None:
            self.send_response(405)
            self.end_headers()

    with in_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_a22_inputs_by_reference(client: Client, files: str) -> None:
    inputs = {name: {"href": f"{files}/{path}"} for name, path in (("message", "text"), ("object", "object"))}
    answer = client.execute({**inputs, "image": {"href": f"{files}/image", "type": "image/tiff"}}, response="document")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"message": TEXT, "object": {"a": 1}, "image": base64.b64encode(b"II*\x00").decode()}


@pytest.mark.parametrize(
    ("href", "status", "words"),
    [
        ("FILES/none", 502, ["none"]),
        ("FILES/text", 400, ["integer", "text"]),
        ("FILES/long", 400, ["integer", "long"]),
        ("http://10.0.0.1/x", 400, ["10.0.0.1"]),
        ("http://user:secret@127.0.0.1/x", 400, ["127.0.0.1 holds credentials"]),
        ("file:///etc/passwd", 400, ["integer", "http"]),
        ("/etc/passwd", 400, ["integer", "http"]),
    ],
)
def test_a22_references_that_lead_nowhere(client: Client, files: str, href: str, status: int, words: list[str]) -> None:
    answer = client.execute({"integer": {"href": href.replace("FILES", files)}})
    assert answer.status_code == status, answer.text
    ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)
    for word in words:
        assert word in answer.json()["detail"]


def test_a22_a_reference_to_what_json_cannot_say(client: Client, files: str) -> None:
    answer = client.execute({"object": {"href": f"{files}/nan"}})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Input object: nan holds no value of that kind."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", {"type": "wrong/type_1"}),
        ("image", "not base64!"),
        ("image", {"value": IMAGE, "mediaType": "image/png"}),
        ("message", {"type": "wrong/type_1"}),
        ("message", 1),
        ("number", "1"),
        ("integer", 1.5),
        ("flag", "true"),
        ("array", ["a"]),
        ("object", []),
        ("mixed", 1),
        ("mixed", {"other": 1}),
        ("area", {"bbox": [1, 2]}),
        ("area", {"bbox": [1, 2, 3, 4, 5]}),
        ("image", {"value": IMAGE, "format": {"mediaType": "image/png"}}),
        ("image", {"value": IMAGE, "encoding": "base32"}),
        ("area", [1, 2, 3, 4]),
        ("pause", -1),
        ("pause", 1e9),
    ],
)
def test_a28_input_validation(client: Client, name: str, value: object) -> None:
    answer = client.execute({"message": TEXT, name: value})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)
    assert f"Input {name}" in answer.json()["detail"]


def test_a28_stricter_unknown_inputs_and_outputs(client: Client) -> None:
    for process, inputs in ((ECHO, {"message": TEXT}), (PROCESS, {"ids": ["x"]})):
        unknown = client.execute({**inputs, "colour": 1}, process=process)
        assert unknown.status_code == 400
        assert "'colour'" in unknown.json()["detail"]
        unknown = client.execute(inputs, process=process, outputs={"colour": {}})
        assert unknown.status_code == 400
        assert "'colour'" in unknown.json()["detail"]
    wrong = client.execute({"message": TEXT}, outputs={"message": {"transmissionMode": "pigeon"}})
    assert wrong.status_code == 400
    assert "pigeon" in wrong.json()["detail"]
    wrong = client.execute({"message": TEXT}, outputs={"message": {"format": {"mediaType": "image/png"}}})
    assert wrong.status_code == 400
    assert "image/png" in wrong.json()["detail"]
    for own in ("text/plain", "text/plain; charset=utf-8", "application/json"):
        asked = {"message": {"format": {"mediaType": own}}}
        assert client.execute({"message": TEXT}, outputs=asked).status_code == 200
    wrong = client.execute({"message": TEXT}, outputs={"message": "value"})
    assert wrong.status_code == 400
    assert "Output message must be an object" in wrong.json()["detail"]


@BOTH_WAYS
@pytest.mark.parametrize(
    ("name", "body", "media_type"),
    [
        ("message", TEXT.encode(), "text/plain; charset=utf-8"),
        ("object", b'{"a": {"b": [null, "c"]}}', "application/json"),
        ("image", base64.b64decode(IMAGE), "image/tiff"),
    ],
)
def test_a29_a38_a40_raw_one_value(client: Client, ask: Ask, name: str, body: bytes, media_type: str) -> None:
    answer = ask(client, {name: GIVEN[name]}, outputs={name: VALUE}, response="raw")
    assert answer.status_code == 200
    assert answer.content == body
    assert answer.headers["Content-Type"] == media_type


def test_a29_raw_one_value_of_the_retrieval(client: Client) -> None:
    answer = client.execute({"ids": ["x"]}, process=PROCESS, outputs={"items": {}})
    assert answer.headers["Content-Type"] == "application/geo+json"
    assert answer.json()["type"] == "FeatureCollection"


@BOTH_WAYS
def test_a30_a41_raw_several_values(client: Client, ask: Ask) -> None:
    answer = ask(client, GIVEN, response="raw")
    assert answer.status_code == 200
    parts = parts_of(answer)
    assert list(parts) == list(GIVEN)
    assert parts["message"].get_content().strip() == TEXT
    assert parts["image"].get_content_type() == "image/tiff"
    assert parts["image"].get_payload(decode=True) == base64.b64decode(IMAGE)
    assert parts["area"].get_content_type() == "application/json"


def test_a30_json_where_a_client_takes_nothing_else(client: Client) -> None:
    answer = client.execute(BOTH, {"Accept": "application/json"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == BOTH
    one = client.execute(BOTH, {"Accept": "application/json"}, outputs={"message": {}})
    assert one.headers["Content-Type"] == "application/json"
    assert one.json() == TEXT


@BOTH_WAYS
def test_a31_a42_raw_references(client: Client, ask: Ask) -> None:
    answer = ask(client, BOTH, outputs=dict.fromkeys(BOTH, REFERENCE), response="raw")
    assert answer.status_code == 204
    assert answer.content == b""
    assert "Content-Type" not in answer.headers
    references = references_of(answer)
    assert set(references) == set(BOTH)
    value = client.get(references["message"])
    assert (value.text, value.headers["Content-Type"]) == (TEXT, "text/plain; charset=utf-8")
    assert client.get(references["integer"]).json() == 7


@BOTH_WAYS
def test_a32_a43_raw_mixed(client: Client, ask: Ask) -> None:
    answer = ask(client, BOTH, outputs={"message": VALUE, "integer": REFERENCE}, response="raw")
    assert answer.status_code == 200
    parts = parts_of(answer)
    assert parts["message"].get_content().strip() == TEXT
    assert "Content-Location" not in parts["message"]
    assert parts["integer"].get_payload(decode=True) == b""
    assert client.get(parts["integer"]["Content-Location"]).json() == 7


@BOTH_WAYS
def test_a33_a44_document(client: Client, ask: Ask) -> None:
    answer = ask(client, BOTH, outputs={"message": VALUE, "integer": REFERENCE}, response="document")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["message"] == TEXT
    ogc_schemas.check(answer.json()["integer"], ogc_schemas.LINK)
    assert client.get(answer.json()["integer"]["href"]).json() == 7
    only = ask(client, BOTH, outputs={"message": VALUE}, response="document")
    assert only.json() == {"message": TEXT}


def test_a39_a_synchronous_answer_leads_to_its_job(client: Client) -> None:
    answer = client.execute({"message": TEXT})
    (header,) = [link for link in answer.headers.get_list("link") if "rel=monitor" in link]
    status = client.get(header.split(">")[0].lstrip("<")).json()
    ogc_schemas.check(status, ogc_schemas.STATUS)
    assert status["status"] == "successful"
    (results,) = [link["href"] for link in status["links"] if link["rel"] == f"{REL}results"]
    assert client.get(results).text == TEXT


@pytest.mark.parametrize(
    "body",
    [
        '{"invalid-execute-request": "true)"}',
        *("[]", "1", "null", "{", ""),
        '{"inputs": {"number": NaN}}',
        '{"inputs": {"number": 1e999}}',  # JSON, but infinite once it is read
        '{"inputs": {"message": "\\ud800"}}',  # half of a character
    ],
)
def test_a47_an_invalid_execute_request(client: Client, body: str) -> None:
    answer = client.http.post(f"/processes/{ECHO}/execution", content=body)
    assert answer.status_code == 400
    ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a47_a_body_that_is_said_not_to_be_json(client: Client, media_type: str) -> None:
    """A page of any site may send the first two without being asked; that must start no job."""
    before = client.get("/jobs").json()["numberMatched"]
    path = f"/processes/{ECHO}/execution"
    headers = {"Content-Type": media_type}
    refused = client.http.post(path, content=b'{"inputs": {"message": "x"}}', headers=headers | ASYNC)
    assert refused.status_code == 415
    ogc_schemas.check(refused.json(), ogc_schemas.EXCEPTION)
    assert media_type in refused.json()["detail"]
    assert client.get("/jobs").json()["numberMatched"] == before


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/geo+json"])
def test_a47_json_by_its_other_names(client: Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    path = f"/processes/{ECHO}/execution"
    assert client.http.post(path, content=b'{"inputs": {"message": "x"}}', headers=headers).status_code == 200


def test_no_internal_text_reaches_a_client(client: Client, folder: object) -> None:
    failed = client.execute({"ids": ["bug"]}, process=PROCESS)
    assert failed.status_code == 500
    assert failed.json()["type"] != f"{OGC}no-such-job"
    for secret in ("/secret/path", "KeyError", "Traceback", str(folder)):
        assert secret not in failed.text
