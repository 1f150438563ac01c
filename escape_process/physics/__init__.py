"""Forward models and radiometry: numpy arrays or torch tensors in, the same out. torch is never imported here."""

from escape_process.physics.bare_soil import oh2004
from escape_process.physics.canopy import two_way_transmissivity, water_cloud

__all__ = ["oh2004", "two_way_transmissivity", "water_cloud"]
