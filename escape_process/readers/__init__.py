"""Rasters to observables: sigma0 HH, HV, VV, local incidence angle, looks and mask, by window."""

from escape_process.hrefs import open_href
from escape_process.readers.loading import StackReader, load_observables, open_stack
from escape_process.readers.opening import open_scene
from escape_process.readers.sampling import Samples, draw_samples, places_of, times_of
from escape_process.readers.stacks import build_stacks

__all__ = [
    "Samples",
    "StackReader",
    "build_stacks",
    "draw_samples",
    "load_observables",
    "open_href",
    "open_scene",
    "open_stack",
    "places_of",
    "times_of",
]
