"""The operator's credentials reach the host they are for, and nobody and nothing else."""

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from escape_process import hrefs
from escape_process.catalogue.search import find_scenes
from escape_process.errors import InvalidInputError, UpstreamError
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

from .conftest import Canary

TOKEN = "Bearer hush-hush"
SIGNATURE = "sv=2024-11-04&sig=hu%2Fsh%3D"


def settings_for(host: Canary, **access: Any) -> Settings:
    """Return settings with credentials for one host; all of loopback may be read."""
    access = access or {"headers": {"Authorization": TOKEN, "X-Api-Key": "hush"}, "query": SIGNATURE}
    values = {"hosts": {f"127.0.0.1:{host.port}": access}, "allowed_hosts": ["127.0.0.1"], "http_attempts": 1}
    return Settings.load(values, Path())


def test_headers_and_signature_are_sent(canary: Canary) -> None:
    settings = settings_for(canary)
    assert hrefs.read_json(f"{canary.url}/a.json", settings) == {}
    assert hrefs.read_json(f"{canary.url}/a.json?page=2", settings) == {}
    hrefs.fetch(f"{canary.url}/search", settings, method="POST", parameters={"limit": 1})
    hrefs.fetch(f"{canary.url}/search", settings, parameters={"limit": 1})
    hrefs.open_href(f"{canary.url}/a.tif", settings).close()
    signed = [f"/a.json?{SIGNATURE}", f"/a.json?page=2&{SIGNATURE}", f"/search?{SIGNATURE}"]
    assert canary.hits == [*signed, f"/search?limit=1&{SIGNATURE}", f"/a.tif?{SIGNATURE}"]
    assert {headers["authorization"] for headers in canary.headers} == {TOKEN}
    assert {headers["x-api-key"] for headers in canary.headers} == {"hush"}


def test_an_address_that_is_signed_stays_as_it_is(canary: Canary) -> None:
    hrefs.read_json(f"{canary.url}/a.json?sig=its-own", settings_for(canary))
    assert canary.hits == ["/a.json?sig=its-own"]


def test_no_other_host_gets_them(canary: Canary, other: Canary) -> None:
    hrefs.read_json(f"{other.url}/a.json", settings_for(canary))
    assert other.hits == ["/a.json"]
    assert not {"authorization", "x-api-key"} & set(other.headers[0])


def test_a_redirect_takes_them_nowhere_else(canary: Canary, other: Canary) -> None:
    canary.redirects[f"/a.json?{SIGNATURE}"] = "/b.json"
    canary.redirects[f"/b.json?{SIGNATURE}"] = f"{other.url}/c.json"
    other.redirects["/c.json"] = f"{canary.url}/d.json"
    assert hrefs.read_json(f"{canary.url}/a.json", settings_for(canary)) == {}
    assert canary.hits == [f"/{name}.json?{SIGNATURE}" for name in "abd"]
    assert all(headers["authorization"] == TOKEN for headers in canary.headers)
    assert other.hits == ["/c.json"]
    assert not {"authorization", "x-api-key"} & set(other.headers[0])


def test_each_hop_gets_its_own(canary: Canary, other: Canary) -> None:
    canary.redirects["/a.json"] = f"{other.url}/b.json"
    hosts = {
        f"127.0.0.1:{canary.port}": {"headers": {"Authorization": "one"}},
        f"127.0.0.1:{other.port}": {"headers": {"Authorization": "two"}},
    }
    settings = Settings.load({"hosts": hosts, "allowed_hosts": ["127.0.0.1"]}, Path())
    hrefs.read_json(f"{canary.url}/a.json", settings)
    assert [canary.headers[0]["authorization"], other.headers[0]["authorization"]] == ["one", "two"]


def test_without_a_port_they_are_sent_by_https_alone() -> None:
    settings = Settings.load({"hosts": {"data.example.com": {"headers": {"Authorization": TOKEN}}}}, Path())
    assert settings.access_to("https", "data.example.com", None) is not None
    assert settings.access_to("https", "DATA.example.com", 443) is not None
    for scheme, host, port in (
        ("http", "data.example.com", None),
        ("http", "data.example.com", 443),
        ("https", "data.example.com", 8443),
        ("https", "evil-data.example.com", None),
        ("https", "data.example.com.evil.org", None),
    ):
        assert settings.access_to(scheme, host, port) is None


def test_they_are_in_no_message_no_log_and_no_answer(canary: Canary, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = settings_for(canary)
    canary.bodies[f"/catalog.json?{SIGNATURE}"] = b"<html>"
    with pytest.raises(UpstreamError) as caught:
        hrefs.read_json(f"{canary.url}/catalog.json", settings)
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": "a", "geometry": None, "links": [],
        "properties": {"datetime": "2024-05-01T00:00:00Z"}, "assets": {"HH": {"href": "./HH.tif"}},
    }  # fmt: skip
    canary.bodies[f"/item.json?{SIGNATURE}"] = json.dumps(item).encode()
    found = find_scenes(RetrievalRequest(ids=["a"], catalog=f"{canary.url}/item.json"), settings)
    assert [refusal.id for refusal in found.refused] == ["a"]
    shown = f"{caught.value}{found}{settings}{settings.model_dump()}{settings.model_dump_json()}{caplog.text}"
    assert "hush" not in shown
    assert "hu%2Fsh" not in shown


def test_refused_credentials_are_told_from_missing_ones(canary: Canary, other: Canary) -> None:
    canary.statuses[f"/a.json?{SIGNATURE}"] = 403
    other.statuses["/a.json"] = 401
    settings = settings_for(canary)
    with pytest.raises(UpstreamError, match=r"may not be read with the operator's credentials \(HTTP status 403\)"):
        hrefs.read_json(f"{canary.url}/a.json", settings)
    with pytest.raises(UpstreamError, match=r"may not be read without credentials \(HTTP status 401\)"):
        hrefs.read_json(f"{other.url}/a.json", settings)


def test_a_job_of_another_process_has_them(canary: Canary) -> None:
    settings = pickle.loads(pickle.dumps(settings_for(canary)))
    hrefs.read_json(f"{canary.url}/a.json", settings)
    assert canary.headers[0]["authorization"] == TOKEN


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ({"https://host": {}}, "Setting hosts.https://host.\\[key\\]: .* is not a host"),
        ({"host": {"headers": {"Authorization": "${HUSH}"}}}, "names an environment variable in quotes"),
        ({"host": {"headers": {"Authorization": "hush\r\nX: y"}}}, "characters that a request cannot carry"),
        ({"host": {"headers": {"Authorization": ""}}}, "is empty"),
        ({"host": {"headers": {"Bad name": "hush"}}}, "String should match"),
        ({"host": {"query": "?sig=hush"}}, "is not the part of an address after its"),
        ({"host": {"query": "hush"}}, "is not the part of an address after its"),
        ({"host": {"query": "sig=hush#"}}, "is not the part of an address after its"),
        ({"host": {"token": "hush"}}, "Extra inputs"),
        ({"host": "hush"}, "Setting hosts.host"),
    ],
)
def test_wrong_credentials_are_named_and_not_shown(hosts: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        Settings.load({"hosts": hosts}, Path())
    assert "hush" not in str(caught.value)
