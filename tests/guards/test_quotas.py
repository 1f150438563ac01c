"""How many jobs may wait, of one owner and of all: who has too many is told when to come again, others go on."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from escape_process.jobs.serve import THREADS

from .conftest import Serve, execute, finished

QUEUE, EACH = 3, 2
TOKENS = {name: f"{name}-0123456789abcdef" for name in ("alice", "bob", "carol")}


class Owner:
    """A client with a token."""

    def __init__(self, client: httpx.Client, name: str) -> None:
        self.headers = {"Authorization": f"Bearer {TOKENS[name]}"}
        self._client = client

    def ask(self, *, synchronous: bool = False) -> httpx.Response:
        prefer = {"Prefer": "return=minimal"} if synchronous else {}
        return execute(self._client, "x-slow-600", **{**self.headers, **prefer})

    def job(self) -> str:
        answer = self.ask()
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def status(self, job: str) -> str:
        return str(self._client.get(job, headers=self.headers).json()["status"])

    def dismiss(self, job: str) -> None:
        assert self._client.delete(job, headers=self.headers).status_code == 200


@pytest.fixture
def client(tmp_path: Path, serve_with: Serve) -> Iterator[httpx.Client]:
    limits = {"max_queue": QUEUE, "max_jobs_per_owner": EACH}
    with (
        serve_with(tmp_path, manager=limits, auth={"token": TOKENS}) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def check_refused(answer: httpx.Response, words: str) -> None:
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/json"
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["type"]) == (429, "TooManyRequests", "about:blank")
    assert words in problem["detail"]


def test_the_quota_of_one_and_the_queue_of_all(client: httpx.Client) -> None:
    alice, bob, carol = (Owner(client, name) for name in TOKENS)
    running = alice.job()
    end = time.monotonic() + 60
    while alice.status(running) != "running":
        assert time.monotonic() < end
        time.sleep(0.05)

    waiting = alice.job()
    for synchronous in (False, True):
        check_refused(alice.ask(synchronous=synchronous), f"You have {EACH} unfinished jobs")
    bobs = [bob.job(), bob.job()]  # now as many wait as may
    for synchronous in (False, True):
        check_refused(carol.ask(synchronous=synchronous), f"{QUEUE} jobs wait already")
    for owner, count in ((alice, 2), (bob, 2), (carol, 0)):  # what was refused left nothing
        assert client.get("/jobs", headers=owner.headers).json()["numberMatched"] == count

    alice.dismiss(waiting)
    carols = carol.job()
    bob.dismiss(bobs[0])
    again = alice.job()
    for owner, job in ((alice, running), (alice, again), (bob, bobs[1]), (carol, carols)):
        owner.dismiss(job)
    done = execute(client, "x", **carol.headers).json()["jobID"]
    client.headers.update(carol.headers)
    assert finished(client, done)["status"] == "successful"


def test_clients_that_wait_leave_threads_for_others(tmp_path: Path, serve_with: Serve) -> None:
    most = THREADS * 3 // 4
    with serve_with(tmp_path) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:

        def unfinished() -> list[str]:
            listed = client.get("/jobs", params={"status": "accepted,running", "limit": 1000}).json()
            return [job["jobID"] for job in listed["jobs"]]

        def wait(number: int) -> httpx.Response:
            with httpx.Client(base_url=url, timeout=300, trust_env=False) as other:
                return execute(other, "x-slow-600", Prefer="return=minimal")

        with ThreadPoolExecutor(most) as pool:
            waiting = [pool.submit(wait, number) for number in range(most)]
            end = time.monotonic() + 120
            while len(unfinished()) < most:
                assert time.monotonic() < end
                time.sleep(0.1)
            check_refused(execute(client, "x", Prefer="return=minimal"), "Prefer: respond-async")
            assert len(unfinished()) == most
            assert execute(client, "x", Prefer="respond-async, wait=60").status_code == 201  # not waited for
            assert client.get("/health/live").status_code == 200
            for job in unfinished():
                client.delete(f"/jobs/{job}")
            assert {one.result().status_code for one in waiting} == {410}
        assert execute(client, "x", Prefer="return=minimal").status_code == 200
