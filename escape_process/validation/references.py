"""Measurements in the ground, whatever file they came in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name
from escape_process.validation.ismn_files import read_ismn
from escape_process.validation.tables import read_reference_table

Wanted = Callable[[float, float], bool]
"""Tells whether measurements at a latitude and longitude, degrees, are of use."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Measurements, quality-checked."""

    name: str
    table: pd.DataFrame
    """site, sensor, latitude, longitude (degrees, NaN where not given), time (UTC), soil_moisture, sd (m3 m-3)."""
    by_day: bool
    """The times are dates only."""
    is_ismn: bool
    notes: tuple[str, ...] = ()

    def places(self) -> pd.DataFrame:
        """Return site, latitude and longitude, one row a site.

        Raises
        ------
        InvalidInputError
            where a site has no place or several.
        """
        places = self.table[["site", "latitude", "longitude"]].drop_duplicates()
        unplaced = places[places[["latitude", "longitude"]].isna().any(axis=1)]
        if not unplaced.empty:
            raise InvalidInputError(
                f"Site {unplaced['site'].iloc[0]} of {self.name} has no latitude and longitude, which results as"
                " rasters need: add the columns, or give the estimates as a table."
            )
        if self.is_ismn:  # sensors of one station may be told a few metres apart
            return places.groupby("site", as_index=False).first()
        moved = places[places["site"].duplicated()]
        if not moved.empty:
            raise InvalidInputError(
                f"Site {moved['site'].iloc[0]} of {self.name} has several places: give each place a name of its own."
            )
        return places


def read_reference(
    path: Path,
    *,
    depth: tuple[float, float],
    ismn_flags: Sequence[str],
    columns: Mapping[str, str],
    wanted: Wanted,
) -> Reference:
    """Read measurements from a CSV table or from an ISMN archive, folder or file.

    Raises
    ------
    InvalidInputError
        naming what is wrong with the file.
    """
    name = file_name(str(path))
    if path.suffix.lower() == ".csv":
        table, by_day, notes = read_reference_table(path, columns, depth)
        return Reference(name, table, by_day, is_ismn=False, notes=notes)
    if columns:
        raise InvalidInputError(f"Option columns is for a CSV table, but {name} is not one.")
    if not path.exists():
        raise InvalidInputError(f"The reference {name} does not exist.")
    if not path.is_dir() and path.suffix.lower() not in (".zip", ".stm"):
        raise InvalidInputError(f"The reference {name} is neither a .csv table nor an ISMN .zip, .stm or folder.")
    table, notes = read_ismn(path, depth, ismn_flags, wanted)
    return Reference(name, table, by_day=False, is_ismn=True, notes=notes)
