"""The service's OpenAPI document: pygeoapi's, made whole, so that a client resolves it without another host.

pygeoapi refers to schemas on OGC's server for what the parts of OGC API share. Here these references point to short
definitions in the document itself.
"""

import json
from pathlib import Path
from typing import Any

from pygeoapi.openapi import generate_openapi_document

_EXECUTE = {
    "type": "object",
    "properties": {
        "inputs": {"type": "object", "description": "Values by input id; see the process description."},
        "outputs": {"type": "object", "description": "A member for each output asked for; all without it."},
        "response": {"type": "string", "enum": ["raw", "document"], "default": "raw"},
    },
}
_EXCEPTION = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person: what was wrong and what to do."},
        "code": {"type": "string"},
        "description": {"type": "string"},
    },
}
_STATUS = {
    "type": "object",
    "required": ["jobID", "type", "status"],
    "properties": {
        "processID": {"type": "string"},
        "jobID": {"type": "string"},
        "type": {"type": "string", "enum": ["process"]},
        "status": {"type": "string", "enum": ["accepted", "running", "successful", "failed", "dismissed"]},
        "message": {"type": "string"},
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "created": {"type": "string", "format": "date-time"},
        "started": {"type": "string", "format": "date-time"},
        "finished": {"type": "string", "format": "date-time"},
        "updated": {"type": "string", "format": "date-time"},
        "links": {"type": "array", "items": {"type": "object"}},
    },
}
_ACCEPTED = {
    "description": "A job was made; its status is at Location",
    "headers": {"Location": {"schema": {"type": "string"}}},
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/statusInfo"}}},
}
_LOCAL = {
    "execute.yaml": "#/components/schemas/execute",
    "exception.yaml": "#/components/schemas/exception",
    "ExecuteAsync.yaml": "#/components/responses/accepted",
    "LandingPage": "#/components/responses/200",
    "ProcessList.yaml": "#/components/responses/200",
}
"""By the last part of a remote reference; all others are error responses."""


def make_openapi(config: Path) -> str:
    """Return the OpenAPI document of a configuration, as JSON whose references are all local."""
    document = json.loads(generate_openapi_document(config, "json"))
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(execute=_EXECUTE, exception=_EXCEPTION, statusInfo=_STATUS)
    components.setdefault("responses", {})["accepted"] = _ACCEPTED
    _localise(document)
    return json.dumps(document)


def _localise(node: Any) -> None:
    if isinstance(node, list):
        for child in node:
            _localise(child)
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            node["$ref"] = _LOCAL.get(reference.rsplit("/", 1)[-1], "#/components/responses/default")
        for child in node.values():
            _localise(child)
