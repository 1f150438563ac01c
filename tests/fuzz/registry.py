"""What an entry of the list of parsers is, and how to write one in a line."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from escape_process.errors import EscapeError


@dataclass(frozen=True)
class Parser:
    """A parser, and input that it accepts."""

    name: str
    parse: Callable[[bytes, Path], object]
    seeds: Callable[[Path], list[bytes]]
    """Given an empty folder to write in."""
    expected: type[BaseException] = EscapeError
    """What it may raise on any other input."""
    rate: int = 100
    """Inputs that it parses in a second of one core, about: by it a time becomes a number of inputs."""


def of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Return what hands bytes to a reader of files, under a name of the right kind."""

    def parse(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return parse


def of_json(read: Callable[[Any], object]) -> Callable[[bytes, Path], object]:
    """Return what hands decoded JSON to a reader."""

    def parse(data: bytes, folder: Path) -> object:
        from escape_process.hrefs import parse_json

        return read(parse_json(data, "document"))

    return parse


def documents(*values: Any) -> Callable[[Path], list[bytes]]:
    """Return seeds that are JSON."""
    return lambda folder: [json.dumps(value).encode() for value in values]
