"""The schemas of OGC API - Processes 1.0 as JSON Schema, written anew from the standard's text, strict where it is."""

from typing import Any

import jsonschema

LINK = {
    "type": "object",
    "required": ["href"],
    "properties": {name: {"type": "string"} for name in ("href", "rel", "type", "hreflang", "title")},
}
LINKS = {"type": "array", "items": {**LINK, "required": ["href", "rel"]}}
_TEXT = {"type": "string"}
_INSTANT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]

SUBSET: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("title", "description", "format", "pattern", "contentMediaType", "contentEncoding"), _TEXT),
        **{name: {"type": "number"} for name in ("maximum", "minimum", "multipleOf")},
        **{
            name: {"type": "boolean"}
            for name in (
                "exclusiveMaximum",
                "exclusiveMinimum",
                "uniqueItems",
                "nullable",
                "readOnly",
                "writeOnly",
                "deprecated",
            )
        },
        **{
            name: {"type": "integer", "minimum": 0}
            for name in ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties")
        },
        "type": {"enum": _TYPES},
        "required": {"type": "array", "items": _TEXT},
        "enum": {"type": "array", "minItems": 1},
        "default": {},
        "example": {},
        "contentSchema": _TEXT,
        "not": {"$ref": "#/$defs/subset"},
        "items": {"$ref": "#/$defs/subset"},
        **{
            name: {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/subset"}}
            for name in ("allOf", "oneOf", "anyOf")
        },
        "properties": {"type": "object", "additionalProperties": {"$ref": "#/$defs/subset"}},
        "additionalProperties": {"oneOf": [{"type": "boolean"}, {"$ref": "#/$defs/subset"}]},
    },
}
_DEFS = {"subset": SUBSET}

LANDING_PAGE = {
    "type": "object",
    "required": ["links"],
    "properties": {"title": _TEXT, "description": _TEXT, "links": LINKS},
}
CONFORMANCE = {
    "type": "object",
    "required": ["conformsTo"],
    "properties": {"conformsTo": {"type": "array", "items": _TEXT}},
}
SUMMARY = {
    "type": "object",
    "required": ["id", "version", "jobControlOptions", "outputTransmission", "links"],
    "properties": {
        **dict.fromkeys(("id", "version", "title", "description"), _TEXT),
        "keywords": {"type": "array", "items": _TEXT},
        "jobControlOptions": {"type": "array", "items": {"enum": ["sync-execute", "async-execute", "dismiss"]}},
        "outputTransmission": {"type": "array", "items": {"enum": ["value", "reference"]}},
        "links": LINKS,
    },
}
PROCESS_LIST = {
    "type": "object",
    "required": ["processes", "links"],
    "properties": {"processes": {"type": "array", "items": SUMMARY}, "links": LINKS},
}
_PUT = {
    "type": "object",
    "required": ["schema"],
    "properties": {
        "title": _TEXT,
        "description": _TEXT,
        "schema": {"$ref": "#/$defs/subset"},
        "minOccurs": {"type": "integer", "minimum": 0},
        "maxOccurs": {"type": "integer", "minimum": 1},
    },
}
_PUTS = {"type": "object", "minProperties": 1, "additionalProperties": _PUT}
PROCESS = {
    "$defs": _DEFS,
    "allOf": [
        SUMMARY,
        {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": _PUTS, "outputs": _PUTS},
        },
    ],
}
STATUS: dict[str, Any] = {
    "type": "object",
    "required": ["jobID", "status", "type"],
    "properties": {
        **dict.fromkeys(("processID", "jobID", "message"), _TEXT),
        "type": {"enum": ["process"]},
        "status": {"enum": ["accepted", "running", "successful", "failed", "dismissed"]},
        **dict.fromkeys(("created", "started", "finished", "updated"), _INSTANT),
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "links": LINKS,
    },
}
JOB_LIST = {
    "type": "object",
    "required": ["jobs", "links"],
    "properties": {
        "jobs": {"type": "array", "items": {**STATUS, "required": [*STATUS["required"], "processID"]}},
        "links": LINKS,
    },
}
EXCEPTION = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {**dict.fromkeys(("type", "title", "detail", "instance"), _TEXT), "status": {"type": "integer"}},
}


def check(document: Any, schema: dict[str, Any]) -> None:
    """Check a document against one of these schemas."""
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
