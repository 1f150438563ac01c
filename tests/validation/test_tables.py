"""Tables: what is read, how times meet, what is refused and in which words."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytesmo", reason="the extra `validation` is not installed")

from escape_process.errors import InvalidInputError
from escape_process.validation import validate

ESTIMATES = "site,datetime,soil_moisture\np,2024-05-01T05:00Z,0.2\np,2024-05-02T05:00Z,0.3\np,2024-05-03T05:00Z,0.25\n"
REFERENCE = ESTIMATES.replace("05:00Z", "09:00Z")


def run(folder: Path, estimates: str = ESTIMATES, reference: str = REFERENCE, **options: Any) -> Any:
    (folder / "mine.csv").write_text(estimates, encoding="utf-8")
    (folder / "truth.csv").write_text(reference, encoding="utf-8")
    return validate(folder / "mine.csv", folder / "truth.csv", **{"bootstrap": 0, **options})


def test_the_nearest_measurement_within_the_window_counts(tmp_path: Path) -> None:
    reference = "site,datetime,soil_moisture\np,2024-05-01T00:00Z,0.9\np,2024-05-01T06:00+01:00,0.4\n"
    validation = run(tmp_path, reference=reference + "p,2024-05-02T11:30Z,0.5\n", flags="all")
    assert validation.samples["reference"].tolist() == [0.4]  # 05:00 UTC; 6.5 hours are too far
    assert validation.options["timing"] == "nearest within 6 h"
    wider = run(tmp_path, reference=reference + "p,2024-05-02T11:30Z,0.5\n", time_window_hours=7)
    assert wider.samples["reference"].tolist() == [0.4, 0.5]


def test_sensors_of_a_site_are_averaged(tmp_path: Path) -> None:
    reference = "site,datetime,depth,soil_moisture\np,2024-05-01T05:00Z,0.05,0.1\np,2024-05-01T06:00Z,0.05,0.9\n"
    reference += "p,2024-05-01T07:00Z,0.10,0.2\np,2024-05-01T05:00Z,0.30,0.9\n"
    validation = run(tmp_path, reference=reference)
    assert validation.samples["reference"].tolist() == pytest.approx([0.15])
    assert "1 rows of truth.csv outside 0 to 0.1 m depth were left out." in validation.notes


def test_dates_meet_on_the_same_day(tmp_path: Path) -> None:
    reference = "site,date,soil_moisture\np,2024-05-01,0.1\np,2024-05-01,0.2\np,2024-05-03,0.3\n"
    validation = run(tmp_path, reference=reference)
    assert validation.samples["reference"].tolist() == pytest.approx([0.15, 0.3])
    assert validation.options["timing"] == "same UTC day"


def test_values_per_zone_are_estimates_too(tmp_path: Path) -> None:
    validation = run(tmp_path, estimates=ESTIMATES.replace("site", "zone"))
    assert validation.scores["all"].pooled.figures["rmsd"].value == 0


def test_missing_and_frozen_rows_are_left_out(tmp_path: Path) -> None:
    reference = "site,datetime,soil_moisture,soil_temperature\np,2024-05-01T05:00Z,0.1,-0.5\n"
    reference += "p,2024-05-02T05:00Z,-9999,4\np,2024-05-03T05:00Z,0.3,4\n"
    validation = run(tmp_path, estimates=ESTIMATES + "p,2024-05-04T05:00Z,,\n".replace(",,", ","), reference=reference)
    assert validation.samples["reference"].tolist() == [0.3]
    assert validation.notes[-2:] == (
        "1 rows of truth.csv without soil moisture were left out.",
        "1 rows of truth.csv in frozen soil were left out.",
    )
    assert "1 rows of mine.csv without soil moisture were left out." in validation.notes


def test_a_real_table_under_its_own_column_names(shared_data: Path, tmp_path: Path) -> None:
    """The reference as its own estimate: perfect scores, all 240 field-days paired."""
    source = shared_data / "smapvex12_pals_lband" / "field_days.csv"
    columns = {"site": "field_id", "soil_moisture": "sm_insitu_m3m3", "soil_moisture_sd": "sm_insitu_std"}
    mine = source.read_text(encoding="utf-8").replace("field_id", "site").replace("sm_insitu_m3m3", "soil_moisture")
    (tmp_path / "mine.csv").write_text(mine, encoding="utf-8")
    scores = validate(tmp_path / "mine.csv", source, columns=columns, bootstrap=20).scores["all"]
    assert (scores.n, scores.sites, scores.dates) == (240, 24, 12)
    assert scores.pooled.figures["pearson_r"].value == pytest.approx(1)
    assert scores.pooled.figures["rmsd"].value == 0
    assert scores.reference_sd.value == pytest.approx(0.103, abs=5e-4)
    assert scores.reference_sd.low is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"estimates": "site,datetime\np,2024-05-01\n"}, "mine.csv has no column soil_moisture; it has site, datetime"),
        ({"estimates": "site,soil_moisture\np,0.2\n"}, "no column datetime or date"),
        ({"estimates": "site,datetime,soil_moisture\n"}, "mine.csv has no rows"),
        ({"estimates": ""}, "mine.csv cannot be read as CSV"),
        ({"estimates": ESTIMATES.replace("0.3", "30")}, "30 in row 3 lies outside 0 to 1; in percent?"),
        ({"reference": REFERENCE.replace("0.3", "-0.3")}, "-0.3 in row 3 lies outside 0 to 1"),
        ({"estimates": ESTIMATES.replace("0.3", "wet")}, "'wet' in row 3 is not a number"),
        ({"estimates": ESTIMATES.replace("2024-05-02T05:00Z", "May 2")}, "'May 2' in row 3 is not a date"),
        ({"estimates": ESTIMATES.replace("2024-05-02T05:00Z", "-9999-01-01")}, "'-9999-01-01' in row 3 is not a date"),
        ({"estimates": "site,date,soil_moisture\np,2024-05-01,\n"}, "Column soil_moisture of mine.csv has no value"),
        ({"estimates": "site,date,soil_moisture,flags\np,2024-05-01,0.2,1.5\n"}, "1.5 in row 2 is not a whole number"),
        (
            {"estimates": "site,date,soil_moisture,soil_moisture_p05,soil_moisture_p95\np,2024-05-01,.2,.3,.1\n"},
            "the first is larger in row 2; swapped?",
        ),
        ({"reference": REFERENCE.replace("p,", "q,")}, "no site in common: the first has p, the second q"),
        ({"reference": REFERENCE.replace("2024", "2023")}, "spans 2024-05-01 to 2024-05-03 and truth.csv 2023-05-01"),
        ({"reference": "site,datetime,soil_moisture,depth\np,2024-05-01,0.2,0.3\n"}, "1 lie outside 0 to 0.1 m"),
        ({"columns": {"site": "field"}}, "no column field, given for site"),
        ({"reference": "site,date,soil_moisture\np,2024-05-01,0.2\n", "time_window_hours": 3.0}, "has dates only"),
        ({"flags": "unflagged"}, "mine.csv has no column or asset flags"),
        ({"flags": "good"}, "flags = 'good'"),
        ({"window": 2}, "window = 2"),
        ({"depth": (0.2, 0.1)}, "depth = 0.2, 0.1"),
        ({"time_window_hours": 0.0}, "time_window_hours = 0.0"),
        ({"bootstrap": -1}, "bootstrap = -1"),
    ],
)
def test_refusals(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run(tmp_path, **changes)
    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_absent_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(ESTIMATES, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"The table none\.csv does not exist"):
        validate(tmp_path / "none.csv", tmp_path / "mine.csv")
    with pytest.raises(InvalidInputError, match="The reference stations does not exist"):
        validate(tmp_path / "mine.csv", tmp_path / "stations")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"notes\.txt is neither"):
        validate(tmp_path / "mine.csv", tmp_path / "notes.txt")
    with pytest.raises(InvalidInputError, match="Option columns"):
        validate(tmp_path / "mine.csv", tmp_path, columns={"site": "field"})
