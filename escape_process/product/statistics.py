"""Statistics of a raster that is never in memory as a whole."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class RunningStatistics:
    """Minimum, maximum, mean and standard deviation over parts that arrive one by one.

    Parts are merged by the pairwise update of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115,
    which stays exact where a plain sum of squares cancels.
    """

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations from the mean."""

    def add(self, values: NDArray[Any]) -> None:
        """Take in the valid values of one part, any shape."""
        if values.size == 0:
            return
        part = values.astype(np.float64)
        mean = float(part.mean())
        squares = float(np.square(part - mean).sum())
        total = self.count + part.size
        step = mean - self.mean
        self.squares += squares + step * step * self.count * part.size / total
        self.mean += step * part.size / total
        self.count = total
        self.minimum = min(self.minimum, float(part.min()))
        self.maximum = max(self.maximum, float(part.max()))

    def summary(self, pixels: int) -> dict[str, float]:
        """Return the statistics as STAC spells them, out of `pixels` pixels in all.

        Without a valid pixel only `valid_percent` is there: JSON has no NaN.
        """
        share = {"valid_percent": 100.0 * self.count / pixels}
        if self.count == 0:
            return share
        return {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "mean": self.mean,
            "stddev": math.sqrt(self.squares / self.count),
            **share,
        }
