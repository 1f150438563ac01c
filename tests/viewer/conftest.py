"""Servers on loopback whose results were made without a retrieval: published, unpublished, across the antimeridian."""

import io
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyproj
import pytest
from affine import Affine
from made_results import GRID, made_arrays, made_pass, made_scene, made_tiles
from numpy.typing import NDArray
from PIL import Image
from stand_in_server import serve_stand_in

from escape_process.catalogue.items import result_item
from escape_process.catalogue.publish import ensure_catalogue
from escape_process.layers import FLAG
from escape_process.product import write_product
from escape_process.publishing import keep_result, results_folder
from escape_process.records import Grid
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

ALICE = "alice-0123456789abcdef"
BOB = "bob-0123456789abcdef"
SMALL = Grid(GRID.crs, GRID.transform, 60, 40)
DATELINE = Grid("EPSG:32760", Affine(2000, 0, 780_000, 0, -2000, 8_100_000), 60, 40)
"""Fiji: from 177.6 degrees east to 178.8 degrees west."""


def write_result(
    id: str, folder: Path, settings: Settings, grid: Grid = SMALL, publish: bool = True, **properties: Any
) -> dict[str, Any]:
    """Make a result as the pipeline does, each flag somewhere in its first rows; return its item as clients get it."""
    request = RetrievalRequest(ids=["scene"], publish=publish)
    arrays = made_arrays(grid)
    for column, flag in enumerate(FLAG.values()):
        arrays["flags"][0, -1, column] = flag.mask
    arrays["flags"][0, -1, len(FLAG)] = 0
    arrays["flags"][0, -1, len(FLAG) + 1] = FLAG["outside_model"].mask | FLAG["open_water"].mask
    tiles = made_tiles(folder / f"tiles-{id}", grid, arrays)
    product = write_product(results_folder(request, settings), id, grid, tiles, date_index=0, report={}, title=id)
    scenes = made_pass([made_scene("ALOS2014555550-140829", **properties)])
    item = result_item(product, scenes, request, settings, report={}, created=datetime.now(UTC))
    return dict(keep_result(item, settings, published=publish).item)


def settings_in(folder: Path, **options: Any) -> Settings:
    """Return settings without a seed, as the server in that folder has them."""
    settings = Settings(data_dir=folder / "data", catalog_seed=None, public_url="http://127.0.0.1", **options)
    ensure_catalogue(settings)
    return settings


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the open server, with its results."""
    folder = tmp_path_factory.mktemp("viewer")
    settings = settings_in(folder)
    write_result("whole", folder, settings, GRID, **{"escape:simulated": True})
    write_result("real", folder, settings)
    write_result("dateline", folder, settings, DATELINE)
    write_result("hidden", folder, settings, publish=False)
    return folder


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """Return the address of a server that asks nobody for tokens."""
    with serve_stand_in(folder) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """Return a client of that server."""
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        yield client


def get_as_written(client: httpx.Client, path: str) -> httpx.Response:
    """Ask for a path that no client has tidied."""
    return client.get(client.base_url.copy_with(raw_path=path.encode()), follow_redirects=True)


def pixels_of(answer: httpx.Response) -> NDArray[np.uint8]:
    """Return a tile's pixels, (row, column, 4)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (256, 256, 4)
    return pixels


def colour_at(client: httpx.Client, told: Mapping[str, Any], layer: str, lon: float, lat: float) -> NDArray[np.uint8]:
    """Return the colour that the map of a result has at a point, at its last zoom."""
    zoom = told["maxzoom"]
    east, north = math.radians(lon), math.asinh(math.tan(math.radians(lat)))  # the sphere's Mercator
    x, y = ((1 + part / math.pi) / 2 * 2**zoom for part in (east, -north))
    address = told["tiles"].format(layer=layer, z=zoom, x=int(x), y=int(y))
    pixels = pixels_of(client.get(address))
    colour: NDArray[np.uint8] = pixels[int(y % 1 * 256), int(x % 1 * 256)]
    return colour


def lon_lat(raster: Any, row: int, column: int) -> tuple[float, float]:
    """Return where a cell's centre lies."""
    to_degrees = pyproj.Transformer.from_crs(raster.crs, "OGC:CRS84", always_xy=True)
    lon, lat = to_degrees.transform(*raster.xy(row, column))
    return lon, lat
