"""A calibrated ensemble: what a scene taught, kept as one file."""

import json
import lzma
import math
import os
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from escape_process.errors import InvalidInputError
from escape_process.retrieval.encoder import MemberNetworks
from escape_process.retrieval.priors import Parameters

FORMAT = 1
_LAYERS = 3


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members that were calibrated together on one scene, on the CPU. Made by `calibrate`, applied by `retrieve`."""

    parameters: Parameters
    """Of all members, rejected ones included."""
    networks: MemberNetworks
    rejected: tuple[str | None, ...]
    """Per member: None if kept, else why not."""
    frequency: float
    """Hz, at which it was calibrated: the prior of ks is that of rms height at this frequency."""
    mode: str
    report: Mapping[str, Any] = field(default_factory=dict)
    """What happened during calibration, JSON-ready."""

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices of the kept members."""
        return tuple(index for index, reason in enumerate(self.rejected) if reason is None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file, which appears complete or not at all; equal ensembles give equal bytes."""
        target = Path(path)
        header = {
            "format": FORMAT,
            "rejected": list(self.rejected),
            "frequency": self.frequency,
            "mode": self.mode,
            "report": dict(self.report),
        }
        arrays = {"header": np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)}
        arrays |= {name: getattr(self.parameters, name).numpy() for name in Parameters.names()}
        for index in range(_LAYERS):
            arrays[f"weight_{index}"] = self.networks.weights[index].numpy()
            arrays[f"bias_{index}"] = self.networks.biases[index].numpy()
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError, TokenError),
    *(BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),  # encrypted is a RuntimeError
)
"""What a file that is no ensemble makes of numpy, its zip archive or its headers, which are Python literals."""


def _array(stored: Any, key: str, most: int) -> np.ndarray[Any, Any]:
    """Return an array of an archive; numpy would make room for whatever its header claims."""
    with stored.zip.open(f"{key}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError("not what savez writes")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    if math.prod(shape) * dtype.itemsize > most:
        raise ValueError("larger than its file")
    array: np.ndarray[Any, Any] = stored[key]
    return array


def load_ensemble(path: str | os.PathLike[str]) -> Ensemble:
    """Read what `Ensemble.save` wrote. Nothing in the file is executed.

    Raises
    ------
    InvalidInputError
        If the file is missing or is not an ensemble of this version's format.
    """
    name = Path(path).name
    try:
        with np.load(Path(path), allow_pickle=False) as stored:
            arrays = {key: _array(stored, key, Path(path).stat().st_size) for key in stored.files}
        header = json.loads(arrays.pop("header").tobytes())
        if header["format"] != FORMAT:
            raise InvalidInputError(f"path {name!r} holds an ensemble of another version's format: calibrate again.")
        tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
        weights = tuple(tensors[f"weight_{index}"] for index in range(_LAYERS))
        biases = tuple(tensors[f"bias_{index}"] for index in range(_LAYERS))
        return Ensemble(
            parameters=Parameters(**{key: tensors[key] for key in Parameters.names()}),
            networks=MemberNetworks((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2])),
            rejected=tuple(header["rejected"]),
            frequency=float(header["frequency"]),
            mode=str(header["mode"]),
            report=header["report"],
        )
    except FileNotFoundError as error:
        raise InvalidInputError(f"path {name!r} does not exist: give a file that Ensemble.save wrote.") from error
    except _DAMAGE as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"path {name!r} holds no ensemble: give a file that Ensemble.save wrote.") from error
