"""The parsers on cut, flipped and absurd bytes: one sentence or a checked record, nothing else, and little memory."""

import datetime as dt
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from ceos_writer import Design, descriptor_bytes, image_bytes, leader_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from escape_process.errors import SceneError
from escape_process.readers.ceos.geometry import fit_axes, orbit_of
from escape_process.readers.ceos.image import (
    MOST_LINES,
    MOST_PIXELS,
    parse_descriptor,
    parse_line_header,
)
from escape_process.readers.ceos.leader import parse_leader
from escape_process.readers.ceos.names import parse_name, recognises
from escape_process.readers.ceos.product import lay_out

DESIGN = Design(lines=12, pixels=10)
LEADER_END = 5000
"""Bytes of the last record, which holds the polynomials."""
LEADER = leader_bytes(DESIGN)
DESCRIPTOR = descriptor_bytes(DESIGN)
LINE = image_bytes(DESIGN, "HV", np.ones((12, 10), dtype=np.complex64))[720 : 720 + 544]
MOST_MEMORY = 4 * 1024 * 1024

Flips = list[tuple[int, int]]
flips = st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=8)
texts = st.sampled_from(
    [b"99999999", b"-1", b"0", b"NaN", b"1E999", b"1e308", b"1_000", b"\xff\xfe", b"\0\0\0\0", b"inf", b"+", b".", b" "]
)


def changed(content: bytes, changes: Flips) -> bytes:
    """Return bytes of which some are replaced."""
    data = bytearray(content)
    for place, value in changes:
        data[place % len(data)] = value
    return bytes(data)


def sentence_or_nothing(parse: Callable[[], object]) -> bool:
    """Parse; return whether it went through. What it raises must be one sentence, and its memory small."""
    tracemalloc.start()
    try:
        parse()
    except SceneError as error:
        text = str(error)
        assert text.endswith(".")
        assert "\n" not in text
        assert text.isprintable()
        assert len(text) < 600
        return False
    else:
        return True
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_MEMORY


@given(size=st.integers(0, len(LEADER) - 1))
@settings(max_examples=60)
def test_cut_leader(size: int) -> None:
    assert not sentence_or_nothing(lambda: parse_leader(LEADER[:size]))


@given(changes=flips)
@settings(max_examples=150)
def test_flipped_leader(changes: Flips) -> None:
    """What goes through can be used without a failure of another kind."""

    def use() -> None:
        leader = parse_leader(changed(LEADER, changes))
        assert 0.15 <= leader.wavelength <= 0.3
        assert all(np.isfinite(one).all() for one in (leader.orbit.positions, leader.polynomials.pixel))
        grid, sampling, _ = lay_out(leader, (12, 10))
        assert 1 <= grid.width * grid.height < 1e10
        assert 5 <= sampling.spacing <= 1e4
        fit_axes(leader, orbit_of(leader), (12, 10), DESIGN.first_range, DESIGN.range_spacing)

    sentence_or_nothing(use)


@given(places=st.lists(st.tuples(st.integers(0, 102), st.floats(-1e30, 1e30)), min_size=1, max_size=5))
@settings(max_examples=150)
def test_leader_with_absurd_polynomials(places: list[tuple[int, float]]) -> None:
    data = bytearray(LEADER)
    for number, value in places:
        start = len(data) - LEADER_END + 1024 + 20 * number
        data[start : start + 20] = f"{value:20.10E}".encode()

    def use() -> None:
        leader = parse_leader(bytes(data))
        grid, _, _ = lay_out(leader, (12, 10))
        assert 1 <= grid.width * grid.height < 1e10
        fit_axes(leader, orbit_of(leader), (12, 10), None, DESIGN.range_spacing)

    sentence_or_nothing(use)


@given(place=st.integers(0, len(LEADER) - 8), text=texts)
@settings(max_examples=150)
def test_leader_with_absurd_text(place: int, text: bytes) -> None:
    sentence_or_nothing(lambda: parse_leader(LEADER[:place] + text + LEADER[place + len(text) :]))


@given(content=st.binary(max_size=2000))
@example(content=b"")
@example(content=b"\0" * 12)
@example(content=b"\xff" * 720)
@settings(max_examples=60)
def test_any_bytes(content: bytes) -> None:
    assert not sentence_or_nothing(lambda: parse_leader(content))
    assert not sentence_or_nothing(lambda: parse_descriptor(content))


@given(length=st.integers(0, 2**32 - 1))
@example(length=0)
@example(length=11)
@example(length=12)
def test_record_of_any_length(length: int) -> None:
    """Neither a record without end nor a million records of nothing: the walk stops."""
    data = bytearray(LEADER)
    data[728:732] = length.to_bytes(4, "big")
    assert sentence_or_nothing(lambda: parse_leader(bytes(data))) is (length == 4096)


@given(lines=st.integers(-5, 99_999_999), pixels=st.integers(-5, 99_999_999), consistent=st.booleans())
@example(lines=99_999_999, pixels=99_999_999, consistent=True)
def test_descriptor_of_any_size(lines: int, pixels: int, consistent: bool) -> None:
    data = bytearray(DESCRIPTOR)
    fields = {236: (lines, 8), 248: (pixels, 8)}
    if consistent:
        fields |= {180: (lines, 6), 186: (544 + 8 * pixels, 6), 280: (8 * pixels, 8)}
    for place, (value, width) in fields.items():
        data[place : place + width] = f"{value:{width}}".encode()[:width]
    if sentence_or_nothing(lambda: parse_descriptor(bytes(data))):
        layout = parse_descriptor(bytes(data))
        assert 1 <= layout.lines <= MOST_LINES
        assert 1 <= layout.pixels <= MOST_PIXELS
        assert layout.record_length >= layout.prefix + layout.pixels * layout.dtype.itemsize


@given(changes=flips)
@settings(max_examples=150)
def test_flipped_descriptor_and_line(changes: Flips) -> None:
    sentence_or_nothing(lambda: parse_descriptor(changed(DESCRIPTOR, changes)))
    layout = parse_descriptor(DESCRIPTOR)

    def use() -> None:
        header = parse_line_header(changed(LINE, changes), layout)
        assert header.polarization in ("HH", "HV", "VH", "VV")
        assert header.time is None or header.time.tzinfo is dt.UTC
        assert header.slant_range is None or math.isfinite(header.slant_range)

    sentence_or_nothing(use)


@given(name=st.text(max_size=60))
def test_any_name(name: str) -> None:
    parsed = parse_name(name)
    assert (parsed is None) or recognises([name]) or parsed.kind in ("VOL", "TRL")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("LED-ALOS2014555550-140829-HBQR1.1__A", True),
        ("IMG-HV-ALOS2014555550-140829-FBQL1.5GUD", True),
        ("IMG-VV-ALOS4012345678-250514-UBQR1.1__D", True),
        ("IMG-HH-ALOS2014555550-140829-HBQR1.5GUA.tif", False),
        ("VOL-ALOS2014555550-140829-HBQR1.1__A", False),
        ("HH.tif", False),
    ],
)
def test_names_that_are_recognised(name: str, known: bool) -> None:
    assert recognises([name, "summary.txt"]) is known
