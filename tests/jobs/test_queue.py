"""A server and its worker on both databases: order, dismissal, limits, lost attempts, callbacks."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from loopback import Quiet, in_thread

from .conftest import Service, running, wait_for, write_config


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a running service on each kind of database."""
    connection = None if request.param == "sqlite" else request.getfixturevalue("new_database")()
    with running(tmp_path_factory.mktemp("queue"), connection, max_seconds=15, max_rss_mib=350, max_queue=8) as service:
        yield service


def test_jobs_run_one_at_a_time_and_light_ones_beside_them(service: Service) -> None:
    first = service.execute({"name": "first", "ticks": 12})
    second = service.execute({"name": "second", "ticks": 1})
    light = [service.execute({"name": f"light{n}", "ticks": 1}, process="light-ticking") for n in range(3)]
    for one in light:
        assert service.finished(one)["started"] < service.finished(first)["finished"]
    assert service.finished(first)["finished"] <= service.finished(second)["started"]


def test_results_and_log(service: Service) -> None:
    job = service.execute({"name": "fine", "ticks": 3})
    status = service.finished(job)
    assert (status["status"], status["progress"]) == ("successful", 100)
    assert service.client.get(f"/jobs/{job}/results").json() == {"ticks": {"name": "fine", "ticks": 3}}
    log = (service.folder / "data" / "jobs" / f"{job}.log").read_text().splitlines()
    assert log[0].endswith("Attempt 1 started.")
    assert "Done after" in log[-1]
    assert any("Tick 1" in line for line in log)
    assert str(service.folder) not in "".join(log)


def test_dismissal_is_quick(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Process and output are gone within 5 s, of a job that listens and of one that does not."""
    seconds = []
    for number in range(10):
        name = f"dismissed{number}"
        act = "deaf" if number < 2 else None
        job = service.execute({"name": name, "ticks": 600, "act": act})
        wait_for(lambda name=name: service.ticks(name))
        pid = service.ticks(name)[0]
        began = time.monotonic()
        assert service.client.delete(f"/jobs/{job}").json()["status"] == "dismissed"
        wait_for(lambda pid=pid: not psutil.pid_exists(pid), 5)
        seconds.append(time.monotonic() - began)
        assert max(seconds) < 5
        assert service.status(job)["status"] == "dismissed"
        assert not list((service.folder / "data" / "jobs").glob(f"{job}.*.json"))
    with capsys.disabled():
        print(f"\n  dismissal: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s of 10")


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        ("full", "InsufficientStorage", "the file would exceed the largest size allowed"),
        ("greedy", "MemoryLimitExceeded", "350 MiB"),
        ("deaf", "TimeLimitExceeded", "15 s"),
        (
            "die",
            "JobLost",
            "given up after 3 attempts that left no outcome; of the last one, it was killed by signal 9",
        ),
    ],
)
def test_failures_end_in_a_sentence(service: Service, act: str, code: str, words: str) -> None:
    job = service.execute({"name": act, "ticks": 600, "act": act})
    status = service.finished(job)
    assert status["status"] == "failed"
    assert words in status["message"]
    assert service.client.get(f"/jobs/{job}/results").json()["code"] == code
    assert words in (service.folder / "data" / "jobs" / f"{job}.log").read_text()
    if act == "die":
        assert len(service.ticks(act)) == 3
    for pid in service.ticks(act):
        wait_for(lambda pid=pid: not psutil.pid_exists(pid), 5)
    assert service.unfinished_files() == []


def test_a_lost_attempt_is_made_up_for(service: Service) -> None:
    job = service.execute({"name": "once", "ticks": 8, "act": "die-once"})
    assert service.finished(job)["status"] == "successful"
    assert "it was killed by signal 9" in (service.folder / "data" / "jobs" / f"{job}.log").read_text().lower()
    assert len(set(service.ticks("once"))) == 2


def test_a_full_queue_is_told(service: Service) -> None:
    jobs = [service.execute({"name": "busy", "ticks": 600})]
    wait_for(lambda: service.status(jobs[0])["status"] == "running")
    jobs += [service.execute({"name": "waits", "ticks": 1}) for _ in range(8)]
    answer = service.client.post("/processes/ticking/execution", json={"inputs": {"name": "x", "ticks": 1}})
    assert answer.status_code == 429
    assert "8 jobs wait" in answer.json()["detail"]
    for job in jobs:
        service.client.delete(f"/jobs/{job}")
    service.finished(service.execute({"name": "after", "ticks": 1}))


def test_subscribers_are_told(service: Service) -> None:
    told: list[tuple[str, Any]] = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(500 if "failed" in self.path else 302)
            self.send_header("Location", "/followed")
            self.end_headers()

    with in_thread(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        base = f"http://127.0.0.1:{server.server_port}"
        subscriber = {"successUri": f"{base}/done", "inProgressUri": f"{base}/began", "failedUri": f"{base}/failed"}
        done = service.execute({"name": "told", "ticks": 1}, subscriber=subscriber)
        wait_for(lambda: len(told) == 2)
        failed = service.execute({"name": "told2", "ticks": 1, "act": "full"}, subscriber=subscriber)
        wait_for(lambda: len(told) == 4)
    bodies = {}
    for path, body in told:
        bodies.setdefault(path, []).append(body)
    assert bodies["/done"] == [{"ticks": {"name": "told", "ticks": 1}}]
    assert [body["jobID"] for body in bodies["/began"]] == [done, failed]
    assert (bodies["/failed"][0]["jobID"], bodies["/failed"][0]["status"]) == (failed, "failed")
    assert service.finished(done)["status"] == "successful"


@pytest.mark.parametrize(
    "subscriber",
    [
        {},
        {"failedUri": "http://127.0.0.1:1/"},
        {"successUri": 3},
        {"successUri": "http://127.0.0.1:1/", "other": "http://127.0.0.1:1/"},
        {"successUri": "file:///etc/passwd"},
        {"successUri": "http://10.0.0.1/"},
        "http://127.0.0.1:1/",
    ],
)
def test_wrong_subscribers(service: Service, subscriber: Any) -> None:
    body = {"inputs": {"name": "x", "ticks": 1}, "subscriber": subscriber}
    assert service.client.post("/processes/ticking/execution", json=body).status_code == 400


def test_an_asynchronous_client_may_wait_a_moment(service: Service) -> None:
    body = {"inputs": {"name": "wait", "ticks": 2}, "response": "document"}
    quick = service.client.post("/processes/ticking/execution", json=body, headers={"Prefer": "respond-async, wait=20"})
    assert quick.status_code == 200
    assert quick.json()["ticks"]["name"] == "wait"
    body["inputs"] = {"name": "wait2", "ticks": 25}
    slow = service.client.post("/processes/ticking/execution", json=body, headers={"Prefer": "respond-async, wait=1"})
    assert slow.status_code == 201
    status = wait_for(lambda: (status := service.status(slow.json()["jobID"])).get("estimatedCompletion") and status)
    assert status["estimatedCompletion"] > status["started"]
    assert service.finished(slow.json()["jobID"])["status"] == "successful"


def test_workers_of_their_own_share_a_queue(new_database: Callable[[], str], tmp_path: Path) -> None:
    with running(tmp_path, new_database(), options=["--no-worker"]) as service:
        jobs = [service.execute({"name": f"shared{number}", "ticks": 10}) for number in range(4)]
        assert service.processes("escape_process.jobs.worker") == []
        assert {service.status(job)["status"] for job in jobs} == {"accepted"}
        workers = [service.run("worker"), service.run("worker")]
        for job in jobs:
            assert service.finished(job)["status"] == "successful"
        for worker in workers:
            worker.terminate()
            assert worker.wait(10) == 0
        ran = [service.status(job) for job in jobs]
        assert ran[0]["finished"] > ran[1]["started"]  # at once
        for number in range(4):
            assert len(service.ticks(f"shared{number}")) == 10


def test_old_jobs_are_removed(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        job = service.execute({"name": "old", "ticks": 1})
        service.finished(job)
        assert list((tmp_path / "data" / "jobs").glob(f"{job}*"))
        service.stop()
        write_config(tmp_path, keep_days=1e-9)
        service.start()
        wait_for(lambda: service.status(job)["status"] == "gone")
        assert not list((tmp_path / "data" / "jobs").glob(f"{job}*"))


def test_limits_are_checked(tmp_path: Path) -> None:
    from escape_process.errors import InvalidInputError  # noqa: PLC0415
    from escape_process.jobs.limits import Limits  # noqa: PLC0415

    assert Limits.read({"name": "x", "max_queue": 3}).max_queue == 3
    with pytest.raises(InvalidInputError, match=r"manager\.max_queue = 0"):
        Limits.read({"max_queue": 0})
