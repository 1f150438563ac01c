"""Telling a client's addresses of its job: POST of the status when it starts or fails, of the results when it is done.

A courtesy, not a part of the job: it happens in a thread of its own after the state is recorded, once, with a short
time-out, and a subscriber that does not answer, or never ends its answer, changes nothing.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from escape_process.errors import EscapeError, InvalidInputError
from escape_process.guard import check_public_url, guarded_client
from escape_process.jobs.status import status_info
from escape_process.jobs.store import Job
from escape_process.settings import Settings

LOGGER = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds that a subscriber has to connect, and to answer."""
LONGEST = 15.0
"""Seconds after which it is left in the middle of an answer that only drips."""

_MEMBERS = {"running": "inProgressUri", "successful": "successUri", "failed": "failedUri"}
"""Which address is told of which status."""


def read_subscriber(value: Any, settings: Settings) -> str:
    """Check the subscriber of an execute request; return it as JSON.

    Raises
    ------
    InvalidInputError
        naming what is wrong with it.
    """
    if not isinstance(value, Mapping) or "successUri" not in value:
        raise InvalidInputError("subscriber must be an object with the member successUri.")
    for name, url in value.items():
        if name not in _MEMBERS.values():
            raise InvalidInputError(f"Unknown member {name!r} of subscriber; there is {', '.join(_MEMBERS.values())}.")
        if not isinstance(url, str):
            raise InvalidInputError(f"Member {name} of subscriber must be the text of a URL.")
        check_public_url(url, settings)
    return json.dumps(dict(value))


class Callbacks:
    """What a worker sends to the subscribers of its jobs."""

    def __init__(self, settings: Settings, server_url: str) -> None:
        self._settings = settings
        self._url = server_url.rstrip("/")
        self._threads: list[threading.Thread] = []

    def tell(self, job: Job, values: Mapping[str, Any] | None = None) -> None:
        """Tell a job's subscriber of its present status; `values` are the results of a successful one."""
        url = json.loads(job.subscriber or "{}").get(_MEMBERS.get(job.status))
        if url is None:
            return
        body = status_info(job, self._url) if values is None else dict(values)
        thread = threading.Thread(target=self._post, args=(job.id, url, body), name="callback", daemon=True)
        thread.start()
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]

    def finish(self, seconds: float) -> None:
        """Wait a moment for those under way."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _post(self, job_id: str, url: str, body: Mapping[str, Any]) -> None:
        try:
            with (
                guarded_client(self._settings) as client,
                _closed_after(LONGEST, client),
                client.stream("POST", url, json=body, timeout=TIMEOUT, follow_redirects=False) as answer,
            ):
                status = answer.status_code  # nothing is read of its body, however long that is
        except (httpx.HTTPError, EscapeError, OSError) as error:
            LOGGER.warning("Job %s: its subscriber cannot be told: %s", job_id, type(error).__name__)
        else:
            LOGGER.info("Job %s: its subscriber was told and answered %d", job_id, status)


@contextlib.contextmanager
def _closed_after(seconds: float, client: httpx.Client) -> Iterator[None]:
    """Cut a client's connections, whatever is under way there, if the block takes longer."""
    timer = threading.Timer(seconds, client.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
