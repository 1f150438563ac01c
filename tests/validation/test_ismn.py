"""ISMN files: both formats, bare carriage returns, archives, flags, depths, frozen soil."""

import shutil
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ismn", reason="the extra `validation` is not installed")

from escape_process.errors import InvalidInputError
from escape_process.validation import validate
from escape_process.validation.ismn_files import read_ismn

HEADER = "NET NET Hill 41.25 -5.44 800.0 0.05 0.05 Probe"
NAME = "NET_NET_Hill_{variable}_0.050000_0.050000_Probe_20240501_20240531.stm"


def always(latitude: float, longitude: float) -> bool:
    return True


def station(folder: Path, values: list[tuple[str, float, str]], variable: str = "sm", end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME.format(variable=variable)
    lines = [
        HEADER,
        *(f"{time.replace('-', '/').replace('T', ' ')} {value:.4f} {flag} M" for time, value, flag in values),
    ]
    path.write_bytes(end.join(lines).encode() + end.encode())
    return path


@pytest.fixture
def sample(shared_data: Path) -> Path:
    folder = shared_data / "ismn_sample"
    if not folder.is_dir():
        pytest.skip("no ISMN sample in the folder of real data")
    return folder


@pytest.mark.parametrize("prefix", ["SMOSMANIA", "CEOP"])
def test_both_formats_of_a_real_station_agree(sample: Path, prefix: str) -> None:
    """Narbonne, January 2007, header + values and CEOP, lines ended by bare carriage returns: 719 hourly values."""
    (path,) = sample.glob(f"{prefix}_*Narbonne*.stm")
    table, _ = read_ismn(path, (0.0, 0.1), ("U",), always)
    assert set(table["site"]) == {"SMOSMANIA/Narbonne"}
    assert (table["latitude"].iloc[0], table["longitude"].iloc[0]) == (43.15, 2.9567)
    assert str(table["time"].iloc[0]) == "2007-01-01 01:00:00"
    assert table["soil_moisture"].iloc[0] == 0.214
    assert table["soil_moisture"].between(0.1, 0.5).all()
    raw = path.read_bytes().replace(b"\r", b"\n").splitlines()
    assert len(table) == sum(b" U " in line for line in raw)


def test_a_real_folder_and_its_archive_give_the_same(sample: Path, tmp_path: Path) -> None:
    folder, notes = read_ismn(sample, (0.0, 0.19), ("G", "U"), always)
    assert set(folder["site"]) == {"SMOSMANIA/Narbonne", "SOILSCAPE/node505", "COSMOS/ARM-1"}
    assert any("without the quality flag G or U" in note for note in notes)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(sample.glob("*.stm")):
            archive.write(path, f"NETWORK/STATION/{path.name}")
    zipped, _ = read_ismn(tmp_path / "all.zip", (0.0, 0.19), ("G", "U"), always)
    assert zipped.equals(folder)


def test_only_good_values_by_default(sample: Path) -> None:
    cosmos, _ = read_ismn(next(iter(sample.glob("COSMOS*.stm"))), (0.0, 0.2), ("G",), always)
    assert cosmos["soil_moisture"].between(0, 0.6).all()
    with pytest.raises(InvalidInputError, match=r"No value of .*Narbonne.* has the quality flag G.*U \(\d+\)"):
        read_ismn(next(iter(sample.glob("SMOSMANIA*.stm"))), (0.0, 0.1), ("G",), always)
    with pytest.raises(InvalidInputError, match=r"within 0 to 0\.1 m; there are 0 to 0\.19 m"):
        read_ismn(next(iter(sample.glob("COSMOS*.stm"))), (0.0, 0.1), ("G",), always)


def test_a_real_station_scores_an_estimate(sample: Path, tmp_path: Path) -> None:
    """The station's own noon values plus .02: bias .02, ubRMSD 0."""
    (path,) = sample.glob("SMOSMANIA*.stm")
    table, _ = read_ismn(path, (0.0, 0.1), ("U",), always)
    noon = table[table["time"].dt.hour == 12].assign(soil_moisture=lambda rows: rows["soil_moisture"] + 0.02)
    noon.rename(columns={"time": "datetime"}).to_csv(tmp_path / "mine.csv", index=False)
    validation = validate(tmp_path / "mine.csv", path, ismn_flags=("U",), bootstrap=0)
    figures = validation.scores["all"].pooled.figures
    assert figures["bias"].value == pytest.approx(0.02)
    assert figures["ubrmsd"].value == pytest.approx(0, abs=1e-9)
    assert validation.options["ismn_flags"] == ["U"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    path = station(tmp_path, [("2024-05-01T00:00", 0.2, "G"), ("2024-05-01T01:00", 0.21, "D01")], end=end)
    table, notes = read_ismn(path, (0.0, 0.1), ("G",), always)
    assert table["soil_moisture"].tolist() == [0.2]
    assert notes == (f"1 values without the quality flag G were left out of {path.name}.",)


def test_frozen_soil_is_left_out(tmp_path: Path) -> None:
    times = [f"2024-05-01T{hour:02}:00" for hour in range(4)]
    station(tmp_path, [(time, 0.2 + 0.01 * hour, "G") for hour, time in enumerate(times)])
    temperatures = [(times[0], -2.0, "G"), (times[1], 0.0, "G"), (times[2], 1.5, "G"), (times[3], -9999, "M")]
    station(tmp_path, temperatures, variable="ts")
    table, notes = read_ismn(tmp_path, (0.0, 0.1), ("G",), always)
    assert table["soil_moisture"].tolist() == [0.22, 0.23]
    assert notes == (f"2 values in frozen soil were left out of {tmp_path.name}.",)


def test_a_thermometer_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    station(tmp_path, [("2024-05-01T00:00", 0.2, "G"), ("2024-05-01T01:00", 0.2, "G")])
    (tmp_path / NAME.format(variable="ts")).write_bytes(b"nothing")
    table, notes = read_ismn(tmp_path, (0.0, 0.1), ("G",), always)
    assert len(table) == 2
    assert notes == (f"1 soil temperature files that are not readable were left out of {tmp_path.name}.",)


def test_a_damaged_file_among_good_ones_is_told(tmp_path: Path) -> None:
    station(tmp_path / "a", [("2024-05-01T00:00", 0.2, "G"), ("2024-05-01T01:00", 0.2, "G")])
    damaged = tmp_path / NAME.format(variable="sm").replace("Hill", "Vale")
    damaged.write_bytes(b"\x00\xff nothing\n")
    table, notes = read_ismn(tmp_path, (0.0, 0.1), ("G",), always)
    assert set(table["site"]) == {"NET/Hill"}
    assert notes == (f"1 files that are not readable as ISMN files were left out of {tmp_path.name}.",)
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(InvalidInputError, match=r"NET_NET_Vale.* is not readable as an ISMN station file"):
        read_ismn(tmp_path, (0.0, 0.1), ("G",), always)


def test_refusals(tmp_path: Path) -> None:
    def refused(path: Path, words: str, **options: Any) -> None:
        with pytest.raises(InvalidInputError, match=words):
            read_ismn(path, (0.0, 0.1), ("G",), options.get("wanted", always))

    refused(tmp_path, "holds no ISMN soil moisture file")
    percent = station(tmp_path / "percent", [("2024-05-01T00:00", 21.0, "G"), ("2024-05-01T01:00", 22.0, "G")])
    refused(percent, "has soil moisture 21 .* in percent")
    good = station(tmp_path / "good", [("2024-05-01T00:00", 0.2, "G"), ("2024-05-01T01:00", 0.2, "G")])
    refused(good, "None of the 1 soil moisture sensors .* lies on a result", wanted=lambda lat, lon: lat > np.inf)
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    refused(tmp_path / "broken.zip", r"broken\.zip is not a readable zip")
    (tmp_path / "station.stm").write_bytes(b"x")
    refused(tmp_path / "station.stm", r"The file name station\.stm is not that of an ISMN")


@pytest.mark.parametrize(("at", "value"), [(6, 1), (4, 148), (8, 93)])  # encrypted, a later format, no such packing
def test_an_archive_that_cannot_be_unpacked_is_named(tmp_path: Path, at: int, value: int) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(station(tmp_path / "made", [("2024-05-04T23:00", 0.2, "G")]), NAME.format(variable="sm"))
    content = bytearray(path.read_bytes())
    content[at] = content[content.index(b"PK\1\2") + at + 2] = value
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"not readable|not a readable"):
        read_ismn(path, (0.0, 0.1), ("G",), always)


def test_an_archive_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(station(tmp_path / "made", [("2024-05-04T23:00", 0.2, "G")]), NAME.format(variable="sm"))
    content = bytearray(path.read_bytes())
    packed_size = content.index(b"PK\1\2") + 20
    content[packed_size : packed_size + 4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInputError, match="not readable"):
            read_ismn(path, (0.0, 0.1), ("G",), always)
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()
