"""CSV tables of estimates and references, checked column by column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name

MISSING = -9999.0
"""Marks missing numbers in tables, besides empty cells."""
FROZEN_AT = 0.0
"""Soil at or below this temperature, degrees Celsius, counts as frozen: the probe then misses the ice."""
MOST_FLAGS = 0xFFFF
_FIRST, _LAST = pd.Timestamp("1900-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC")
"""Times beyond are none of measurements, and some of them none that nanoseconds can count."""


@dataclass(frozen=True, eq=False)
class EstimateTable:
    """Estimates as read from a table."""

    table: pd.DataFrame
    """site, time, soil_moisture, sigma, p05, p95, flags; NaN where a column is absent."""
    by_day: bool
    """The table has dates only."""
    notes: tuple[str, ...]


def read_estimates(path: Path) -> EstimateTable:
    """Read a table of estimates.

    Raises
    ------
    InvalidInputError
        naming the file and the column or value that is wrong.
    """
    raw = read_csv(path)
    name = file_name(str(path))
    if "site" not in raw and "zone" in raw:  # values per field, as the report of a request with zones has them
        raw = raw.rename(columns={"zone": "site"})
    require(raw, ["site", "soil_moisture"], name)
    time, by_day = times_of(raw, name)
    table = pd.DataFrame(
        {
            "site": raw["site"].astype(str).str.strip(),
            "time": time,
            "soil_moisture": moisture(raw, "soil_moisture", name),
            "sigma": moisture(raw, "soil_moisture_uncertainty", name),
            "p05": moisture(raw, "soil_moisture_p05", name),
            "p95": moisture(raw, "soil_moisture_p95", name),
            "flags": _flags(raw, name),
        }
    )
    crossed = table["p05"] > table["p95"]
    if crossed.any():
        raise InvalidInputError(
            f"Columns soil_moisture_p05 and soil_moisture_p95 of {name}: the first is larger in row"
            f" {_row(crossed)}; swapped?"
        )
    kept = table[table["soil_moisture"].notna()].reset_index(drop=True)
    if kept.empty:
        raise InvalidInputError(f"Column soil_moisture of {name} has no value.")
    left_out = len(table) - len(kept)
    notes = (f"{left_out} rows of {name} without soil moisture were left out.",) if left_out else ()
    return EstimateTable(kept, by_day, notes)


def read_reference_table(
    path: Path, columns: Mapping[str, str], depth: tuple[float, float]
) -> tuple[pd.DataFrame, bool, tuple[str, ...]]:
    """Read a table of measurements: the table, whether it has dates only, and notes.

    Raises
    ------
    InvalidInputError
        naming the file and the column or value that is wrong.
    """
    raw = read_csv(path)
    name = file_name(str(path))
    for ours, theirs in columns.items():
        if theirs not in raw.columns:
            raise InvalidInputError(f"{name} has no column {theirs}, given for {ours}; it has {listed(raw.columns)}.")
    taken = set(columns) - set(columns.values())  # a column that another takes the place of
    raw = raw.drop(columns=[one for one in taken if one in raw.columns]).rename(
        columns={theirs: ours for ours, theirs in columns.items()}
    )
    require(raw, ["site", "soil_moisture"], name)
    time, by_day = times_of(raw, name)
    table = pd.DataFrame(
        {
            "site": raw["site"].astype(str).str.strip(),
            "sensor": raw["depth"].astype(str) if "depth" in raw else "",
            "latitude": numbers(raw, "latitude", name, -90, 90),
            "longitude": numbers(raw, "longitude", name, -180, 180),
            "time": time,
            "soil_moisture": moisture(raw, "soil_moisture", name),
            "sd": moisture(raw, "soil_moisture_sd", name),
        }
    )
    deep = numbers(raw, "depth", name, 0, 10)
    temperature = numbers(raw, "soil_temperature", name, -80, 80)
    usable = table["soil_moisture"].notna()
    within = deep.isna() | deep.between(*depth)
    frozen = temperature <= FROZEN_AT
    kept = table[usable & within & ~frozen].reset_index(drop=True)
    if kept.empty:
        raise InvalidInputError(
            f"{name} has no usable measurement: of {len(raw)} rows {int((~usable).sum())} lack soil moisture,"
            f" {int((~within).sum())} lie outside {depth[0]:g} to {depth[1]:g} m and {int(frozen.sum())} are frozen."
        )
    counts = {
        "without soil moisture": ~usable,
        f"outside {depth[0]:g} to {depth[1]:g} m depth": usable & ~within,
        "in frozen soil": usable & within & frozen,
    }
    notes = tuple(f"{int(one.sum())} rows of {name} {what} were left out." for what, one in counts.items() if one.any())
    return kept, by_day, notes


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file; `site` stays text. Refuse what is not a table with rows."""
    name = file_name(str(path))
    try:
        raw = pd.read_csv(path, skipinitialspace=True, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise InvalidInputError(f"The table {name} does not exist.") from error
    except (OSError, ValueError) as error:  # pandas' parser and decoding errors are ValueErrors
        raise InvalidInputError(f"The table {name} cannot be read as CSV in UTF-8 with a header line.") from error
    raw.columns = [str(column).strip() for column in raw.columns]
    if raw.empty:
        raise InvalidInputError(f"The table {name} has no rows.")
    return raw


def require(raw: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Refuse a table that lacks columns."""
    missing = [column for column in columns if column not in raw]
    if missing:
        raise InvalidInputError(
            f"{name} has no column {' and no column '.join(missing)}; it has {listed(raw.columns)}."
        )


def times_of(raw: pd.DataFrame, name: str) -> tuple[pd.Series, bool]:
    """Return the times (UTC, without a zone) and whether they are dates only."""
    column = next((one for one in ("datetime", "date") if one in raw), None)
    if column is None:
        raise InvalidInputError(f"{name} has no column datetime or date; it has {listed(raw.columns)}.")
    text = raw[column].str.strip()
    time = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    time = time.where(time.between(_FIRST, _LAST))
    if time.isna().any():
        wrong = time.isna()
        raise InvalidInputError(
            f"Column {column} of {name}: {text[wrong].iloc[0]!r} in row {_row(wrong)} is not a date or time such as"
            " 2024-05-04 or 2024-05-04T23:28:31Z."
        )
    by_day = bool((text.str.len() <= len("2024-05-04")).all())
    return time.dt.tz_localize(None).astype("datetime64[ns]"), by_day


def numbers(raw: pd.DataFrame, column: str, name: str, low: float, high: float) -> pd.Series:
    """Return a column as numbers, NaN where missing or where there is no such column."""
    if column not in raw:
        return pd.Series(np.nan, index=raw.index, dtype="float64")
    text = raw[column].str.strip().replace({"": "nan", "NA": "nan", "None": "nan", "null": "nan"})
    values = pd.to_numeric(text, errors="coerce").astype("float64")
    wrong = values.isna() & (text.str.lower() != "nan")
    if wrong.any():
        raise InvalidInputError(
            f"Column {column} of {name}: {text[wrong].iloc[0]!r} in row {_row(wrong)} is not a number."
        )
    values = values.mask(values == MISSING)
    outside = values.notna() & ~values.between(low, high)
    if outside.any():
        raise InvalidInputError(
            f"Column {column} of {name}: {values[outside].iloc[0]:g} in row {_row(outside)} lies outside"
            f" {low:g} to {high:g}{'; in percent?' if high == 1 and values[outside].iloc[0] > 1 else ''}."
        )
    return values


def moisture(raw: pd.DataFrame, column: str, name: str) -> pd.Series:
    """Return a column in m3 m-3."""
    return numbers(raw, column, name, 0, 1)


def _flags(raw: pd.DataFrame, name: str) -> pd.Series:
    flags = numbers(raw, "flags", name, 0, MOST_FLAGS)
    broken = flags.notna() & (flags % 1 != 0)
    if broken.any():
        raise InvalidInputError(
            f"Column flags of {name}: {flags[broken].iloc[0]:g} in row {_row(broken)} is not a whole number of bits."
        )
    return flags


def _row(wrong: pd.Series) -> int:
    """Return the line of the file of the first True, the header being line 1."""
    return int(np.flatnonzero(wrong)[0]) + 2


def listed(names: Iterable[object], most: int = 8) -> str:
    """Return names for a sentence."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")
