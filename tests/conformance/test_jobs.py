"""Jobs: status, results that are not there, lists with their filters, callbacks and dismissal."""

import datetime as dt
import http.server
import json
import queue
import time
from collections.abc import Iterator
from typing import Any

import httpx
import ogc_schemas
import pytest
from echo_server import ASYNC, ECHO, OGC, PROCESS, REL, Client
from loopback import Quiet, in_thread


def rels(status: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in status["links"]}


def test_a35_a36_status(client: Client, url: str) -> None:
    accepted = client.execute({"message": "x", "pause": 1.5}, ASYNC)
    running = client.get(accepted.headers["Location"]).json()
    ogc_schemas.check(running, ogc_schemas.STATUS)
    assert running["status"] in ("accepted", "running")
    assert rels(running)["monitor"] == accepted.headers["Location"]
    assert f"{REL}results" not in rels(running)
    done = client.finished(accepted)
    ogc_schemas.check(done, ogc_schemas.STATUS)
    assert (done["status"], done["progress"], done["processID"]) == ("successful", 100, ECHO)
    assert done["created"] <= done["started"] <= done["finished"]
    assert rels(done)[f"{REL}results"] == f"{url}/jobs/{done['jobID']}/results"
    log = client.get(rels(done)["log"])
    assert log.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert log.text.strip()


def test_a36_a_running_job_says_when_it_will_end(client: Client) -> None:
    accepted = client.execute({"message": "x", "pause": 30}, ASYNC)
    status = accepted.json()
    while status["status"] in ("accepted", "running") and "estimatedCompletion" not in status:
        time.sleep(0.1)
        status = client.get(accepted.headers["Location"]).json()
    client.delete(accepted.headers["Location"])
    expected = dt.datetime.fromisoformat(status["estimatedCompletion"]) - dt.datetime.fromisoformat(status["started"])
    assert 25 < expected.total_seconds() < 50


@pytest.mark.parametrize("path", ["/jobs/none", "/jobs/none/results", "/jobs/none/results/message", "/jobs/none/logs"])
def test_a37_a45_no_such_job(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)
    assert answer.json()["type"] == f"{OGC}no-such-job"


def test_a46_results_are_not_ready(client: Client) -> None:
    accepted = client.execute({"message": "x", "pause": 30}, ASYNC)
    for path in ("results", "results/message"):
        answer = client.get(f"{accepted.headers['Location']}/{path}")
        assert answer.status_code == 404
        ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)
        assert answer.json()["type"] == f"{OGC}result-not-ready"
    client.delete(accepted.headers["Location"])


def test_a47b_results_of_a_failed_job_are_its_reason(client: Client) -> None:
    accepted = client.execute({"ids": ["no-scenes"]}, ASYNC, process=PROCESS)
    status = client.finished(accepted)
    assert status["status"] == "failed"
    assert f"{REL}results" not in rels(status)
    for path in ("results", "results/items"):
        answer = client.get(f"{accepted.headers['Location']}/{path}")
        assert answer.status_code == 422
        ogc_schemas.check(answer.json(), ogc_schemas.EXCEPTION)
        assert answer.json()["type"] == "about:blank"
        assert answer.json()["code"] == "NoApplicableScene"
        assert answer.json()["detail"] == status["message"]


def test_results_have_only_the_outputs_asked_for(client: Client) -> None:
    accepted = client.execute({"message": "x", "integer": 1}, ASYNC, outputs={"integer": {}})
    client.finished(accepted)
    assert client.get(f"{accepted.headers['Location']}/results/integer").json() == 1
    missing = client.get(f"{accepted.headers['Location']}/results/message")
    assert missing.status_code == 404
    assert "'message'" in missing.json()["detail"]


@pytest.fixture(scope="module")
def listed(url: str) -> dict[str, dict[str, Any]]:
    """Return the statuses of three finished jobs: a short and a longer echo, and a failed retrieval."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        client = Client(http)
        accepted = {
            "short": client.execute({"message": "x"}, ASYNC),
            "long": client.execute({"message": "x", "pause": 3}, ASYNC),
            "failed": client.execute({"ids": ["no-scenes"]}, ASYNC, process=PROCESS),
        }
        return {name: client.finished(answer) for name, answer in accepted.items()}


def ids(client: Client, **parameters: object) -> set[str]:
    """Return the ids of all jobs of a list."""
    answer = client.get("/jobs", params={"limit": 1000, **parameters})
    assert answer.status_code == 200, answer.text
    ogc_schemas.check(answer.json(), ogc_schemas.JOB_LIST)
    return {job["jobID"] for job in answer.json()["jobs"]}


def test_a64_a71_job_list(client: Client, listed: dict[str, Any]) -> None:
    answer = client.get("/jobs")
    assert answer.status_code == 200
    ogc_schemas.check(answer.json(), ogc_schemas.JOB_LIST)
    assert {job["jobID"] for job in listed.values()} <= ids(client)


def test_a65_a73_type(client: Client, listed: dict[str, Any]) -> None:
    assert ids(client, type="process") == ids(client)
    refused = client.get("/jobs", params={"type": "other"})
    assert refused.status_code == 400
    assert "type" in refused.json()["detail"]


def test_a66_a74_process_id(client: Client, listed: dict[str, Any]) -> None:
    for process, mine in ((ECHO, {"short", "long"}), (PROCESS, {"failed"})):
        found = ids(client, processID=process)
        assert {name for name, job in listed.items() if job["jobID"] in found} == mine
    assert ids(client, processID=f"{ECHO},{PROCESS}") == ids(client)
    assert ids(client, processID="other") == set()


def test_a67_a75_status(client: Client, listed: dict[str, Any]) -> None:
    assert listed["failed"]["jobID"] in ids(client, status="failed")
    assert listed["short"]["jobID"] not in ids(client, status="failed")
    assert {job["jobID"] for job in listed.values()} <= ids(client, status="failed,successful")
    assert client.get("/jobs", params={"status": "lost"}).status_code == 400


def test_a68_a76_datetime(client: Client, listed: dict[str, Any]) -> None:
    created = listed["short"]["created"]
    assert listed["short"]["jobID"] in ids(client, datetime=f"{created}/..")
    assert listed["short"]["jobID"] in ids(client, datetime=created)
    assert ids(client, datetime="../2020-01-01") == set()
    early, late = "0001-01-01T00:00:00Z/..", "../9999-12-31T23:59:59Z"
    assert ids(client, datetime=early) == ids(client, datetime=late) == ids(client)
    beyond = ("0001-01-01T00:00:00+14:00/..", "../9999-12-31T23:59:59-12:00")  # outside of what years there are in UTC
    for wrong in ("yesterday", "..", "", "2021-01-01/2020-01-01", "2020-01-01/x", "a/b/c", *beyond):
        assert client.get("/jobs", params={"datetime": wrong}).status_code == 400, wrong


def test_a69_a77_a78_durations(client: Client, listed: dict[str, Any]) -> None:
    slow = ids(client, minDuration=3)
    assert listed["long"]["jobID"] in slow
    quick = ids(client, maxDuration=2)
    assert listed["long"]["jobID"] not in quick
    assert listed["long"]["jobID"] in ids(client, minDuration=3, maxDuration=60)
    assert ids(client, minDuration=1000) == set()
    for wrong in ("-1", "x", "1.5"):
        assert client.get("/jobs", params={"minDuration": wrong}).status_code == 400


def test_a70_a79_limit_and_pages(client: Client, listed: dict[str, Any]) -> None:
    wanted = ids(client, processID=ECHO)
    seen: list[str] = []
    following = f"/jobs?processID={ECHO}&limit=2"
    while following:
        page = client.get(following).json()
        assert len(page["jobs"]) <= 2
        seen += [job["jobID"] for job in page["jobs"]]
        following = rels(page).get("next", "")
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted
    for wrong in ("0", "x", "-1", "1.5", ""):
        assert client.get("/jobs", params={"limit": wrong}).status_code == 400
    for large in (1001, 10_001):  # as many as one answer has, and no error
        assert client.get("/jobs", params={"limit": large}).status_code == 200


@pytest.mark.parametrize("filters", ["", "&datetime=2020-01-01/..", "&datetime=2020-01-01T00:00:00Z/2100-01-01"])
def test_a70_a79_pages_stay_while_jobs_are_added(client: Client, listed: dict[str, Any], filters: str) -> None:
    wanted = ids(client)
    seen: list[str] = []
    visited: list[list[str]] = []
    page = client.get(f"/jobs?limit=2{filters}").json()
    while True:
        visited.append([job["jobID"] for job in page["jobs"]])
        seen += visited[-1]
        if len(visited) < 3:
            client.delete(client.execute({"message": "x"}, ASYNC).headers["Location"])
        if "next" not in rels(page):
            break
        page = client.get(rels(page)["next"]).json()
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted
    while "prev" in rels(page):
        page = client.get(rels(page)["prev"]).json()
        visited.pop()
        assert [job["jobID"] for job in page["jobs"]] == visited[-1]
    assert len(visited) == 1


@pytest.fixture
def subscriber() -> Iterator[tuple[str, "queue.Queue[tuple[str, Any]]"]]:
    """Return the address of a host that is told of jobs, and what it was told: path and body."""
    told: queue.Queue[tuple[str, Any]] = queue.Queue()

    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

    with in_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", told


def test_a80_callbacks(client: Client, subscriber: tuple[str, "queue.Queue[tuple[str, Any]]"]) -> None:
    address, told = subscriber
    addresses = {f"{name}Uri": f"{address}/{name}" for name in ("success", "inProgress", "failed")}
    client.finished(client.execute({"message": "x", "pause": 1}, ASYNC, subscriber=addresses, response="document"))
    heard = {}
    while "/success" not in heard:
        path, body = told.get(timeout=30)
        heard[path] = body
    assert heard["/success"] == {"message": "x", "pause": 1}
    client.finished(client.execute({"ids": ["no-scenes"]}, ASYNC, process=PROCESS, subscriber=addresses))
    while "/failed" not in heard:
        path, body = told.get(timeout=30)
        heard[path] = body
    ogc_schemas.check(heard["/inProgress"], ogc_schemas.STATUS)


def test_a81_a82_dismiss(client: Client) -> None:
    accepted = client.execute({"message": "x", "pause": 60}, ASYNC)
    location = accepted.headers["Location"]
    answer = client.delete(location)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    ogc_schemas.check(answer.json(), ogc_schemas.STATUS)
    assert (answer.json()["status"], answer.json()["jobID"]) == ("dismissed", accepted.json()["jobID"])
    assert client.get(location).json()["status"] == "dismissed"
    gone = client.get(f"{location}/results")
    assert gone.status_code == 410
    ogc_schemas.check(gone.json(), ogc_schemas.EXCEPTION)
    assert client.delete(location).status_code == 200
    again = client.delete(location)
    assert again.status_code == 404
    assert again.json()["type"] == f"{OGC}no-such-job"


def test_a81_a82_dismiss_stops_the_work(client: Client) -> None:
    accepted = client.execute({"message": "x", "pause": 60}, ASYNC)
    while client.get(accepted.headers["Location"]).json()["status"] == "accepted":
        time.sleep(0.05)
    client.delete(accepted.headers["Location"])
    before = time.monotonic()
    # light jobs have few slots: that these end soon shows that none is held by the dismissed one
    answers = [client.execute({"message": "x"}, ASYNC) for _ in range(4)]
    for answer in answers:
        assert client.finished(answer)["status"] == "successful"
    assert time.monotonic() - before < 50
