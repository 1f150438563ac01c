"""The process `echo`: answers each input as the output of the same id. For conformance tests and for clients' tests.

Off unless the environment variable ESCAPE_ECHO is set. The inputs are chosen so that OGC's compliance suite finds one
of each kind that it knows: the first is a plain string, `pause` keeps a job running, `object` stands before `area`.
"""

import base64
import binascii
import contextlib
import copy
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import jsonschema  # type: ignore[import-untyped]
from pygeoapi.process.base import BaseProcessor

from escape_process import __version__
from escape_process.errors import CancelledError, InvalidInputError
from escape_process.settings import Settings

PROCESS_ID = "echo"
LONGEST_PAUSE = 60
LONGEST_FILE = 2**20
"""Most bytes of an input by reference."""

_STEP = 0.1
"""Seconds between two looks at whether a pausing job is still wanted."""

_QUALIFIED = {"value", "mediaType", "encoding", "schema", "format"}
_TIFF = "image/tiff"

_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "message": ("Any text.", {"type": "string"}),
    "pause": ("Seconds to wait.", {"type": "number", "minimum": 0, "maximum": LONGEST_PAUSE}),
    "number": ("Any number.", {"type": "number"}),
    "integer": ("Any whole number.", {"type": "integer"}),
    "flag": ("True or false.", {"type": "boolean"}),
    "array": ("Whole numbers.", {"type": "array", "items": {"type": "integer"}, "maxItems": 1000}),
    "object": ("Any object.", {"type": "object"}),
    "mixed": (
        "A text, or an object with a text.",
        {
            "oneOf": [
                {"type": "string"},
                {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
            ]
        },
    ),
    "image": (
        "A TIFF file in base64; its bytes are not looked at.",
        {"type": "string", "format": "byte", "contentEncoding": "base64", "contentMediaType": _TIFF},
    ),
    "area": (
        "A bounding box with its coordinate reference system, unchecked.",
        {
            "type": "object",
            "format": "ogc-bbox",
            "required": ["bbox"],
            "properties": {
                "bbox": {
                    "type": "array",
                    "items": {"type": "number"},
                    "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}],
                },
                "crs": {"type": "string"},
            },
            "additionalProperties": False,
        },
    ),
}

_METADATA: dict[str, Any] = {
    "version": __version__,
    "id": PROCESS_ID,
    "title": "Echo",
    "description": "Answers each input as the output of the same id, after a pause where one is asked for.",
    "keywords": ["echo", "conformance"],
    "jobControlOptions": ["sync-execute", "async-execute"],
    "outputTransmission": ["value", "reference"],
    "links": [],
    "inputs": {
        name: {"title": name.capitalize(), "description": text, "schema": schema, "minOccurs": 0, "maxOccurs": 1}
        for name, (text, schema) in _KINDS.items()
    },
    "outputs": {
        name: {"title": name.capitalize(), "description": f"The input {name}.", "schema": schema}
        for name, (_, schema) in _KINDS.items()
    },
    "example": {"inputs": {"message": "Hello"}, "response": "document"},
}


class EchoProcessor(BaseProcessor):  # type: ignore[misc]  # pygeoapi has no types
    """Echoes its inputs."""

    takes_references: ClassVar[bool] = True
    """Inputs may come as {"href": ...}; said in the OpenAPI document."""

    def __init__(self, processor_def: dict[str, Any]) -> None:
        super().__init__(processor_def, copy.deepcopy(_METADATA))
        self.supports_outputs = True
        folder = Path(os.environ.get("PYGEOAPI_CONFIG", "pygeoapi-config.yml")).resolve().parent
        self.settings = Settings.load(processor_def.get("settings") or {}, folder)
        self.progress: Callable[[float, str], None] = lambda share, message: None
        self.cancelled: Callable[[], bool] = lambda: False

    def is_light(self, inputs: Any) -> bool:
        """Return that no request takes the device."""
        return True

    def check(self, inputs: Any) -> None:
        """Check the inputs of an execute request; those by reference only for their address.

        Raises
        ------
        InvalidInputError
            one sentence naming the input.
        """
        if not isinstance(inputs, Mapping):
            raise InvalidInputError("inputs must be a JSON object.")
        if not inputs:
            raise InvalidInputError(f"inputs must hold one at least of {', '.join(_KINDS)}.")
        for name, given in inputs.items():
            if name not in _KINDS:
                raise InvalidInputError(f"Unknown input {name!r}; the inputs are {', '.join(_KINDS)}.")
            if not _is_reference(given):
                _value(name, given)
            elif not given["href"].lower().startswith(("http://", "https://")):
                raise InvalidInputError(f"Input {name}: its href must begin with http:// or https://.")
            else:
                from escape_process.guard import check_public_url  # noqa: PLC0415  # an HTTP client: not for a listing

                check_public_url(given["href"], self.settings)

    def execute(self, data: Any, outputs: Iterable[str] | None = None) -> tuple[str, dict[str, Any]]:
        """Answer the outputs asked for whose inputs were given."""
        self.check(data)
        wanted = set(outputs or _KINDS)
        values = {
            name: self._fetch(name, given["href"]) if _is_reference(given) else _value(name, given)
            for name, given in data.items()
        }
        self._pause(values.get("pause", 0))
        answered = {name: values[name] for name in _KINDS if name in values and name in wanted}
        if not answered:
            raise InvalidInputError(f"Output {min(wanted)} repeats the input of that name: give that input.")
        return "application/json", answered

    def _pause(self, seconds: float) -> None:
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < seconds:
            self.progress(passed / seconds, f"Pausing for {seconds:g} s.")
            if self.cancelled():
                raise CancelledError("Dismissed.")
            time.sleep(min(_STEP, seconds - passed))

    def _fetch(self, name: str, href: str) -> Any:
        """Read an input by reference: text for text, base64 for bytes, JSON for the rest."""
        from escape_process.hrefs import file_name, open_href  # noqa: PLC0415  # brings in GDAL: not for a listing

        with contextlib.closing(open_href(href, self.settings)) as file:
            content = file.read(LONGEST_FILE + 1)
        if len(content) > LONGEST_FILE:
            raise InvalidInputError(f"Input {name}: {file_name(href)} is longer than {LONGEST_FILE} bytes.")
        schema = _KINDS[name][1]
        if "contentEncoding" in schema:
            return base64.b64encode(content).decode()
        try:
            text = content.decode()
            value = text if schema.get("type") == "string" else json.loads(text)
            json.dumps(value, allow_nan=False)  # the reader knows numbers that JSON does not
            return _value(name, value)
        except (ValueError, RecursionError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(f"Input {name}: {file_name(href)} holds no value of that kind.") from error


def with_echo(manager_def: dict[str, Any]) -> dict[str, Any]:
    """Add the process to a manager's definition where ESCAPE_ECHO asks for it; it reads by the others' settings."""
    if os.environ.get("ESCAPE_ECHO", "").lower() not in ("1", "true", "yes", "on"):
        return manager_def
    processes = dict(manager_def.get("processes") or {})
    settings = next((entry["processor"].get("settings") for entry in processes.values()), None)
    processor = {"name": "escape_process.jobs.echo.EchoProcessor", "settings": settings}
    processes.setdefault(PROCESS_ID, {"type": "process", "processor": processor})
    return {**manager_def, "processes": processes}


def _is_reference(given: Any) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("href"), str) and not {"value", "bbox"} & set(given)


def _value(name: str, given: Any) -> Any:
    """Return an input's value, bare or qualified; an object that fits only as it stands is not unwrapped."""
    schema = _KINDS[name][1]
    if isinstance(given, Mapping) and "value" in given and set(given) <= _QUALIFIED:
        if not _complaint(given["value"], schema):
            _check_media_type(name, given, schema)
            return given["value"]
        if not _complaint(given, schema):
            return given
        given = given["value"]
    complaint = _complaint(given, schema)
    if complaint:
        raise InvalidInputError(f"Input {name} {complaint}.")
    return given


def _check_media_type(name: str, given: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    form = given["format"] if isinstance(given.get("format"), Mapping) else {}
    encoding = given.get("encoding", form.get("encoding"))
    if "contentEncoding" in schema and encoding not in (None, schema["contentEncoding"]):
        raise InvalidInputError(f"Input {name} has encoding {json.dumps(encoding)[:100]}; it must be base64.")
    stated = given.get("mediaType", form.get("mediaType"))
    own = schema.get("contentMediaType")
    if own is not None and stated is not None and str(stated).partition(";")[0].strip().lower() != own:
        raise InvalidInputError(f"Input {name} has mediaType {json.dumps(stated)[:100]}; it must be {own}.")


def _complaint(value: Any, schema: Mapping[str, Any]) -> str:
    """Say why a value does not fit; empty where it does."""
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(value))
    if error is not None:
        text = json.dumps(value)
        shown = text if len(text) <= 100 else f"{text[:97]}..."
        kind = schema.get("type", "text or object with a text")
        limits = [f"{word} {schema[word]}" for word in ("minimum", "maximum", "maxItems") if word in schema]
        return f"= {shown} is not of its kind: {', '.join([kind, *limits])}"
    if isinstance(value, str) and schema.get("contentEncoding") == "base64":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return "is not base64"
    return ""
