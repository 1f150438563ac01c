"""Damage to valid input: of bytes whatever they mean, and of JSON by its structure.

The same seed gives the same damage, so that a failure can be made again.
"""

import json
import random
import struct
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

LONGEST = 1 << 20
"""Most bytes of one input."""

_EXTREMES = [0, 1, 2, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
_FORMATS = [order + kind for order in "<>" for kind in "BHIQfd"]
_TEXT_EXTREMES = [b"0", b"-1", b"1", b"99999999", b"4294967296", b"1e308", b"-1e308", b"1e-320", b"NaN", b"9" * 400]
_DIGITS = b"0123456789+-.eE"
_JSON_EXTREMES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1e308,
    -1e-320,
    float("nan"),
    float("inf"),
    2**63,
    10**400,
    "",
    " ",
    "\0",
    "\ud800",
    "é" * 3,
    "x" * 5000,
    "..",
    "../../..",
    "/vsicurl/http://localhost",
    "file:///",
    "http://[",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2024-02-30",
    [],
    {},
    [[]],
    [None],
    [0, 0],
    [-180, -90, 180, 90],
    [float("nan")] * 4,
    {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]},
    {"type": "GeometryCollection", "geometries": []},
]


def mutate(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    """Damage an input one to four times; JSON mostly by its structure, so that it stays JSON."""
    for _ in range(randomness.choice((1, 1, 2, 4))):
        document = _parsed(data) if randomness.random() < 0.85 else None
        if document is None:
            data = randomness.choice(_OF_BYTES)(data, others, randomness)
        else:
            other = _parsed(randomness.choice(others)) if others else None
            data = _damaged(document, other, data, randomness)
    return data[:LONGEST]


def _parsed(data: bytes) -> Any:
    """Return a JSON object or array; None for anything else."""
    if data[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _damaged(document: Any, other: Any, otherwise: bytes, randomness: random.Random) -> bytes:
    try:
        return json.dumps(_of_json(document, other, randomness)).encode()
    except (ValueError, OverflowError, RecursionError):  # too many digits, too large a number, nested too deeply
        return otherwise


def _of_json(document: Any, other: Any, randomness: random.Random) -> Any:
    """Replace, remove, double, move or nest one node."""
    document = deepcopy(document)
    places = list(_places(document))
    if not places:
        return randomness.choice(_JSON_EXTREMES)
    parent, key = randomness.choice(places)
    match randomness.randrange(7):
        case 0:
            del parent[key]
        case 1:
            source, name = randomness.choice(places)
            parent[key] = deepcopy(source[name]) if name in _keys(source) else None
        case 2:
            found = list(_places(other))
            if found:
                source, name = randomness.choice(found)
                parent[key] = deepcopy(source[name])
        case 3:
            parent[key] = _of_value(parent[key], randomness)
        case 4:
            nested: Any = parent[key]
            for _ in range(randomness.choice((1, 2, 200))):
                nested = [nested] if randomness.random() < 0.5 else {"type": nested}
            parent[key] = nested
        case _:
            parent[key] = deepcopy(randomness.choice(_JSON_EXTREMES))
    return document


def _of_value(value: Any, randomness: random.Random) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value * randomness.choice((-1, 0.5, 2, 10, 1e9, 1e300))
        case str():
            return randomness.choice(_OF_BYTES)(value.encode(errors="replace"), [], randomness).decode(errors="replace")
        case list():
            return value * randomness.choice((2, 50))
        case _:
            return randomness.choice(_JSON_EXTREMES)


def _keys(node: Any) -> Any:
    return node.keys() if isinstance(node, dict) else range(len(node))


def _places(node: Any) -> Any:
    """Yield (container, key) of every node below; not deeper than a stack allows."""
    waiting = [node]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict | list):
            for key in _keys(container):
                yield container, key
                waiting.append(container[key])


def _flip_bits(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(randomness.choice((1, 1, 3, 16))):
        if changed:
            changed[randomness.randrange(len(changed))] ^= 1 << randomness.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    return data[: randomness.randrange(len(data) + 1)]


def _splice(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    """Put a piece of an input, this or another, over or between the bytes."""
    source = randomness.choice([data, *others])
    start, length = randomness.randrange(len(source) + 1), randomness.choice((1, 8, 64, 1024))
    piece, at = source[start : start + length], randomness.randrange(len(data) + 1)
    return data[:at] + piece + data[at + (len(piece) if randomness.random() < 0.5 else 0) :]


def _cut(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    at = randomness.randrange(len(data) + 1)
    return data[:at] + data[at + randomness.choice((1, 4, 16, 512)) :]


def _set_field(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    """Write an extreme number over some bytes, as a length or offset in either order; mostly near the beginning."""
    kind = randomness.choice(_FORMATS)
    size = struct.calcsize(kind)
    room = len(data) - size
    if room < 0:
        return data
    at = randomness.randrange(min(room, randomness.choice((64, 1024, room + 1))) + 1)
    value: float = randomness.choice(_EXTREMES) + randomness.choice((0, 0, 1, -1))
    field = struct.pack(kind, float(value)) if kind[1] in "fd" else struct.pack(kind, value % 2 ** (8 * size))
    return data[:at] + field + data[at + size :]


def _set_digits(data: bytes, others: Sequence[bytes], randomness: random.Random) -> bytes:
    """Write an extreme number over one that stands there as text, in a field of its width or not."""
    starts = [at for at in range(len(data)) if data[at] in b"0123456789" and (at == 0 or data[at - 1] not in _DIGITS)]
    if not starts:
        return _flip_bits(data, others, randomness)
    start = end = randomness.choice(starts)
    while end < len(data) and data[end] in _DIGITS:
        end += 1
    text = randomness.choice(_TEXT_EXTREMES)
    if randomness.random() < 0.7:  # in fixed columns
        text = text[: end - start].rjust(end - start, randomness.choice((b" ", b"9", b"0")))
    return data[:start] + text + data[end:]


_OF_BYTES: list[Callable[[bytes, Sequence[bytes], random.Random], bytes]] = [
    _flip_bits,
    _truncate,
    _splice,
    _cut,
    _set_field,
    _set_field,
    _set_digits,
]
