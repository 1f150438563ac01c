"""What a client may ask: each wrong input gives one sentence that names it and its value."""

import json
import resource
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from escape_process.errors import EscapeError, InvalidInputError
from escape_process.fields import parse_interval
from escape_process.request import RetrievalRequest

AREA = [-5.48, 41.23, -5.40, 41.29]
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}


def refusal(**inputs: Any) -> str:
    """Return the sentence with which inputs are refused."""
    with pytest.raises(InvalidInputError) as caught:
        RetrievalRequest.from_inputs(inputs)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({"bbox": [1, 2, 3]}, ["bbox", "[1, 2, 3]", "four"]),
        ({"bbox": "here"}, ["bbox", '"here"', "list"]),
        ({"bbox": [0, 0, 1, "x"]}, ["bbox", '"x"', "number"]),
        ({"bbox": [0, 2, 1, 1]}, ["bbox", "reversed", "south 2", "north 1"]),
        ({"bbox": [0, 1, 0, 2]}, ["bbox", "no width"]),
        ({"bbox": [0, 0, 181, 1]}, ["bbox", "181", "-180 to 180"]),
        ({"bbox": [0, -91, 1, 1]}, ["bbox", "-91", "-90 to 90"]),
        ({"bbox": [0, 0, float("nan"), 1]}, ["bbox", "finite"]),
        ({"bbox": {"bbox": [0, 0, 1, 1], "crs": "EPSG:0"}}, ["bbox", "EPSG:0", "unknown crs"]),
        ({"bbox": {"bbox": [0, 0, 1, 1], "crs": {}}}, ["bbox", "neither a name nor a code"]),
        ({"bbox": {"bbox": [1, 0], "crs": "\ud800"}}, ["half a surrogate pair"]),
        ({"bbox": {"corners": [0, 0, 1, 1]}}, ["bbox", "corners"]),
        ({"bbox": {"bbox": [9, 0, 1, 1], "crs": "EPSG:32630"}}, ["bbox", "[9, 0, 1, 1]"]),
        ({"geometry": {"type": "Point", "coordinates": [0, 0]}}, ["geometry", "'Point'", "Polygon"]),
        ({"geometry": {"type": "Polygon", "coordinates": "x"}}, ["geometry", "coordinates"]),
        ({"geometry": {"type": "Polygon", "coordinates": [[[10**400, 0]] * 4]}}, ["geometry", "coordinates"]),
        ({"bbox": AREA, "datetime": "0001-01-01T00:00:00+14:00"}, ["datetime", "0001", "RFC 3339"]),
        ({"geometry": {"type": "Feature", "geometry": [SQUARE]}}, ["geometry", "Feature without a geometry"]),
        ({"bbox": {"bbox": [0, 10**400, 1, 10**401], "crs": "EPSG:32630"}}, ["bbox", "corner", "EPSG:32630"]),
        ({"geometry": BOW_TIE}, ["geometry", "valid polygon", "Self-intersection"]),
        ({"bbox": AREA, "geometry": SQUARE}, ["bbox and geometry exclude each other"]),
        ({}, ["bbox, geometry and ids"]),
        ({"bbox": AREA, "datetime": "yesterday"}, ["datetime", '"yesterday"', "RFC 3339"]),
        ({"bbox": AREA, "datetime": "2024-06-01/2024-05-01"}, ["datetime", "reversed"]),
        ({"bbox": AREA, "datetime": "a/b/c"}, ["datetime", "more than one"]),
        ({"bbox": AREA, "datetime": 2024}, ["datetime", "2024", "string"]),
        ({"bbox": AREA, "bbbox": AREA}, ["'bbbox'", "the inputs are bbox"]),
        ({"bbox": AREA, "resolution": 0}, ["resolution", "= 0", "greater than 0"]),
        ({"bbox": AREA, "resolution": -50}, ["resolution", "-50", "greater than 0"]),
        ({"bbox": AREA, "resolution": "fine"}, ["resolution", '"fine"', "number"]),
        ({"bbox": AREA, "crs": 1}, ["crs", "1", "EPSG"]),
        ({"bbox": AREA, "crs": 4326}, ["crs", "4326", "projected"]),
        ({"bbox": AREA, "members": 0}, ["members", "= 0"]),
        ({"bbox": AREA, "members": 1000}, ["members", "1000", "100"]),
        ({"bbox": AREA, "members": 2.5}, ["members", "2.5", "integer"]),
        ({"bbox": AREA, "members": True}, ["members", "true", "integer"]),
        ({"bbox": AREA, "seed": -1}, ["seed", "-1"]),
        ({"bbox": AREA, "mode": "magic"}, ["mode", '"magic"', "variational"]),
        ({"bbox": AREA, "publish": "yes"}, ["publish", '"yes"', "true or false"]),
        ({"bbox": AREA, "filter": {"op": "="}}, ["filter", "CQL2"]),
        ({"bbox": AREA, "filter": {"op": "between", "args": [1, 2]}}, ["filter", "between does not take 2"]),
        (
            {"bbox": AREA, "filter": {"op": "or", "args": [{"op": "perhaps", "args": []}]}},
            ["filter", "no op 'perhaps'"],
        ),
        ({"bbox": AREA, "filter": {"op": "=", "args": [[[]] * 10_001, 1]}}, ["filter", "10000 terms"]),
        ({"bbox": AREA, "ids": []}, ["ids", "[]"]),
        ({"bbox": AREA, "looks": 0}, ["looks", "= 0"]),
        ({"bbox": AREA, "frequency": 5.4e9}, ["frequency", "5400000000"]),
        ({"bbox": AREA, "incidence_angle_deg": 90}, ["incidence_angle_deg", "90"]),
        ({"bbox": AREA, "radiometry": "sigma nought"}, ["radiometry", "sigma nought"]),
        ({"bbox": AREA, "max_scenes": 101}, ["max_scenes", "101"]),
        ({"bbox": AREA, "zones": SQUARE}, ["zones", "FeatureCollection"]),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any], parts: list[str]) -> None:
    sentence = refusal(**inputs)
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize("inputs", [[], 1, None, "text"])
def test_inputs_must_be_an_object(inputs: Any) -> None:
    with pytest.raises(InvalidInputError, match="JSON object"):
        RetrievalRequest.from_inputs(inputs)


def test_qualified_values_are_unwrapped() -> None:
    bare = RetrievalRequest.from_inputs({"bbox": AREA, "members": 5})
    qualified = RetrievalRequest.from_inputs({"bbox": {"value": AREA}, "members": {"value": 5}})
    assert qualified == bare


def test_bbox_with_crs_becomes_crs84() -> None:
    request = RetrievalRequest.from_inputs({"bbox": {"bbox": [500000, 4000000, 510000, 4010000], "crs": "EPSG:32630"}})
    assert request.bbox == pytest.approx([-3.0, 36.1447, -2.8887, 36.2349], abs=1e-3)


def test_bbox_across_the_antimeridian_is_two_boxes() -> None:
    area = RetrievalRequest.from_inputs({"bbox": [179, -1, -178, 1]}).area
    assert area is not None
    assert area.area == pytest.approx(3 * 2)
    assert area.bounds == (-180, -1, 180, 1)


def test_intervals() -> None:
    start, end = parse_interval("2024-05-01/2024-05-31")
    assert start is not None
    assert end is not None
    assert (start.isoformat(), end.isoformat()) == ("2024-05-01T00:00:00+00:00", "2024-05-31T23:59:59.999999+00:00")
    assert parse_interval("../2024-05-31T12:00:00+02:00")[0] is None
    assert parse_interval("2024-05-01T00:00:00Z/..")[1] is None
    instant = parse_interval("2024-05-01T06:00:00Z")
    assert instant[0] == instant[1]
    assert parse_interval("2024-05-01t06:00:00.000z") == instant


def test_digest_knows_what_changes_the_result_and_nothing_else() -> None:
    one = RetrievalRequest.from_inputs({"bbox": AREA})
    assert one.digest() == RetrievalRequest.from_inputs({"bbox": AREA, "publish": False, "reuse": False}).digest()
    assert one.digest() != RetrievalRequest.from_inputs({"bbox": AREA, "seed": 1}).digest()
    assert one.digest() != one.digest("another scene")


def test_described_schemas_accept_what_the_request_accepts() -> None:
    described = RetrievalRequest.describe_inputs()
    assert set(described) == set(RetrievalRequest.model_fields)
    for name, value in {"bbox": AREA, "geometry": SQUARE, "members": 10, "crs": 32630, "mode": "variational"}.items():
        schema = described[name]["schema"]
        Draft202012Validator.check_schema(schema)
        jsonschema.validate(value, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(0, described["members"]["schema"])
    json.dumps(described, allow_nan=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(RetrievalRequest.model_fields)), JSON, max_size=4))
def test_any_json_is_accepted_or_refused_in_a_sentence(inputs: dict[str, Any]) -> None:
    try:
        request = RetrievalRequest.from_inputs(inputs)
    except EscapeError as error:
        sentence = str(error)
    else:
        sentence = request.digest()
    assert "\n" not in sentence


def test_a_wrong_filter_takes_no_memory() -> None:
    """The library's own check took 1.5 GB to refuse this one."""
    wrong = {"op": "not", "args": [{"op": "between", "args": [1, {"op": "casei", "args": [{"property": "a"}]}]}]}
    limit = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 256 * 2**20, limit[1]))
    try:
        assert "between does not take 2" in refusal(bbox=AREA, filter=wrong)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
