"""What names and the files beside rasters tell: JAXA's names, summary.txt and leader, CARD4L XML."""

import datetime as dt
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escape_process.errors import InvalidInputError
from escape_process.readers.geotiff.card4l import hints_of_card4l, parse_xml
from escape_process.readers.geotiff.hints import Hints, hints_of_names
from escape_process.readers.geotiff.jaxa import hints_of_alos2, hints_of_mosaic
from escape_process.readers.geotiff.leader import hints_of_leader
from escape_process.readers.geotiff.summary import hints_of_summary, parse_summary
from escape_process.settings import Settings

SETTINGS = Settings()
LEVEL_21 = "IMG-HH-ALOS2014555550-140829-HBQR2.1GUA.tif"


@pytest.fixture(scope="module")
def real_zip(shared_data: Path) -> zipfile.ZipFile:
    """Return the archive of a real level 1.5 product."""
    (path,) = (shared_data / "alos2_l15_fbd_ceos").glob("*.zip")
    return zipfile.ZipFile(path)


def test_real_summary(real_zip: zipfile.ZipFile) -> None:
    summary = parse_summary(real_zip.read("summary.txt"))
    assert len(summary.values) == 62
    assert {key[:4] for key in summary.values} == {"Odi_", "Scs_", "Pds_", "Img_", "Pdi_", "Ach_", "Rad_", "Lbi_"}
    assert summary.scene == "ALOS2015976960-140909"
    assert summary.times == (
        dt.datetime(2014, 9, 9, 4, 33, 42, 52000, tzinfo=dt.UTC),
        dt.datetime(2014, 9, 9, 4, 33, 52, 52000, tzinfo=dt.UTC),
    )
    assert summary.number("Img_OffNadirAngle", 1, 70) == 36.6
    assert summary.text("Pdi_ProductFormat") == "CEOS"
    assert summary.complaints == ()


def write_summary(folder: Path, text: str) -> dict[str, str]:
    (folder / "summary.txt").write_bytes(text.encode())
    return {"summary.txt": str(folder / "summary.txt"), LEVEL_21: str(folder / LEVEL_21)}


def test_summary_becomes_properties(tmp_path: Path) -> None:
    beside = write_summary(
        tmp_path,
        '\ufeffScs_SceneID="ALOS2014555550-140829"\r\nImg_SceneCenterDateTime="20140829 04:33:47.052"\r'
        'Pds_PixelSpacing="2.5"\nImg_OffNadirAngle = 28.4\nImg_OffNadirAngle="99"\nLbi_ProcessLevel="2.1"\nnonsense\n'
        'Ach_TimeCheck="BAD"\nAch_LossLines=""\nRad_PracticeResultCode="GOOD"',
    )
    hints = hints_of_summary(beside, SETTINGS)
    assert (hints.start, hints.end) == (dt.datetime(2014, 8, 29, 4, 33, 47, 52000, tzinfo=dt.UTC), None)
    assert hints.properties == {
        "view:off_nadir": 28.4,
        "sar:pixel_spacing_range": 2.5,
        "sar:pixel_spacing_azimuth": 2.5,
    }
    assert hints.warnings == ("The product's summary says Ach_TimeCheck = 'BAD'.",)


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ('Scs_SceneID="ALOS2999995550-200101"\nImg_OffNadirAngle="28.4"', "not of these rasters"),
        ("", "holds nothing"),
        ("\x00\x01\x02", "holds nothing"),
        ('Img_SceneCenterDateTime="20141399 04:33:47"', "no time that can be read"),
        ('Img_SceneCenterDateTime="20140829 04:33:47"\nLbi_ProcessLevel="1.5"', "level '1.5'"),
    ],
)
def test_odd_summary_is_warned_of(tmp_path: Path, text: str, warned: str) -> None:
    assert any(warned in warning for warning in hints_of_summary(write_summary(tmp_path, text), SETTINGS).warnings)


def test_summary_that_is_too_long(tmp_path: Path) -> None:
    hints = hints_of_summary(write_summary(tmp_path, "x" * (2**20 + 1)), SETTINGS)
    assert "longer than" in hints.warnings[0]


@given(st.binary(max_size=400))
def test_any_bytes_are_a_summary(content: bytes) -> None:
    summary = parse_summary(content)
    start, end = summary.times
    assert end is None or (start is not None and start <= end)
    assert all(value.isprintable() for value in summary.values.values())


KEYS = st.sampled_from(["Odi_SceneId", "Scs_SceneID", "Pds_PixelSpacing", "Img_OffNadirAngle", "Xyz_1", "Ach_Time_2"])
VALUES = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs"), exclude_characters='"'), max_size=20)


@given(st.dictionaries(KEYS, VALUES, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_summary_round_trip(values: dict[str, str], end: str, quoted: bool) -> None:
    mark = '"' if quoted else ""
    text = end.join(f"{key}={mark}{value}{mark}" for key, value in values.items())
    assert parse_summary(text.encode()).values == {key: value.strip() for key, value in values.items()}


@given(st.datetimes(dt.datetime(2014, 5, 24), dt.datetime(2060, 1, 1)))
def test_times_of_a_summary(time: dt.datetime) -> None:
    text = f'Img_SceneCenterDateTime="{time:%Y%m%d %H:%M:%S}.{time.microsecond:06}"'
    assert parse_summary(text.encode()).times == (time.replace(tzinfo=dt.UTC), None)


MODES = ("HBQ", "FBQ", "HBD", "WBD", "UBS")


@given(
    st.integers(0, 99999),
    st.dates(dt.date(2014, 5, 24), dt.date(2060, 1, 1)),
    st.sampled_from(MODES),
    st.sampled_from("LR"),
    st.sampled_from(["1.5", "2.1", "2.2", "3.1"]),
    st.sampled_from("AD"),
    st.sampled_from("-_"),
)
def test_names_tell_what_they_were_made_of(
    orbit: int, day: dt.date, mode: str, look: str, level: str, direction: str, mark: str
) -> None:
    stem = f"ALOS2{orbit:05}5550-{day:%y%m%d}{mark}{mode}{look}{level}GU{direction}"
    hints = hints_of_alos2({f"IMG-HH-{stem}.tif": "", "summary.txt": ""}, SETTINGS)
    assert hints.properties["sat:absolute_orbit"] == orbit
    assert hints.properties["sar:instrument_mode"] == mode
    assert hints.properties["sar:observation_direction"] == {"L": "left", "R": "right"}[look]
    assert hints.properties["sat:orbit_state"] == {"A": "ascending", "D": "descending"}[direction]
    assert hints.radiometry == ("gamma0" if level == "2.2" else "sigma0")
    assert hints.start is not None
    assert hints.start.date() == day
    assert hints.id is not None
    assert "." not in hints.id


@given(st.text(max_size=60))
def test_any_name_is_taken(name: str) -> None:
    for source in (hints_of_alos2, hints_of_mosaic):
        assert isinstance(source({name: ""}, SETTINGS), Hints)
    assert isinstance(hints_of_names([name]), Hints)


def test_date_that_is_none() -> None:
    hints = hints_of_alos2({"IMG-HH-ALOS2014555550-149999-HBQR2.1GUA.tif": ""}, SETTINGS)
    assert (hints.start, hints.end) == (None, None)


@pytest.mark.parametrize(
    ("names", "radiometry", "encoding"),
    [
        (["HH_gamma0.tif", "HV_gamma0.tif"], "gamma0", None),
        (["Sigma0_HH_db.tif", "Sigma0_VV_db.tif"], "sigma0", "db"),
        (["beta-nought_HH.tif"], "beta0", None),
        (["HH_gamma0.tif", "HV_sigma0.tif"], None, None),
        (["HH_gamma0.tif", "HV.tif"], None, None),
        (["HH.tif"], None, None),
        (["gamma05_HH.tif"], None, None),
        (["fbdr_HH.tif"], None, None),
    ],
)
def test_names_of_rasters_may_tell_their_values(names: list[str], radiometry: str | None, encoding: str | None) -> None:
    hints = hints_of_names(names)
    assert (hints.radiometry, hints.encoding) == (radiometry, encoding)


def test_real_level_2_2_metadata(shared_data: Path) -> None:
    folder = shared_data / "alos2_l22_scansar_stac"
    hints = hints_of_card4l({path.name: str(path) for path in folder.iterdir()}, SETTINGS)
    assert hints.start == dt.datetime(2022, 6, 30, 15, 58, 0, 78000, tzinfo=dt.UTC)
    assert hints.end == dt.datetime(2022, 6, 30, 15, 58, 56, 442000, tzinfo=dt.UTC)
    assert (hints.radiometry, hints.encoding, hints.calibration_factor_db) == ("gamma0", "dn", -83.0)
    assert hints.noise_floor_db == {"HH": -30.0, "HV": -32.5}
    assert hints.angle_scale == 0.01
    assert hints.mask_classes == {0: "no_data", 1: "valid", 2: "layover", 3: "shadow", 4: "water", 5: "invalid"}
    assert hints.properties == {
        "platform": "alos-2",
        "instruments": ["palsar-2"],
        "sar:center_frequency": 1.2365,
        "sar:frequency_band": "L",
        "sar:instrument_mode": "WWD",
        "sar:observation_direction": "right",
        "sat:orbit_state": "ascending",
        "view:incidence_angle": pytest.approx((45.153 + 60.590) / 2, abs=1e-3),
    }


def test_xml_that_is_not_trusted(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    with pytest.raises(InvalidInputError, match="document type"):
        parse_xml(laughs.encode(), "a.xml")
    with pytest.raises(InvalidInputError, match="not XML"):
        parse_xml(laughs.encode("utf-16"), "a.xml")
    with pytest.raises(InvalidInputError, match="50 deep"):
        parse_xml(b"<PerformanceIndicators>" * 20_000, "a.xml")
    (tmp_path / "a.xml").write_text('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')
    hints = hints_of_card4l({"a.xml": str(tmp_path / "a.xml")}, SETTINGS)
    assert "not used: a.xml declares a document type" in hints.warnings[0]


@given(st.floats(0, 1))
def test_truncated_xml_is_warned_of(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    (path,) = (shared_data / "alos2_l22_scansar_stac").glob("*.xml")
    content = path.read_bytes().rstrip()
    cut = tmp_path_factory.mktemp("xml") / "summary.xml"
    cut.write_bytes(content[: int(share * (len(content) - 1))])
    hints = hints_of_card4l({"summary.xml": str(cut)}, SETTINGS)
    assert hints == Hints(
        warnings=("The metadata beside the rasters are not used: summary.xml is not XML, or cut short.",)
    )


@pytest.mark.parametrize("value", ["", "1", "-1e999", "2022-06-30T15:58:00Z", "x"])
def test_odd_values_in_the_metadata(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    names = ("StartTime", "EndTime", "RadarCenterFrequency", "Satellite", "IncAngleNearRange", "IncAngleFarRange")
    inside = "".join(f"<{name}>{value}</{name}>" for name in names)
    path = tmp_path_factory.mktemp("xml") / "a.xml"
    path.write_text(f"<P><SourceAttributes>{inside}</SourceAttributes></P>")
    hints = hints_of_card4l({"a.xml": str(path)}, SETTINGS)
    assert (hints.start is None) == (not value.startswith("2022"))
    assert "sar:center_frequency" not in hints.properties or value == "1"


def test_real_leader_beside_rasters(real_zip: zipfile.ZipFile, tmp_path: Path) -> None:
    name = "LED-ALOS2015976960-140909-FBDR1.5GUA"
    path = Path(real_zip.extract(name, tmp_path))
    beside = {name: str(path), "IMG-HH-ALOS2015976960-140909-FBDR1.5GUA.tif": ""}
    hints = hints_of_leader(beside, SETTINGS)
    assert hints.properties["sar:center_frequency"] == pytest.approx(1.2365, abs=1e-4)
    assert hints.properties["view:off_nadir"] == pytest.approx(36.6, abs=0.1)
    assert hints.properties["view:incidence_angle"] == pytest.approx(40.5, abs=1.5)
    assert hints.calibration_factor_db == -83.0
    path.write_bytes(path.read_bytes()[:5000])
    assert "leader beside the rasters is not used" in hints_of_leader(beside, SETTINGS).warnings[0]


def test_hints_override_each_other() -> None:
    noon, later = dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC), dt.datetime(2024, 5, 5, tzinfo=dt.UTC)
    one = Hints(start=noon, properties={"platform": "a"}, mask_classes={1: "valid"}, warnings=("One.",))
    two = Hints(
        id="two", start=noon, end=later, properties={"platform": "b", "view:off_nadir": 30}, mask_classes={0: "no_data"}
    )
    both = one.over(two)
    assert (both.id, both.start, both.end) == ("two", noon, None)
    assert both.properties == {"platform": "a", "view:off_nadir": 30}
    assert both.mask_classes == {1: "valid"}
    assert both.warnings == ("One.",)
