"""The real retrieval of the sample, killed midway: the next attempt goes on, and the result is the same to the bit."""

import hashlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from .conftest import ROOT, Service, wait_for

PROCESS = "escape-soil-moisture"
INPUTS = {
    "catalog": "sample",
    "bbox": [-5.46, 41.24, -5.43, 41.27],
    "datetime": "2024-05-18T00:00:00Z/2024-05-18T23:59:59Z",
    "members": 2,
}


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """Serve the sample by the real process, with small blocks so that there is something to go on from."""
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    settings = config["resources"][PROCESS]["processor"]["settings"]
    settings |= {
        "data_dir": "data",
        "catalog_seed": str(ROOT / "catalog"),
        "catalogs": {"sample": str(ROOT / "catalog" / "samples" / "collection.json")},
    }
    config["resources"][PROCESS]["processor"]["name"] = "small_blocks.SmallBlocks"
    config["server"]["manager"] |= {"connection": "data/jobs.sqlite", "output_dir": "data/jobs"}
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    service = Service(folder, path)
    service.start()
    try:
        with service.client:
            yield service
    finally:
        service.stop()


def checksums(folder: Path) -> dict[str, str]:
    """Return the digest of each raster of the results."""
    root = folder / "data" / "catalog" / PROCESS
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.tif")}


def blocks(folder: Path) -> Mapping[str, int]:
    """Return the finished blocks with their times of writing."""
    found = {}
    for path in (folder / "data" / "work" / "blocks").rglob("r*.npz"):
        try:
            found[path.name] = path.stat().st_mtime_ns
        except FileNotFoundError:  # removed meanwhile
            continue
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the checksums of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with serving(folder) as service:
        job = service.execute(INPUTS, process=PROCESS)
        status = service.finished(job, 300)
        assert status["status"] == "successful", status
    return checksums(folder)


def test_a_killed_run_goes_on(tmp_path: Path, uninterrupted: dict[str, str]) -> None:
    with serving(tmp_path) as service:
        job = service.execute(INPUTS, process=PROCESS)
        before = wait_for(lambda: len(found := blocks(tmp_path)) >= 2 and found, 300)
        worker = service.worker()
        children = worker.children()
        os.kill(worker.pid, signal.SIGKILL)
        wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children))
        before = blocks(tmp_path)
        status = service.finished(job, 300)
        assert status["status"] == "successful", status
        again = service.client.post(f"/processes/{PROCESS}/execution", json={"inputs": INPUTS, "response": "document"})
        assert again.json()["report"]["stacks"][0]["reused"] is True
    computed = (tmp_path / "blocks.txt").read_text().splitlines()
    attempts = sorted({line.split()[0] for line in computed}, key=[line.split()[0] for line in computed].index)
    assert len(attempts) == 2
    made_again = {line.split()[1] for line in computed if line.split()[0] == attempts[1]}
    assert not made_again & {name.removesuffix(".npz") for name in before}
    assert checksums(tmp_path) == uninterrupted
    assert uninterrupted
    assert not list((tmp_path / "data" / "work" / "blocks").glob("*"))
