"""Jobs over HTTP: status, progress, lists, dismissal, order, and what a stop or crash of the server leaves."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from .conftest import Start, execute, finished, wait_for

OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
ASYNC = {"Prefer": "respond-async"}


def wait_until(client: httpx.Client, location: str, status: str) -> None:
    """Wait until a job has a status."""
    wait_for(lambda: client.get(location).json()["status"] == status)


def test_progress_is_true_and_never_falls(client: httpx.Client) -> None:
    answer = execute(client, {"ids": ["x-slow-1.5"]}, ASYNC)
    location = answer.headers["Location"]
    seen = []
    while (job := client.get(location).json())["status"] in ("accepted", "running"):
        seen.append(job["progress"])
        early = client.get(f"{location}/results")
        if early.status_code == 404:
            assert early.json()["type"] == f"{OGC}result-not-ready"
        assert not any(link["rel"].endswith("/results") for link in job["links"])
        time.sleep(0.1)
    assert seen == sorted(seen)
    steps = [line for line in client.get(f"{location}/logs").text.splitlines() if "Step" in line]
    told = list(dict.fromkeys(line.partition(" % ")[2] for line in steps))
    assert told == [f"Step {number} of 4." for number in range(1, 5)]
    assert (job["status"], job["progress"]) == ("successful", 100)
    assert job["created"] <= job["started"] <= job["finished"]
    links = {link["rel"]: link["href"] for link in job["links"]}
    assert client.get(links["http://www.opengis.net/def/rel/ogc/1.0/results"]).status_code == 200
    assert links["monitor"] == location


def test_one_job_runs_at_a_time_in_order_of_arrival(client: httpx.Client) -> None:
    first = execute(client, {"ids": ["x-slow-2"]}, ASYNC)
    second = execute(client, {"ids": ["x-slow-0.1"]}, ASYNC)
    assert finished(client, first)["finished"] <= finished(client, second)["started"]


def test_concurrent_requests_get_their_own_answers(url: str) -> None:
    def ask(seed: int) -> int:
        with httpx.Client(base_url=url, timeout=300) as client:
            answer = execute(client, {"ids": ["x"], "seed": seed}, response="document")
            return int(answer.json()["report"]["seed"])

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(30))) == list(range(30))


def test_list_of_jobs(client: httpx.Client) -> None:
    made = [execute(client, {"ids": ["x"]}).headers["Link"].split("/")[-1].split(">")[0] for _ in range(3)]
    page = client.get("/jobs", params={"limit": 2}).json()
    assert [job["jobID"] for job in page["jobs"]] == made[:0:-1]
    assert all(job["processID"] == "escape-soil-moisture" for job in page["jobs"])
    following = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert client.get(following).json()["jobs"][0]["jobID"] == made[0]
    for wrong in ({"limit": "0"}, {"limit": "x"}, {"limit": "-1"}, {"offset": "²"}, {"f": "xml"}):
        answer = client.get("/jobs", params=wrong)
        assert answer.status_code == 400
        assert next(iter(wrong)) in answer.json()["detail"]


def test_pages_in_html(client: httpx.Client) -> None:
    job = finished(client, execute(client, {"ids": ["no-scenes"]}, ASYNC))
    for path in ("/jobs", f"/jobs/{job['jobID']}", "/processes", "/processes/escape-soil-moisture"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, path
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["", "/results"])
def test_no_such_job(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/jobs/00000000-0000-4000-8000-000000000000{path}")
    assert answer.status_code == 404
    assert answer.json()["type"] == f"{OGC}no-such-job"


def test_a_running_job_is_dismissed(client: httpx.Client, folder: Path) -> None:
    location = execute(client, {"ids": ["x-slow-600"]}, ASYNC).headers["Location"]
    wait_until(client, location, "running")
    answer = client.delete(location)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["status"] == "dismissed"
    assert execute(client, {"ids": ["x"]}).status_code == 200  # the slot is free
    assert client.get(location).json()["status"] == "dismissed"
    assert client.get(f"{location}/results").status_code == 410
    assert not list((folder / "data" / "jobs").glob(f"{location.rsplit('/')[-1]}.*.json"))
    assert client.delete(location).status_code == 200
    assert client.get(location).status_code == 404


def test_a_waiting_job_is_dismissed(client: httpx.Client) -> None:
    running = execute(client, {"ids": ["x-slow-0.5"]}, ASYNC)
    waiting = execute(client, {"ids": ["x-slow-600"]}, ASYNC)
    assert client.delete(waiting.headers["Location"]).json()["status"] == "dismissed"
    assert finished(client, running)["status"] == "successful"
    assert execute(client, {"ids": ["x"]}).status_code == 200
    assert client.get(waiting.headers["Location"]).json()["status"] == "dismissed"


def test_a_client_that_waits_learns_of_the_dismissal(client: httpx.Client, url: str) -> None:
    def wait() -> httpx.Response:
        with httpx.Client(base_url=url, timeout=300) as other:
            return execute(other, {"ids": ["x-slow-600"]})

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        jobs = wait_for(lambda: client.get("/jobs", params={"status": "running"}).json()["jobs"])
        client.delete(f"/jobs/{jobs[0]['jobID']}")
        assert waiting.result().status_code == 410


def test_a_finished_job_is_removed(client: httpx.Client, folder: Path) -> None:
    answer = execute(client, {"ids": ["x"]}, ASYNC)
    job = finished(client, answer)["jobID"]
    file = folder / "data" / "jobs" / f"{job}.1.json"
    assert file.exists()
    assert client.delete(f"/jobs/{job}").json()["status"] == "dismissed"
    assert not file.exists()
    for again in (client.delete(f"/jobs/{job}"), client.get(f"/jobs/{job}")):
        assert again.status_code == 404
        assert again.json()["type"] == f"{OGC}no-such-job"


def test_results_removed_by_hand(client: httpx.Client, folder: Path) -> None:
    job = finished(client, execute(client, {"ids": ["x"]}, ASYNC))["jobID"]
    (folder / "data" / "jobs" / f"{job}.1.json").unlink()
    assert client.get(f"/jobs/{job}/results").status_code == 410
    assert client.delete(f"/jobs/{job}").status_code == 200


def statuses(folder: Path) -> dict[str, str]:
    """Read the jobs of a stopped server."""
    with closing(sqlite3.connect(folder / "data" / "jobs.sqlite")) as connection:
        return dict(connection.execute("SELECT id, status FROM escape_jobs").fetchall())


def test_a_stop_sends_jobs_back_to_wait(tmp_path: Path, start: Start) -> None:
    with start(tmp_path) as url, httpx.Client(base_url=url) as client:
        running = execute(client, {"ids": ["x-slow-2"]}, ASYNC)
        waiting = execute(client, {"ids": ["x"]}, ASYNC)
        wait_until(client, running.headers["Location"], "running")
    ids = {answer.json()["jobID"] for answer in (running, waiting)}
    assert statuses(tmp_path) == dict.fromkeys(ids, "accepted")
    with start(tmp_path) as url, httpx.Client(base_url=url) as client:
        for job in ids:
            wait_until(client, f"/jobs/{job}", "successful")


def test_two_servers_cannot_share_a_data_folder(tmp_path: Path, start: Start) -> None:
    with start(tmp_path):
        with pytest.raises(Exception, match="ended with exit code"), start(tmp_path):
            pass
        assert "Another server uses the data folder" in (tmp_path / "server.log").read_text()
