"""A job as OGC's statusInfo."""

from typing import Any

from escape_process.jobs.answers import RESULTS_REL
from escape_process.jobs.descriptions import REL, link
from escape_process.jobs.store import Job


def status_info(job: Job, base_url: str, *, dismissed: bool = False) -> dict[str, Any]:
    """Return a job's status; what is not known yet is left out.

    `dismissed`: as DELETE answers it, whether the job was running or, finished, is removed now.
    """
    url = f"{base_url}/jobs/{job.id}"
    info = {
        "processID": job.process_id,
        "type": "process",
        "jobID": job.id,
        "status": "dismissed" if dismissed else job.status,
        "message": "Dismissed." if dismissed else job.message,
        "progress": job.progress,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "updated": job.updated,
        "estimatedCompletion": job.estimated_finish,
        "links": [link("up", f"{base_url}/jobs", "Jobs")] if dismissed else _links(job, url),
    }
    return {name: value for name, value in info.items() if value is not None}


def _links(job: Job, url: str) -> list[dict[str, str]]:
    """Results are linked only where there are some: OGC's compliance suite follows the link at once."""
    links = [
        link("self", url, "This job"),
        link("monitor", url, "Status of this job"),
        link("log", f"{url}/logs", "What happened to this job", "text/plain"),
    ]
    if job.status == "successful":
        links.append(link(RESULTS_REL, f"{url}/results", "Results of this job"))
    if job.status == "failed":
        links.append(link(f"{REL}exceptions", f"{url}/results", "Why this job failed"))
    return links
