"""The results of a job as the client asked for them when it executed the process: OGC API - Processes 1.0, 7.11.4.

| response | outputs | answer |
|---|---|---|
| document | any | JSON object: output id to value, or to a link for an output by reference |
| raw | one, by value | the bare value under its own media type |
| raw | several, any of them by value | multipart/related, one part an output |
| raw | all by reference | 204 and a Link header for each |

Where Accept names JSON but neither multipart/related nor everything, several raw values come as the document. All of
the encoding is here, since the next version of the standard leaves this choice to content negotiation.
"""

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from escape_process.jobs.problems import json_response
from escape_process.jobs.store import Job

RESULTS_REL = "http://www.opengis.net/def/rel/ogc/1.0/results"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
MULTIPART = "multipart/related"


@dataclass(frozen=True)
class Output:
    """One output of a job."""

    name: str
    value: Any
    schema: Mapping[str, Any]
    href: str
    """Address of the bare value."""
    by_reference: bool

    @property
    def media_type(self) -> str:
        """The value's own media type."""
        stated = self.schema.get("contentMediaType")
        if stated is not None:
            return str(stated)
        return TEXT if isinstance(self.value, str) else JSON

    def content(self) -> bytes:
        """Return the value as bytes of its own media type."""
        if not isinstance(self.value, str):
            return json.dumps(self.value, allow_nan=False).encode()
        if self.schema.get("contentEncoding") == "base64":
            try:
                return base64.b64decode(self.value, validate=True)
            except binascii.Error:
                pass  # a process that breaks its own description: rather its text than nothing
        return self.value.encode()

    def link(self) -> dict[str, str]:
        """Return the link that stands for the value in a document."""
        return {"href": self.href, "type": self.media_type.split(";")[0], "title": self.name}

    def link_header(self) -> str:
        """Return the same link as a header."""
        media_type = self.media_type.split(";")[0]
        return f'<{self.href}>; rel="{RESULTS_REL}"; title="{self.name}"; type="{media_type}"'


def results_response(job: Job, outputs: list[Output]) -> Response:
    """Answer all outputs of a job."""
    if job.response == "document" or not outputs:
        return _document(outputs)
    if all(output.by_reference for output in outputs):
        response = Response(status=204)
        del response.headers["Content-Type"]
        for output in outputs:
            response.headers.add("Link", output.link_header())
        return response
    if len(outputs) == 1:
        return value_response(outputs[0])
    if _preferred(MULTIPART) == JSON:
        return _document(outputs)
    return _multipart(outputs)


def value_response(output: Output) -> Response:
    """Answer one bare value: under its own media type unless the client takes nothing but plain JSON."""
    own = output.media_type
    if own != JSON and _preferred(own.split(";")[0]) == JSON:
        return json_response(output.value)
    return Response(output.content(), content_type=own)


def _preferred(own: str) -> str:
    """Choose between a media type and JSON by the request's Accept; the former where Accept leaves it open."""
    if not request.accept_mimetypes:
        return own
    return request.accept_mimetypes.best_match([own, JSON]) or own


def _document(outputs: list[Output]) -> Response:
    return json_response({output.name: output.link() if output.by_reference else output.value for output in outputs})


def _multipart(outputs: list[Output]) -> Response:
    """RFC 2387: a part is a value, or an empty one that says where the value is."""
    boundary = uuid.uuid4().hex
    lines: list[bytes] = []
    for output in outputs:
        lines += [f"--{boundary}".encode(), f"Content-Type: {output.media_type}".encode()]
        lines += [f"Content-ID: <{output.name}>".encode()]
        if output.by_reference:
            lines += [f"Content-Location: {output.href}".encode(), b"", b""]
        else:
            lines += [b"", output.content()]
    lines += [f"--{boundary}--".encode(), b""]
    first = outputs[0].media_type.split(";")[0]
    return Response(b"\r\n".join(lines), content_type=f'{MULTIPART}; boundary={boundary}; type="{first}"')
