"""Soil moisture and roughness from backscatter: a self-calibrating ensemble with a posterior for each sample."""

from escape_process.retrieval.ensemble import Ensemble, load_ensemble
from escape_process.retrieval.front import Retrieval, calibrate, peak_device_memory, retrieve

__all__ = ["Ensemble", "Retrieval", "calibrate", "load_ensemble", "peak_device_memory", "retrieve"]
