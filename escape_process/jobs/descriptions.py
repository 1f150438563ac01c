"""Landing page, conformance and process descriptions in JSON, as OGC API - Processes 1.0 has them.

pygeoapi's own list has no next page, names every process synchronous and its outputs by value only, and leaves JSON
Schema keywords in descriptions that the standard's subset does not know.
"""

import copy
from collections.abc import Mapping
from typing import Any

import pygeoapi.api as core_api

REL = "http://www.opengis.net/def/rel/ogc/1.0/"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"

_CONFORMANCE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
_COMMON = "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/"
CONFORMANCE_CLASSES = [
    f"{_CONFORMANCE}{name}"
    for name in ("core", "json", "oas30", "ogc-process-description", "job-list", "dismiss", "callback")
]
"""Not `html`: it wants every answer as a page, and results are answered in their own media types only."""

_SUMMARY = ("version", "id", "title", "description", "keywords", "metadata")


def link(rel: str, href: str, title: str, media_type: str = "application/json") -> dict[str, str]:
    """Return a link."""
    return {"rel": rel, "type": media_type, "title": title, "href": href}


def landing_page(identification: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return the landing page."""
    return {
        "title": text_of(identification.get("title")),
        "description": text_of(identification.get("description")),
        "links": [
            link("self", f"{url}/?f=json", "This document as JSON"),
            link("alternate", f"{url}/?f=html", "This document as HTML", "text/html"),
            link("service-desc", f"{url}/openapi", "The OpenAPI document", OPENAPI),
            link("service-doc", f"{url}/openapi?f=html", "The API's documentation", "text/html"),
            link("conformance", f"{url}/conformance", "Conformance classes"),
            link(f"{REL}conformance", f"{url}/conformance", "Conformance classes"),
            link(f"{REL}processes", f"{url}/processes", "Processes"),
            link(f"{REL}job-list", f"{url}/jobs", "Jobs"),
            link("related", f"{url}/stac-api", "STAC API: search scenes and results"),
            link("related", f"{url}/catalog/catalog.json", "STAC catalogue of scenes and results"),
        ],
    }


def conformance(config: Mapping[str, Any]) -> list[str]:
    """Return the conformance classes: of this service, and of collections that the operator added."""
    apis = core_api.all_apis()
    classes = {
        *CONFORMANCE_CLASSES,
        *(f"{_COMMON}{name}" for name in ("core", "landing-page", "json", "html", "oas30")),
    }
    for resource in config["resources"].values():
        for provider in resource.get("providers", []):
            kind = apis.get(provider["type"])
            classes.update(getattr(kind, "CONFORMANCE_CLASSES", []))
    return sorted(classes)


def job_control(metadata: Mapping[str, Any]) -> list[str]:
    """Return how a process may be executed; both ways where it does not say."""
    return list(metadata.get("jobControlOptions", ["sync-execute", "async-execute"]))


def summary(metadata: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return a process as the list has it."""
    page = f"{url}/processes/{metadata['id']}"
    links = [
        link("self", f"{page}?f=json", "Process description as JSON"),
        link("alternate", f"{page}?f=html", "Process description as HTML", "text/html"),
        link(f"{REL}execute", f"{page}/execution", "Execute this process"),
        link(f"{REL}job-list", f"{url}/jobs?processID={metadata['id']}", "Jobs of this process"),
    ]
    return {
        **{name: metadata[name] for name in _SUMMARY if name in metadata},
        "jobControlOptions": [*job_control(metadata), "dismiss"],
        "outputTransmission": metadata.get("outputTransmission", ["value"]),
        "links": [*copy.deepcopy(metadata.get("links", [])), *links],
    }


def description(metadata: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return a process with its inputs and outputs."""
    described = summary(metadata, url)
    for part in ("inputs", "outputs"):
        described[part] = {
            name: {**value, "schema": ogc_schema(value["schema"])} for name, value in metadata[part].items()
        }
    if "example" in metadata:
        described["example"] = metadata["example"]
    return described


def ogc_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write a JSON Schema in the older dialect that the standard and OpenAPI 3.0 share."""
    written: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "examples":
            written["example"] = value[0]
        elif keyword == "const":
            written["enum"] = [value]
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum") and not isinstance(value, bool):
            written[keyword.removeprefix("exclusive").lower()] = value
            written[keyword] = True
        elif keyword == "properties":
            written[keyword] = {name: ogc_schema(child) for name, child in value.items()}
        elif keyword in ("oneOf", "anyOf", "allOf"):
            written[keyword] = [ogc_schema(child) for child in value]
        elif keyword in ("items", "not", "additionalProperties") and isinstance(value, Mapping):
            written[keyword] = ogc_schema(value)
        else:
            written[keyword] = copy.deepcopy(value)
    return written


def text_of(value: Any) -> str:
    """Return a text of the configuration, in its first language where it has several."""
    if isinstance(value, Mapping):
        return str(next(iter(value.values()), ""))
    return "" if value is None else str(value)
