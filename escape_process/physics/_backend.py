"""Lets one formula serve numpy arrays and torch tensors, without importing torch before the caller has."""

import sys
from typing import Any

import numpy as np


def arrays_of(*values: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the module (numpy or torch) to compute with, and the values as its arrays.

    With a tensor among the values all become tensors of its dtype and device; otherwise all become floating numpy
    arrays: Python numbers do not widen float32 arrays, integers become float64.
    """
    torch = sys.modules.get("torch")
    tensors = [value for value in values if torch is not None and isinstance(value, torch.Tensor)]
    if torch is not None and tensors:
        first = next((tensor for tensor in tensors if tensor.is_floating_point()), tensors[0].double())
        return torch, tuple(
            value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=first.dtype, device=first.device)
            for value in values
        )
    arrays = [np.asarray(value) for value in values]
    weak = [isinstance(value, int | float) for value in values]
    strong = [array.dtype for array, is_weak in zip(arrays, weak, strict=True) if not is_weak]
    dtype = np.result_type(*strong) if strong else np.dtype(np.float64)
    if not np.issubdtype(dtype, np.floating):
        dtype = np.dtype(np.float64)
    return np, tuple(array.astype(dtype, copy=False) for array in arrays)
