"""Scenes made by the forward model: quad-pol L-band images of invented farmland, with the truth beside them.

`simulate_season` (several dates over the same ground) and `simulate_scene` (one date) make them, `write_scene` writes
the rasters as an analyst receives them, `write_truth` what went into them. The same seed gives the same scenes.

What is simulated: Oh (2004) under the water cloud, parcels, rain and dry-down, gentle relief with one steep ridge, a
lake, calibration offsets, thermal noise, gamma speckle. What is not: double bounce, row direction, correlation of HH
with VV speckle, Faraday rotation, towns, frost. A retrieval built on the same forward model therefore does better here
than on real ground.
"""

from escape_process.simulate.files import MASK_CLASSES, write_scene, write_truth
from escape_process.simulate.ground import Ground, make_ground, utm_grid
from escape_process.simulate.season import (
    Sensor,
    SimulatedScene,
    Truth,
    simulate_scene,
    simulate_season,
)

__all__ = [
    "MASK_CLASSES",
    "Ground",
    "Sensor",
    "SimulatedScene",
    "Truth",
    "make_ground",
    "simulate_scene",
    "simulate_season",
    "utm_grid",
    "write_scene",
    "write_truth",
]
