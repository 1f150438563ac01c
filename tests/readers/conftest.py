"""Scenes of known content for the readers' tests."""

from scenes import make_scene

__all__ = ["make_scene"]
