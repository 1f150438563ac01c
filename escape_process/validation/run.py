"""The story of one validation: read, bring together, score."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from escape_process.errors import InvalidInputError
from escape_process.hrefs import file_name, is_remote
from escape_process.layers import UNUSABLE
from escape_process.settings import Settings
from escape_process.validation.collocation import collocate
from escape_process.validation.items import ResultItem, find_result_items, reach_of, sample_items
from escape_process.validation.references import Reference, Wanted, read_reference
from escape_process.validation.scores import score
from escape_process.validation.tables import read_estimates
from escape_process.validation.verdict import Scores, Validation

SUBSETS = ("all", "unflagged")


def validate(
    estimates: Path | str,
    reference: Path | str,
    *,
    window: int = 1,
    time_window_hours: float | None = None,
    depth: tuple[float, float] = (0.0, 0.1),
    flags: str = "both",
    ismn_flags: Sequence[str] = ("G",),
    columns: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    settings: Settings | None = None,
) -> Validation:
    """Score soil moisture estimates against measurements in the ground.

    Parameters
    ----------
    estimates
        Results as STAC (a catalogue, collection or item, by path or http(s) address, or a folder that holds items), or
        a CSV table: site (or zone), datetime (or date), soil_moisture and, where there are such,
        soil_moisture_uncertainty, soil_moisture_p05, soil_moisture_p95 (m3 m-3) and flags.
    reference
        Measurements: an ISMN archive (.zip), folder or file (.stm), or a CSV table: site, datetime (or date),
        soil_moisture (m3 m-3), latitude and longitude (degrees; only results as rasters need them) and, where there
        are such, depth (m), soil_moisture_sd (m3 m-3), soil_temperature (degrees Celsius). Times without a zone are
        UTC. ISMN sites are called network/station.
    window
        Odd number of pixels along each side of the square around a site that is averaged.
    time_window_hours
        How far a measurement may be from the estimate; 6 by default. Where either side has dates only, the mean of the
        same day is used instead.
    depth
        Sensors count that lie wholly between these depths, m.
    flags
        Which samples to score: "all", "unflagged" (`flags & UNUSABLE == 0`) or "both".
    ismn_flags
        ISMN quality flags of the values that count; G is good, U not checked.
    columns
        Names in the reference table of the columns above, such as {"site": "field_id"}.
    bootstrap
        Draws for the intervals; 0: no intervals.
    seed
        Of the bootstrap.
    settings
        How remote hosts are spoken to.

    Raises
    ------
    InvalidInputError
        where an option, a table or an archive is wrong or the two sides do not meet in space or time.
    UpstreamError, SceneError
        where a file of a result cannot be read.
    """
    _check(window, time_window_hours, depth, flags, bootstrap)
    settings = (settings or Settings()).allowing(str(estimates))  # named by whoever runs this, not by a client
    name, reference_name = file_name(str(estimates)), file_name(str(reference))
    if str(estimates).lower().endswith(".csv") and not is_remote(str(estimates)):
        guessed = read_estimates(Path(estimates))
        table, by_day, notes = guessed.table, guessed.by_day, list(guessed.notes)
        measured = _read(reference, depth, ismn_flags, columns, lambda latitude, longitude: True)
    else:
        items = find_result_items(str(estimates), settings)
        measured = _read(reference, depth, ismn_flags, columns, _near(items))
        table, item_notes = sample_items(items, measured.places(), window, settings)
        by_day, notes = False, item_notes
    pairs, timing = collocate(table, measured, by_day, time_window_hours, (name, reference_name))
    has_flags = bool(pairs["flags"].notna().all())
    if not has_flags:
        if flags == "unflagged":
            raise InvalidInputError(
                f"Option flags = 'unflagged': {name} has no column or asset flags; score all its samples instead."
            )
        notes.append("The estimates have no flags: all samples are scored alike.")
        pairs["unflagged"] = True
    else:
        pairs["unflagged"] = (pairs["flags"].astype("int64") & UNUSABLE) == 0
    wanted = [one for one in SUBSETS if flags in (one, "both") and (has_flags or one == "all")]
    return Validation(
        estimates=name,
        reference=reference_name,
        options={
            "window": window,
            "timing": timing,
            "depth": list(depth),
            "ismn_flags": list(ismn_flags) if measured.is_ismn else None,
            "bootstrap": bootstrap,
            "seed": seed,
        },
        scores={one: _score(pairs, one, bootstrap, seed) for one in wanted},
        kept_share=float(pairs["unflagged"].mean()) if has_flags else None,
        samples=pairs,
        series=_series(measured, pairs),
        notes=(*notes, *measured.notes),
    )


def _check(window: int, hours: float | None, depth: tuple[float, float], flags: str, bootstrap: int) -> None:
    if window < 1 or window > 101 or window % 2 == 0:
        raise InvalidInputError(f"Option window = {window}: give an odd number of pixels from 1 to 101.")
    if hours is not None and not 0 < hours <= 240:
        raise InvalidInputError(f"Option time_window_hours = {hours}: give more than 0 and at most 240 hours.")
    if not 0 <= depth[0] <= depth[1] <= 10:
        raise InvalidInputError(f"Option depth = {depth[0]}, {depth[1]}: give two depths in metres, the upper first.")
    if flags not in (*SUBSETS, "both"):
        raise InvalidInputError(f"Option flags = {flags!r}: give 'both', 'all' or 'unflagged'.")
    if not 0 <= bootstrap <= 100_000:
        raise InvalidInputError(f"Option bootstrap = {bootstrap}: give a number of draws from 0 to 100000.")


def _read(
    path: Path | str,
    depth: tuple[float, float],
    flags: Sequence[str],
    columns: Mapping[str, str] | None,
    wanted: Wanted,
) -> Reference:
    return read_reference(Path(path), depth=depth, ismn_flags=flags, columns=columns or {}, wanted=wanted)


def _near(items: Sequence[ResultItem]) -> Wanted:
    """Return what tells whether a place may lie on a result, so that other ISMN stations are not read."""
    reaches = [reach_of(item) for item in items]
    return lambda latitude, longitude: any(reach(latitude, longitude) for reach in reaches)


def _score(pairs: pd.DataFrame, subset: str, bootstrap: int, seed: int) -> Scores:
    return score(pairs if subset == "all" else pairs[pairs["unflagged"]], bootstrap, seed)


def _series(measured: Reference, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements around the estimates, for the figure."""
    table = measured.table
    margin = pd.Timedelta(days=3)
    near = table["time"].between(pairs["time"].min() - margin, pairs["time"].max() + margin)
    return table[near & table["site"].isin(pairs["site"].unique())][["site", "sensor", "time", "soil_moisture"]]
