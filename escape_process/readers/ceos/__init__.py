"""JAXA's CEOS products of PALSAR-2 and PALSAR-3: level 1.1 (single-look complex) and 1.5 (detected), full polarization.

A product is a folder of files: LED (leader: orbit, polynomials, calibration), IMG-HH, -HV, -VH, -VV (pixels), besides
VOL, TRL and summary.txt. Its layers are yielded on a north-up UTM grid that follows from the product alone: power is
averaged in radar geometry over whole boxes of samples around each cell. The position of a cell comes from the leader's
polynomials, which know no terrain, or with a DEM from range-Doppler equations over the leader's orbit.
"""

from escape_process.readers.ceos.describe import describe
from escape_process.readers.ceos.layers import open_layer
from escape_process.readers.ceos.names import recognises

__all__ = ["describe", "open_layer", "recognises"]
