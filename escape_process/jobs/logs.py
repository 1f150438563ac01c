"""What the server logs and how: lines for a person, or JSON for a program where ESCAPE_LOG_FORMAT is json.

Whatever is written passes a filter for secrets. Nothing logs one on purpose, but the text of an exception of a library
may hold an address with a signature, or a header.
"""

import datetime as dt
import json
import logging
import os
import re

_SECRETS = (
    re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+(?=@)"),
    re.compile(
        r"(?i)([?&](?:sig|signature|token|access_token|key|api_?key|secret|password|x-amz-signature|x-amz-credential"
        r"|x-amz-security-token|x-goog-signature|x-goog-credential)=)[^&\s\"']+"
    ),
    re.compile(r"\b()eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),  # a JSON Web Token
)
_JOB = re.compile(r"\bJob ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a text with tokens, signatures and passwords blanked."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


class TextFormatter(logging.Formatter):
    """Lines for a person."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return without_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, job where the message names one, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        message = record.getMessage()
        line = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(message),
        }
        job = _JOB.search(message)
        if job is not None:
            line["job"] = job[1]
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def formatter() -> logging.Formatter:
    """Return the formatter that the environment asks for."""
    return JsonFormatter() if os.environ.get("ESCAPE_LOG_FORMAT", "").lower() == "json" else TextFormatter()
