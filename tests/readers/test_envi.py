"""ENVI headers and config.txt from any bytes: a header, or one sentence that says what is wrong with it."""

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from escape_process.errors import SceneError
from escape_process.readers.covariance.envi import LONGEST_HEADER, read_config, read_header

GOOD = (
    "ENVI\ndescription = {\nPolSARpro File Imported to ENVI}\nsamples = 101\nlines   = 201\nbands   = 1\n"
    "header offset = 0\nfile type = ENVI Standard\ndata type = 4\ninterleave = bsq\nbyte order = 0\n"
    "map info = {Geographic Lat/Lon, 1, 1, -98.1456, 49.7552, 1e-4, 1e-4,WGS-84}\nband names = {\nC11.bin }\n"
)
KEYS = ("samples", "lines", "bands", "header offset", "data type", "byte order", "interleave", "map info", "x")
VALUES = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.floats().map(str),
    st.text(max_size=30),
    st.sampled_from(["{", "}", "{UTM, 1, 1, 0, 0, 1, 1, 30, North}", "{UTM,1,1,nan,inf,1e999,1,30,North}", ""]),
)


Read = TypeVar("Read")


def one_sentence_or(read: Callable[[], Read]) -> Read | None:
    """Return what is read, or None where it is refused in one line."""
    try:
        return read()
    except SceneError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 300
    return None


def check(content: bytes) -> None:
    """Read a header; whatever comes back is safe to use."""
    header = one_sentence_or(lambda: read_header(content, "C11.bin.hdr"))
    if header is None:
        return
    assert 0 < header.height <= 200_000
    assert 0 < header.width <= 200_000
    assert header.offset >= 0
    assert header.dtype.kind in "fiu"
    if header.placed is not None:
        assert all(math.isfinite(value) for value in header.placed.transform)
        assert header.placed.transform.a > 0 > header.placed.transform.e


def test_a_real_header() -> None:
    header = read_header(GOOD.encode(), "C11.bin.hdr")
    assert (header.height, header.width, header.offset) == (201, 101, 0)
    assert header.dtype == np.dtype("<f4")
    assert header.size == 201 * 101 * 4
    assert header.placed is not None
    assert header.placed.crs == "EPSG:4326"
    assert header.placed.transform == Affine(1e-4, 0, -98.1456, 0, -1e-4, 49.7552)


@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    check(content)
    check(b"ENVI\n" + content)


@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=12))
def test_any_fields(fields: list[tuple[str, str]]) -> None:
    check(("ENVI\n" + "\n".join(f"{key} = {value}" for key, value in fields)).encode())


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_changed_and_cut_headers(at: int, byte: int, end: int) -> None:
    content = bytearray(GOOD.encode())
    content[at] = byte
    check(bytes(content))
    check(bytes(content[:end]))


@given(st.binary(max_size=300), st.sampled_from([b"", b"Nrow\n201\n---\nNcol\n101\n---\n"]))
def test_any_config(content: bytes, start: bytes) -> None:
    config = one_sentence_or(lambda: read_config(start + content, "config.txt"))
    assert config is None or all(size is None or size >= 0 for size in (config.height, config.width))


def test_a_config_of_polsarpro() -> None:
    config = read_config(
        b"Nrow\r\n201\r\n---------\r\nNcol\r\n101\r\n---------\r\nPolarCase\r\nmonostatic\r\n---------\r\n"
        b"PolarType\r\nfull\r\n",
        "config.txt",
    )
    assert (config.height, config.width, config.case, config.kind) == (201, 101, "monostatic", "full")
    assert config.placed is None


@pytest.mark.parametrize("content", [b"ENVI\n" + b"x" * LONGEST_HEADER, b"ENVI\n" + b"a = {\n" * 100_000])
def test_long_headers_end_soon(content: bytes) -> None:
    with pytest.raises(SceneError):
        read_header(content, "C11.bin.hdr")


@pytest.mark.parametrize(
    "said",
    [
        "{UTM, 1, 1, 5e5, 4e6, 25, 25, 30, North, North America 1927}",
        "{Polar Stereographic, 1, 1, 5e5, 4e6, 25, 25, WGS-84}",
        "{Geographic Lat/Lon, 1, 1, 10, 50, 1e-4, 1e-4, Clarke 1866}",
    ],
)
def test_a_system_that_only_a_name_tells_is_refused(said: str) -> None:
    with pytest.raises(SceneError, match="without a coordinate system string"):
        read_header(f"ENVI\nsamples = 1\nlines = 1\nmap info = {said}\n".encode(), "C11.bin.hdr")


@pytest.mark.parametrize("said", ["{Arbitrary, 1, 1, 5, 6, 2, 2}", "{UTM,1,1,0.0,0.0,1.0,1.0,30,North}"])
def test_what_programs_write_that_do_not_know_is_no_place(said: str) -> None:
    header = read_header(f"ENVI\nsamples = 1\nlines = 1\nmap info = {said}\n".encode(), "C11.bin.hdr")
    assert header.placed is None
