"""The `escape-process` command. Exit codes: 0 done, 2 bad input, 1 failed."""

from escape_process.cli import requests, scenes, scores, serving  # each adds its commands to main
from escape_process.cli.group import main

__all__ = ["main", "requests", "scenes", "scores", "serving"]
