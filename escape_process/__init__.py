"""ESCAPE: soil moisture and surface roughness from full-polarimetric L-band SAR, without in-situ labels.

`retrieve` and `calibrate` take arrays; `physics` holds the forward models. They are imported when first used, because
torch takes seconds to load.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Ensemble",
    "EscapeError",
    "Retrieval",
    "__version__",
    "calibrate",
    "load_ensemble",
    "physics",
    "retrieve",
    "retrieve_dataset",
]

if TYPE_CHECKING:
    from escape_process import physics
    from escape_process.errors import EscapeError
    from escape_process.labelled import retrieve_dataset
    from escape_process.retrieval import Ensemble, Retrieval, calibrate, load_ensemble, retrieve

_LAZY = {
    "Ensemble": "retrieval",
    "EscapeError": "errors",
    "Retrieval": "retrieval",
    "calibrate": "retrieval",
    "load_ensemble": "retrieval",
    "retrieve": "retrieval",
    "retrieve_dataset": "labelled",
}


def __getattr__(name: str) -> Any:
    if name == "physics":
        return importlib.import_module("escape_process.physics")
    if name in _LAZY:
        return getattr(importlib.import_module(f"escape_process.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'escape_process' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
