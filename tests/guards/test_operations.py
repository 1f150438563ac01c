"""What an operator asks: lives it, is it ready, how much does it do, and a log without secrets."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import PROCESS

from escape_process.errors import StorageError
from escape_process.jobs.heartbeats import Heartbeats
from escape_process.jobs.logs import JsonFormatter, TextFormatter, formatter, without_secrets

from .conftest import Serve, execute, finished

JOB = "0a1b2c3d-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operations")


@pytest.fixture(scope="module")
def client(folder: Path, serve_with: Serve) -> Iterator[httpx.Client]:
    environment = {"ESCAPE_LOG_FORMAT": "json"}
    with serve_with(folder, environment) as url, httpx.Client(base_url=url, timeout=60) as client:
        until(lambda: client.get("/health/ready").is_success)
        yield client


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_live_and_ready(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    told = client.get("/health/ready").json()
    assert told == {"status": "ready", "checks": dict.fromkeys(("jobs", "worker", "storage", "catalog"), "ok")}


def test_not_ready_where_something_is_missing(client: httpx.Client, folder: Path) -> None:
    data = folder / "data"
    away = folder / "away"
    data.rename(away)
    try:
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["status"] == "not ready"
        assert answer.json()["checks"]["storage"] == "The data folder is not writable."
        assert str(folder) not in answer.text
        assert client.get("/health/live").status_code == 200
    finally:
        away.rename(data)


def test_metrics(client: httpx.Client) -> None:
    for name in ("x", "no-scenes"):
        finished(client, execute(client, name).json()["jobID"])
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    jobs = {sample.labels["status"]: sample.value for sample in families["escape_jobs"].samples}
    assert set(jobs) == {"accepted", "running", "successful", "failed", "dismissed"}
    assert jobs["successful"] >= 1
    assert jobs["failed"] >= 1
    assert families["escape_queue_length"].samples[0].value == 0
    assert families["escape_workers"].samples[0].value == 1
    durations = {
        (sample.labels["status"], sample.labels["quantile"]): sample.value
        for sample in families["escape_job_duration_seconds"].samples
    }
    assert 0 < durations["successful", "0.5"] <= durations["successful", "1"] < 60
    assert "process_resident_memory_bytes" in families


def test_metrics_of_what_jobs_did_and_took(client: httpx.Client) -> None:
    ids = [execute(client, name).json()["jobID"] for name in ("measured", "x", "measured")]
    for job in ids:
        finished(client, job)
    assert client.delete(f"/jobs/{ids[0]}").status_code == 200  # sums outlive their jobs
    samples = {
        (sample.name, sample.labels.get("memory")): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.labels.get("process") == PROCESS
    }
    assert samples["escape_pixels_retrieved_total", None] == 6000
    assert samples["escape_retrieval_seconds_count", None] == 2
    assert samples["escape_retrieval_seconds_sum", None] == 1.0
    assert samples["escape_job_peak_memory_bytes", "device"] == 2**20
    assert 1e7 < samples["escape_job_peak_memory_bytes", "resident"] < 1e10


def test_the_log_is_json_that_names_the_job(client: httpx.Client, folder: Path) -> None:
    job = execute(client, "x").json()["jobID"]
    finished(client, job)
    until(lambda: any(line.get("job") == job for line in lines(folder)))
    told = [line for line in lines(folder) if line.get("job") == job]
    assert {"time", "level", "logger", "message", "job"} <= set(told[0])


def lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "server.log").read_text().splitlines() if line.startswith("{")]


def test_workers_that_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = Heartbeats("jobs.sqlite", tmp_path)
    assert beats.living() == 0
    beats.beat("a")
    beats.beat("a")
    beats.beat("b")
    assert beats.living() == 2
    beats.leave("a")
    assert beats.living() == 1
    present = time.time()
    monkeypatch.setattr(time, "time", lambda: present + 31)
    assert beats.living() == 0
    beats.close()


def test_heartbeats_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Heartbeats("jobs.sqlite", tmp_path / "file").living()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.DEF-123=", "Authorization: Bearer ***"),
        ("https://user:secret@host/a.tif", "https://***@host/a.tif"),
        ("GET https://h/a?x=1&sig=secret&y=2", "GET https://h/a?x=1&sig=***&y=2"),
        ("https://h/a?X-Amz-Signature=secret", "https://h/a?X-Amz-Signature=***"),
        ("token eyJhbGciOi.eyJzdWIi.c2ln here", "token *** here"),
        ("postgresql://escape:secret@db/escape", "postgresql://***@db/escape"),
        (f"Job {JOB}: started", f"Job {JOB}: started"),
        ("https://host/a@b?x=1", "https://host/a@b?x=1"),
    ],
)
def test_secrets_are_blanked(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def record(message: str, *, failing: bool = False) -> logging.LogRecord:
    error = ValueError("https://h/a?token=secret")
    return logging.LogRecord(
        "escape_process", logging.INFO, "", 0, message, None, (ValueError, error, None) if failing else None
    )


def test_json_lines() -> None:
    line = json.loads(JsonFormatter().format(record(f"Job {JOB}: 5 % at https://h/a?sig=secret", failing=True)))
    assert line["job"] == JOB
    assert line["level"] == "INFO"
    assert line["message"] == f"Job {JOB}: 5 % at https://h/a?sig=***"
    assert line["exception"].endswith("token=***")
    assert "job" not in json.loads(JsonFormatter().format(record("Serving")))


def test_text_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TextFormatter().format(record("Bearer secret", failing=True))
    assert "secret" not in text
    assert "Bearer ***" in text
    monkeypatch.delenv("ESCAPE_LOG_FORMAT", raising=False)
    assert isinstance(formatter(), TextFormatter)
    monkeypatch.setenv("ESCAPE_LOG_FORMAT", "json")
    assert isinstance(formatter(), JsonFormatter)
    assert os.environ["ESCAPE_LOG_FORMAT"] == "json"
