"""Schemas of OGC API - Processes 1.0 as components of the OpenAPI document: short, whole, without remote references."""

from collections.abc import Mapping
from typing import Any

REF = "#/components/schemas/"

LINK = {
    "type": "object",
    "required": ["href"],
    "properties": {name: {"type": "string"} for name in ("href", "rel", "type", "hreflang", "title")},
}
_LINKS = {"type": "array", "items": {"$ref": f"{REF}link"}}
_INSTANT = {"type": "string", "format": "date-time"}
_URI = {"type": "string", "format": "uri", "pattern": "^https?://"}
_STRINGS = {"type": "array", "items": {"type": "string"}}

_SUMMARY = {
    "type": "object",
    "required": ["id", "version", "jobControlOptions", "outputTransmission"],
    "properties": {
        "id": {"type": "string"},
        "version": {"type": "string"},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "keywords": _STRINGS,
        "jobControlOptions": {
            "type": "array",
            "items": {"type": "string", "enum": ["sync-execute", "async-execute", "dismiss"]},
        },
        "outputTransmission": {"type": "array", "items": {"type": "string", "enum": ["value", "reference"]}},
        "links": _LINKS,
    },
}
_PUT = {
    "type": "object",
    "required": ["schema"],
    "properties": {
        "title": {"type": "string"},
        "description": {"type": "string"},
        "schema": {"type": "object"},
        "minOccurs": {"type": "integer", "minimum": 0},
        "maxOccurs": {"type": "integer", "minimum": 1},
    },
}

SCHEMAS: dict[str, Any] = {
    "link": LINK,
    "landingPage": {
        "type": "object",
        "required": ["links"],
        "properties": {"title": {"type": "string"}, "description": {"type": "string"}, "links": _LINKS},
    },
    "confClasses": {"type": "object", "required": ["conformsTo"], "properties": {"conformsTo": _STRINGS}},
    "processSummary": _SUMMARY,
    "processList": {
        "type": "object",
        "required": ["processes", "links"],
        "properties": {
            "processes": {"type": "array", "items": {"$ref": f"{REF}processSummary"}},
            "links": _LINKS,
        },
    },
    "process": {
        "allOf": [
            {"$ref": f"{REF}processSummary"},
            {
                "type": "object",
                "required": ["inputs", "outputs"],
                "properties": {
                    "inputs": {"type": "object", "additionalProperties": _PUT},
                    "outputs": {"type": "object", "additionalProperties": _PUT},
                },
            },
        ]
    },
    "statusInfo": {
        "type": "object",
        "required": ["jobID", "type", "status"],
        "properties": {
            "processID": {"type": "string"},
            "jobID": {"type": "string"},
            "type": {"type": "string", "enum": ["process"]},
            "status": {"type": "string", "enum": ["accepted", "running", "successful", "failed", "dismissed"]},
            "message": {"type": "string", "description": "A sentence for a person; of a failed job, why."},
            "progress": {"type": "integer", "minimum": 0, "maximum": 100},
            **dict.fromkeys(("created", "started", "finished", "updated"), _INSTANT),
            "estimatedCompletion": {**_INSTANT, "description": "When a running job is expected to end."},
            "links": _LINKS,
        },
    },
    "jobList": {
        "type": "object",
        "required": ["jobs", "links"],
        "properties": {
            "jobs": {"type": "array", "items": {"$ref": f"{REF}statusInfo"}},
            "links": _LINKS,
            "numberMatched": {"type": "integer", "minimum": 0},
            "numberReturned": {"type": "integer", "minimum": 0},
        },
    },
    "results": {"type": "object", "description": "Values, or links to them, by output id.", "additionalProperties": {}},
    "subscriber": {
        "type": "object",
        "description": "Addresses that are told of the job by POST.",
        "required": ["successUri"],
        "properties": {"successUri": _URI, "inProgressUri": _URI, "failedUri": _URI},
    },
    "exception": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "description": "The standard's address of the exception, else about:blank."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "A sentence for a person: what was wrong and what to do."},
            "instance": {"type": "string"},
            "code": {"type": "string", "description": "What it is in one word, for programs."},
            "description": {"type": "string"},
        },
    },
}


def openapi_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a process's schema what OpenAPI 3.0 does not know."""
    written: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in ("contentMediaType", "contentEncoding", "contentSchema"):
            continue
        if keyword == "properties":
            written[keyword] = {name: openapi_schema(child) for name, child in value.items()}
        elif isinstance(value, Mapping) and keyword in ("items", "not", "additionalProperties"):
            written[keyword] = openapi_schema(value)
        elif keyword in ("oneOf", "anyOf", "allOf"):
            written[keyword] = [openapi_schema(child) for child in value]
        else:
            written[keyword] = value
    return written


def execute_request(description: Mapping[str, Any], *, takes_references: bool) -> dict[str, Any]:
    """Return the schema of a process's execute request."""
    inputs = description["inputs"]
    accepted = {name: _input(entry, takes_references=takes_references) for name, entry in inputs.items()}
    required = [name for name, entry in inputs.items() if entry.get("minOccurs", 1) > 0]
    outputs = {
        "type": "object",
        "properties": {
            name: {
                "type": "object",
                "properties": {"transmissionMode": {"type": "string", "enum": description["outputTransmission"]}},
            }
            for name in description["outputs"]
        },
        "additionalProperties": False,
        "description": "A member for each output asked for; all without it.",
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {
                "type": "object",
                "properties": accepted,
                "additionalProperties": False,
                "minProperties": 1,
                **({"required": required} if required else {}),
            },
            "outputs": outputs,
            "response": {"type": "string", "enum": ["raw", "document"], "default": "raw"},
            "subscriber": {"$ref": f"{REF}subscriber"},
        },
        **({"example": description["example"]} if "example" in description else {}),
    }


def _input(entry: Mapping[str, Any], *, takes_references: bool) -> dict[str, Any]:
    bare = openapi_schema(entry["schema"])
    qualified = {
        "type": "object",
        "required": ["value"],
        "properties": {"value": bare, "mediaType": {"type": "string"}, "encoding": {"type": "string"}},
        "additionalProperties": False,
    }
    by_reference = {"$ref": f"{REF}link"}
    options = [bare, qualified, *([by_reference] if takes_references else [])]
    return {"anyOf": options, "description": entry.get("description", "")}
