"""What a client says beside the inputs: query parameters, preferences and the body of an execute request."""

import json
import math
from collections.abc import Sequence
from typing import Any

from flask import request
from pygeoapi.util import RequestedProcessExecutionMode
from werkzeug.http import parse_dict_header

from escape_process.jobs.problems import Problem

LONGEST_WAIT = 3600
"""Most seconds that `Prefer: wait=N` is taken for: a larger N means no more."""


def body() -> dict[str, Any]:
    """Return the execute request, which must be a JSON object.

    One that says to be of another type is refused: pages of any site could send those without asking, see CORS.
    """
    data = request.get_data()
    if not data:
        raise Problem(400, "MissingParameterValue", 'The request has no body: send JSON such as {"inputs": {...}}.')
    if request.mimetype and not request.is_json:
        raise Problem(415, "UnsupportedMediaType", f"The body is {request.mimetype}; send application/json.")
    try:
        content = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text, and is written nowhere
    except (ValueError, RecursionError) as error:
        raise Problem(400, "InvalidParameterValue", "The request's body is not valid JSON.") from error
    if not isinstance(content, dict):
        raise Problem(400, "InvalidParameterValue", 'The request\'s body must be a JSON object: {"inputs": {...}}.')
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)  # 1e999 is JSON, but no number that could be answered
    return number


def preferences() -> tuple[RequestedProcessExecutionMode | None, int | None]:
    """Read the Prefer headers (RFC 7240): whether a job is preferred, and after how many seconds of waiting.

    `wait` counts only beside `respond-async`: without it a client waits for the results however long they take.
    """
    said = {
        name.split(";")[0].strip().lower(): value
        for name, value in parse_dict_header(",".join(request.headers.getlist("Prefer"))).items()
    }
    if "respond-async" not in said:
        return None, None
    wait = said.get("wait") or ""
    seconds = min(int(wait), LONGEST_WAIT) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None
    return RequestedProcessExecutionMode.respond_async, seconds


def wants_html() -> bool:
    """Tell whether a page is asked for, by `f` or else by Accept."""
    wish = request.args.get("f")
    if wish not in (None, "json", "html"):
        raise Problem(400, "InvalidParameterValue", f"Parameter f = {wish!r}: must be json or html.")
    if wish is not None:
        return wish == "html"
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def whole_number(name: str, default: int, least: int, most: int) -> int:
    """Return a query parameter that is a whole number."""
    number = optional_whole_number(name, least, most)
    return default if number is None else number


def limit(default: int, most: int) -> int:
    """Return how many entries a list shows: those asked for, but never more than `most`."""
    return min(whole_number("limit", default, 1, 2**31), most)


def optional_whole_number(name: str, least: int, most: int) -> int | None:
    """Return a query parameter that is a whole number; None where it is absent."""
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise Problem(400, "InvalidParameterValue", f"Parameter {name} = {text!r}: must be from {least} to {most}.")
    return int(text)


def words(name: str, known: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the values of a query parameter that is a list: separated by commas, repeated, or both."""
    values = [value for text in request.args.getlist(name) for value in text.split(",")]
    for value in values:
        if "\0" in value:  # PostgreSQL has no such text
            raise Problem(400, "InvalidParameterValue", f"Parameter {name} = {value!r}: is no text.")
        if known is not None and value not in known:
            allowed = ", ".join(known)
            raise Problem(400, "InvalidParameterValue", f"Parameter {name} = {value!r}: must be one of {allowed}.")
    return tuple(values)
