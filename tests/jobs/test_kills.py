"""Kills of every process at several moments: no job is lost or done twice, no process and no half file is left."""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from .conftest import Service, running, wait_for

TICKS = 6
MOMENTS = {"child": 4, "worker": 1, "server": 4, "all": 1, "stop": 4}
"""Ticks after which each is killed: at the start, or amid the work."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


def kill(service: Service, victim: str, number: int) -> None:
    """Kill what a case names and bring the server back where it is gone."""
    service.processes()
    worker = service.worker()
    if victim in ("child", "all"):
        for one in worker.children():
            if service.ticks(f"job{number}") and one.pid == service.ticks(f"job{number}")[-1]:
                one.kill()
    if victim in ("worker", "all"):
        worker.kill()
    if victim in ("server", "all"):
        service.server.kill()
    if victim == "stop":
        service.server.send_signal(signal.SIGTERM)
    if victim in ("server", "all", "stop"):
        service.server.wait(60)
        wait_for(lambda: not service.orphans())
        service.start()


def check(service: Service, job: str, number: int, kills: int = 1) -> None:
    """The job is done once, by one process at a time, with the right result."""
    status = service.finished(job)
    assert status["status"] == "successful", status
    assert service.client.get(f"/jobs/{job}/results").json() == {"ticks": {"name": f"job{number}", "ticks": TICKS}}
    ticks = service.ticks(f"job{number}")
    runs = list(dict.fromkeys(ticks))
    assert len(runs) <= 1 + kills
    assert ticks == sorted(ticks, key=runs.index), "two attempts at once"
    assert Counter(ticks)[runs[-1]] == TICKS
    files = sorted(path.name for path in (service.folder / "data" / "jobs").glob(f"{job}*"))
    assert len(files) == 2, files  # one result, one log
    assert service.unfinished_files() == []


def test_kill_matrix(folder: Path) -> None:
    with running(folder) as service:
        for number, (victim, moment) in enumerate(MOMENTS.items(), 1):
            name = f"job{number}"
            job = service.execute({"name": name, "ticks": TICKS})
            waiting = service.execute({"name": f"waiting{number}", "ticks": 1}, process="light-ticking")
            wait_for(lambda name=name, moment=moment: len(service.ticks(name)) >= moment)
            kill(service, victim, number)
            check(service, job, number)
            assert service.finished(waiting)["status"] == "successful"
        assert service.client.get("/jobs?limit=1").json()["numberMatched"] == 2 * len(MOMENTS)


def test_random_kills(tmp_path: Path) -> None:
    """Kill whatever, whenever, while several jobs run and wait."""
    choice = random.Random(7)
    with running(tmp_path, max_attempts=20) as service:
        jobs = [service.execute({"name": f"job{number}", "ticks": TICKS}) for number in range(4)]
        for _ in range(4):
            time.sleep(choice.uniform(0.2, 1.5))
            service.processes()
            victims = [service.server, *service.processes("escape_process.jobs")]
            victim = choice.choice(victims)
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            if victim is service.server:
                service.server.wait(60)
                wait_for(lambda: not service.orphans())
                service.start()
        for number, job in enumerate(jobs):
            check(service, job, number, kills=4)
        assert service.client.get("/jobs?limit=1").json()["numberMatched"] == len(jobs)


def test_a_stop_does_not_wait_for_a_job_that_does_not_listen(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        job = service.execute({"name": "deaf", "ticks": 600, "act": "deaf"})
        wait_for(lambda: service.ticks("deaf"))
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 30  # the job would go on for a minute
        assert not psutil.pid_exists(service.ticks("deaf")[0])
        service.start()
        status = wait_for(lambda: (status := service.status(job))["status"] == "running" and status)
        assert "stopped" not in status["message"]
        assert "Stopped with its worker" in (tmp_path / "data" / "jobs" / f"{job}.log").read_text()
        service.client.delete(f"/jobs/{job}")
