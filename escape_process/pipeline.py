"""The path of one request, one line a stage. Read this first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1, never falling) and a sentence."""


@dataclass(frozen=True)
class Outcome:
    """What a request gave: JSON-ready, the two outputs of the process."""

    items: dict[str, Any]
    """STAC ItemCollection (a GeoJSON FeatureCollection)."""
    report: dict[str, Any]


def run(
    request: RetrievalRequest,
    settings: Settings,
    progress: Progress = lambda share, message: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Answer one request.

    Raises
    ------
    EscapeError
        with the sentence for the user; `cancelled` answering true raises `CancelledError` between blocks.
    """
    raise NotImplementedError
