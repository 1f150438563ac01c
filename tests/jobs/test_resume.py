"""The real pipeline on the sample, killed: the next attempt goes on, and the result is the same to the bit."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from .conftest import wait_for
from .sample_service import (
    INPUTS,
    PROCESS,
    VICTIMS,
    Reference,
    check_whole,
    forget_results,
    forget_work,
    kill,
    leftovers,
    run_undisturbed,
    serving,
    stopped,
)
from .small_blocks import MOMENTS

RANDOM_RUNS = 20


@pytest.fixture(scope="module", params=["StandInBlocks"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return which process is killed; most tests need no real retrieval."""
    return str(request.param)


@pytest.fixture(scope="module")
def reference(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return run_undisturbed(tmp_path_factory.mktemp("whole"), kind)


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        pytest.param("SmallBlocks", [("worker", "blocks"), ("all", "publishing")], id="retrieval"),
        *(
            pytest.param("StandInBlocks", [(victim, moment) for moment in MOMENTS], id=victim, marks=pytest.mark.slow)
            for victim in VICTIMS
        ),
    ],
    indirect=["kind"],
    scope="module",
)
def test_kills_at_moments(kills: list[tuple[str, str]], kind: str, tmp_path: Path, reference: Reference) -> None:
    with serving(tmp_path, kind=kind) as service:
        for number, (victim, moment) in enumerate(kills):
            forget_results(tmp_path)
            (tmp_path / "stop").write_text(moment)
            job = service.execute(INPUTS, process=PROCESS)
            behind = service.execute(INPUTS, process=PROCESS)
            kill(service, victim, [stopped(tmp_path)])
            check_whole(service, job, reference)
            check_whole(service, behind, reference)
            results = service.client.get(f"/jobs/{behind}/results").json()
            assert results["report"]["stacks"][0]["reused"] is True
            assert service.client.get("/jobs?limit=1").json()["numberMatched"] == 2 * (number + 1)


@pytest.mark.slow
def test_random_kills(tmp_path: Path, reference: Reference) -> None:
    """Kill whatever, whenever, while an earlier result of the same request is replaced."""
    choice = random.Random(11)
    with serving(tmp_path) as service:
        for number in range(RANDOM_RUNS):
            forget_work(tmp_path)
            job = service.execute({**INPUTS, "reuse": False}, process=PROCESS)
            wait_for(lambda job=job: service.status(job)["status"] == "running")
            time.sleep(choice.uniform(0, reference.seconds))
            children = [one.pid for one in service.processes("escape_process.jobs.child")]
            victim = choice.choice(VICTIMS)
            kill(service, victim, children)
            check_whole(service, job, reference)
            assert service.client.get("/jobs?limit=1").json()["numberMatched"] == number + 1


@pytest.mark.parametrize("moment", ["blocks", "writing"])
def test_a_dismissed_job_leaves_nothing(moment: str, tmp_path: Path) -> None:
    """Also where its process has no time to clear up."""
    (tmp_path / "stop").write_text(moment)
    with serving(tmp_path) as service:
        job = service.execute(INPUTS, process=PROCESS)
        process = stopped(tmp_path)
        assert leftovers(tmp_path)
        service.client.delete(f"/jobs/{job}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        wait_for(lambda: not leftovers(tmp_path) and not psutil.pid_exists(process))
        assert [path.suffix for path in (tmp_path / "data" / "jobs").glob(f"{job}*")] == [".log"]
