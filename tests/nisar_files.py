"""A writer of NISAR GCOV files after the product specification, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

TERMS = {"HH": "HHHH", "HV": "HVHV", "VH": "VHVH", "VV": "VVVV"}
GRIDS = "/science/LSAR/GCOV/grids/frequencyA"
CUBES = "/science/LSAR/GCOV/metadata/radarGrid"
GRANULE = "NISAR_L2_PR_GCOV_004_113_D_065_2005_QPDH_A_20251106T010537_20251106T010600_P05023_N_P_J_001"
CHUNKED = {"chunks": (48, 56), "compression": "gzip", "shuffle": True}
"""Chunks that do not divide the grid, packed as the mission does."""


def write_gcov(
    path: Path,
    powers: Mapping[str, np.ndarray],
    *,
    epsg: int = 32615,
    upper_left: tuple[float, float] = (713760.0, 5149140.0),
    pixel: float = 20.0,
    factor: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    looks: float | None = None,
    angles: tuple[float, float] | None = (38.0, 40.0),
    storage: Mapping[str, Any] | None = None,
) -> Path:
    """Write a GCOV file of the powers by polarization.

    `angles` are the incidence at the left and right edge at height 0, in degrees; each 1000 m add 0.2.
    """
    height, width = next(iter(powers.values())).shape
    x = upper_left[0] + (np.arange(width) + 0.5) * pixel
    y = upper_left[1] - (np.arange(height) + 0.5) * pixel
    how = CHUNKED if storage is None else storage
    with h5py.File(path, "w") as file:
        for name, values in powers.items():
            file.create_dataset(f"{GRIDS}/{TERMS[name]}", data=values.astype(np.float32), **how)
        if factor is not None:
            file.create_dataset(f"{GRIDS}/rtcGammaToSigmaFactor", data=factor.astype(np.float32), **how)
        if mask is not None:
            file.create_dataset(f"{GRIDS}/mask", data=mask.astype(np.uint8), fillvalue=255, **how)
        if looks is not None:
            file.create_dataset(f"{GRIDS}/numberOfLooks", data=np.full((height, width), looks, np.float32), **how)
            swaths = "/science/LSAR/GCOV/metadata/sourceData/swaths"
            file[f"{swaths}/zeroDopplerTimeSpacing"] = 1 / 1520
            file[f"{swaths}/frequencyA/processedRangeBandwidth"] = 20e6
            file[f"{swaths}/frequencyA/slantRangeSpacing"] = 299_792_458.0 / 2 / 24e6
            file[f"{swaths}/frequencyA/processedAzimuthBandwidth"] = 1216.0
        file[f"{GRIDS}/xCoordinates"], file[f"{GRIDS}/yCoordinates"] = x, y
        file[f"{GRIDS}/xCoordinateSpacing"], file[f"{GRIDS}/yCoordinateSpacing"] = pixel, -pixel
        file[f"{GRIDS}/projection"] = np.int32(epsg)
        file[f"{GRIDS}/listOfPolarizations"] = np.array([name.encode() for name in powers])
        file[f"{GRIDS}/centerFrequency"] = 1.2575e9
        if angles is not None:
            _write_cubes(file, epsg, x, y, angles)
        said = {
            "missionId": "NISAR",
            "productType": "GCOV",
            "radarBand": "L",
            "granuleId": GRANULE,
            "lookDirection": "Left",
            "orbitPassDirection": "Descending",
            "zeroDopplerStartTime": "2025-11-06T01:05:37.000000000",
            "zeroDopplerEndTime": "2025-11-06T01:06:00.000000000",
        }
        for name, text in said.items():
            file[f"/science/LSAR/identification/{name}"] = np.bytes_(text)
        file["/science/LSAR/identification/absoluteOrbitNumber"] = np.uint32(1234)
        file["/science/LSAR/identification/trackNumber"] = np.uint8(113)
    return path


def _write_cubes(file: h5py.File, epsg: int, x: np.ndarray, y: np.ndarray, angles: tuple[float, float]) -> None:
    heights = np.arange(-500.0, 9001.0, 500.0)
    node_x, node_y = np.linspace(x[0] - 1500, x[-1] + 1500, 7), np.linspace(y[0] + 1500, y[-1] - 1500, 6)
    left, right = x[0], x[-1]
    at_zero = angles[0] + (angles[1] - angles[0]) * (node_x - left) / (right - left)
    cube = at_zero[np.newaxis, np.newaxis, :] + 0.2e-3 * heights[:, np.newaxis, np.newaxis] + np.zeros((1, 6, 1))
    file.create_dataset(f"{CUBES}/incidenceAngle", data=cube.astype(np.float32), chunks=(1, 4, 4), compression="gzip")
    file[f"{CUBES}/heightAboveEllipsoid"], file[f"{CUBES}/projection"] = heights, np.int32(epsg)
    file[f"{CUBES}/xCoordinates"], file[f"{CUBES}/yCoordinates"] = node_x, node_y
