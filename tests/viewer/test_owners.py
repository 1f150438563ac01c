"""Maps where tokens are asked for: an unpublished result is its owner's alone, and a job's page asks for the token."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import PROCESS
from stand_in_server import serve_stand_in

from .conftest import ALICE, BOB, pixels_of, settings_in, write_result

TILE = "soil_moisture/9/250/192.png"
BROWSER = {"Accept": "text/html"}


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve a published result, one of Alice's, and one that was made before there were owners."""
    folder: Path = tmp_path_factory.mktemp("owners")
    settings = settings_in(folder)
    write_result("open", folder, settings)
    write_result("hers", folder, settings.of_owner("alice"), publish=False)
    write_result("nobodys", folder, settings, publish=False)
    with (
        serve_stand_in(folder, auth={"token": {"alice": ALICE, "bob": BOB}}) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def test_a_published_result_is_everybodys(client: httpx.Client) -> None:
    for headers in ({}, as_(ALICE), as_(BOB)):
        assert client.get("/maps/open", headers=headers).status_code == 200
        assert client.get("/maps/open/values?lon=0&lat=0", headers=headers).status_code == 200
        assert pixels_of(client.get(f"/maps/open/{TILE}", headers=headers))[..., 3].any()
    assert client.get("/page/settings.json").json()["needs_token"] is True


def test_an_unpublished_result_is_its_owners(client: httpx.Client) -> None:
    told = client.get("/maps/hers", headers=as_(ALICE)).json()
    assert told["id"] == "hers"
    assert pixels_of(client.get(f"/maps/hers/{TILE}", headers=as_(ALICE)))[..., 3].any()
    assert client.get("/maps/hers/values?lon=0&lat=0", headers=as_(ALICE)).status_code == 200
    assert client.get(told["item"], headers=as_(ALICE)).json()["id"] == "hers"
    never = client.get("/maps/none").json()
    for path in ("/maps/hers", "/maps/hers/values?lon=0&lat=0", f"/maps/hers/{TILE}", "/maps/nobodys"):
        for headers in ({}, as_(BOB)):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 404
            assert answer.json() == never
    assert client.get("/maps/nobodys", headers=as_(ALICE)).status_code == 404


def test_a_wrong_token_is_told(client: httpx.Client) -> None:
    for path in ("/maps/open", "/maps/hers", f"/maps/open/{TILE}"):
        answer = client.get(path, headers=as_("wrong-0123456789abcdef"))
        assert answer.status_code == 401
        assert "WWW-Authenticate" in answer.headers


def test_the_page_of_a_job_says_nothing_of_it(client: httpx.Client) -> None:
    body = {"inputs": {"ids": ["x"]}, "response": "document"}
    made = client.post(
        f"/processes/{PROCESS}/execution", json=body, headers={**as_(ALICE), "Prefer": "respond-async"}
    ).json()["jobID"]
    pages = [client.get(f"/jobs/{job}", headers=BROWSER) for job in (made, "none")]
    assert [page.status_code for page in pages] == [200, 200]
    assert pages[0].content == pages[1].content
    assert made not in pages[0].text
    assert client.get(f"/jobs/{made}", headers={**BROWSER, **as_(ALICE)}).content == pages[0].content
    assert client.get(f"/jobs/{made}", headers={**BROWSER, **as_(BOB)}).status_code == 404
    for asked in ({}, {"Accept": "application/json"}):
        for path in ("/jobs", f"/jobs/{made}"):
            assert client.get(path, headers=asked).status_code == 401
    assert made not in client.get("/jobs", headers=BROWSER).raise_for_status().text
    assert client.delete(f"/jobs/{made}", headers=BROWSER).status_code == 401
    for path in ("logs", "prov", "results"):
        assert client.get(f"/jobs/{made}/{path}", headers=BROWSER).status_code == 401
