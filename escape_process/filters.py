"""Whether a filter is CQL2-JSON, told in bounded time and memory.

The library's own check against the standard's schema takes more than a GiB for some wrong filters of a hundred bytes,
and hours for longer ones, so that any client could fill a server with one request.

OGC 21-065r2, Common Query Language (CQL2).
"""

import math
from collections.abc import Mapping
from typing import Any

import cql2

MOST_NODES = 10_000
DEEPEST = 24

_ARGUMENTS: Mapping[str, tuple[int, float]] = {
    **dict.fromkeys(("and", "or"), (1, math.inf)),
    **dict.fromkeys(("not", "isNull", "casei", "accenti"), (1, 1)),
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">=", "like", "in", "+", "-", "*", "/", "^", "%", "div"), (2, 2)),
    "between": (3, 3),
}
"""Fewest and most arguments by operator."""
_OF_TWO = ("s_", "t_", "a_")
"""Beginnings of the spatial, temporal and array operators."""


def check_filter(value: Mapping[str, Any]) -> None:
    """Check a filter that a client sent.

    Raises
    ------
    ValueError
        saying what is wrong with it, without naming the input.
    """
    if "op" not in value:
        raise ValueError("is not valid CQL2-JSON: it has no op")
    waiting: list[tuple[Any, int]] = [(value, 1)]
    nodes = 0
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if nodes > MOST_NODES or depth > DEEPEST:
            raise ValueError(f"is larger than {MOST_NODES} terms or nested more than {DEEPEST} deep")
        inner: Any = ()
        if isinstance(node, list):
            inner = node
        elif isinstance(node, Mapping):
            if "op" in node:
                _check_operator(node)
            inner = node.values()
        waiting += ((one, depth + 1) for one in inner)
    try:
        cql2.Expr(dict(value))
    except Exception as error:  # the library raises its own and builtin errors for the same fault
        raise ValueError("is not valid CQL2-JSON") from error


def _check_operator(node: Mapping[str, Any]) -> None:
    name, arguments = node["op"], node.get("args")
    if not isinstance(name, str) or not isinstance(arguments, list):
        raise ValueError("is not valid CQL2-JSON: an op needs a name and a list of args")  # noqa: TRY004, for pydantic
    fewest, most = (2, 2) if name.startswith(_OF_TWO) else _ARGUMENTS.get(name, (-1, -1))
    if fewest < 0:
        raise ValueError(f"is not valid CQL2-JSON: there is no op {name[:40]!r}")
    if not fewest <= len(arguments) <= most:
        raise ValueError(f"is not valid CQL2-JSON: {name} does not take {len(arguments)} args")
