"""Processes, jobs and results over HTTP, where pygeoapi's own views break the contract of OGC API - Processes 1.0.

Theirs answer results as HTML by default, wrap a document in a list, link to results that are not there, give every
failure status 400 and fall over a body that is no object. Lists and pages in HTML stay theirs.
"""

import json
from collections.abc import Callable
from typing import Any

import pygeoapi.api.processes as stock_processes
from flask import Flask, Response, request
from pygeoapi.util import JobStatus, RequestedProcessExecutionMode
from werkzeug.http import parse_dict_header

from escape_process.jobs.manager import JobManager
from escape_process.jobs.problems import Problem, json_response, problem_response
from escape_process.jobs.store import Job, outputs_of

_REL = "http://www.opengis.net/def/rel/ogc/1.0/"
_PROCESSES_CONFORMANCE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
MOST_JOBS = 1000

View = Callable[..., Any]


class JobViews:
    """The view functions that take the place of pygeoapi's."""

    def __init__(self, manager: JobManager, base_url: str, stock: dict[str, View]) -> None:
        self._manager = manager
        self._url = base_url
        self._stock = stock

    @classmethod
    def install(cls, app: Flask, manager: JobManager, base_url: str) -> None:
        """Replace pygeoapi's view functions in its application, and say what conforms."""
        views = cls(manager, base_url, dict(app.view_functions))
        app.view_functions.update(
            {
                "pygeoapi.landing_page": views.landing_page,
                "pygeoapi.get_processes": views.processes,
                "pygeoapi.execute_process_jobs": views.execute,
                "pygeoapi.get_jobs": views.jobs,
                "pygeoapi.get_job_result": views.results,
            }
        )
        classes = stock_processes.CONFORMANCE_CLASSES
        classes[:] = [name for name in classes if not name.endswith("/callback")]
        classes.append(f"{_PROCESSES_CONFORMANCE}dismiss")

    def landing_page(self) -> Any:
        """Add the links to the STAC catalogue to pygeoapi's landing page."""
        response = self._stock["pygeoapi.landing_page"]()
        if not response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        page = json.loads(response.get_data())
        page["links"] += [
            {
                "rel": "related",
                "type": "application/json",
                "title": "STAC API: search scenes and results",
                "href": f"{self._url}/stac-api",
            },
            {
                "rel": "related",
                "type": "application/json",
                "title": "STAC catalogue of scenes and results",
                "href": f"{self._url}/catalog/catalog.json",
            },
        ]
        return json_response(page)

    def processes(self, process_id: str | None = None) -> Any:
        """List processes or describe one."""
        if process_id is not None:
            self._check_process(process_id)
        return self._stock["pygeoapi.get_processes"](process_id)

    def execute(self, process_id: str) -> Response:
        """Execute a process: 200 with results, or 201 with the status of a job."""
        self._check_process(process_id)
        body = _body()
        job_id, _, _, status, headers = self._manager.execute_process(
            process_id,
            body.get("inputs", {}),
            execution_mode=_execution_mode(),
            requested_outputs=body.get("outputs"),
            subscriber=body.get("subscriber"),
            requested_response=body.get("response", "raw"),
        )
        job = self._manager.store.get(job_id)
        if status == JobStatus.accepted:
            response = json_response(self._status(job), 201)
            response.headers["Location"] = f"{self._url}/jobs/{job_id}"
        else:
            response = self._results(job)
            response.headers["Link"] = f'<{self._url}/jobs/{job_id}>; rel="monitor"'
        response.headers.update(headers)
        return response

    def jobs(self, job_id: str | None = None) -> Any:
        """List jobs; show or dismiss one."""
        if request.method == "DELETE" and job_id is not None:
            job = self._manager.dismiss(job_id)
            links = [{"rel": "up", "type": "application/json", "title": "Jobs", "href": f"{self._url}/jobs"}]
            return json_response({**self._status(job), "status": "dismissed", "message": "Dismissed.", "links": links})
        if _wants_html():
            return self._stock["pygeoapi.get_jobs"](job_id)
        if job_id is not None:
            return json_response(self._status(self._manager.store.get(job_id)))
        limit = _whole_number("limit", 10, 1, MOST_JOBS)
        offset = _whole_number("offset", 0, 0, 2**31)
        jobs, count = self._manager.store.page(limit, offset)
        links = [_link("self", f"{self._url}/jobs?limit={limit}&offset={offset}", "This list")]
        if offset + limit < count:
            links.append(_link("next", f"{self._url}/jobs?limit={limit}&offset={offset + limit}", "Older jobs"))
        if offset > 0:
            links.append(_link("prev", f"{self._url}/jobs?limit={limit}&offset={max(0, offset - limit)}", "Newer jobs"))
        return json_response({"jobs": [self._status(job) for job in jobs], "links": links, "numberMatched": count})

    def results(self, job_id: str) -> Response:
        """Answer the results of a job in the form that was asked for when it was executed."""
        return self._results(self._manager.store.get(job_id))

    def _results(self, job: Job) -> Response:
        if job.status in ("accepted", "running"):
            raise Problem(404, "ResultNotReady", f"Job {job.id} is {job.status}: its results are not ready yet.")
        if job.status == "dismissed":
            raise Problem(410, "JobDismissed", f"Job {job.id} was dismissed: it has no results.")
        if job.status == "failed":
            return problem_response(job.http_status or 500, job.code or "NoApplicableCode", job.message)
        values = self._manager.results(job)
        wanted = outputs_of(job)
        if job.response == "raw" and len(wanted) == 1:
            return json_response(values[wanted[0]], media_type=self._media_type(job.process_id, wanted[0]))
        return json_response(values)

    def _media_type(self, process_id: str, output: str) -> str:
        """Media type of a bare value: the output's own unless the client takes nothing but plain JSON."""
        schema = self._manager.get_processor(process_id).metadata["outputs"][output]["schema"]
        own = schema.get("contentMediaType", "application/json")
        if not request.accept_mimetypes:
            return str(own)
        return request.accept_mimetypes.best_match([own, "application/json"]) or str(own)

    def _status(self, job: Job) -> dict[str, Any]:
        """Return a job as OGC's statusInfo; what is not known yet is left out."""
        url = f"{self._url}/jobs/{job.id}"
        links = [_link("self", url, "This job"), _link("monitor", url, "Status of this job")]
        if job.status == "successful":
            links.append(_link(f"{_REL}results", f"{url}/results", "Results of this job"))
        if job.status == "failed":
            links.append(_link(f"{_REL}exceptions", f"{url}/results", "Why this job failed"))
        info = {
            "processID": job.process_id,
            "type": "process",
            "jobID": job.id,
            "status": job.status,
            "message": job.message,
            "progress": job.progress,
            "created": job.created,
            "started": job.started,
            "finished": job.finished,
            "updated": job.updated,
            "links": links,
        }
        return {name: value for name, value in info.items() if value is not None}

    def _check_process(self, process_id: str) -> None:
        known = self._manager.processes
        if process_id not in known:
            raise Problem(404, "NoSuchProcess", f"There is no process {process_id!r}; there is {', '.join(known)}.")


def _link(rel: str, href: str, title: str) -> dict[str, str]:
    return {"rel": rel, "type": "application/json", "title": title, "href": href}


def _body() -> dict[str, Any]:
    """Return the execute request, which must be a JSON object."""
    data = request.get_data()
    if not data:
        raise Problem(400, "MissingParameterValue", 'The request has no body: send JSON such as {"inputs": {...}}.')
    try:
        body = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "InvalidParameterValue", "The request's body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise Problem(400, "InvalidParameterValue", 'The request\'s body must be a JSON object: {"inputs": {...}}.')
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _execution_mode() -> RequestedProcessExecutionMode | None:
    """Read the Prefer headers (RFC 7240): `respond-async` among any others means a job; else wait for the results."""
    preferences = parse_dict_header(",".join(request.headers.getlist("Prefer")))
    asked = any(name.split(";")[0].strip().lower() == "respond-async" for name in preferences)
    return RequestedProcessExecutionMode.respond_async if asked else None


def _wants_html() -> bool:
    wish = request.args.get("f")
    if wish not in (None, "json", "html"):
        raise Problem(400, "InvalidParameterValue", f"Parameter f = {wish!r}: must be json or html.")
    if wish is not None:
        return wish == "html"
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _whole_number(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise Problem(400, "InvalidParameterValue", f"Parameter {name} = {text!r}: must be from {least} to {most}.")
    return int(text)
