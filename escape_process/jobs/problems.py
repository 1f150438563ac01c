"""Every error that a client gets: one JSON shape, OGC's exception types, no internal text."""

import json
import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from pygeoapi.process.base import JobNotFoundError, JobResultNotFoundError
from werkzeug.exceptions import HTTPException

from escape_process.errors import EscapeError, QueueFullError

LOGGER = logging.getLogger(__name__)

_OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
_OGC_TYPES = {"NoSuchProcess": "no-such-process", "NoSuchJob": "no-such-job", "ResultNotReady": "result-not-ready"}
"""The exceptions that OGC API - Processes 1.0 gives an address."""
_BLANK = "about:blank"
"""Type of all others: their status says what they are (RFC 7807, 4.2), and `code` says it more closely."""


class Problem(Exception):  # noqa: N818  # the name of RFC 7807
    """An answer that is an error of HTTP rather than of the retrieval: no such job, body is not JSON."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


def json_response(body: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """Return a JSON answer."""
    return Response(json.dumps(body, allow_nan=False), status, content_type=media_type)


def problem_response(status: int, code: str, detail: str) -> Response:
    """Return an error in the shape of OGC's exception schema (RFC 7807)."""
    return json_response(_problem(status, code, detail), status)


def _problem(status: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "type": _OGC + _OGC_TYPES[code] if code in _OGC_TYPES else _BLANK,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,  # clients of pygeoapi read this and the next
        "description": detail,
    }


def handle_errors(app: Flask) -> None:
    """Turn every exception of a view into such an answer."""
    app.register_error_handler(Problem, lambda error: problem_response(error.status, error.code, str(error)))
    app.register_error_handler(EscapeError, _told)
    app.register_error_handler(JobNotFoundError, lambda error: problem_response(404, "NoSuchJob", str(error)))
    app.register_error_handler(
        JobResultNotFoundError, lambda error: problem_response(410, "ResultNotAvailable", str(error))
    )
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _internal_error)
    app.after_request(_in_the_same_shape)


def _in_the_same_shape(response: Response) -> Response:
    """Rewrite what pygeoapi's own views, such as those of collections, answer as an error."""
    # asked of the header: pygeoapi puts a plain dictionary in the place of flask's headers
    if response.status_code < 400 or not response.headers.get("Content-Type", "").startswith("application/json"):
        return response
    body = response.get_json(force=True, silent=True)
    if isinstance(body, dict) and "detail" not in body and isinstance(body.get("description"), str):
        code = str(body.get("code") or EscapeError.code)
        response.set_data(json.dumps(_problem(response.status_code, code, body["description"])))
    return response


def _told(error: EscapeError) -> Response:
    response = problem_response(error.http_status, error.code, str(error))
    if isinstance(error, QueueFullError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _http_error(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < 400:
        return error  # a redirect
    response = problem_response(error.code, error.name.title().replace(" ", ""), error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):  # Allow, Content-Range, Retry-After
            response.headers[name] = value
    return response


def _internal_error(error: Exception) -> Response:
    LOGGER.error("A request failed", exc_info=error)
    return problem_response(500, EscapeError.code, "Internal error; the operator finds its cause in the server's log.")
