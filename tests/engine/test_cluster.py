"""Blocks computed by a Dask cluster over TLS: the right result, or one clear sentence."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from block_tasks import BLOCKS, VICTIM, Numbered, are_right
from dask_cluster import DASK, Cluster, make_certificates
from waiting import wait_for

from escape_process.computing import DaskCluster
from escape_process.engine import check_engine, map_blocks
from escape_process.engine import cluster as backend
from escape_process.errors import (
    CancelledError,
    EngineError,
    EscapeError,
    InvalidInputError,
    SceneError,
    TransientError,
)
from escape_process.jobs.serve import free_port
from escape_process.settings import Settings


def using(cluster: Cluster, **changes: object) -> Settings:
    return Settings(engine="dask", dask=cluster.settings.model_copy(update=changes))


def bring_back(cluster: Cluster) -> None:
    """Start workers in place of those that were killed."""
    cluster.workers[:] = [worker for worker in cluster.workers if worker.poll() is None]
    cluster.start_workers(2 - len(cluster.workers))


def test_the_workers_of_the_cluster_compute(tmp_path: Path, cluster: Cluster) -> None:
    seen: list[tuple[int, int]] = []
    task = Numbered(tmp_path, seconds=0.05)
    files = map_blocks(
        task, BLOCKS, tmp_path / "blocks", using(cluster), progress=lambda done, total: seen.append((done, total))
    )
    assert are_right(files)
    assert seen == [(number + 1, len(BLOCKS)) for number in range(len(BLOCKS))]
    assert {process for _, process in task.lines()} == {worker.pid for worker in cluster.workers}


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        ("refuse", SceneError, "The block at 64, 0 is wrong."),
        ("unreadable", EscapeError, "The host at example.org sent half a block."),
        ("fail", ZeroDivisionError, "a fault of ours"),
    ],
)
def test_what_fails_in_a_worker_fails_here(
    tmp_path: Path, cluster: Cluster, act: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as raised:
        map_blocks(Numbered(tmp_path, act), BLOCKS, tmp_path / "blocks", using(cluster))
    assert not isinstance(raised.value, SceneError) or raised.value.scene == "damaged"


def test_cancelled_blocks_are_not_begun(tmp_path: Path, cluster: Cluster) -> None:
    task = Numbered(tmp_path, seconds=0.5)
    with pytest.raises(CancelledError):
        map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster), cancelled=lambda: len(task.lines()) >= 2)
    other = Numbered(tmp_path / "blocks")
    assert are_right(map_blocks(other, BLOCKS, tmp_path / "others", using(cluster)))
    assert len(task.lines()) < len(BLOCKS)


def test_a_worker_killed_in_the_middle_costs_its_block_alone(tmp_path: Path, cluster: Cluster) -> None:
    task = Numbered(tmp_path, "die once", seconds=0.05)
    assert are_right(map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster)))
    assert sum(worker.poll() is not None for worker in cluster.workers) == 1
    assert len({process for _, process in task.lines()}) == 2
    bring_back(cluster)


def test_workers_without_the_resource_are_left_alone(tmp_path: Path, cluster: Cluster) -> None:
    cluster.start_workers(1, ["--resources", "GPU=1"])
    worker = cluster.workers.pop()
    try:
        task = Numbered(tmp_path)
        assert are_right(map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster, resources={"GPU": 1.0})))
        assert {process for _, process in task.lines()} == {worker.pid}
    finally:
        worker.kill()
        worker.wait()


def test_a_cluster_without_workers_is_told(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "WORKERLESS_SECONDS", 1.0)
    with pytest.raises(TransientError, match="no worker with GPU 1 for 1 s"):
        map_blocks(Numbered(tmp_path), BLOCKS, tmp_path / "blocks", using(cluster, resources={"GPU": 1.0}))


def test_a_worker_of_another_version_is_refused_before_work(tmp_path: Path, cluster: Cluster) -> None:
    metadata = tmp_path / "old" / "escape_process-0.0.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: escape-process\nVersion: 0.0.9\n")
    cluster.start_workers(1, PYTHONPATH=f"{metadata.parents[1]}:{Path(__file__).parents[1]}")
    worker = cluster.workers.pop()
    try:
        task = Numbered(tmp_path)
        sentence = "A worker of the Dask cluster has escape-process 0.0.9, but this server has escape-process 0.1.0"
        with pytest.raises(EngineError, match=sentence):
            map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster))
        assert task.lines() == []
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize(
    ("name", "other", "has"),
    [("python", "3.10.4.final.0", "python 3.10"), ("torch", "2.11.0+cu130", "torch 2.11.0"), ("dask", None, "no dask")],
)
def test_each_version_that_matters_is_compared(name: str, other: str | None, has: str) -> None:
    own = backend.get_versions(backend.PACKAGES)["packages"]
    with pytest.raises(EngineError, match=f"has {has}, but this server has {name}"):
        backend._compare(backend.own_versions(), backend._versions(own | {name: other}))


def test_a_block_that_kills_each_worker_is_given_up(tmp_path: Path, cluster: Cluster) -> None:
    task = Numbered(tmp_path, "die")
    with pytest.raises(EngineError, match="ended each of the Dask workers that computed it"):
        map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster))
    assert [place for place, _ in task.lines()].count(f"{VICTIM.row}_{VICTIM.column}") == 2
    bring_back(cluster)


def test_a_killed_scheduler_is_told_and_the_next_attempt_goes_on(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "CONNECT_SECONDS", 2.0)
    task = Numbered(tmp_path, seconds=0.2)

    def kill_after_three(done: int, total: int) -> None:
        if done == 3:
            cluster.scheduler.kill()
            cluster.scheduler.wait()

    with pytest.raises(TransientError, match=r"The Dask scheduler was lost while it computed"):
        map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster), progress=kill_after_three)
    finished = len(list((tmp_path / "blocks").iterdir()))
    assert finished >= 3
    with pytest.raises(TransientError, match=r"The Dask scheduler cannot be reached"):
        map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster))
    cluster.kill_all()  # workers end with their scheduler, sooner or later
    monkeypatch.undo()
    cluster.start_scheduler()
    bring_back(cluster)
    before = len(task.lines())
    assert are_right(map_blocks(task, BLOCKS, tmp_path / "blocks", using(cluster)))
    assert len(task.lines()) - before == len(BLOCKS) - finished


def test_a_scheduler_lost_while_a_block_takes_long(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the client sees it when it counts the workers."""
    monkeypatch.setattr(backend, "CONNECT_SECONDS", 5.0)
    monkeypatch.setattr(backend, "COUNT_EVERY", 0.0)

    def kill_and_wait(done: int, total: int) -> None:
        cluster.kill_all()
        time.sleep(0.5)

    with pytest.raises(TransientError, match=r"The Dask scheduler was lost while it computed"):
        map_blocks(Numbered(tmp_path), BLOCKS, tmp_path / "blocks", using(cluster), progress=kill_and_wait)
    monkeypatch.undo()
    cluster.start_scheduler()
    bring_back(cluster)


def test_who_has_no_certificate_of_the_cluster_is_refused(tmp_path: Path, cluster: Cluster) -> None:
    folder = make_certificates(tmp_path / "foreign")
    foreign = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    with pytest.raises(TransientError, match="does not accept this server's certificate"):
        map_blocks(Numbered(tmp_path), BLOCKS, tmp_path / "blocks", using(cluster, **foreign))


def test_a_scheduler_without_tls_is_not_spoken_to(tmp_path: Path, cluster: Cluster) -> None:
    port = free_port()
    log = tmp_path / "plain.log"
    with log.open("wb") as file:
        command = [DASK, "scheduler", "--host", "tcp://127.0.0.1", "--port", str(port), "--dashboard-address", ":0"]
        plain = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        wait_for(lambda: "Scheduler at" in log.read_text())
        with pytest.raises(TransientError, match="cannot be reached"):
            map_blocks(
                Numbered(tmp_path), BLOCKS, tmp_path / "blocks", using(cluster, scheduler=f"tls://127.0.0.1:{port}")
            )
        with pytest.raises(InvalidInputError, match=r"Setting dask\.scheduler = 'tcp://.*must be tls://host:port"):
            Settings.load(
                {"engine": "dask", "dask": cluster.members | {"scheduler": f"tcp://127.0.0.1:{port}"}}, tmp_path
            )
    finally:
        plain.kill()
        plain.wait()


def test_no_secret_stands_in_a_log(tmp_path: Path, cluster: Cluster) -> None:
    secret = tmp_path / "swordfish"
    secret.mkdir()
    with pytest.raises(ZeroDivisionError):
        map_blocks(Numbered(secret, "fail"), BLOCKS, tmp_path / "blocks", using(cluster))
    assert "a fault of ours" in cluster.logs()
    assert "swordfish" not in cluster.logs()


def test_settings_are_checked_before_any_work(tmp_path: Path, cluster: Cluster) -> None:
    check_engine(using(cluster))
    with pytest.raises(EngineError, match=r"Setting dask\.key: the file cannot be read: No such file"):
        check_engine(using(cluster, key=tmp_path / "missing.pem"))
    with pytest.raises(InvalidInputError, match="engine is dask: give its scheduler"):
        Settings.load({"engine": "dask"}, tmp_path)
    with pytest.raises(InvalidInputError, match="Setting engine = 'ray'"):
        Settings.load({"engine": "ray"}, tmp_path)
    with pytest.raises(InvalidInputError, match="Setting processes = 0"):
        Settings.load({"engine": "processes", "processes": 0}, tmp_path)
    relative = Settings.load({"dask": {"scheduler": "tls://a:1", "ca": "ca", "cert": "tls/c", "key": "/k"}}, tmp_path)
    assert relative.dask == DaskCluster(
        scheduler="tls://a:1", ca=tmp_path / "ca", cert=tmp_path / "tls" / "c", key=Path("/k")
    )


def test_without_dask_only_its_engine_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['distributed'] = None\n"
        "from pathlib import Path; from block_tasks import *\n"
        "from escape_process.engine import check_engine, map_blocks; from escape_process.settings import Settings\n"
        "folder = Path(sys.argv[1]); task = Numbered(folder)\n"
        "assert are_right(map_blocks(task, BLOCKS, folder / 'blocks', Settings()))\n"
        "cluster = {'scheduler': 'tls://127.0.0.1:1', 'ca': 'a', 'cert': 'a', 'key': 'a'}\n"
        "try: check_engine(Settings(engine='dask', dask=cluster))\n"
        "except Exception as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout == "Setting engine = 'dask': Dask is not installed; install escape-process[dask].\n"


@pytest.mark.slow
def test_the_guides_commands_make_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word but for the ports; workers with nannies, as an operator has them."""
    monkeypatch.setenv("PATH", f"{Path(DASK).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    port = free_port()
    guide = (Path(__file__).parents[2] / "docs" / "operators-guide.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", guide.replace("8786", str(port)).replace("8787", "0"), re.DOTALL)
    (certificates,) = [block for block in blocks if "openssl x509" in block]
    (commands,) = [block for block in blocks if "dask scheduler" in block]
    subprocess.run(["bash", "-ec", certificates], check=True, capture_output=True)
    running = [
        subprocess.Popen(["bash", "-ec", command.replace("\ndask", "\nexec dask")], start_new_session=True)
        for command in commands.split("\n\n")
    ]
    try:
        files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
        cluster = DaskCluster(scheduler=f"tls://127.0.0.1:{port}", **files)
        settings = Settings(engine="dask", dask=cluster)
        wait_for(lambda: _accepts(port))
        task = Numbered(tmp_path, "die once", seconds=0.2)
        assert are_right(map_blocks(task, BLOCKS, tmp_path / "blocks", settings))
        assert len({process for _, process in task.lines()}) > 1
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
