"""Results as maps: a tile has the colour of the file's value, and a click gives the value itself."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
import pytest
import rasterio
from serving import PROCESS

from escape_process.layers import FLAG, FLAGS, LAYER, LAYERS, UNUSABLE

from .conftest import colour_at, get_as_written, lon_lat, pixels_of

PLACES = [(599, 699), (300, 400), (10, 690), (500, 3)]
"""Cells of the result `whole`, corners among them."""


@pytest.fixture(scope="module")
def told(url: str) -> dict[str, Any]:
    """Return what the server says of a result."""
    answer = httpx.get(f"{url}/maps/whole", trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@contextmanager
def opened(folder: Path, layer: str, item: str = "whole") -> Iterator[Any]:
    with rasterio.open(folder / "data" / "catalog" / PROCESS / item / f"{layer}.tif") as raster:
        yield raster


def test_what_is_told_of_a_map(client: httpx.Client, told: dict[str, Any], url: str, folder: Path) -> None:
    item = json.loads((folder / "data" / "catalog" / PROCESS / "whole" / "whole.json").read_text())
    assert told["id"] == "whole"
    assert told["datetime"] == item["properties"]["datetime"]
    assert told["bounds"] == item["bbox"]
    assert told["tiles"] == f"{url}/maps/whole/{{layer}}/{{z}}/{{x}}/{{y}}.png"
    assert [layer["name"] for layer in told["layers"]] == [layer.name for layer in LAYERS]
    for described in told["layers"]:
        layer = LAYER[described["name"]]
        assert (described["unit"], described["description"]) == (layer.unit, layer.description)
        assert tuple(described["rescale"]) == layer.rescale
    cell = 50 / np.cos(np.radians(40.6))
    assert 2 < cell / (2 * np.pi * 6378137 / 256 / 2 ** told["maxzoom"]) < 16
    assert client.get(told["item"]).json()["id"] == "whole"
    assert len(told["downloads"]) == len(item["assets"])
    for download in told["downloads"]:
        answer = client.head(download["href"])
        assert answer.status_code == 200
        assert int(answer.headers["Content-Length"]) == download["size"]
        assert download["title"]
        assert answer.headers["Content-Type"].partition(";")[0] == download["type"].partition(";")[0]


def test_what_is_simulated_says_so_everywhere(client: httpx.Client, told: dict[str, Any]) -> None:
    assert told["simulated"] is True
    real = client.get("/maps/real").json()
    assert real["simulated"] is False
    for text in (told["title"], *(layer["title"] for layer in told["layers"])):
        assert "simulated" in text
    for text in (real["title"], *(layer["title"] for layer in real["layers"])):
        assert "simulated" not in text


@pytest.mark.parametrize("name", [layer.name for layer in LAYERS if layer.name != "flags"])
def test_a_tile_has_the_colour_of_the_files_value(
    client: httpx.Client, told: dict[str, Any], folder: Path, name: str
) -> None:
    low, high = LAYER[name].rescale or (0, 1)
    palette = next(known for known in mpl.colormaps if known.lower() == LAYER[name].colormap.lower())
    with opened(folder, name) as raster:
        values = raster.read(1, masked=True)
        for place in PLACES:
            assert not values.mask[place] if values.mask.shape else True
            step = int(np.clip((float(values[place]) - low) / (high - low), 0, 1) * 255)
            wanted = np.array(mpl.colormaps[palette](step)) * 255
            found = colour_at(client, told, name, *lon_lat(raster, *place))
            assert np.abs(found - wanted).max() <= 1, (place, values[place], found, wanted)


def test_the_legend_has_the_colours_of_the_tiles(client: httpx.Client, told: dict[str, Any], folder: Path) -> None:
    described = told["layers"][0]
    low, high = described["rescale"]
    stops = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in described["colors"]])
    with opened(folder, "soil_moisture") as raster:
        values = raster.read(1)
        for place in PLACES:
            share = (values[place] - low) / (high - low) * (len(stops) - 1)
            wanted = [np.interp(share, np.arange(len(stops)), stops[:, band]) for band in range(3)]
            found = colour_at(client, told, "soil_moisture", *lon_lat(raster, *place))
            assert np.abs(found[:3] - wanted).max() < 6


def test_flags_have_the_colour_of_the_first_class_that_is_set(
    client: httpx.Client, told: dict[str, Any], folder: Path
) -> None:
    (described,) = [layer for layer in told["layers"] if layer["name"] == "flags"]
    unflagged, *flagged = described["classes"]
    assert unflagged["value"] == 0
    assert {one["bit"]: one["name"] for one in flagged} == {flag.bit: flag.name for flag in FLAGS}
    assert len({one["color"] for one in described["classes"]}) == len(FLAGS) + 1
    advisory = [not FLAG[one["name"]].mask & UNUSABLE for one in flagged]
    assert advisory == sorted(advisory), "advice hides a reason"
    with opened(folder, "flags") as raster:
        row = raster.read(1)[-1]
        assert row[len(FLAGS) + 1] == FLAG["open_water"].mask | FLAG["outside_model"].mask
        for column in range(len(FLAGS) + 2):
            wanted = next((one for one in flagged if row[column] & 1 << one["bit"]), unflagged)["color"]
            found = colour_at(client, told, "flags", *lon_lat(raster, raster.height - 1, column))
            assert ("transparent" if found[3] == 0 else "#{:02x}{:02x}{:02x}".format(*found[:3])) == wanted
    assert next(one["name"] for one in flagged if one["bit"] in (1, 4)) == "open_water"


def test_what_is_missing_is_transparent(client: httpx.Client, told: dict[str, Any], folder: Path) -> None:
    with opened(folder, "soil_moisture") as raster:
        assert raster.read(1)[20, 20] == raster.nodata
        for name in LAYER:
            assert colour_at(client, told, name, *lon_lat(raster, 20, 20))[3] == 0
    for z, x, y in ((0, 0, 0), (14, 0, 0), (24, 2**24 - 1, 2**24 - 1), (3, 7, 3)):
        pixels = pixels_of(client.get(f"/maps/real/soil_moisture/{z}/{x}/{y}.png"))
        assert pixels[..., 3].max() == 0, (z, x, y)


def test_a_result_across_the_antimeridian_lies_on_both_edges_of_the_map(client: httpx.Client) -> None:
    west, south, east, north = client.get("/maps/dateline").json()["bounds"]
    assert west > 179 > -179 > east > -180
    for x, widest in ((63, 180 - west), (0, 180 + east)):
        shown = pixels_of(client.get(f"/maps/dateline/soil_moisture/6/{x}/35.png"))[..., 3] > 0
        assert shown.any(axis=0).sum() == pytest.approx(widest / (360 / 64) * 256, abs=2)
    middle = (south + north) / 2
    inside, same = (
        client.get("/maps/dateline/values", params={"lon": lon, "lat": middle}).json() for lon in (180, -180)
    )
    assert inside["values"]["soil_moisture"] is not None
    assert inside["values"] == same["values"]


def test_values_are_those_of_the_files(client: httpx.Client, folder: Path) -> None:
    for place in [*PLACES, (20, 20)]:
        with opened(folder, "flags") as raster:
            lon, lat = lon_lat(raster, *place)
            bits = int(raster.read(1)[place])
        told = client.get("/maps/whole/values", params={"lon": lon, "lat": lat}).json()
        assert (told["lon"], told["lat"]) == (lon, lat)
        assert set(told["values"]) == set(LAYER)
        for name, value in told["values"].items():
            with opened(folder, name) as raster:
                stored = raster.read(1)[place]
            assert value == (None if stored == LAYER[name].nodata else stored), name
        assert [flag["name"] for flag in told["flags"]] == [flag.name for flag in FLAGS if bits & flag.mask]
        assert [flag["advisory"] for flag in told["flags"]] == [
            not flag.mask & UNUSABLE for flag in FLAGS if bits & flag.mask
        ]
        assert told["unusable"] == bool(bits & UNUSABLE)


@pytest.mark.parametrize(
    ("lon", "lat"), [(0, 0), (-3.6, 41), (176.4, -40.6), (-3.6 + 180, -40.6), (180, 90), (-180, -90)]
)
def test_there_are_no_values_outside(client: httpx.Client, lon: float, lat: float) -> None:
    told = client.get("/maps/whole/values", params={"lon": lon, "lat": lat}).json()
    assert set(told["values"].values()) == {None}
    assert told["unusable"] is True


@pytest.mark.parametrize(
    ("lon", "lat", "wrong"),
    [
        (None, "1", "lon"),
        ("1", None, "lat"),
        ("", "1", "lon"),
        ("181", "1", "lon"),
        ("1", "-90.1", "lat"),
        ("nan", "1", "lon"),
        ("1", "inf", "lat"),
        ("1e999", "1", "lon"),
        ("x" * 1000, "1", "lon"),
        ("1", "1,2", "lat"),
    ],
)
def test_wrong_places(client: httpx.Client, lon: str | None, lat: str | None, wrong: str) -> None:
    given = {name: text for name, text in (("lon", lon), ("lat", lat)) if text is not None}
    answer = client.get("/maps/whole/values", params=given)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"Parameter {wrong} ")
    assert len(answer.json()["detail"]) < 200


@pytest.mark.parametrize(
    "path",
    [
        "/maps/none",
        "/maps/none/values?lon=1&lat=1",
        "/maps/none/soil_moisture/0/0/0.png",
        "/maps/whole/other/0/0/0.png",
        "/maps/whole/thumbnail/0/0/0.png",
        "/maps/whole/soil_moisture/25/0/0.png",
        "/maps/whole/soil_moisture/1/2/0.png",
        "/maps/whole/soil_moisture/1/0/2.png",
        "/maps/whole/soil_moisture/-1/0/0.png",
        "/maps/whole/soil_moisture/0/0/-0.png",
        "/maps/whole/soil_moisture/1e1/0/0.png",
        "/maps/whole/soil_moisture/%C2%B2/0/0.png",
        "/maps/whole/soil_moisture/99999999999999999999/99999999999999999999/0.png",
        "/maps/whole/soil_moisture/0/0/0.jpg",
        "/maps/%2e%2e",
        "/maps/..%2fescape-soil-moisture%2fwhole",
        "/maps/%2e%2e%2f%2e%2e%2fjobs.sqlite/soil_moisture/0/0/0.png",
        "/maps/whole%00/soil_moisture/0/0/0.png",
        "/maps/.whole",
        "/maps/whole/..%2f..%2fsecret/0/0/0.png",
        "/maps/whole/%2e%2e/0/0/0.png",
        "/maps/http:%2f%2f127.0.0.1%2fx.tif/soil_moisture/0/0/0.png",
        "/maps/s3:%2f%2fbucket%2fx/soil_moisture/0/0/0.png",
        "/maps/%2fvsicurl%2fhttp/soil_moisture/0/0/0.png",
    ],
)
def test_nothing_else_is_there(client: httpx.Client, path: str) -> None:
    answer = get_as_written(client, path)
    assert answer.status_code == 404, answer.text
    assert answer.json()["detail"].endswith((".", "/y", "2^z - 1."))
    assert "/data" not in answer.json()["detail"]


def test_only_reading(client: httpx.Client) -> None:
    for path in ("/maps/whole", "/maps/whole/values", "/maps/whole/soil_moisture/0/0/0.png", "/page/settings.json"):
        assert client.post(path).status_code == 405
        assert client.head(path, params={"lon": 1, "lat": 1}).status_code == 200


def test_a_tile_is_asked_for_once(client: httpx.Client) -> None:
    address = "/maps/whole/soil_moisture/5/15/12.png"
    first = client.get(address)
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    others = (
        address.replace("soil_moisture", "flags"),
        address.replace("whole", "real"),
        address.replace("/12", "/11"),
    )
    for other in others:
        assert client.get(other, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_an_unpublished_result_has_a_map_too(client: httpx.Client) -> None:
    told = client.get("/maps/hidden")
    assert told.headers["Cache-Control"] == "private, no-cache"
    tile = client.get("/maps/hidden/soil_moisture/9/250/192.png")
    assert tile.headers["Cache-Control"] == "private, no-cache"
    assert pixels_of(tile)[..., 3].any()
    item = client.get(told.json()["item"]).json()
    assert item["id"] == "hidden"
    for download in told.json()["downloads"]:
        assert client.head(download["href"]).status_code == 200
    client.get("/maps/whole")
    assert client.get("/stac-api/search", params={"ids": "hidden"}).json()["features"] == []


def test_many_at_once(client: httpx.Client) -> None:
    addresses = [
        f"/maps/{item}/{layer}/{z}/{x}/{y}.png"
        for item in ("whole", "real")
        for layer in ("soil_moisture", "flags")
        for z, x, y in ((9, 250, 192), (9, 251, 192), (10, 501, 384), (5, 15, 12))
    ]
    alone = {address: client.get(address).content for address in addresses}
    assert len(set(alone.values())) > 8
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(client.get, addresses * 4))
    assert all(answer.status_code == 200 for answer in answers)
    for answer in answers:
        assert answer.content == alone[answer.url.path]
