"""The same request gives the same rasters whoever computes the blocks, also where one of them is killed meanwhile."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dask_cluster import Cluster

from escape_process import pipeline
from escape_process.errors import CancelledError
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

ROOT = Path(__file__).parents[2]
REQUEST = RetrievalRequest.from_inputs(
    {
        "bbox": [-5.46, 41.24, -5.43, 41.27],
        "datetime": "2024-05-01T00:00:00Z/2024-05-31T23:59:59Z",
        "members": 2,
        "publish": False,
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "block_edge", lambda stack: 16)


def settings_for(folder: Path, **engine: object) -> Settings:
    catalogs = {"sample": str(ROOT / "catalog" / "samples" / "collection.json")}
    return Settings(data_dir=folder, catalog_seed=None, catalogs=catalogs, **engine)


def digests(
    folder: Path, settings: Settings, at_second_block: Callable[[], None] = lambda: None
) -> tuple[dict[str, str], float]:
    """Answer the request; return the digest of each raster and picture, and the pixels that were retrieved."""
    done: list[str] = []

    def progress(share: float, message: str) -> None:
        if re.match(r"Retrieved block \d+ of", message):
            done.append(message)
            if len(done) == 2:
                at_second_block()

    outcome = pipeline.run(REQUEST, settings, progress)
    assert len(outcome.items["features"]) == 2
    assert len(done) > 6
    files = [path for path in (folder / "unpublished").rglob("*") if path.suffix in (".tif", ".png")]
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return found, outcome.measured["pixels"]


@pytest.fixture(scope="module")
def inline(folder: Path) -> tuple[dict[str, str], float]:
    """Return what comes out without workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "block_edge", lambda stack: 16)
        found = digests(folder, settings_for(folder))
    assert len(found[0]) == 2 * 13  # layers and a picture, two dates
    return found


def test_processes(folder: Path, inline: tuple[dict[str, str], float]) -> None:
    killed: list[psutil.Process] = []

    def kill() -> None:
        workers = [one for one in psutil.Process().children() if "escape_process.engine.worker" in one.cmdline()]
        assert len(workers) == 2
        workers[0].kill()
        killed.append(workers[0])

    settings = settings_for(folder, engine="processes", processes=2)
    assert digests(folder, settings, kill) == inline
    assert killed


def test_a_cluster(folder: Path, inline: tuple[dict[str, str], float], cluster: Cluster) -> None:
    victim = cluster.workers[0]

    def kill() -> None:
        victim.kill()
        victim.wait()
        cluster.workers.remove(victim)

    try:
        assert digests(folder, settings_for(folder, engine="dask", dask=cluster.settings), kill) == inline
    finally:
        cluster.start_workers(2 - len(cluster.workers))


def test_a_dismissed_request_leaves_nothing(folder: Path, cluster: Cluster) -> None:
    cancelled: list[bool] = []
    with pytest.raises(CancelledError):
        pipeline.run(
            REQUEST,
            settings_for(folder, engine="dask", dask=cluster.settings),
            lambda share, message: cancelled.append(True) if message.startswith("Retrieved block 3") else None,
            lambda: bool(cancelled),
        )
    assert not list((folder / "work" / "blocks").iterdir())
