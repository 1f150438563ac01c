"""For whoever runs the server: whether it lives, whether it is ready for work, and numbers for Prometheus."""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from escape_process.errors import EscapeError
from escape_process.hrefs import is_remote
from escape_process.jobs.manager import JobManager
from escape_process.jobs.measures import DEVICE, PIXELS, RESIDENT, RETRIEVALS, SECONDS
from escape_process.jobs.problems import json_response
from escape_process.jobs.store import Job, JobFilter
from escape_process.settings import Settings

FINISHED = ("successful", "failed", "dismissed")
MOST_DURATIONS = 1000
"""Durations are those of the newest so many finished jobs: older ones are removed one day and would take from sums."""
_QUANTILES = (0.5, 0.9, 1.0)


def install_operations(app: Flask, manager: JobManager, settings: Settings) -> None:
    """Serve /health/live, /health/ready and /metrics.

    Live says only that requests are answered; restart the server where it does not. Ready says that a job would be
    accepted and run; send no clients where it does not.
    """
    checks: dict[str, Callable[[], str | None]] = {
        "jobs": lambda: _store_fault(manager),
        "worker": lambda: _worker_fault(manager),
        "storage": lambda: _storage_fault(settings.data_dir),
        "catalog": lambda: _catalog_fault(settings.catalogs[settings.default_catalog]),
    }
    registry = CollectorRegistry()
    registry.register(_Jobs(manager))
    ProcessCollector(registry=registry)

    def live() -> Response:
        return json_response({"status": "live"})

    def ready() -> Response:
        faults = {name: fault for name, check in checks.items() if (fault := check()) is not None}
        told = {name: faults.get(name, "ok") for name in checks}
        return json_response(
            {"status": "not ready" if faults else "ready", "checks": told}, status=503 if faults else 200
        )

    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/health/live", "health_live", live)
    app.add_url_rule("/health/ready", "health_ready", ready)
    app.add_url_rule("/metrics", "metrics", metrics)


def _store_fault(manager: JobManager) -> str | None:
    try:
        manager.store.counts()
    except EscapeError:
        return "The job records cannot be read."
    return None


def _worker_fault(manager: JobManager) -> str | None:
    try:
        living = manager.heartbeats.living()
    except EscapeError:
        return "The job records cannot be read."
    return None if living else "No worker runs: jobs would wait."


def _storage_fault(data_dir: Path) -> str | None:
    return None if os.access(data_dir, os.W_OK | os.X_OK) else "The data folder is not writable."


def _catalog_fault(href: str) -> str | None:
    """Look at a local catalogue; a remote one is not asked at each probe."""
    return None if is_remote(href) or os.access(href, os.R_OK) else "The default catalogue cannot be read."


class _Jobs(Collector):
    """Reads the records whenever Prometheus asks, so that a restart loses no numbers."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def describe(self) -> list[Metric]:
        """Describe nothing in advance: registering must not open the records."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        counts = self._manager.store.counts()
        jobs = GaugeMetricFamily("escape_jobs", "Jobs on record by status.", labels=["status"])
        for status, count in counts.items():
            jobs.add_metric([status], count)
        yield jobs
        yield GaugeMetricFamily("escape_queue_length", "Jobs that wait for a worker.", value=counts["accepted"])
        yield GaugeMetricFamily(
            "escape_workers", "Workers that have spoken lately.", value=self._manager.heartbeats.living()
        )
        yield self._durations()
        yield from self._measures()

    def _measures(self) -> Iterator[Metric]:
        """What jobs' processes recorded at their end: this one never loads what they compute with."""
        measured = self._manager.measures.read()
        pixels = CounterMetricFamily(
            "escape_pixels_retrieved", "Pixels retrieved, each date on its own.", labels=["process"]
        )
        seconds = SummaryMetricFamily(
            "escape_retrieval_seconds",
            "Time that jobs spent on retrieving these pixels, without calibration and writing.",
            labels=["process"],
        )
        memory = GaugeMetricFamily(
            "escape_job_peak_memory_bytes",
            "Most memory of the job that ended last: resident, and of the GPU where it used one.",
            labels=["process", "memory"],
        )
        for process in sorted({process for process, _ in measured}):
            if (process, RETRIEVALS) in measured:
                pixels.add_metric([process], measured[process, PIXELS])
                seconds.add_metric([process], int(measured[process, RETRIEVALS]), measured[process, SECONDS])
            for kind, name in (("resident", RESIDENT), ("device", DEVICE)):
                if (process, name) in measured:
                    memory.add_metric([process, kind], measured[process, name])
        yield from (pixels, seconds, memory)

    def _durations(self) -> Metric:
        family = GaugeMetricFamily(
            "escape_job_duration_seconds",
            f"Time from start to end of the newest {MOST_DURATIONS} finished jobs; quantile 1 is the longest.",
            labels=["status", "quantile"],
        )
        finished, _ = self._manager.store.page(MOST_DURATIONS, filter=JobFilter(status=FINISHED))
        for status in FINISHED:
            took = sorted(
                seconds for job in finished if job.status == status and (seconds := _seconds(job)) is not None
            )
            for quantile in _QUANTILES if took else ():
                family.add_metric([status, f"{quantile:g}"], took[min(int(quantile * len(took)), len(took) - 1)])
        return family


def _seconds(job: Job) -> float | None:
    """Return how long a job ran; None where it never started."""
    if job.started is None or job.finished is None:
        return None
    return (dt.datetime.fromisoformat(job.finished) - dt.datetime.fromisoformat(job.started)).total_seconds()
