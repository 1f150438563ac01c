"""The real pipeline on the sample as a service, and what it must have left behind."""

import datetime as dt
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from .conftest import ROOT, Service, wait_for

PROCESS = "escape-soil-moisture"
INPUTS = {
    "catalog": "sample",
    "bbox": [-5.46, 41.24, -5.43, 41.27],
    "datetime": "2024-05-18T00:00:00Z/2024-05-18T23:59:59Z",
    "members": 2,
}
VICTIMS = ("child", "worker", "server", "all", "stop")


@contextmanager
def serving(
    folder: Path, manager: dict[str, Any] | None = None, kind: str = "StandInBlocks", **settings: Any
) -> Iterator[Service]:
    """Serve the sample by the real pipeline, with small blocks so that there is something to go on from."""
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    config["resources"][PROCESS]["processor"]["settings"] |= {
        "data_dir": "data",
        "catalog_seed": str(ROOT / "catalog"),
        "catalogs": {"sample": str(ROOT / "catalog" / "samples" / "collection.json")},
        **settings,
    }
    config["resources"][PROCESS]["processor"]["name"] = f"small_blocks.{kind}"
    config["server"]["manager"] |= {"connection": "data/jobs.sqlite", "output_dir": "data/jobs"} | (manager or {})
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    service = Service(folder, path)
    service.start()
    try:
        with service.client:
            yield service
    finally:
        (folder / "stop").unlink(missing_ok=True)
        service.stop()
    wait_for(lambda: not service.orphans())


@dataclass(frozen=True)
class Reference:
    """A run that nothing disturbed."""

    rasters: dict[str, str]
    """Digest of each, by path."""
    seconds: float


def run_undisturbed(folder: Path, kind: str) -> Reference:
    """Run the request once."""
    with serving(folder, kind=kind) as service:
        job = service.execute(INPUTS, process=PROCESS)
        status = service.finished(job, 300)
        assert status["status"] == "successful", status
    began, ended = (dt.datetime.fromisoformat(status[name]) for name in ("started", "finished"))
    return Reference(rasters_of(folder), (ended - began).total_seconds())


def rasters_of(folder: Path) -> dict[str, str]:
    """Return the digest of each raster of the results."""
    root = folder / "data" / "catalog" / PROCESS
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.tif")}


def forget_work(folder: Path) -> None:
    """Have the next job calibrate anew, and who finished which block noted anew."""
    shutil.rmtree(folder / "data" / "work" / "ensembles", ignore_errors=True)
    (folder / "blocks.txt").write_text("")
    (folder / "stopped").unlink(missing_ok=True)


def forget_results(folder: Path) -> None:
    """Have the next job start from nothing."""
    forget_work(folder)
    shutil.rmtree(folder / "data" / "catalog" / PROCESS)


def stopped(folder: Path) -> int:
    """Wait until a job waits at the moment named in `stop`; return its process id."""
    return int(wait_for(lambda: (path := folder / "stopped").exists() and path.read_text(), 300))


def kill(service: Service, victim: str, jobs: list[int]) -> None:
    """Kill what a case names, `jobs` being processes of jobs; bring the server back where it is gone."""
    worker = service.worker()
    if victim in ("server", "all"):
        service.server.kill()
    if victim in ("worker", "all"):
        worker.kill()
    if victim in ("child", "all"):
        for pid in jobs:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
    if victim == "stop":
        service.server.send_signal(signal.SIGTERM)
    if victim in ("server", "all", "stop"):
        service.server.wait(60)
        wait_for(lambda: not service.orphans())
    else:
        wait_for(lambda: not any(runs(pid) for pid in jobs))
    (service.folder / "stop").unlink(missing_ok=True)
    if victim in ("server", "all", "stop"):
        service.start()


def runs(pid: int) -> bool:
    """Tell whether a process has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_whole(service: Service, job: str, reference: Reference) -> None:
    """The job is done, no block was computed twice, its rasters are the right ones, and nothing else is left."""
    status = service.finished(job, 300)
    assert status["status"] == "successful", status
    assert service.client.get(f"/jobs/{job}/results").json()["items"]["features"]
    computed = (service.folder / "blocks.txt").read_text().split()
    assert len(computed) == len(set(computed)), "a finished block was computed again"
    assert rasters_of(service.folder) == reference.rasters
    files = sorted(path.suffix for path in (service.folder / "data" / "jobs").glob(f"{job}*"))
    assert files == [".json", ".log", ".prov"]
    check_published(service.folder)
    wait_for(lambda: not leftovers(service.folder))


def check_published(folder: Path) -> None:
    """Each result folder is an item that the collection lists once, with all its files."""
    root = folder / "data" / "catalog" / PROCESS
    collection = json.loads((root / "collection.json").read_text())
    listed = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert sorted(listed) == sorted(f"./{path.name}/{path.name}.json" for path in root.glob("[!.]*/"))
    for href in listed:
        item = json.loads((root / href).read_text())
        files = {Path(asset["href"]).name: asset for asset in item["assets"].values()}
        assert {path.name for path in (root / item["id"]).iterdir()} == {*files, f"{item['id']}.json"}
        for name, asset in files.items():
            content = (root / item["id"] / name).read_bytes()
            assert len(content) == asset["file:size"]
            assert asset["file:checksum"].endswith(hashlib.sha256(content).hexdigest())


def leftovers(folder: Path) -> list[str]:
    """Return names of half-written files, and of blocks that nobody needs any more."""
    data = folder / "data"
    hidden = [path for name in ("catalog", "unpublished") for path in (data / name).rglob(".*") if path.name != ".lock"]
    return [path.name for path in [*hidden, *data.rglob("*.part"), *(data / "work" / "blocks").glob("*")]]
