"""The process `escape-soil-moisture`: JSON in, JSON out. The only module of the request path that knows pygeoapi."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pygeoapi.process.base import BaseProcessor
from pygeoapi.util import yaml_load

from escape_process import __version__
from escape_process.errors import InvalidInputError
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

if TYPE_CHECKING:
    from escape_process.pipeline import Outcome, Progress

PROCESS_ID = "escape-soil-moisture"

_OUTPUTS: dict[str, Any] = {
    "items": {
        "title": "Result items",
        "description": "STAC ItemCollection, one item a pass and date: soil moisture, roughness, their uncertainty and"
        " flags as cloud-optimized GeoTIFF assets.",
        "schema": {
            "type": "object",
            "contentMediaType": "application/geo+json",
            "required": ["type", "features"],
            "properties": {
                "type": {"type": "string", "enum": ["FeatureCollection"]},
                "features": {"type": "array", "items": {"type": "object"}},
            },
        },
    },
    "report": {
        "title": "Report",
        "description": "Scenes used and refused and why, calibration, members kept and rejected, share of each flag,"
        " timings.",
        "schema": {"type": "object", "contentMediaType": "application/json"},
    },
}

_METADATA: dict[str, Any] = {
    "version": __version__,
    "id": PROCESS_ID,
    "title": "Soil moisture from full-polarimetric L-band SAR",
    "description": "Finds quad-pol L-band scenes in a STAC catalogue and retrieves soil moisture and surface roughness"
    " with their uncertainty by a self-calibrating ensemble, without any in-situ data. Results are cloud-optimized"
    " GeoTIFFs, published as STAC items.",
    "keywords": ["soil moisture", "surface roughness", "SAR", "L-band", "polarimetry", "ALOS-2", "uncertainty", "STAC"],
    "jobControlOptions": ["sync-execute", "async-execute"],
    "outputTransmission": ["value", "reference"],
    "links": [
        {
            "type": "text/html",
            "rel": "about",
            "title": "Oh (2004): the bare-soil model that the retrieval inverts",
            "href": "https://doi.org/10.1109/TGRS.2003.821065",
            "hreflang": "en",
        }
    ],
    "inputs": RetrievalRequest.describe_inputs(),
    "outputs": _OUTPUTS,
    "example": {
        "inputs": {
            "catalog": "sample",
            "bbox": [-5.48, 41.23, -5.40, 41.29],
            "datetime": "2024-05-01T00:00:00Z/2024-06-30T23:59:59Z",
        },
        "response": "document",
    },
}


class EscapeProcessor(BaseProcessor):  # type: ignore[misc]  # pygeoapi has no types
    """What pygeoapi calls: checks the inputs, runs the pipeline, answers `{output id: value}`.

    pygeoapi builds one for every request and every listing, so building is cheap: the pipeline is imported by the
    first execution.
    """

    progress: "Progress"
    """Called by the pipeline with the share done and a sentence; set by whoever runs the job."""
    cancelled: Callable[[], bool]
    """Asked by the pipeline between blocks; set by whoever runs the job."""
    job: str | None = None
    """Id of the job at hand; set by whoever runs it and removes its blocks once its outcome is recorded."""
    owner: str | None
    """Whose job it is; set by whoever runs it."""
    measured: Mapping[str, float]
    """What the last execution did and took; read by whoever runs the job, for the operator."""

    def __init__(self, processor_def: dict[str, Any]) -> None:
        # a copy: pygeoapi's OpenAPI generator takes members out of the metadata that it is given
        super().__init__(processor_def, copy.deepcopy(_METADATA))
        self.supports_outputs = True
        self.settings = _server_settings(processor_def.get("settings") or {})
        self.progress = lambda share, message: None
        self.cancelled = lambda: False
        self.owner = None
        self.measured = {}
        self.provenance: dict[str, Any] | None = None

    def check(self, inputs: Any) -> RetrievalRequest:
        """Check the inputs of an execute request before a job is made of them.

        Raises
        ------
        InvalidInputError
            one sentence naming the input and its value.
        """
        return RetrievalRequest.from_inputs(inputs)

    def is_light(self, inputs: Any) -> bool:
        """Return whether a request takes no device: it only asks which scenes there are."""
        return self.check(inputs).dry_run

    def execute(self, data: Any, outputs: Iterable[str] | None = None) -> tuple[str, dict[str, Any]]:
        """Answer one request with the outputs asked for, all where none is named.

        Raises
        ------
        EscapeError
            with the sentence for the user.
        """
        outcome = self._run(self.check(data))
        self.measured = outcome.measured
        self.provenance = outcome.provenance
        values = {"items": outcome.items, "report": outcome.report}
        wanted = set(outputs or values)
        return "application/json", {name: value for name, value in values.items() if name in wanted}

    def _run(self, request: RetrievalRequest) -> "Outcome":
        from escape_process.pipeline import run  # noqa: PLC0415  # slow to import: not for a listing

        return run(request, self.settings.of_owner(self.owner), self.progress, self.cancelled, self.job)


def load_config(path: Path) -> tuple[dict[str, Any], Settings]:
    """Read a pygeoapi configuration as pygeoapi does, `${VAR:-default}` resolved, and the process's settings in it.

    Raises
    ------
    InvalidInputError
        where the file cannot be read, or naming the setting that is wrong.
    """
    config = _read_config(path)
    return config, Settings.load(_process_settings(config), path.resolve().parent)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            config = yaml_load(file)
    except OSError as error:  # also pygeoapi's own error for a variable that is not set
        raise InvalidInputError(f"The configuration {path.name} cannot be read: {error.strerror or error}.") from error
    except yaml.YAMLError as error:
        raise InvalidInputError(f"The configuration {path.name} is not valid YAML: {error}.") from error
    if not isinstance(config, dict):
        raise InvalidInputError(f"The configuration {path.name} is not a mapping.")
    return config


def _process_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    for resource in (config.get("resources") or {}).values():
        processor = resource.get("processor") or {}
        if "settings" in processor:
            return dict(processor["settings"] or {})
    return {}


def _server_settings(values: dict[str, Any]) -> Settings:
    """Settings inside a server: relative to its configuration file, hrefs under its public address by default."""
    path = os.environ.get("PYGEOAPI_CONFIG")
    if path is None:
        return Settings.load(values, Path.cwd())
    settings = Settings.load(values, Path(path).resolve().parent)
    if settings.public_url is None:
        settings = settings.model_copy(update={"public_url": _server_url(path)})
    return settings


@cache
def _server_url(path: str) -> str:
    return str(_read_config(Path(path))["server"]["url"]).rstrip("/")
