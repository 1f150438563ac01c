"""Station files of the International Soil Moisture Network, read through its own library, one file at a time.

The library wants each file under its official name and with line ends that it knows; files in circulation have bare
carriage returns, mixed line ends and prefixed names. So each file is first copied, normalised, into a temporary folder.
Only sensors within the depth limits and near the results are read, which keeps a whole archive affordable.

Dorigo et al. (2021), doi:10.5194/hess-25-5749-2021; quality flags: Dorigo et al. (2013), doi:10.2136/vzj2012.0097.
"""

import lzma
import re
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from ismn.filehandlers import DataFile

from escape_process.errors import EscapeError, InvalidInputError
from escape_process.hrefs import file_name
from escape_process.validation.tables import FROZEN_AT, listed

_NAME = re.compile(
    r"(?:.*_)?(?P<cse>[^_]+)_(?P<network>[^_]+)_(?P<station>[^_]+)_(?P<variable>sm|ts)_(?P<top>-?\d+\.\d+)_"
    r"(?P<bottom>-?\d+\.\d+)_(?P<sensor>.+)_\d{8}_\d{8}\.stm",
    re.IGNORECASE,
)
_TEMPERATURE_TOLERANCE = pd.Timedelta(hours=2)
_DAMAGE_OF_ZIP = (
    *(OSError, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError),  # encrypted is a RuntimeError
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
_DAMAGE = (KeyError, IndexError, TypeError, AttributeError, *_DAMAGE_OF_ZIP)
"""What reading a damaged file raises in the library and its dependencies."""
_LONGEST_FILE = 512 * 2**20
"""Most bytes of one station file, so that no archive fills the disk."""


@dataclass(frozen=True)
class _StationFile:
    name: str
    """File name, without the folder."""
    site: str
    """network/station."""
    variable: str
    """sm: soil moisture; ts: soil temperature."""
    top: float
    bottom: float
    """Depths of the sensor, m."""
    read: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class _Series:
    latitude: float
    longitude: float
    values: pd.DataFrame
    """time, value, flag."""


def read_ismn(
    path: Path, depth: tuple[float, float], flags: Sequence[str], wanted: Callable[[float, float], bool]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read the soil moisture of an archive, folder or file.

    Returns
    -------
    A table of site ("network/station"), sensor, latitude, longitude, time (UTC), soil_moisture (m3 m-3) and sd (NaN),
    and sentences about what was left out.

    Raises
    ------
    InvalidInputError
        where there is no ISMN file, none is readable, or nothing remains, saying why.
    """
    name = file_name(str(path))
    with _opened(path) as files:
        moist = [one for one in files if one.variable == "sm"]
        if not moist:
            raise InvalidInputError(
                f"{name} holds no ISMN soil moisture file: such a file is called"
                " CSE_Network_Station_sm_depth_depth_sensor_begin_end.stm."
            )
        shallow = [one for one in moist if depth[0] <= one.top and one.bottom <= depth[1]]
        if not shallow:
            depths = sorted({(one.top, one.bottom) for one in moist})
            raise InvalidInputError(
                f"No soil moisture sensor of {name} lies within {depth[0]:g} to {depth[1]:g} m; there are"
                f" {listed([f'{top:g} to {bottom:g} m' for top, bottom in depths])}. Change the depths to use them."
            )
        found = _Found()
        for one in shallow:
            found.add(one, files, flags, wanted)
    return found.conclude(name, flags)


class _Found:
    """What has been read so far, and what was left out."""

    def __init__(self) -> None:
        self._tables: list[pd.DataFrame] = []
        self._broken: list[str] = []
        self._flags: Counter[str] = Counter()
        self._far = self._flagged = self._frozen = self._files = self._thermometers = 0

    def add(
        self,
        one: _StationFile,
        files: Sequence[_StationFile],
        flags: Sequence[str],
        wanted: Callable[[float, float], bool],
    ) -> None:
        """Read one file, and the soil temperature that lies beside it."""
        self._files += 1
        try:
            series = _read_file(one, wanted)
        except _DAMAGE:
            self._broken.append(one.name)
            return
        if series is None:
            self._far += 1
            return
        values = series.values
        self._flags.update(values["flag"].tolist())
        good = values[values["flag"].isin(flags) & values["value"].notna()]
        self._flagged += len(values) - len(good)
        outside = good[~good["value"].between(0, 1)]
        if not outside.empty:
            raise InvalidInputError(
                f"The file {one.name} has soil moisture {outside['value'].iloc[0]:g} at {outside['time'].iloc[0]},"
                " outside 0 to 1 m3 m-3; in percent?"
            )
        try:
            thawed = _without_frozen(good, one, files)
        except _DAMAGE:
            self._thermometers += 1
            thawed = good
        self._frozen += len(good) - len(thawed)
        if thawed.empty:
            return
        self._tables.append(
            pd.DataFrame(
                {
                    "site": one.site,
                    "sensor": one.name,
                    "latitude": series.latitude,
                    "longitude": series.longitude,
                    "time": thawed["time"].to_numpy(),
                    "soil_moisture": thawed["value"].to_numpy(),
                    "sd": float("nan"),
                }
            )
        )

    def conclude(self, name: str, flags: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return all that was read, or say why there is nothing."""
        if len(self._broken) == self._files:
            raise InvalidInputError(f"The file {self._broken[0]} is not readable as an ISMN station file.")
        if not self._tables:
            if self._far + len(self._broken) == self._files:
                raise InvalidInputError(f"None of the {self._far} soil moisture sensors of {name} lies on a result.")
            seen = listed([f"{flag} ({count})" for flag, count in self._flags.most_common()])
            raise InvalidInputError(
                f"No value of {name} has the quality flag {' or '.join(flags)} in unfrozen soil; its flags are {seen}."
                " Allow others (U: not checked) with the option for ISMN flags."
            )
        counts = {
            "files that are not readable as ISMN files": len(self._broken),
            "sensors that lie on no result": self._far,
            f"values without the quality flag {' or '.join(flags)}": self._flagged,
            "values in frozen soil": self._frozen,
            "soil temperature files that are not readable": self._thermometers,
        }
        notes = tuple(f"{count} {what} were left out of {name}." for what, count in counts.items() if count)
        return pd.concat(self._tables, ignore_index=True), notes


@contextmanager
def _opened(path: Path) -> Iterator[list[_StationFile]]:
    """List the station files of an archive, folder or file, readable inside the `with` block."""
    if path.is_dir():
        yield _listed([(one.name, _reader(one)) for one in sorted(path.rglob("*.stm"))])
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if one.filename.lower().endswith(".stm")]
                yield _listed([(PurePosixPath(one.filename).name, _member_reader(archive, one)) for one in members])
        except _DAMAGE_OF_ZIP as error:
            if isinstance(error, EscapeError):
                raise
            raise InvalidInputError(f"The archive {path.name} is not a readable zip file.") from error
    else:
        files = _listed([(path.name, _reader(path))])
        if not files:
            raise InvalidInputError(
                f"The file name {path.name} is not that of an ISMN soil moisture file:"
                " CSE_Network_Station_sm_depth_depth_sensor_begin_end.stm."
            )
        yield files


def _listed(files: Sequence[tuple[str, Callable[[], bytes]]]) -> list[_StationFile]:
    listing = []
    for name, read in files:
        parts = _NAME.fullmatch(name)
        if parts is not None:
            site = f"{parts['network']}/{parts['station']}"
            top, bottom = float(parts["top"]), float(parts["bottom"])
            listing.append(_StationFile(name, site, parts["variable"].lower(), top, bottom, read))
    return listing


def _reader(path: Path) -> Callable[[], bytes]:
    return path.read_bytes


def _member_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if max(member.file_size, member.compress_size) > _LONGEST_FILE:  # both are only said
            raise ValueError("longer than any station file")
        return archive.read(member)

    return read


def _read_file(one: _StationFile, wanted: Callable[[float, float], bool]) -> _Series | None:
    """Read one file through the library; None where its place is not wanted."""
    parts = _NAME.fullmatch(one.name)
    if parts is None:
        raise ValueError(one.name)
    official = one.name[parts.start("cse") :]
    with tempfile.TemporaryDirectory(prefix="escape-ismn-") as temporary:
        folder = Path(temporary) / parts["network"] / parts["station"]
        folder.mkdir(parents=True)
        lines = [line for line in one.read().splitlines() if line.strip()]
        (folder / official).write_bytes(b"\n".join(lines) + b"\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's use of pandas
            file = DataFile(temporary, PurePosixPath(parts["network"], parts["station"], official), temp_root=temporary)
            latitude, longitude = (float(file.metadata[axis].val) for axis in ("latitude", "longitude"))
            if not wanted(latitude, longitude):
                return None
            data = file.read_data()
    values = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(data.index).as_unit("ns"),
            "value": pd.to_numeric(data.iloc[:, 0], errors="coerce").to_numpy(dtype="float64"),
            "flag": data.iloc[:, 1].astype(str).to_numpy(),
        }
    )
    if values["time"].isna().any():
        raise ValueError("a time is missing")
    return _Series(latitude, longitude, values.sort_values("time"))


def _without_frozen(moisture: pd.DataFrame, one: _StationFile, files: Sequence[_StationFile]) -> pd.DataFrame:
    """Drop values where the station's thermometer nearest in depth reads freezing."""
    beside = [file for file in files if file.variable == "ts" and file.site == one.site]
    if not beside or moisture.empty:
        return moisture
    nearest = min(beside, key=lambda file: abs(file.top + file.bottom - one.top - one.bottom))
    series: Any = _read_file(nearest, lambda latitude, longitude: True)
    temperature = series.values[["time", "value"]].rename(columns={"value": "temperature"})
    temperature = temperature[temperature["temperature"] > -80]  # -9999 marks missing values
    joined = pd.merge_asof(moisture, temperature, on="time", direction="nearest", tolerance=_TEMPERATURE_TOLERANCE)
    return moisture[~(joined["temperature"] <= FROZEN_AT).to_numpy()]
