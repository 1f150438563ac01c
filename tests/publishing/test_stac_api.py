"""Publishing to stac-fastapi-pgstac with transactions, and to one that fails in every way."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stac_servers import Pgstac, make_collection

from escape_process.cli import main
from escape_process.errors import InvalidInputError, StorageError
from escape_process.publishing import check_targets, find_result, keep_result, publish_waiting
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

from .conftest import PUBLIC, REQUEST, Gate, settings_in, write_result

COLLECTION = "escape-soil-moisture"
TOKEN = "a-token-of-the-api"


def api_settings(folder: Path, gate: Gate, **options: Any) -> Settings:
    api = {"url": gate.url, "token": TOKEN}
    values = {"publish_to": ["stac_api"], "stac_api": api, "http_attempts": 2, "http_timeout": 20.0, **options}
    return settings_in(folder, **values)


def outbox(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.outbox_dir.glob("*.json"))


@pytest.mark.parametrize("targets", [["stac_api"], ["catalog", "stac_api"]])
def test_a_result_is_in_the_api(targets: list[str], tmp_path: Path, gate: Gate, pgstac: Pgstac) -> None:
    settings = api_settings(tmp_path, gate, publish_to=targets)
    item = write_result("one", tmp_path, settings)
    kept = keep_result(item, settings, published=True)
    assert kept.warning is None
    assert outbox(settings) == []
    found = pgstac.item(COLLECTION, "one")
    assert found["properties"] == item["properties"]
    assert {asset["href"].rpartition("/")[0] for asset in found["assets"].values()} == {
        f"{PUBLIC}/catalog/{COLLECTION}/one"
    }
    assert {key: asset["file:checksum"] for key, asset in found["assets"].items()} == {
        key: asset["file:checksum"] for key, asset in item["assets"].items()
    }
    assert [link["href"] for link in found["links"] if link["rel"] == "derived_from"] == [
        link["href"] for link in item["links"] if link["rel"] == "derived_from"
    ]
    assert (settings.results_dir / "one" / "one.json").exists() == ("catalog" in targets)
    assert {authorization for _, _, authorization in gate.seen} == {f"Bearer {TOKEN}"}
    search = {"collections": [COLLECTION], "datetime": "2024-06-01T00:00:00Z/2024-06-02T00:00:00Z"}
    (hit,) = pgstac.client.post("/search", json=search).json()["features"]
    assert hit["id"] == "one"
    again = find_result("one", settings)
    assert again is not None
    assert again.item["assets"] == kept.item["assets"]


def test_publishing_again_replaces_the_item(tmp_path: Path, gate: Gate, pgstac: Pgstac) -> None:
    settings = api_settings(tmp_path, gate)
    item = write_result("one", tmp_path, settings)
    keep_result(item, settings, published=True)
    first = pgstac.item(COLLECTION, "one")
    keep_result(item, settings, published=True)
    assert pgstac.item(COLLECTION, "one") == first
    changed = {
        **item,
        "properties": {**item["properties"], "title": "anew", "processing:datetime": "2025-01-01T00:00:00Z"},
    }
    assert keep_result(changed, settings, published=True).warning is None
    assert pgstac.item(COLLECTION, "one")["properties"]["title"] == "anew"
    assert [method for method, _, _ in gate.seen if method != "GET"] == ["POST", "POST", "POST", "PUT", "POST", "PUT"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("400", "did not take"),
        ("401", "does not accept the token"),
        ("409", "409"),
        ("500", "try again later"),
        ("302", "302"),
        ("nothing", "connection failed"),
    ],
)
def test_a_failing_api_leaves_a_result_that_is_published_later(
    fault: str, told: str, tmp_path: Path, gate: Gate, pgstac: Pgstac
) -> None:
    settings = api_settings(tmp_path, gate)
    item = write_result("one", tmp_path, settings)
    pgstac.load([make_collection(COLLECTION)], [])
    gate.fault = fault
    kept = keep_result(item, settings, published=True)
    assert kept.warning is not None
    assert told in kept.warning
    assert "secret" not in kept.warning
    assert TOKEN not in kept.warning
    assert outbox(settings) == ["one.json"]
    assert pgstac.client.get(f"/collections/{COLLECTION}/items/one").status_code == 404
    (waiting,) = publish_waiting(settings)
    assert waiting.reason is not None
    found = find_result("one", settings)
    assert found is not None
    assert found.warning is not None

    gate.fault = None
    (done,) = publish_waiting(settings)
    assert done.reason is None
    assert outbox(settings) == []
    shown = pgstac.item(COLLECTION, "one")
    assert shown["properties"] == item["properties"]
    assert publish_waiting(settings) == []
    assert pgstac.item(COLLECTION, "one") == shown


def test_a_lost_answer_is_no_harm(tmp_path: Path, gate: Gate, pgstac: Pgstac) -> None:
    settings = api_settings(tmp_path, gate)
    pgstac.load([make_collection(COLLECTION)], [])
    gate.fault = "lost"
    kept = keep_result(write_result("one", tmp_path, settings), settings, published=True)
    assert kept.warning is None
    assert [method for method, _, _ in gate.seen if method != "GET"] == ["POST", "POST", "PUT"]
    assert pgstac.item(COLLECTION, "one")["id"] == "one"


def test_the_command_completes_what_a_killed_api_left(tmp_path: Path, gate: Gate, pgstac: Pgstac) -> None:
    settings = api_settings(tmp_path, gate)
    gate.close()
    item = write_result("one", tmp_path, settings)
    assert keep_result(item, settings, published=True).warning is not None
    config = tmp_path / "config.yml"
    process = {"data_dir": "data", "catalog_seed": None, "publish_to": ["stac_api"], "public_url": PUBLIC}
    process |= {"stac_api": {"url": gate.url, "token": TOKEN}, "http_attempts": 1}
    config.write_text(json.dumps({"resources": {"one": {"type": "process", "processor": {"settings": process}}}}))

    def publish() -> tuple[int, Any]:
        result = CliRunner().invoke(main, ["publish", "--config", str(config), "--json"])
        return result.exit_code, json.loads(result.output)

    status, told = publish()
    assert status == 1
    assert [one["id"] for one in told["waiting"]] == ["one"]
    gate.open()
    assert publish() == (0, {"published": ["one"], "waiting": []})
    shown = pgstac.item(COLLECTION, "one")
    assert publish() == (0, {"published": [], "waiting": []})
    assert pgstac.item(COLLECTION, "one") == shown
    assert CliRunner().invoke(main, ["publish", "--config", str(config)]).output == "Nothing waits to be published.\n"


@pytest.mark.parametrize("damaged", ["", '{"id":', "[]", '{"id": "two"}'])
def test_a_damaged_description_stops_no_other(damaged: str, tmp_path: Path, gate: Gate, pgstac: Pgstac) -> None:
    settings = api_settings(tmp_path, gate)
    item = write_result("one", tmp_path, settings)
    other = write_result("two", tmp_path, settings)
    gate.fault = "500"
    for one in (item, other):
        keep_result(one, settings, published=True)
    gate.fault = None
    (settings.outbox_dir / "one.json").write_text(damaged)
    reasons = {one.id: one.reason for one in publish_waiting(settings)}
    assert reasons == {"one": "What waits under one is damaged: ask for that result anew.", "two": None}
    assert find_result("one", settings) is None
    assert keep_result(item, settings, published=True).warning is None
    assert outbox(settings) == []
    assert pgstac.item(COLLECTION, "one")["id"] == "one"


def test_no_item_comes_before_its_files(tmp_path: Path, gate: Gate) -> None:
    settings = api_settings(tmp_path, gate)
    item = write_result("one", tmp_path, settings)
    raster = settings.results_dir / "one" / "soil_moisture.tif"
    whole = raster.read_bytes()
    raster.write_bytes(whole[:-1])
    with pytest.raises(StorageError, match=r"soil_moisture\.tif is missing or incomplete"):
        keep_result(item, settings, published=True)
    assert outbox(settings) == []
    assert gate.seen == []

    raster.write_bytes(whole)
    gate.close()
    keep_result(item, settings, published=True)
    gate.open()
    raster.unlink()
    (waiting,) = publish_waiting(settings)
    assert "soil_moisture.tif" in (waiting.reason or "")
    assert gate.seen == []


def test_settings_that_cannot_publish_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="publish_to names stac_api"):
        Settings.load({"publish_to": ["stac_api"]}, tmp_path)
    values = {"publish_to": ["stac_api"], "stac_api": {"url": "https://stac.example.org/", "token": TOKEN}}
    settings = Settings.load(values, tmp_path)
    assert settings.stac_api is not None
    assert settings.stac_api.url == "https://stac.example.org"
    assert TOKEN not in repr(settings)
    with pytest.raises(InvalidInputError, match="set public_url"):
        check_targets(REQUEST, settings)
    check_targets(RetrievalRequest(ids=["scene"], publish=False), settings)
    for wrong in ({"url": "stac.example.org"}, {"url": "https://a.example", "token": "${X}"}, {"token": "x"}):
        with pytest.raises(InvalidInputError, match="stac_api") as caught:
            Settings.load({"stac_api": {"headers": {"X-Key": "top-secret"}, **wrong}}, tmp_path)
        assert "top-secret" not in str(caught.value)
    settings = settings_in(tmp_path)
    settings.outbox_dir.mkdir(parents=True)
    (settings.outbox_dir / "one.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="set stac_api"):
        publish_waiting(settings)
