"""HDF5 files of strangers: what is stored is read, nothing outside the file, nothing larger than it says."""

import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nisar_files import GRIDS, write_gcov

from escape_process.errors import EscapeError, SceneError, UpstreamError
from escape_process.readers.nisar.chunks import DEFLATE, FLETCHER32, SHUFFLE, ChunkError, decode_chunk, fletcher32
from escape_process.readers.nisar.hdf5 import Hdf5, open_stream

RNG = np.random.default_rng(3)
VALUES = RNG.normal(size=(70, 90)).astype(np.float32)


def read_from(path: Path, use: Callable[[Hdf5], object]) -> object:
    with path.open("rb") as stream, open_stream(stream, path.name) as file:
        return use(file)


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (16, 20)},
        {"chunks": (16, 20), "compression": "gzip"},
        {"chunks": (100, 7), "maxshape": (None, None), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (1, 90), "fletcher32": True},
        {"chunks": (70, 90), "shuffle": True},
    ],
)
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "<i2", "c8"])
def test_windows_are_those_of_the_library(tmp_path: Path, storage: dict[str, object], dtype: str) -> None:
    values = (VALUES * 50).astype(np.int64).astype(dtype)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/values", data=values, **storage)

    def check(file: Hdf5) -> None:
        dataset = file.dataset("/group/values")
        assert dataset is not None
        assert (dataset.whole() == values).all()
        for ranges in (((0, 1), (0, 90)), ((15, 49), (19, 61)), ((69, 70), (89, 90)), ((5, 5), (0, 3))):
            (top, bottom), (left, right) = ranges
            assert (dataset.read(ranges) == values[top:bottom, left:right]).all()

    read_from(path, check)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_parts_never_written_hold_the_fill_value(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        part = file.create_dataset("part", shape=(70, 90), dtype="f4", chunks=(16, 20), fillvalue=np.nan)
        part[:16] = VALUES[:16]
        file.create_dataset("none", shape=(3, 4), dtype="i2", fillvalue=7)

    def check(file: Hdf5) -> None:
        part, none = file.array("/part"), file.array("/none")
        assert part is not None
        assert none is not None
        assert (part[:16] == VALUES[:16]).all()
        assert np.isnan(part[16:]).all()
        assert (none == 7).all()

    read_from(path, check)


def test_numbers_and_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["fixed"], file["varying"] = np.bytes_("NISAR"), "Left\x07"
        file["list"] = np.array([b"HH", b"VV"])
        file["number"], file["nan"], file["pair"] = 1.25e9, np.nan, [1.0, 2.0]
        file["group/x"] = 1

    def check(file: Hdf5) -> None:
        assert (file.text("/fixed"), file.text("/varying")) == ("NISAR", "Left")
        assert file.texts("/list") == ("HH", "VV")
        assert (file.number("/number"), file.number("/nan"), file.number("/pair")) == (1.25e9, None, None)
        assert (file.text("/absent"), file.number("/absent"), file.array("/group")) == (None, None, None)
        assert file.names("/group") == ("x",)
        assert file.names("/fixed") == ()
        assert not file.has("/fixed/x/y")

    read_from(path, check)


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["values"] = VALUES
    raw = tmp_path / "secret.bin"
    raw.write_bytes(VALUES.tobytes())
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["external"] = h5py.ExternalLink(str(secret), "/values")
        file["group"] = h5py.ExternalLink(str(secret), "/")
        file["soft"] = h5py.SoftLink("/external")
        file.create_dataset("stored", shape=VALUES.shape, dtype="f4", external=[(str(raw), 0, VALUES.nbytes)])
        layout = h5py.VirtualLayout(shape=VALUES.shape, dtype="f4")
        layout[:] = h5py.VirtualSource(str(secret), "values", shape=VALUES.shape)
        file.create_virtual_dataset("virtual", layout)
    assert (h5py.File(path)["external"][()] == VALUES).all(), "the library itself would follow it"
    for name, words in (
        ("external", "keeps external behind a link"),
        ("group/values", "keeps group behind a link"),
        ("soft", "keeps soft behind a link"),
        ("stored", "values of stored in other files"),
        ("virtual", "values of virtual in other files"),
    ):
        with pytest.raises(SceneError, match=words) as caught:
            read_from(path, lambda file, name=name: file.array(f"/{name}"))  # type: ignore[misc]
        assert "secret" not in str(caught.value)


def test_chunks_that_unpack_to_more_than_they_say_are_not_unpacked(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(64 * 2**20), 9)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("values", shape=(64, 64), dtype="f4", chunks=(64, 64), compression="gzip")
        dataset.id.write_direct_chunk((0, 0), bomb)
    with pytest.raises(SceneError, match="values of values cannot be read"):
        read_from(path, lambda file: file.array("/values"))
    with pytest.raises(ChunkError, match="larger"):
        decode_chunk(bomb, 64, 4, [DEFLATE])


def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("huge", shape=(2**40, 2**20), dtype="f8", chunks=(64, 64))
        file.create_dataset("large", shape=(2**15, 2**15), dtype="f8", chunks=(512, 512))
        file.create_dataset("chunk", shape=(2**14, 2**14), dtype="f8", chunks=(2**14, 2**12))
        file.create_dataset("many", shape=(2**12, 2**12), dtype="u1", chunks=(1, 1))
        file.create_dataset("deep", shape=(1, 1, 1, 1, 1, 1), dtype="f4")
        file.create_dataset("packed", data=VALUES, chunks=(64, 64), scaleoffset=3)
        file.create_dataset("rows", data=np.zeros((4, 0)))

    for name, words in (
        ("huge", "no product has that"),
        ("large", "too many to read"),
        ("chunk", "too large to read"),
        ("many", "more than 1000000 chunks"),
        ("deep", "no product has that"),
        ("packed", "packs packed in a way that is not read"),
    ):
        with pytest.raises(SceneError, match=words):
            read_from(path, lambda file, name=name: file.array(f"/{name}"))  # type: ignore[misc]
    assert read_from(path, lambda file: file.array("/rows")) is not None


def test_a_chunk_with_a_flipped_bit_is_told(tmp_path: Path) -> None:
    for storage in ({"compression": "gzip"}, {"fletcher32": True}):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("values", data=VALUES, chunks=VALUES.shape, **storage)
            place = dataset.id.get_chunk_info(0)
        content = bytearray(path.read_bytes())
        content[place.byte_offset + place.size // 2] ^= 4
        path.write_bytes(content)
        with pytest.raises(SceneError, match="values of values cannot be read"):
            read_from(path, lambda file: file.array("/values"))


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\n", b"II*\0", bytes(4096), b"\x89HDF\r\n\x1a\n" + bytes(4096)]
)
def test_what_is_no_hdf5_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(SceneError, match=r"a\.h5 (is no HDF5 file|is damaged)"):
        read_from(path, lambda file: file.names("/"))


def test_a_host_that_fails_is_blamed_itself(tmp_path: Path) -> None:
    path = write_gcov(tmp_path / "g.h5", {"HH": VALUES})
    content = path.read_bytes()

    class Failing(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            if self.reads > 3:
                raise UpstreamError("g.h5 at a.example did not answer.")
            return super().read(size)

    with pytest.raises(UpstreamError, match="did not answer"), open_stream(Failing(content), "g.h5") as file:
        file.array(f"{GRIDS}/HHHH")


@given(st.binary(max_size=500), st.permutations([DEFLATE, SHUFFLE, FLETCHER32]), st.integers(1, 9))
def test_any_bytes_of_a_chunk(content: bytes, filters: list[int], itemsize: int) -> None:
    try:
        assert len(decode_chunk(content, 120, itemsize, filters)) == 120
    except ChunkError:
        return


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_its_definition(content: bytes) -> None:
    first = second = 0
    padded = content + bytes(len(content) % 2)
    for word in np.frombuffer(padded, dtype=">u2"):
        first = (first + int(word)) % 65535
        second = (second + first) % 65535
    found = fletcher32(content)
    assert (found & 0xFFFF) % 65535 == first
    assert (found >> 16) % 65535 == second


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Return a file with some bytes changed, most of them in its structure, sometimes cut short."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 12)):
        at = generator.randrange(len(changed))
        changed[at] = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256), changed[at] ^ 1])
    return bytes(changed[: generator.randrange(len(changed))] if generator.random() < 0.1 else changed)


def touch_everything(content: bytes) -> None:
    """Read all that a GCOV reader asks for from bytes; only our own errors may come out."""
    with open_stream(io.BytesIO(content), "g.h5") as file:
        for name in file.names(GRIDS):
            file.array(f"{GRIDS}/{name}")
        for name in file.names("/science/LSAR/identification"):
            file.text(f"/science/LSAR/identification/{name}")


@pytest.mark.parametrize("seed", range(300))
def test_mutated_files_end_in_a_sentence(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.h5"
    if not path.exists():
        write_gcov(path, dict.fromkeys(("HH", "HV", "VH", "VV"), VALUES[:20, :20]), storage={"chunks": (8, 8)})
    try:
        touch_everything(mutated(path.read_bytes(), random.Random(seed)))
    except EscapeError as error:
        sentence = str(error)
    else:
        return
    assert "\n" not in sentence
    assert len(sentence) < 300
