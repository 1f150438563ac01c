"""Parsers with faults, by which the fuzzer itself is tested. Each fails on any damage to its seed."""

import ctypes
import time
from pathlib import Path

from fuzz.registry import Parser

SEED = b"a valid input of some length"


def _raise(data: bytes, folder: Path) -> None:
    if data != SEED:
        raise KeyError("planted")


def _sleep(data: bytes, folder: Path) -> None:
    if data != SEED:
        time.sleep(1000)


def _reserve(data: bytes, folder: Path) -> None:
    """Take memory without touching it, as an array of zeros does."""
    if data != SEED:
        bytearray(3 * 2**30 // 2)


def _die(data: bytes, folder: Path) -> None:
    if data != SEED:
        ctypes.string_at(0)


def _refuse(data: bytes, folder: Path) -> None:
    if data != SEED:
        raise ValueError("as a parser should")


PARSERS = {
    name: Parser(name, parse, lambda folder: [SEED], ValueError)
    for name, parse in (
        ("raises", _raise),
        ("sleeps", _sleep),
        ("reserves", _reserve),
        ("dies", _die),
        ("refuses", _refuse),
    )
}
