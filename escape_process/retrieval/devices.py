"""How samples reach a device and estimates come back: on a GPU without either side waiting for the other.

Copies go through pinned memory and wait on nothing but the GPU's own queue, so that it computes one chunk while the
host looks at the chunk before.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Item = TypeVar("Item")
Begun = TypeVar("Begun")
Result = TypeVar("Result")

CPU_CHUNK = 2048
"""Samples computed at once: a member's intermediate values fit in the cache of one core."""
GPU_CHUNK = 32_768
"""The same on a GPU: enough to fill one, in some 10 KiB of its memory a sample with ten members, whatever the scene."""
IN_FLIGHT = 2
"""Chunks that a GPU has been given and whose estimates are not yet back."""


def chunk_of(device: torch.device) -> int:
    """Samples computed at once on a kind of device: fixed, because other shapes may round differently."""
    return CPU_CHUNK if device.type == "cpu" else GPU_CHUNK


def sent(values: NDArray[np.float32], device: torch.device) -> Tensor:
    """Put an array on a device; the copy to a GPU goes on while the host does."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Fetched:
    """Tensors on their way to the host."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self._arrived: torch.cuda.Event | None = None
        if device.type != "cuda":
            self._tensors = {name: tensor.cpu() for name, tensor in tensors.items()}
            return
        self._tensors = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
            for name, tensor in tensors.items()
        }
        self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._arrived.record(torch.cuda.current_stream(device))

    def wait(self) -> dict[str, Tensor]:
        """Return them once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensors


def pipelined(
    begin: Callable[[Item], Begun], finish: Callable[[Item, Begun], Result], items: list[Item]
) -> Iterator[Result]:
    """Finish items in order, each when the next one has begun."""
    begun: deque[tuple[Item, Begun]] = deque()
    for item in items:
        begun.append((item, begin(item)))
        if len(begun) == IN_FLIGHT:
            yield finish(*begun.popleft())
    while begun:
        yield finish(*begun.popleft())


@contextmanager
def tensor_cores(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply matrices in TF32 inside the block: factors with 10 bits of mantissa, sums in float32.

    Soil moisture then differs by some 1e-4 m3 m-3; bfloat16, with 7 bits, would differ by more than 1e-3.
    """
    if device.type != "cuda":
        yield
        return
    products: Any = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        yield
    finally:
        products.fp32_precision = before
