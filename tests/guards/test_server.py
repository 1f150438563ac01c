"""The same over HTTP: a client cannot make the real server fetch from its own network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import ROOT, SAMPLE_INPUTS, Server, serve

from .conftest import Canary

SCENE = "sim-salamanca-20240518"


@pytest.fixture
def server(tmp_path: Path, canary: Canary) -> Iterator[Server]:
    """Serve with a catalogue on the canary configured, and no other host allowed."""
    with serve(tmp_path, {"here": f"{canary.url}/items.json"}, allowed_hosts=()) as server:
        yield server


def item_with(href: str) -> dict[str, Any]:
    """Return a sample scene whose rasters lie elsewhere."""
    item: dict[str, Any] = json.loads((ROOT / "catalog" / "samples" / SCENE / f"{SCENE}.json").read_text())
    item["links"] = []
    for asset in item["assets"].values():
        asset["href"] = href
    return item


def test_no_request_reaches_the_inside(server: Server, canary: Canary, other: Canary) -> None:
    inputs = {name: SAMPLE_INPUTS[name] for name in ("bbox", "datetime")}
    for catalog in (f"{other.url}/catalog.json", f"http://localhost:{other.port}/", "http://169.254.169.254/latest/"):
        sentence = server.refusal({**inputs, "catalog": catalog}, 400)
        assert sentence.startswith("The host ")
        assert "is not a public one" in sentence

    assert "file:///etc/passwd" in server.refusal({**inputs, "catalog": "file:///etc/passwd"}, 400)

    for href in (f"{other.url}/HH.tif", "file:///etc/passwd", f"/vsicurl/{other.url}/HH.tif", "/etc/passwd"):
        collection = {"type": "FeatureCollection", "features": [item_with(href)]}
        canary.bodies["/items.json"] = json.dumps(collection).encode()
        answer = server.execute({**inputs, "catalog": "here"})
        assert answer.status_code in (400, 422, 502), answer.text
        assert answer.json()["description"].endswith(".")
        assert "root:" not in answer.text

    canary.bodies["/items.json"] = json.dumps({"type": "FeatureCollection", "features": [item_with("HH.tif")]}).encode()
    canary.redirects["/HH.tif"] = f"{other.url}/HH.tif"
    sentence = server.refusal({**inputs, "catalog": "here"}, 400)
    assert "HH.tif at 127.0.0.1 redirects to where nothing is read" in sentence

    subscriber = {"successUri": f"{other.url}/done"}
    answer = server.execute(SAMPLE_INPUTS, asynchronous=True, subscriber=subscriber)
    assert answer.status_code == 400
    assert "is not a public one" in answer.json()["description"]

    assert other.hits == []
    assert "/HH.tif" in canary.hits
