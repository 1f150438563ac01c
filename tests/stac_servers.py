"""STAC back ends that users have, started on loopback: a static catalogue, rustac's memory, pgstac on PostgreSQL.

`static_catalogue`, `own_api` (the project's) and `rustac_memory` serve what they are given. The fixture `pgstac` is a
whole, empty STAC API with transactions on a PostgreSQL/PostGIS server of its own; `Pgstac.load` fills it,
`Pgstac.clear` empties it. All end by their process id.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pystac
import pytest
import sqlalchemy as sa
from loopback import in_thread, serve_folder
from postgresql_server import listens, postgresql, programs
from waiting import wait_for
from werkzeug.serving import WSGIRequestHandler, make_server

from escape_process.jobs.serve import free_port
from escape_process.settings import Settings

__all__ = [
    "Pgstac",
    "StacServer",
    "make_collection",
    "own_api",
    "pgstac",
    "postgresql",
    "rustac_memory",
    "static_catalogue",
]

Document = dict[str, Any]

BIN = Path(sys.executable).parent
READY = 90.0
"""Seconds that a server may take to start on a busy machine."""


@dataclass
class StacServer:
    """A STAC catalogue or API that is being served."""

    kind: str
    """static, own, rustac or pgstac."""
    url: str
    """The catalogue's root file or the API's landing page."""


class Pgstac(StacServer):
    """A STAC API with transactions, and a client of it."""

    def __init__(self, url: str) -> None:
        super().__init__("pgstac", url)
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def load(self, collections: Sequence[Document], items: Sequence[Document]) -> None:
        """Create collections and their items, as any client may."""
        for collection in collections:
            self._sent("POST", "/collections", json=collection)
        for item in items:
            self._sent("POST", f"/collections/{item['collection']}/items", json=item)

    def clear(self) -> None:
        """Delete all collections and with them their items."""
        for collection in self._sent("GET", "/collections?limit=100").json()["collections"]:
            self._sent("DELETE", f"/collections/{collection['id']}")

    def item(self, collection: str, name: str) -> Document:
        """Return an item as the API gives it."""
        return dict(self._sent("GET", f"/collections/{collection}/items/{name}").json())

    def _sent(self, method: str, path: str, **content: Any) -> httpx.Response:
        answer = self.client.request(method, path, **content)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


def make_collection(name: str) -> Document:
    """Describe a collection of the whole world and all time."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": "Scenes of tests.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }


@contextmanager
def static_catalogue(folder: Path, collections: Sequence[Document], items: Sequence[Document]) -> Iterator[StacServer]:
    """Write a static catalogue with relative links as pystac does, and serve its files."""
    _write_catalogue(folder, collections, items)
    with serve_folder(folder) as url:
        yield StacServer("static", f"{url}/catalog.json")


def _write_catalogue(folder: Path, collections: Sequence[Document], items: Sequence[Document]) -> None:
    catalog = pystac.Catalog("static", "A static catalogue of tests.")
    children = {one["id"]: pystac.Collection.from_dict(one) for one in collections}
    catalog.add_children(children.values())
    for item in items:
        children[item["collection"]].add_item(pystac.Item.from_dict(item, preserve_dict=True))
    catalog.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)


@contextmanager
def own_api(folder: Path, collections: Sequence[Document], items: Sequence[Document]) -> Iterator[StacServer]:
    """Serve the project's own STAC API over a static catalogue."""
    from escape_process.jobs.app import StacApiMount  # noqa: PLC0415  # slow to import

    settings = Settings(data_dir=folder)
    _write_catalogue(settings.catalog_dir, collections, items)
    server = make_server("127.0.0.1", 0, StacApiMount(settings), threaded=True, request_handler=_SilentRequests)
    with in_thread(server):
        yield StacServer("own", f"http://127.0.0.1:{server.port}/")


class _SilentRequests(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


@contextmanager
def rustac_memory(folder: Path, collections: Sequence[Document], items: Sequence[Document]) -> Iterator[StacServer]:
    """Run rustac's API over collections and items in its memory. It knows no filter and no transactions."""
    pytest.importorskip("rustac", reason="rustac is not installed", exc_type=ImportError)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, collection in enumerate(collections):
        files.append(folder / f"collection{number}.json")
        files[-1].write_text(json.dumps(collection))
    files.append(folder / "items.json")
    files[-1].write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    port = free_port()
    command = [str(BIN / "rustac"), "serve", "--addr", f"127.0.0.1:{port}", *map(str, files)]
    with _background(command, folder / "rustac.log", port) as url:
        yield StacServer("rustac", url)


@pytest.fixture(scope="session")
def pgstac(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pgstac]:
    """Run stac-fastapi-pgstac with transactions on a database of its own; it starts empty."""
    if programs("postgis") is None:
        pytest.skip("no PostgreSQL server with PostGIS is installed (Debian: postgresql-postgis)")
    pytest.importorskip("stac_fastapi.pgstac", reason="stac-fastapi-pgstac is not installed", exc_type=ImportError)
    database: str = request.getfixturevalue("postgresql")
    engine = sa.create_engine(database.replace("://", "+pg8000://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE stac"))
    engine.dispose()
    folder, port = tmp_path_factory.mktemp("pgstac"), free_port()
    host = sa.make_url(database)
    environment = {
        "PGHOST": str(host.host),
        "PGPORT": str(host.port),
        "PGUSER": str(host.username),
        "PGPASSWORD": "none",  # asked for by the API; the server trusts loopback
        "PGDATABASE": "stac",
        "ENABLE_TRANSACTIONS_EXTENSIONS": "TRUE",
    }
    _run([str(BIN / "pypgstac"), "migrate"], environment)
    command = [str(BIN / "uvicorn"), "stac_fastapi.pgstac.app:create_app", "--factory", "--port", str(port)]
    with _background(command, folder / "api.log", port, environment) as url:
        api = Pgstac(url)
        with api.client:
            yield api


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, check=False, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


@contextmanager
def _background(
    command: Sequence[str], log: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a server until the end of the block; give its address once it answers."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=os.environ | (environment or {}), stdout=output, stderr=output)
    try:
        wait_for(lambda: listens(port) or server.poll() is not None, READY)
        assert server.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)
