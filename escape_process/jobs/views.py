"""Processes, jobs and results over HTTP, where pygeoapi's own views break the contract of OGC API - Processes 1.0.

Theirs answer results as HTML by default, wrap a document in a list, link to results that are not there, give every
failure status 400 and fall over a body that is no object. What has a page of its own here is answered with that; other
lists and pages in HTML stay theirs.
"""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pygeoapi.api.processes as stock_processes
from flask import Flask, Response, request
from pygeoapi.process.base import JobNotFoundError
from pygeoapi.util import JobStatus, RequestedProcessExecutionMode

from escape_process.catalogue.collection import PROCESS_ID
from escape_process.fields import parse_interval
from escape_process.jobs import descriptions, parameters
from escape_process.jobs.answers import Output, results_response, value_response
from escape_process.jobs.auth import is_anonymous, may_see, owner
from escape_process.jobs.descriptions import link
from escape_process.jobs.manager import JobManager
from escape_process.jobs.problems import Problem, json_response, problem_response
from escape_process.jobs.status import status_info
from escape_process.jobs.store import STATES, UNFINISHED, Job, JobFilter, rfc3339
from escape_process.viewer import page_response

MOST_JOBS = 1000
LONGEST_DURATION = 10**9
"""Seconds; bounds minDuration and maxDuration."""

_PAGING = ("limit", "offset", "f")

View = Callable[..., Any]
Interval = tuple[dt.datetime | None, dt.datetime | None]


class JobViews:
    """The view functions that take the place of pygeoapi's."""

    def __init__(self, manager: JobManager, base_url: str, stock: dict[str, View], config: dict[str, Any]) -> None:
        self._manager = manager
        self._url = base_url
        self._stock = stock
        self._config = config

    @classmethod
    def install(cls, app: Flask, manager: JobManager, base_url: str) -> None:
        """Replace pygeoapi's view functions in its application, add our own, and say what conforms."""
        from pygeoapi.flask_app import api_ as stock_api  # noqa: PLC0415  # reads the configuration when imported

        for process_id in manager.processes:  # pygeoapi's pages look for templates there
            stock_api.config["resources"].setdefault(process_id, {"type": "process", "processor": {}})
        views = cls(manager, base_url, dict(app.view_functions), stock_api.config)
        app.view_functions.update(
            {
                "pygeoapi.landing_page": views.landing_page,
                "pygeoapi.conformance": views.conformance,
                "pygeoapi.get_processes": views.processes,
                "pygeoapi.execute_process_jobs": views.execute,
                "pygeoapi.get_jobs": views.jobs,
                "pygeoapi.get_job_result": views.results,
            }
        )
        app.add_url_rule("/jobs/<job_id>/results/<output>", "job_result_value", views.result_value)
        app.add_url_rule("/jobs/<job_id>/logs", "job_log", views.log)
        app.add_url_rule("/jobs/<job_id>/prov", "job_provenance", views.provenance)
        app.after_request(_say_what_varies)
        stock_processes.CONFORMANCE_CLASSES[:] = descriptions.CONFORMANCE_CLASSES

    def landing_page(self) -> Any:
        """Answer the landing page."""
        if parameters.wants_html():
            return page_response(request.path)
        return json_response(descriptions.landing_page(self._config["metadata"]["identification"], self._url))

    def conformance(self) -> Any:
        """Answer the conformance classes."""
        if parameters.wants_html():
            return self._stock["pygeoapi.conformance"]()
        return json_response({"conformsTo": descriptions.conformance(self._config)})

    def processes(self, process_id: str | None = None) -> Any:
        """List processes or describe one."""
        if process_id is not None:
            self._check_process(process_id)
        limit, offset = _page()  # before pygeoapi's page would complain of them in its own way
        if parameters.wants_html():
            if process_id == PROCESS_ID:
                return page_response(request.path)
            return self._stock["pygeoapi.get_processes"](process_id)
        if process_id is not None:
            processor = self._manager.get_processor(process_id)
            return json_response(descriptions.description(processor.metadata, self._url))
        known = list(self._manager.processes)
        shown = [self._manager.get_processor(name).metadata for name in known[offset : offset + limit]]
        return json_response(
            {
                "processes": [descriptions.summary(metadata, self._url) for metadata in shown],
                "links": _page_links(f"{self._url}/processes", limit, offset, len(known)),
            }
        )

    def execute(self, process_id: str) -> Response:
        """Execute a process: 200 or 204 with results, or 201 with the status of a job."""
        self._check_process(process_id)
        body = parameters.body()
        mode, wait = self._preferences(process_id)
        job_id, _, _, status, headers = self._manager.execute_process(
            process_id,
            body.get("inputs", {}),
            execution_mode=mode,
            requested_outputs=body.get("outputs"),
            subscriber=body.get("subscriber"),
            requested_response=body.get("response", "raw"),
            owner=owner(),
            wait=wait,
        )
        job = self._manager.store.get(job_id)
        if status == JobStatus.accepted:
            response = json_response(status_info(job, self._url), 201)
            response.headers["Location"] = f"{self._url}/jobs/{job_id}"
        else:
            response = self._results(job)
            response.headers.add("Link", f"<{self._url}/jobs/{job_id}>; rel=monitor")
        response.headers.update(headers)
        return response

    def jobs(self, job_id: str | None = None) -> Any:
        """List jobs; show or dismiss one."""
        if job_id is not None:
            as_page = request.method != "DELETE" and parameters.wants_html()
            if as_page and is_anonymous():  # a browser that was sent here has no token yet; the page asks for it
                return page_response(request.path)
            job = self._job(job_id)
            if request.method == "DELETE":
                self._manager.dismiss(job_id)
                return json_response(status_info(job, self._url, dismissed=True))
            return page_response(request.path) if as_page else json_response(status_info(job, self._url))
        return page_response(request.path) if parameters.wants_html() else self._job_list()

    def results(self, job_id: str) -> Response:
        """Answer the results of a job in the form that was asked for when it was executed."""
        parameters.wants_html()  # there is no page of them, but a wrong form is told
        return self._results(self._job(job_id))

    def result_value(self, job_id: str, output: str) -> Response:
        """Answer the bare value of one output: what a reference leads to."""
        outputs = {one.name: one for one in self._outputs(self._job(job_id))}
        if output not in outputs:
            known = ", ".join(outputs)
            raise Problem(404, "NoSuchOutput", f"Job {job_id} has no output {output!r}; it has {known}.")
        return value_response(outputs[output])

    def log(self, job_id: str) -> Response:
        """Answer what happened to a job, a line an event."""
        return Response(self._manager.log_of(self._job(job_id)), content_type="text/plain; charset=utf-8")

    def provenance(self, job_id: str) -> Response:
        """Answer what the results of a job were made of and how, as PROV-JSON."""
        job = self._job(job_id)
        self._check_successful(job)
        return json_response(self._manager.provenance(job))

    def _job(self, job_id: str) -> Job:
        """Return a job of this client; another's is as little there as none."""
        job = self._manager.store.get(job_id)
        if not may_see(job):
            raise JobNotFoundError(f"There is no job {job_id}.")
        return job

    def _job_list(self) -> Response:
        limit, offset = _page()
        parameters.words("type", ["process"])  # there are no others
        interval = _interval()
        wanted = JobFilter(
            status=parameters.words("status", STATES) or None,
            process_ids=parameters.words("processID") or None,
            datetime=interval,
            min_duration=parameters.optional_whole_number("minDuration", 0, LONGEST_DURATION),
            max_duration=parameters.optional_whole_number("maxDuration", 0, LONGEST_DURATION),
            owner=owner(),
        )
        jobs, count = self._manager.store.page(limit, offset, wanted)
        return json_response(
            {
                "jobs": [status_info(job, self._url) for job in jobs],
                "links": _page_links(f"{self._url}/jobs", limit, offset, count, datetime=_until_now(interval)),
                "numberMatched": count,
                "numberReturned": len(jobs),
            }
        )

    def _results(self, job: Job) -> Response:
        if job.status == "failed":
            return problem_response(job.http_status or 500, job.code or "NoApplicableCode", job.message)
        return results_response(job, self._outputs(job))

    @staticmethod
    def _check_successful(job: Job) -> None:
        """Tell why a job has no results, if it has none."""
        if job.status in UNFINISHED:
            raise Problem(404, "ResultNotReady", f"Job {job.id} is {job.status}: its results are not ready yet.")
        if job.status == "dismissed":
            raise Problem(410, "JobDismissed", f"Job {job.id} was dismissed: it has no results.")
        if job.status == "failed":
            raise Problem(job.http_status or 500, job.code or "NoApplicableCode", job.message)

    def _outputs(self, job: Job) -> list[Output]:
        """Return the outputs of a successful job that were asked for."""
        self._check_successful(job)
        values = self._manager.results(job)
        modes = {name: wish["transmissionMode"] for name, wish in json.loads(job.outputs).items()}
        schemas = self._schemas(job.process_id)
        return [
            Output(
                name,
                values[name],
                schemas.get(name, {}),
                f"{self._url}/jobs/{job.id}/results/{name}",
                by_reference=modes.get(name) == "reference",
            )
            for name in modes or values
            if name in values
        ]

    def _schemas(self, process_id: str) -> dict[str, Any]:
        if process_id not in self._manager.processes:
            return {}  # configured no more
        outputs = self._manager.get_processor(process_id).metadata["outputs"]
        return {name: output["schema"] for name, output in outputs.items()}

    def _preferences(self, process_id: str) -> tuple[RequestedProcessExecutionMode | None, int | None]:
        """Return how to execute and how long to wait: as preferred, unless the process offers one way only."""
        options = descriptions.job_control(self._manager.get_processor(process_id).metadata)
        if "sync-execute" not in options:
            return RequestedProcessExecutionMode.respond_async, None
        return parameters.preferences() if "async-execute" in options else (None, None)

    def _check_process(self, process_id: str) -> None:
        known = self._manager.processes
        if process_id not in known:
            raise Problem(404, "NoSuchProcess", f"There is no process {process_id!r}; there is {', '.join(known)}.")


def _say_what_varies(response: Response) -> Response:
    """Keep browsers from showing a kept document where the page was, on the way back."""
    if request.endpoint in ("pygeoapi.landing_page", "pygeoapi.get_processes", "pygeoapi.get_jobs"):
        response.headers["Vary"] = "Accept"
    return response


def _interval() -> Interval:
    text = request.args.get("datetime")
    if text is None:
        return None, None
    try:
        start, end = (None if instant is None else instant.astimezone(dt.UTC) for instant in parse_interval(text))
    except ValueError as error:
        raise Problem(400, "InvalidParameterValue", f"Parameter datetime: {error}.") from error
    except OverflowError as error:  # the first or last day that there is, in another time zone
        raise Problem(400, "InvalidParameterValue", f"Parameter datetime: {text!r} is out of range.") from error
    return start, end


def _until_now(interval: Interval) -> str:
    """Return an interval as text that ends now at the latest: further pages list what there was at the first one."""
    start, end = interval
    present = dt.datetime.now(dt.UTC)
    last = present if end is None else min(end, present)
    return ".." + f"/{rfc3339(last)}" if start is None else f"{rfc3339(start)}/{rfc3339(max(start, last))}"


def _page() -> tuple[int, int]:
    return parameters.limit(10, MOST_JOBS), parameters.whole_number("offset", 0, 0, 2**31)


def _page_links(address: str, limit: int, offset: int, count: int, **others: str) -> list[dict[str, str]]:
    """Return the links of one page of a list, each with the request's own filters.

    `others`: filters that hold for the other pages, in place of the request's.
    """
    arguments = [(name, value) for name, value in request.args.items(multi=True) if name not in _PAGING]

    def page(rel: str, start: int, title: str, **more: str) -> dict[str, str]:
        filters = [(name, value) for name, value in arguments if name not in more]
        query = urlencode([*filters, *more.items(), ("limit", limit), ("offset", start)])
        return link(rel, f"{address}?{query}", title)

    links = [page("self", offset, "This list")]
    links.append(link("alternate", f"{address}?f=html", "This list as HTML", "text/html"))
    if offset + limit < count:
        links.append(page("next", offset + limit, "Next page", **others))
    if offset > 0:
        links.append(page("prev", max(0, offset - limit), "Previous page", **others))
    return links
