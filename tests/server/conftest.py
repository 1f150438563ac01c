"""A real server over a real loopback socket, with a small static catalogue."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pystac
import pytest
import shapely
from serving import PROCESS
from stand_in_server import serve_config, write_config

Start = Callable[[Path], AbstractContextManager[str]]


def make_catalogue(folder: Path) -> None:
    """Write a static catalogue: seven scenes west to east, one a day, and one across the antimeridian."""
    root = pystac.Catalog("root", "A catalogue")
    extent = pystac.Extent(
        pystac.SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]),
        pystac.TemporalExtent([[dt.datetime(2024, 5, 1, tzinfo=dt.UTC), None]]),
    )
    scenes = pystac.Collection("scenes", "Scenes", extent, license="other")
    pacific = pystac.Collection("pacific", "One scene across the antimeridian", extent, license="other")
    root.add_children([scenes, pacific])
    for day in range(7):
        box = shapely.box(day, 40, day + 0.5, 41)
        when = dt.datetime(2024, 5, 1 + day, 12, tzinfo=dt.UTC)
        item = pystac.Item(f"scene-{day}", shapely.geometry.mapping(box), list(box.bounds), when, {})
        item.add_asset("HH", pystac.Asset("./hh.tif", media_type=pystac.MediaType.COG, roles=["data"]))
        scenes.add_item(item)
    cut = shapely.MultiPolygon([shapely.box(179, -18, 180, -17), shapely.box(-180, -18, -179, -17)])
    when = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    pacific.add_item(pystac.Item("fiji", shapely.geometry.mapping(cut), [179.0, -18.0, -179.0, -17.0], when, {}))
    root.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)
    (folder / "scenes" / "scene-0" / "hh.tif").write_bytes(bytes(range(256)) * 40)
    (folder / "scenes" / "scene-0" / "look.png").write_bytes(b"\x89PNG")
    (folder / ".hidden").write_text("hidden")
    (folder / ".parts").mkdir()
    (folder / ".parts" / "item.json").write_text("{}")


@pytest.fixture(scope="session")
def start() -> Start:
    """Return a function that runs the server on a data folder beside a configuration in the same folder."""

    def run(folder: Path) -> AbstractContextManager[str]:
        config = folder / "config.yml"
        return serve_config(config if config.exists() else write_config(folder))

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the shared server: its configuration, `data/` and `server.log`."""
    folder = tmp_path_factory.mktemp("server")
    make_catalogue(folder / "data" / "catalog")
    unpublished = folder / "data" / "unpublished" / "item-1"
    unpublished.mkdir(parents=True)
    (unpublished / "item-1.json").write_text('{"type": "Feature"}')
    return folder


@pytest.fixture(scope="session")
def url(folder: Path, start: Start) -> Iterator[str]:
    """Return the address of a server that all tests share."""
    with start(folder) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """Return an HTTP client of the shared server."""
    with httpx.Client(base_url=url, timeout=300) as client:
        yield client


def execute(
    client: httpx.Client, inputs: object, headers: dict[str, str] | None = None, **members: object
) -> httpx.Response:
    """Send an execute request."""
    body = {"inputs": inputs, **members}
    return client.post(f"/processes/{PROCESS}/execution", json=body, headers=headers)


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until something is true and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"not so within {seconds:g} s: {condition}")


def finished(client: httpx.Client, accepted: httpx.Response, seconds: float = 300) -> dict[str, Any]:
    """Wait for a job and return its status."""

    def status() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(accepted.headers["Location"]).json()
        return None if found["status"] in ("accepted", "running") else found

    return dict(wait_for(status, seconds))
