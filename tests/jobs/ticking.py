"""A process that writes a tick with its process id every 0.1 s, so that a test sees who works when."""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from pygeoapi.process.base import BaseProcessor

from escape_process.errors import CancelledError
from escape_process.settings import Settings

_METADATA: dict[str, Any] = {
    "version": "1",
    "id": "ticking",
    "title": "Ticks",
    "description": "Ticks.",
    "jobControlOptions": ["sync-execute", "async-execute"],
    "outputTransmission": ["value"],
    "links": [],
    "keywords": [],
    "inputs": {},
    "outputs": {"ticks": {"title": "Ticks", "schema": {"type": "object", "contentMediaType": "application/json"}}},
}


class Ticking(BaseProcessor):
    """Inputs: `name` of the file of ticks, `ticks`, and `act`, what else it does."""

    def __init__(self, processor_def: dict[str, Any]) -> None:
        super().__init__(processor_def, dict(_METADATA, outputs={**_METADATA["outputs"]}))
        self.supports_outputs = True
        self.folder = Path(os.environ.get("PYGEOAPI_CONFIG", "config.yml")).resolve().parent
        self.settings = Settings.load(processor_def["settings"], self.folder)

    def execute(self, data: dict[str, Any], outputs: Any = None) -> tuple[str, Any]:
        act = data.get("act")
        if act == "die" or (act == "die-once" and not self._ticks(data)):
            self._tick(data)
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "deaf":  # neither asks nor ends on TERM
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if act == "greedy":
            self.kept = b"x" * (300 * 2**20)
        if act == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
            return "application/json", {"ticks": {"much": "x" * 2**21}}
        for number in range(data["ticks"]):
            if act != "deaf":
                if self.cancelled():
                    raise CancelledError("The job was dismissed.")
                self.progress(number / data["ticks"], f"Tick {number}")
            self._tick(data)
            time.sleep(0.1)
        return "application/json", {"ticks": {"name": data["name"], "ticks": data["ticks"]}}

    def _ticks(self, data: dict[str, Any]) -> bool:
        return (self.folder / f"{data['name']}.ticks").exists()

    def _tick(self, data: dict[str, Any]) -> None:
        with (self.folder / f"{data['name']}.ticks").open("a") as file:
            file.write(f"{os.getpid()} {time.time()}\n")


class LightTicking(Ticking):
    """The same, without a device."""

    def is_light(self, inputs: Any) -> bool:
        return True
