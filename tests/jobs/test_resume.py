"""The real pipeline on the sample, killed: the next attempt goes on, and the result is the same to the bit."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from dask_cluster import Cluster, running_cluster

from .conftest import HERE, wait_for
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
    runs,
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


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))  # for the stand-in
        with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
            yield cluster


def settings_of(engine: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the settings of an engine."""
    if engine == "dask":
        return {"engine": engine, "dask": request.getfixturevalue("cluster").members}
    return {"engine": engine, "processes": 2}


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


@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        ("processes", [("child", "blocks"), ("stop", "blocks")]),
        ("dask", [("child", "blocks"), ("all", "blocks")]),
        *(
            pytest.param(
                engine, [(victim, moment) for moment in MOMENTS], id=f"{engine}-{victim}", marks=pytest.mark.slow
            )
            for engine in ("processes", "dask")
            for victim in VICTIMS
        ),
    ],
)
def test_kills_while_workers_compute(
    engine: str, kills: list[tuple[str, str]], tmp_path: Path, reference: Reference, request: pytest.FixtureRequest
) -> None:
    with serving(tmp_path, **settings_of(engine, request)) as service:
        for victim, moment in kills:
            forget_results(tmp_path)
            (tmp_path / "stop").write_text(moment)
            job = service.execute(INPUTS, process=PROCESS)
            process = stopped(tmp_path)
            service.processes()  # remembers those that must not outlive it
            kill(service, victim, [process])
            check_whole(service, job, reference)


def test_a_jobs_own_workers(tmp_path: Path, reference: Reference) -> None:
    """Killed, they cost no attempt; dismissed with their job, they end."""
    (tmp_path / "stop").write_text("blocks")
    with serving(tmp_path, engine="processes", processes=2) as service:
        job = service.execute(INPUTS, process=PROCESS)
        stopped(tmp_path)
        workers = service.processes("escape_process.engine.worker")
        assert len(workers) == 2
        for worker in workers:
            worker.kill()
        (tmp_path / "stop").unlink()
        check_whole(service, job, reference)
        assert "Attempt 2" not in (tmp_path / "data" / "jobs" / f"{job}.log").read_text()

        forget_results(tmp_path)
        (tmp_path / "stop").write_text("blocks")
        job = service.execute(INPUTS, process=PROCESS)
        stopped(tmp_path)
        workers = service.processes("escape_process.engine.worker")
        service.client.delete(f"/jobs/{job}")
        wait_for(lambda: not any(runs(one.pid) for one in workers))
        wait_for(lambda: not leftovers(tmp_path))


def test_a_scheduler_that_comes_back(tmp_path: Path, reference: Reference, cluster: Cluster) -> None:
    """The job waits and goes on from its finished blocks, as for any other host."""
    (tmp_path / "stop").write_text("blocks")
    patient = {"max_retries": 5, "retry_seconds": 1}
    with serving(tmp_path, patient, engine="dask", dask=cluster.members) as service:
        job = service.execute(INPUTS, process=PROCESS)
        stopped(tmp_path)
        cluster.kill_all()
        (tmp_path / "stop").unlink()
        status = wait_for(lambda: (now := service.status(job))["message"].startswith("Waits") and now)
        assert "The Dask scheduler was lost" in status["message"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(HERE))
            cluster.start_scheduler()
            cluster.start_workers(2)
        check_whole(service, job, reference)


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


def test_blocks_outlive_the_writing_of_the_outcome(tmp_path: Path, reference: Reference) -> None:
    (tmp_path / "stop").write_text("made")
    with serving(tmp_path) as service:
        job = service.execute({**INPUTS, "reuse": False}, process=PROCESS)
        kill(service, "child", [stopped(tmp_path)])
        check_whole(service, job, reference)
        wait_for(lambda: not leftovers(tmp_path))


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
