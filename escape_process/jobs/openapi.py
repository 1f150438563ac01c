"""The service's OpenAPI document, made when it starts: whole, so that a client resolves it without another host.

pygeoapi's own refers to schemas on OGC's server, gives every process the same request and no results their types.
Collections that an operator adds to the configuration are not in here; nor are the STAC API, which has a document of
its own, and the catalogue's files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pygeoapi.process.manager.base import get_manager
from pygeoapi.util import yaml_load

from escape_process import __version__
from escape_process.jobs.descriptions import OPENAPI, description, text_of
from escape_process.jobs.schemas import REF, SCHEMAS, execute_request, openapi_schema
from escape_process.jobs.store import STATES

_ERRORS = {
    400: "The request is wrong; the detail says what",
    404: "There is no such process, job or output, or its results are not ready yet",
    410: "The job was dismissed, or its results are no longer stored",
    413: "The body of the request is too long",
    415: "The body is said not to be JSON",
    422: "The request is right, but no usable scene answers it",
    429: "The queue is full, or the owner has as many unfinished jobs as one may: try again later",
    500: "Internal error",
    502: "A catalogue or an asset host failed",
    503: "The server stops",
    504: "The job took longer than the server allows",
    507: "The server's storage is full",
}
_RUN = (400, 404, 410, 413, 422, 429, 500, 502, 503, 504, 507)
"""What an execution, and the results of a failed one, may end with."""


def make_openapi(config: Path) -> str:
    """Return the OpenAPI document of a configuration, as JSON whose references are all local."""
    with config.open(encoding="utf-8") as file:
        document = yaml_load(file)
    url = str(document["server"]["url"]).rstrip("/")
    manager = get_manager(document)
    processes = {}
    references = {}
    for process_id in manager.processes:
        processor = manager.get_processor(process_id)
        processes[process_id] = description(processor.metadata, url)
        references[process_id] = bool(getattr(processor, "takes_references", False))
    made = _document(document, url, processes, references)
    if manager.settings().auth is not None:
        _ask_for_tokens(made)
    return json.dumps(made)


def _document(
    config: Mapping[str, Any], url: str, processes: Mapping[str, Any], references: Mapping[str, bool]
) -> dict[str, Any]:
    identification = config["metadata"]["identification"]
    schemas = dict(SCHEMAS)
    for process_id, described in processes.items():
        schemas[f"execute-{process_id}"] = execute_request(described, takes_references=references[process_id])
    return {
        "openapi": "3.0.3",
        "info": {
            "title": text_of(identification.get("title")),
            "description": text_of(identification.get("description")),
            "version": __version__,
            "license": {"name": text_of(config["metadata"].get("license", {}).get("name")) or "unknown"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": name} for name in ("Capabilities", "Processes", "Jobs")],
        "paths": {**_capabilities(), **_processes(processes), **_jobs(processes)},
        "components": {
            "schemas": schemas,
            "parameters": _PARAMETERS,
            "responses": {
                **{str(status): _error(text) for status, text in _ERRORS.items()},
                "429": _error(_ERRORS[429], {"Retry-After": "Seconds after which to try again"}),
            },
        },
    }


def _ask_for_tokens(document: dict[str, Any]) -> None:
    """Say of executions and jobs that they need a token."""
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["components"]["responses"]["401"] = _error(
        "A token is missing or not valid", {"WWW-Authenticate": "Bearer, and what is wrong with the token"}
    )
    for path, operations in document["paths"].items():
        if path.endswith("/execution") or path.startswith("/jobs"):
            for operation in operations.values():
                operation["security"] = [{"bearer": []}]
                operation["responses"] |= _errors((401, 503))


def _capabilities() -> dict[str, Any]:
    pages = {
        "/": ("landingPage", "Landing page", "landingPage"),
        "/conformance": ("conformance", "Conformance classes", "confClasses"),
    }
    paths: dict[str, Any] = {
        path: {"get": _get("Capabilities", name, title, _page(schema), ["f"], (400, 500))}
        for path, (name, title, schema) in pages.items()
    }
    anything = {OPENAPI: {"schema": {"type": "object"}}, "text/html": _HTML}
    this = _get("Capabilities", "openapi", "This document", anything, ["f"], (400, 500))
    return {**paths, "/openapi": {"get": this}}


def _processes(processes: Mapping[str, Any]) -> dict[str, Any]:
    listed = _get("Processes", "listProcesses", "Processes", _page("processList"), ["f", "limit", "offset"], (400, 500))
    paths: dict[str, Any] = {"/processes": {"get": listed}}
    for process_id, described in processes.items():
        title = described["title"]
        shown = _get("Processes", f"describe-{process_id}", f"Describe: {title}", _page("process"), ["f"], (400, 500))
        paths[f"/processes/{process_id}"] = {"get": shown}
        paths[f"/processes/{process_id}/execution"] = {
            "post": {
                "tags": ["Processes"],
                "operationId": f"execute-{process_id}",
                "summary": f"Execute: {title}",
                "description": described.get("description", ""),
                "parameters": [_parameter("prefer")],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": f"{REF}execute-{process_id}"}}},
                },
                "responses": {
                    "200": {
                        "description": "Results in the form asked for",
                        "headers": {"Link": _text_header("The job, rel=monitor")},
                        "content": _results({process_id: described}),
                    },
                    "201": _ACCEPTED,
                    "204": _ALL_BY_REFERENCE,
                    **_errors((*_RUN, 415)),
                },
            }
        }
    return paths


def _jobs(processes: Mapping[str, Any]) -> dict[str, Any]:
    filters = ["type", "processID", "status", "datetime", "minDuration", "maxDuration", "limit", "offset", "f"]
    job = [_parameter("jobId")]
    gone = (400, 404, 410, 500)
    values: dict[str, Any] = {media: {"schema": {}} for media in _media_types(processes)}
    value = _get("Jobs", "getResultValue", "One output of a job", values, ["jobId", "outputId"], _RUN)
    log = {"text/plain; charset=utf-8": {"schema": {"type": "string"}}}
    provenance = {"application/json": {"schema": {"type": "object", "required": ["entity", "activity", "agent"]}}}
    told = _get("Jobs", "getProvenance", "What a job's results were made of: PROV-JSON", provenance, ["jobId"], _RUN)
    dismissed = {
        "tags": ["Jobs"],
        "operationId": "dismiss",
        "summary": "Cancel a job, or remove a finished one and its results",
        "parameters": job,
        "responses": {"200": _answer("The job as it is left", _json("statusInfo")), **_errors((404, 500))},
    }
    results = _get("Jobs", "getResults", "Results of a job", _results(processes), ["jobId"], _RUN)
    results["responses"]["204"] = _ALL_BY_REFERENCE
    return {
        "/jobs": {"get": _get("Jobs", "listJobs", "Jobs, newest first", _page("jobList"), filters, (400, 500))},
        "/jobs/{jobId}": {
            "get": _get("Jobs", "getStatus", "Status of a job", _page("statusInfo"), ["jobId", "f"], gone),
            "delete": dismissed,
        },
        "/jobs/{jobId}/results": {"get": results},
        "/jobs/{jobId}/results/{outputId}": {"get": value},
        "/jobs/{jobId}/prov": {"get": told},
        "/jobs/{jobId}/logs": {"get": _get("Jobs", "getLog", "What happened to a job", log, ["jobId"], (404, 500))},
    }


def _get(  # noqa: PLR0917  # the parts of an operation in the order in which the document has them
    tag: str, name: str, summary: str, content: Mapping[str, Any], parameters: list[str], errors: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "tags": [tag],
        "operationId": name,
        "summary": summary,
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": {"200": _answer(summary, content), **_errors(errors)},
    }


def _results(processes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contents that results may have: one bare value, a document of all, or one part for each."""
    bare = [
        openapi_schema(output["schema"]) for described in processes.values() for output in described["outputs"].values()
    ]
    contents: dict[str, Any] = {media: {"schema": {}} for media in _media_types(processes)}
    contents["application/json"] = {"schema": {"anyOf": [{"$ref": f"{REF}results"}, *bare]}}
    contents["multipart/related"] = {"schema": {"type": "string"}}
    return contents


def _media_types(processes: Mapping[str, Any]) -> list[str]:
    """Return the media types that a bare value may have."""
    stated = {
        output["schema"].get("contentMediaType", "application/json")
        for described in processes.values()
        for output in described["outputs"].values()
    }
    return sorted({"application/json", "text/plain; charset=utf-8", *stated})


def _page(schema: str) -> dict[str, Any]:
    return {**_json(schema), "text/html": _HTML}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"{REF}{schema}"}}}


def _answer(text: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": content}


def _error(text: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    told = {name: _text_header(meaning) for name, meaning in (headers or {}).items()}
    return {**_answer(text, _json("exception")), **({"headers": told} if told else {})}


def _errors(statuses: tuple[int, ...]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _parameter(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def _text_header(text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string"}}


def _query(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    query: dict[str, Any] = {"name": name, "in": "query", "description": text, "required": False, "schema": schema}
    if schema.get("type") == "array":
        query |= {"style": "form", "explode": False}
    return query


def _in_path(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "description": text, "required": True, "schema": {"type": "string"}}


def _words(*known: str) -> dict[str, Any]:
    items = {"type": "string", "enum": list(known)} if known else {"type": "string"}
    return {"type": "array", "items": items}


_HTML = {"schema": {"type": "string"}}
_ACCEPTED = {
    "description": "A job was made; its status is at Location",
    "headers": {
        "Location": _text_header("The job"),
        "Preference-Applied": _text_header("What was followed of Prefer"),
    },
    "content": _json("statusInfo"),
    "links": {
        "status": {"operationId": "getStatus", "parameters": {"jobId": "$response.body#/jobID"}},
        "results": {"operationId": "getResults", "parameters": {"jobId": "$response.body#/jobID"}},
        "log": {"operationId": "getLog", "parameters": {"jobId": "$response.body#/jobID"}},
        "provenance": {"operationId": "getProvenance", "parameters": {"jobId": "$response.body#/jobID"}},
        "dismiss": {"operationId": "dismiss", "parameters": {"jobId": "$response.body#/jobID"}},
    },
}
_ALL_BY_REFERENCE = {
    "description": "Every output was asked for by reference: a Link header leads to each",
    "headers": {"Link": _text_header("One for each output, and the job, rel=monitor")},
}
_PARAMETERS = {
    "f": _query("f", "Form of the answer, instead of Accept", {"type": "string", "enum": ["json", "html"]}),
    "limit": _query("limit", "Most entries; 1000 at a time", {"type": "integer", "minimum": 1, "default": 10}),
    "offset": _query("offset", "Entries left out first", {"type": "integer", "minimum": 0, "default": 0}),
    "type": _query("type", "Kind of job", _words("process")),
    "processID": _query("processID", "Processes whose jobs are listed", _words()),
    "status": _query("status", "Statuses that are listed", _words(*STATES)),
    "datetime": _query("datetime", "Instant or interval in which the job was made", {"type": "string"}),
    "minDuration": _query("minDuration", "Least seconds that it ran", {"type": "integer", "minimum": 0}),
    "maxDuration": _query("maxDuration", "Most seconds that it ran", {"type": "integer", "minimum": 0}),
    "prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "respond-async for a job; respond-async, wait=N for the results if they come within N seconds",
        "required": False,
        "schema": {"type": "string", "enum": ["respond-async", "respond-async, wait=1"]},
    },
    "jobId": _in_path("jobId", "Id of a job"),
    "outputId": _in_path("outputId", "Id of an output"),
}
