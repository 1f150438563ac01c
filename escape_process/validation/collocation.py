"""Brings each estimate together with the measurements at its site and time."""

import pandas as pd

from escape_process.errors import InvalidInputError
from escape_process.validation.references import Reference
from escape_process.validation.tables import listed

DEFAULT_HOURS = 6.0


def collocate(
    estimates: pd.DataFrame, reference: Reference, by_day: bool, hours: float | None, names: tuple[str, str]
) -> tuple[pd.DataFrame, str]:
    """Pair estimates with measurements.

    With times on both sides: the nearest value of each sensor within `hours`, averaged over the sensors of the site.
    With dates on either side: the mean over the same UTC day.

    Parameters
    ----------
    estimates
        site, time, soil_moisture, sigma, p05, p95, flags.
    by_day
        Whether the estimates have dates only.
    names
        Of the estimates and of the reference, for messages.

    Returns
    -------
    The estimates that found a partner, with the columns reference and reference_sd more, by site and time, and in
    words how times were matched.

    Raises
    ------
    InvalidInputError
        where no site is common, or no time.
    """
    shared = set(estimates["site"]) & set(reference.table["site"])
    if not shared:
        raise InvalidInputError(
            f"{names[0]} and {names[1]} have no site in common: the first has {_names(estimates)}, the second"
            f" {_names(reference.table)}."
        )
    measured = reference.table[reference.table["site"].isin(shared)]
    if by_day or reference.by_day:
        if hours is not None:
            raise InvalidInputError(
                f"Option time_window_hours = {hours:g} cannot be used: {names[0] if by_day else names[1]} has dates"
                " only, so values of the same day are compared."
            )
        pairs, timing = _same_day(estimates, measured), "same UTC day"
    else:
        hours = DEFAULT_HOURS if hours is None else hours
        pairs, timing = _nearest(estimates, measured, pd.Timedelta(hours=hours)), f"nearest within {hours:g} h"
    if pairs.empty:
        raise InvalidInputError(
            f"No measurement fits any estimate in time ({timing}): at the {len(shared)} common sites {names[0]} spans"
            f" {_span(estimates)} and {names[1]} {_span(measured)}."
        )
    return pairs.sort_values(["site", "time"], kind="stable").reset_index(drop=True), timing


def _same_day(estimates: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    daily = (
        measured.assign(day=measured["time"].dt.floor("D"))
        .groupby(["site", "day"], as_index=False)
        .agg(reference=("soil_moisture", "mean"), reference_sd=("sd", "mean"))
    )
    left = estimates.assign(day=estimates["time"].dt.floor("D"))
    return left.merge(daily, on=["site", "day"]).drop(columns="day")


def _nearest(estimates: pd.DataFrame, measured: pd.DataFrame, tolerance: pd.Timedelta) -> pd.DataFrame:
    left = estimates.assign(row=range(len(estimates))).sort_values("time", kind="stable")
    matched = []
    for _, sensor in measured.groupby(["site", "sensor"]):
        right = sensor[["site", "time", "soil_moisture", "sd"]].sort_values("time", kind="stable")
        right = right.rename(columns={"soil_moisture": "reference", "sd": "reference_sd"})
        here = left.loc[left["site"] == right["site"].iloc[0], ["row", "time"]]
        nearest = pd.merge_asof(here, right.drop(columns="site"), on="time", direction="nearest", tolerance=tolerance)
        matched.append(nearest[nearest["reference"].notna()])
    together = pd.concat(matched).groupby("row")[["reference", "reference_sd"]].mean()
    return left.set_index("row").join(together, how="inner")


def _names(table: pd.DataFrame) -> str:
    return listed(sorted(table["site"].unique()), most=5)


def _span(table: pd.DataFrame) -> str:
    return f"{table['time'].min():%Y-%m-%d} to {table['time'].max():%Y-%m-%d}"
