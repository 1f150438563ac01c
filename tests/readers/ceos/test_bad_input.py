"""Damaged, cut, mislabelled and mixed files: one sentence each."""

import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ceos_writer import Design, image_bytes, leader_bytes, other_scene, scatter, write_product

from escape_process.errors import EscapeError, SceneError
from escape_process.readers.ceos import describe, open_layer
from escape_process.records import Source
from escape_process.settings import Settings

DESIGN = Design(lines=120, pixels=80)
NAMES = {name: f"IMG-{name}-{DESIGN.product}" for name in ("HH", "HV", "VH", "VV")}
LEADER = f"LED-{DESIGN.product}"

Change = Callable[[Path], None]


def cut(name: str, size: int) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:size])

    return change


def swap(one: str, other: str) -> Change:
    def change(folder: Path) -> None:
        first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
        (folder / one).write_bytes(second)
        (folder / other).write_bytes(first)

    return change


def put(name: str, offset: int, content: bytes) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        data = bytearray(path.read_bytes())
        data[offset : offset + len(content)] = content
        path.write_bytes(bytes(data))

    return change


def another_leader(folder: Path) -> None:
    (folder / LEADER).write_bytes(leader_bytes(other_scene(DESIGN)))


def another_day(folder: Path) -> None:
    values = np.ones((DESIGN.lines, DESIGN.pixels), dtype=np.complex64)
    (folder / NAMES["VH"]).write_bytes(image_bytes(other_scene(DESIGN), "VH", values))


def another_size(folder: Path) -> None:
    small = replace(DESIGN, lines=100)
    values = np.ones((small.lines, small.pixels), dtype=np.complex64)
    (folder / NAMES["VV"]).write_bytes(image_bytes(small, "VV", values))


def detected(folder: Path) -> None:
    values = np.ones((DESIGN.lines, DESIGN.pixels), dtype=np.uint16)
    (folder / NAMES["HV"]).write_bytes(image_bytes(replace(DESIGN, level="1.5"), "HV", values))


def lacking(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


CASES: dict[str, tuple[Change, str]] = {
    "leader empty": (cut(LEADER, 0), "has no data set summary"),
    "leader cut in a record": (cut(LEADER, 3000), "it is cut short"),
    "leader cut in a preamble": (cut(LEADER, 725), "ends inside a record, after 725 bytes"),
    "leader lacks its last record": (cut(LEADER, len(leader_bytes(DESIGN)) - 5000), "has no facility record 5"),
    "leader missing": (lacking(LEADER), r"one leader file \(LED-...\), but none is there"),
    "image empty": (cut(NAMES["HV"], 0), "has 0 bytes"),
    "image cut in its descriptor": (cut(NAMES["HV"], 500), "has 500 bytes"),
    "image cut in a line": (cut(NAMES["VV"], 60_000), "is cut short: it has 60000 of the 142800 bytes"),
    "image missing": (lacking(NAMES["VH"]), "not full-polarimetric: VH missing"),
    "leader and image exchanged": (swap(LEADER, NAMES["HH"]), "is not the leader of a CEOS product"),
    "channels exchanged": (swap(NAMES["HV"], NAMES["VV"]), "is given as HV, but its lines say VV"),
    "leader of another scene": (another_leader, "is of another product than the leader, which is of ALOS2015625550"),
    "image of another day": (another_day, "begins at 2014-09-12T03:12:41Z, but the leader is of a scene at 2014-08-29"),
    "image of another size": (another_size, "has 100 x 80 pixels, but IMG-HH.* has 120 x 80"),
    "detected among complex": (detected, "holds IU2 samples, but the leader is of level 1.1"),
    "a million lines": (put(NAMES["HH"], 236, b"99999999"), "number of lines .* is '99999999'"),
    "no pixels": (put(NAMES["HH"], 248, b"       0"), "number of pixels .* is '0'"),
    "lines contradict records": (put(NAMES["HH"], 236, b"     119"), "contradicts itself"),
    "samples of no type": (put(NAMES["HH"], 428, b"R*4 "), "samples of type 'R\\*4'"),
    "a line of another length": (put(NAMES["HH"], 728, struct.pack(">I", 9)), "a record of 9 bytes"),
    "a line of no polarization": (put(NAMES["HH"], 772, b"\0\7\0\0"), "polarization code 7, 0"),
    "no scene": (put(LEADER, 740, b"NOT-A-SCENE".ljust(32)), "names the scene 'NOT-A-SCENE'"),
    "another level": (put(LEADER, 720 + 1094, b"3.1".ljust(16)), "is of level '3.1'"),
    "no wavelength": (put(LEADER, 720 + 500, b"       NAN      "), "wavelength .* is 'NAN'"),
    "X-band": (put(LEADER, 720 + 500, b"     0.031000000"), "wavelength .* is '0.031000000'"),
    "no time": (put(LEADER, 720 + 68, b"20141329031241250"), "scene centre time .* '20141329031241250'"),
    "no orbit points": (put(LEADER, 720 + 4096 + 140, b"   0"), "number of orbit points"),
    "ten thousand orbit points": (put(LEADER, 720 + 4096 + 140, b"9999"), "number of orbit points .* is '9999'"),
    "an orbit underground": (
        put(LEADER, 720 + 4096 + 386, b" 1.000000000000000E+03" * 3),
        "not one of a low satellite",
    ),
    "an orbit not earth-fixed": (put(LEADER, 720 + 4096 + 204, b"INERTIAL"), "given in 'INERTIAL'"),
    "an orbit of another day": (
        put(LEADER, 720 + 4096 + 152, b"  12"),
        "The orbit in .* but the scene is of 2014-08-29",
    ),
    "text in a polynomial": (put(LEADER, len(leader_bytes(DESIGN)) - 5000 + 1024, b"x" * 20), "latitude polynomial"),
    "polynomials of nowhere": (
        put(LEADER, len(leader_bytes(DESIGN)) - 5000 + 1024, b"    1.0000000000E+10" * 50),
        "do not place 120 x 80 pixels",
    ),
}


@pytest.fixture
def product(small_product: list[str], tmp_path: Path) -> Path:
    """Return a folder of one's own with the files of a small product."""
    folder = tmp_path / "product"
    folder.mkdir()
    for href in small_product:
        shutil.copy(href, folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_bad_files_are_told_in_one_sentence(case: str, product: Path, settings: Settings) -> None:
    change, sentence = CASES[case]
    change(product)
    hrefs = sorted(str(path) for path in product.iterdir())
    with pytest.raises(SceneError, match=sentence) as told:
        describe(hrefs, settings)
    text = str(told.value)
    assert re.fullmatch(r"[^\n]+\.", text)
    assert str(product) not in text
    files = {**{name: str(product / NAMES[name]) for name in NAMES}, "leader": str(product / LEADER)}
    with pytest.raises(EscapeError), open_layer(Source("ceos", "HH", files), settings):
        pass


def test_file_that_shrinks_while_it_is_read(product: Path, settings: Settings) -> None:
    from rasterio.windows import Window  # noqa: PLC0415

    files = {**{name: str(product / NAMES[name]) for name in NAMES}, "leader": str(product / LEADER)}
    with open_layer(Source("ceos", "HH", files), settings) as layer:
        (product / NAMES["HH"]).write_bytes((product / NAMES["HH"]).read_bytes()[:30_000])
        with pytest.raises(SceneError, match="it was cut short while it was read"):
            layer.read(1, window=Window(0, 0, layer.width, layer.height))


def test_layer_that_there_is_not(small_product: list[str], settings: Settings) -> None:
    files = dict(enumerate(small_product))
    source = Source("ceos", "RR", {str(key): href for key, href in files.items()})
    told = pytest.raises(SceneError, match="has no layer 'RR': it has HH, HV, VH, VV, ellipsoid_incidence_angle")
    with told, open_layer(source, settings):
        pass


def test_two_products_at_once(small_product: list[str], tmp_path: Path, settings: Settings) -> None:
    other = other_scene(DESIGN)
    even = {name: np.ones((other.lines, other.pixels)) for name in ("HH", "HV", "VV")}
    hrefs = write_product(other, scatter(other, even), tmp_path / "other")
    with pytest.raises(SceneError, match="both are HH images: give the files of one product"):
        describe([*small_product, *hrefs], settings)
