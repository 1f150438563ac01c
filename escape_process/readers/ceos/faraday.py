"""Faraday rotation from the complex scattering matrix.

Source: Bickel and Bates (1965), "Effects of magneto-ionic propagation on the polarization scattering matrix", Proc.
IEEE 53(8), doi:10.1109/PROC.1965.4097. In the circular basis reciprocal ground has equal cross terms, and a rotation by
Omega on each way turns their phases apart by 4 Omega.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escape_process.readers.ceos.image import Image
from escape_process.readers.ceos.names import POLARIZATIONS

LEAST_COHERENCE = 0.5
"""Of the circular cross terms: below it noise or a wrong calibration makes the angle worthless."""
NEGLIGIBLE_DEG = 0.2
"""A rotation up to this leaks less than -43 dB of HH and VV into HV and is left as it is."""
SAMPLED_LINES = 128
"""Spread over the image; with all their samples they tell the angle to hundredths of a degree."""

Complex = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class FaradayRotation:
    """One-way rotation, the mean of a scene."""

    angle_deg: float
    """From -45 to 45, beyond which it is ambiguous."""
    coherence: float
    """0 to 1, between the circular cross terms: near 1 where ground dominates noise."""

    @property
    def is_known(self) -> bool:
        """False where noise or a wrong calibration makes the angle worthless."""
        return self.coherence >= LEAST_COHERENCE

    @property
    def is_corrected(self) -> bool:
        """True where samples are turned back before they are detected."""
        return self.is_known and abs(self.angle_deg) > NEGLIGIBLE_DEG


class FaradaySums:
    """Sums from which the rotation is estimated, so that an image is read piece by piece."""

    def __init__(self) -> None:
        self._product = 0.0 + 0.0j
        self._powers = [0.0, 0.0]

    def add(self, hh: Complex, hv: Complex, vh: Complex, vv: Complex) -> None:
        """Add samples of one shape; `hv` was sent horizontal and received vertical. Zeros count as missing."""
        matrices = [np.asarray(one, dtype=np.complex128) for one in (hh, hv, vh, vv)]
        valid = np.all([np.isfinite(one) & (one != 0) for one in matrices], axis=0)
        hh, hv, vh, vv = (one[valid] for one in matrices)
        cross = 1j * (hh + vv)
        first, second = cross + vh - hv, cross + hv - vh
        self._product += complex(np.sum(second * first.conj()))
        self._powers[0] += float(np.sum(np.abs(first) ** 2))
        self._powers[1] += float(np.sum(np.abs(second) ** 2))

    def result(self) -> FaradayRotation | None:
        """Return the rotation; None where nothing was added."""
        norm = math.sqrt(self._powers[0] * self._powers[1])
        if norm == 0 or not math.isfinite(norm):
            return None
        angle = math.degrees(math.atan2(self._product.imag, self._product.real)) / 4
        return FaradayRotation(angle, min(1.0, abs(self._product) / norm))


def faraday_rotation(hh: Complex, hv: Complex, vh: Complex, vv: Complex) -> FaradayRotation | None:
    """Estimate the one-way Faraday rotation of single-look complex samples of one shape.

    Parameters
    ----------
    hh, hv, vh, vv
        Calibrated, any shape; the first letter was sent, the second received. 0 and non-finite values are left out.

    Returns
    -------
    The rotation that turns S into M = R S R with R = [[cos, sin], [-sin, cos]] and M = [[hh, vh], [hv, vv]]; None
    where no sample is valid.
    """
    sums = FaradaySums()
    sums.add(hh, hv, vh, vv)
    return sums.result()


def estimate_faraday(images: Mapping[str, Image]) -> FaradayRotation | None:
    """Estimate the rotation of a level 1.1 product from lines spread over its images; errors as of `Image.read`."""
    layout = images["HH"].descriptor
    sums = FaradaySums()
    for line in np.unique(np.linspace(0, layout.lines - 1, SAMPLED_LINES).round().astype(int)):
        hh, hv, vh, vv = (images[name].read(int(line), 0, 1, layout.pixels) for name in POLARIZATIONS)
        sums.add(hh, hv, vh, vv)
    return sums.result()


def turned_back(samples: Mapping[str, Complex], angle_deg: float) -> dict[str, Complex]:
    """Undo a rotation: S = R(-Omega) M R(-Omega).

    Parameters
    ----------
    samples
        By polarization, one shape. Where one is 0, and so missing, all become 0.

    Returns
    -------
    Samples as the ground scattered them, same shape and dtype.
    """
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    hh, hv, vh, vv = (samples[name] for name in POLARIZATIONS)
    like, cross = c * s * (hh + vv), c * s * (vh - hv)
    turned: dict[str, Complex] = {
        "HH": c * c * hh - s * s * vv + cross,
        "HV": c * c * hv + s * s * vh + like,
        "VH": c * c * vh + s * s * hv - like,
        "VV": c * c * vv - s * s * hh + cross,
    }
    missing = (hh == 0) | (hv == 0) | (vh == 0) | (vv == 0)
    for values in turned.values():
        values[missing] = 0
    return turned


def cross_polarized_leak_db(angle_deg: float) -> float:
    """Return how far below the mean of HH and VV their leak into HV lies, dB, where these are equal and in phase."""
    return 20 * math.log10(abs(math.sin(2 * math.radians(angle_deg))))
