"""What a running worker does for results besides jobs: it publishes what waits and removes what killed uploads left."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from s3_server import BUCKET, S3Server
from serving import PROCESS, ROOT
from stac_servers import Pgstac, make_collection
from waiting import wait_for

from escape_process.errors import CancelledError, UpstreamError
from escape_process.folders import held
from escape_process.publishing import keep_result, sweep_uploads
from escape_process.settings import Settings

from .conftest import Gate, settings_in, write_result

KILLED = """
import os, pickle, signal, sys
from escape_process import objects
from escape_process.publishing import keep_result

settings, item = pickle.load(sys.stdin.buffer)
upload, done = objects.upload, []

def die_at_the_fourth(*arguments, **options):
    upload(*arguments, **options)
    done.append(1)
    if len(done) == 4:
        os.kill(os.getpid(), signal.SIGKILL)

objects.upload = die_at_the_fourth
keep_result(item, settings, published=True)
"""
HURRIED = """
import sys
from pathlib import Path
from escape_process.jobs import worker

worker.SWEEP_EVERY = 0.3
worker.work(Path(sys.argv[1]))
"""


def storage_of(s3: S3Server) -> dict[str, Any]:
    return {"object_storage": s3.bucket(f"s3://{BUCKET}/soil")}


def kill_an_upload(id: str, folder: Path, settings: Settings) -> None:
    """Kill a process amid an upload, after four files."""
    given = pickle.dumps((settings, write_result(id, folder, settings)))
    process = subprocess.run([sys.executable, "-c", KILLED], input=given, capture_output=True, check=False)
    assert process.returncode == -9, process.stderr.decode()


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that starts a worker that looks around more often."""
    started = []

    def start(**settings: Any) -> None:
        config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
        config["server"]["manager"] |= {"connection": "data/jobs.sqlite", "output_dir": "data/jobs"}
        config["resources"][PROCESS]["processor"]["settings"] |= {
            "data_dir": "data",
            "catalog_seed": None,
            "catalogs": {"sample": str(ROOT / "catalog" / "samples" / "collection.json")},
            **settings,
        }
        (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-c", HURRIED, str(tmp_path / "config.yml")]
        environment = {**os.environ, "ESCAPE_DATA_DIR": "data"}
        with (tmp_path / "worker.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=environment))

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
            process.wait(60)


def test_a_result_that_waits_is_published_when_the_api_is_back(
    tmp_path: Path, gate: Gate, pgstac: Pgstac, work: Callable[..., None]
) -> None:
    api = {"publish_to": ["stac_api"], "stac_api": {"url": gate.url}, "http_attempts": 1}
    settings = settings_in(tmp_path, **api)
    pgstac.load([make_collection(PROCESS)], [])
    gate.fault = "503"
    assert keep_result(write_result("one", tmp_path, settings), settings, published=True).warning is not None

    before = len(gate.seen)
    work(**api, public_url=settings.public_url)
    wait_for(lambda: "POST" in {method for method, _, _ in gate.seen[before:]}, 90)
    assert list(settings.outbox_dir.glob("*.json"))
    gate.fault = None
    wait_for(lambda: not list(settings.outbox_dir.glob("*.json")), 90)
    assert pgstac.item(PROCESS, "one")["id"] == "one"


def test_what_a_killed_upload_left_is_removed(tmp_path: Path, s3: S3Server, work: Callable[..., None]) -> None:
    settings = settings_in(tmp_path, **storage_of(s3))
    kept = keep_result(write_result("kept", tmp_path, settings), settings, published=True)
    whole = set(s3.stored())
    kill_an_upload("lost", tmp_path, settings)
    assert len(set(s3.stored()) - whole) == 4
    work(**storage_of(s3), public_url=settings.public_url)
    wait_for(lambda: set(s3.stored()) == whole and not list(settings.staging_dir.glob("*")), 90)
    assert len(whole) == len(kept.item["assets"])


def test_the_next_upload_removes_it_too(tmp_path: Path, s3: S3Server) -> None:
    settings = settings_in(tmp_path, **storage_of(s3))
    kill_an_upload("lost", tmp_path, settings)
    keep_result(write_result("one", tmp_path, settings), settings, published=True)
    assert {key.split("/")[-2] for key in s3.stored()} == {"one"}


def test_an_upload_under_way_is_left_alone(tmp_path: Path, s3: S3Server) -> None:
    settings = settings_in(tmp_path, **storage_of(s3))
    kill_an_upload("slow", tmp_path, settings)
    with held(settings.staging_dir / "slow"):  # as its process would, were it alive
        sweep_uploads(settings)
        assert len(s3.stored()) == 4
    sweep_uploads(settings)
    assert s3.stored() == []


def test_files_that_another_host_stored_since_are_left_alone(tmp_path: Path, s3: S3Server) -> None:
    here, there = (settings_in(tmp_path / name, **storage_of(s3)) for name in ("here", "there"))
    kill_an_upload("one", tmp_path / "here", here)
    keep_result(write_result("one", tmp_path / "there", there), there, published=True)
    whole = s3.stored()
    sweep_uploads(here)
    assert s3.stored() == whole
    assert not here.staging_dir.exists() or not list(here.staging_dir.glob("*"))


def test_files_that_were_there_before_are_left_alone(tmp_path: Path, s3: S3Server) -> None:
    settings = settings_in(tmp_path, **storage_of(s3))
    keep_result(write_result("one", tmp_path, settings), settings, published=True)
    whole = s3.stored()
    kill_an_upload("one", tmp_path, settings)
    sweep_uploads(settings)
    assert s3.stored() == whole


def test_what_cannot_be_removed_now_is_removed_later(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, **storage_of(s3))
    asked = iter([False] * 3)

    def is_down(*arguments: Any) -> None:
        raise UpstreamError("The storage is down.")

    with monkeypatch.context() as patched:
        patched.setattr("escape_process.objects.delete_marked", is_down)
        item = write_result("one", tmp_path, settings)
        with pytest.raises(CancelledError):
            keep_result(item, settings, published=True, cancelled=lambda: next(asked, True))
    assert len(s3.stored()) == 3
    sweep_uploads(settings)
    assert s3.stored() == []
