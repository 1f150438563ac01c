"""A writer of C3 and T3 folders, as PolSARpro and SNAP make them, for tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

UTM = "map info = {UTM, 1.000, 1.000, 600000.000, 4600000.000, 25.0, 25.0, 30, North, WGS-84, units=Meters}\n"
SHAPE = (31, 47)


def matrices(seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return powers, C3 and T3 elements of random scattering vectors, by their definitions as outer products."""
    rng = np.random.default_rng(seed)
    hh, hv, vv = (rng.normal(size=(9, *SHAPE)) + 1j * rng.normal(size=(9, *SHAPE)) for _ in range(3))
    hv = 0.3 * hv
    lexicographic = [hh, np.sqrt(2) * hv, vv]
    pauli = [(hh + vv) / np.sqrt(2), (hh - vv) / np.sqrt(2), np.sqrt(2) * hv]
    powers = {name: np.mean(np.abs(one) ** 2, axis=0) for name, one in (("HH", hh), ("HV", hv), ("VV", vv))}
    return powers, elements(lexicographic, "C"), elements(pauli, "T")


def elements(vector: list[np.ndarray], letter: str) -> dict[str, np.ndarray]:
    found = {}
    for row in range(3):
        for column in range(row, 3):
            value = np.mean(vector[row] * np.conj(vector[column]), axis=0)
            name = f"{letter}{row + 1}{column + 1}"
            if row == column:
                found[name] = value.real
            else:
                found[f"{name}_real"], found[f"{name}_imag"] = value.real, value.imag
    return found


def write_envi(
    folder: Path,
    values: Mapping[str, np.ndarray],
    *,
    place: str = UTM,
    order: int = 0,
    suffix: str = ".bin",
    header: str = ".bin.hdr",
    dtype: str = "f4",
    offset: int = 0,
) -> Path:
    """Write a folder as PolSARpro (.bin, .bin.hdr) or SNAP (.img, .hdr, big-endian) does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in values.items():
        stored = array.astype(("<" if order == 0 else ">") + dtype)
        (folder / f"{name}{suffix}").write_bytes(bytes(offset) + stored.tobytes())
        (folder / f"{name}{header}").write_text(
            f"ENVI\ndescription = {{\nmade for a test}}\nsamples = {array.shape[1]}\nlines   = {array.shape[0]}\n"
            f"bands   = 1\nheader offset = {offset}\nfile type = ENVI Standard\n"
            f"data type = {4 if dtype == 'f4' else 5}\n"
            f"interleave = bsq\nbyte order = {order}\n{place}band names = {{ {name} }}\n"
        )
    return folder
