"""SMAPVEX12: real airborne field means with in-situ soil moisture. A development set: bars show that all works."""

import csv

import numpy as np
import pytest

from escape_process import retrieval
from escape_process.layers import UNUSABLE


@pytest.fixture(scope="module")
def field_days(shared_data):
    path = shared_data / "smapvex12_pals_lband" / "field_days.csv"
    if not path.is_file():
        pytest.skip("no SMAPVEX12 table in the folder of real data")
    with path.open() as stream:
        rows = list(csv.DictReader(stream))

    def column(name):
        return np.array([float(row[name]) for row in rows])

    arguments = {name: 10 ** (column(f"{name}_median_db") / 10) for name in ("hh", "hv", "vv")}
    arguments |= {"incidence_angle": np.radians(column("incidence_deg")), "frequency": 1.26e9}
    arguments |= {
        "place": np.array([int(row["field_id"]) for row in rows]),
        "time": np.array([row["date"] for row in rows], dtype="datetime64[D]"),
    }
    return arguments, column("sm_insitu_m3m3")


def test_within_field_correlation_and_coverage(field_days):
    arguments, truth = field_days
    found = retrieval.retrieve(**arguments)
    place = arguments["place"]
    temporal = [
        np.corrcoef(found.soil_moisture[place == field], truth[place == field])[0, 1] for field in np.unique(place)
    ]
    assert np.median(temporal) > 0.45
    good = (found.flags & UNUSABLE) == 0
    assert good.mean() > 0.15
    assert (found.soil_moisture - truth)[good].std() < 0.11
    inside = (found.soil_moisture_p05 <= truth) & (truth <= found.soil_moisture_p95)
    assert inside[good].mean() > 0.8
