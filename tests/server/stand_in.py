"""A process with the real inputs and a pipeline that needs no scenes: what it does is told by `ids`.

Imported by the server that the tests start; so jobs, statuses and sentences are tested apart from the retrieval.
"""

import os
import time
from types import SimpleNamespace
from typing import Any

from escape_process.errors import CancelledError, NoScenesError, StorageError, UpstreamError
from escape_process.process import EscapeProcessor
from escape_process.request import RetrievalRequest

FAILURES = {
    "no-scenes": NoScenesError("No full-polarimetric scene covers the area: 1 scene was found, dual-pol (HH, HV)."),
    "upstream": UpstreamError("The catalogue did not answer within 30 s."),
    "storage": StorageError("The results cannot be written: the disk is full."),
    "bug": KeyError("/secret/path"),
}
ITEMS = {"type": "FeatureCollection", "features": []}


class StandIn(EscapeProcessor):
    """Fails as its first id says; else takes as many seconds as `slow-N` says, in steps of 0.05 s."""

    def _run(self, request: RetrievalRequest) -> Any:
        word, _, seconds = (request.ids or ["fine"])[0].partition("-slow-")
        steps = max(1, int(20 * float(seconds or 0)))
        for step in range(steps):
            if self.cancelled():
                raise CancelledError("Dismissed.")
            self.progress(step / steps, f"Step {step * 4 // steps + 1} of 4.")
            time.sleep(0.05 if seconds else 0)
        if word == "deaf":  # a computation that asks nobody whether to go on
            time.sleep(600)
        if word in FAILURES:
            raise FAILURES[word]
        measured = {"pixels": 3000, "seconds": 0.5, "device_bytes": 2**20} if word == "measured" else {}
        report = {"seed": request.seed, "process": os.getpid()}
        return SimpleNamespace(items=ITEMS, report=report, provenance={"entity": {}}, measured=measured)


class OnlyJobs(StandIn):
    """Offers no synchronous execution."""

    def __init__(self, processor_def: dict[str, Any]) -> None:
        super().__init__(processor_def)
        self.metadata |= {"id": "only-jobs", "jobControlOptions": ["async-execute"]}


class NoJobs(StandIn):
    """Offers no asynchronous execution."""

    def __init__(self, processor_def: dict[str, Any]) -> None:
        super().__init__(processor_def)
        self.metadata |= {"id": "no-jobs", "jobControlOptions": ["sync-execute"]}
