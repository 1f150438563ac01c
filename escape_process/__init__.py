"""ESCAPE: soil moisture and surface roughness from full-polarimetric L-band SAR, without in-situ labels."""

__version__ = "0.1.0"
