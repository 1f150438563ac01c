"""Results as tiles: titiler reads the items' render hints, and a pixel has the colour of its value."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import matplotlib as mpl
import morecantile
import numpy as np
import pyproj
import pystac
import pytest
import rasterio
from fastapi import FastAPI
from matplotlib import image
from rio_tiler.io import STACReader
from serving import Server
from starlette.testclient import TestClient
from titiler.core.errors import DEFAULT_STATUS_CODES, add_exception_handlers
from titiler.core.factory import MultiBaseTilerFactory
from titiler.extensions import stacRenderExtension

from escape_process.layers import LAYER

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),  # rasterio's use of affine
    pytest.mark.filterwarnings("ignore:No `assets` option passed:UserWarning"),  # titiler's use of rio-tiler
]
ZOOM = 17
"""A tile is some 230 m wide there, so that each pixel of 50 m covers dozens of the tile's."""
WEB_MERCATOR = morecantile.tms.get("WebMercatorQuad")


@pytest.fixture(scope="module")
def tiler() -> Iterator[TestClient]:
    """Start titiler as its own application sets it up for STAC."""
    application = FastAPI()
    factory = MultiBaseTilerFactory(
        reader=STACReader,
        router_prefix="/stac",
        get_renders=lambda source: source.item.properties.get("renders", {}),
        extensions=[stacRenderExtension()],
    )
    application.include_router(factory.router, prefix="/stac")
    add_exception_handlers(application, DEFAULT_STATUS_CODES)
    with TestClient(application) as client:
        yield client


@pytest.fixture(scope="module")
def item(items: list[pystac.Item]) -> pystac.Item:
    """Return one result."""
    return items[1]


def _render(tiler: TestClient, item: pystac.Item, name: str) -> dict[str, Any]:
    answer = tiler.get(f"/stac/renders/{name}", params={"url": item.get_self_href()})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _tile_at(tiler: TestClient, item: pystac.Item, name: str, x: float, y: float) -> tuple[np.ndarray, int, int]:
    """Return the tile around a point as the render hints ask for it, and the point's row and column in it."""
    (link,) = [link for link in _render(tiler, item, name)["links"] if "tilejson" in link["href"]]
    document = tiler.get(link["href"].replace("%7BtileMatrixSetId%7D", "WebMercatorQuad") + "&tile_format=png").json()
    longitude, latitude = pyproj.Transformer.from_crs(
        item.properties["proj:code"], "OGC:CRS84", always_xy=True
    ).transform(x, y)
    place = WEB_MERCATOR.tile(longitude, latitude, ZOOM)
    address = document["tiles"][0].format(z=place.z, x=place.x, y=place.y)
    answer = tiler.get(address)
    assert answer.status_code == 200, answer.text
    pixels = image.imread(io.BytesIO(answer.content), format="png")
    bounds, (east, north) = WEB_MERCATOR.xy_bounds(place), WEB_MERCATOR.xy(longitude, latitude)
    column = (east - bounds.left) / (bounds.right - bounds.left) * pixels.shape[1]
    row = (bounds.top - north) / (bounds.top - bounds.bottom) * pixels.shape[0]
    return pixels, int(row), int(column)


def test_every_hint_is_one_that_titiler_can_follow(tiler: TestClient, item: pystac.Item) -> None:
    answer = tiler.get("/stac/renders", params={"url": item.get_self_href()}).json()
    assert set(answer["renders"]) == set(item.properties["renders"])
    assert [name for name, render in answer["renders"].items() if not render["valid"]] == []


@pytest.mark.parametrize(
    ("name", "low", "high", "colours"),
    [
        ("soil_moisture", 0.0, 0.5, "viridis_r"),
        ("soil_moisture_uncertainty", 0.0, 0.15, "magma"),
        ("rms_height", 0.0, 4.0, "cividis"),
        ("vegetation", 0.0, 2.0, "Greens"),
        ("incidence_angle", 15.0, 50.0, "gray"),
    ],
)
def test_a_tile_has_the_colour_of_the_files_value(
    tiler: TestClient, item: pystac.Item, name: str, low: float, high: float, colours: str
) -> None:
    assert LAYER[name].rescale == (low, high)
    with rasterio.open(item.assets[name].href) as raster:
        values = raster.read(1, masked=True)
        places = [(20, 30), (70, 70), (110, 100)]
        assert not any(values.mask[place] for place in places)
        points = [raster.xy(*place) for place in places]
    for place, point in zip(places, points, strict=True):
        pixels, row, column = _tile_at(tiler, item, name, *point)
        assert pixels[row, column, 3] == 1
        step = np.clip((values[place] - low) / (high - low), 0, 1) * 255
        near = [mpl.colormaps[colours](int(step) + offset)[:3] for offset in (-1, 0, 1)]
        differences = [np.abs(pixels[row, column, :3] - np.array(one)).max() for one in near]
        assert min(differences) < 1.5 / 255, (step, pixels[row, column])


def test_missing_pixels_are_transparent(tiler: TestClient, item: pystac.Item) -> None:
    with rasterio.open(item.assets["soil_moisture"].href) as raster:
        rows, columns = np.nonzero(raster.read_masks(1) == 0)
        inside = len(rows) // 2
        point = raster.xy(rows[inside], columns[inside])
    pixels, row, column = _tile_at(tiler, item, "soil_moisture", *point)
    assert pixels[row, column, 3] == 0


def test_a_map_of_the_whole_is_not_blank(tiler: TestClient, item: pystac.Item, server: Server) -> None:
    hints = _render(tiler, item, "soil_moisture")["params"]
    answer = tiler.get(
        "/stac/preview.png",
        params={
            "url": item.get_self_href(),
            "assets": hints["assets"],
            "rescale": ",".join(map(str, hints["rescale"][0])),
            "colormap_name": hints["colormap_name"],
            "nodata": hints["nodata"],
        },
    )
    assert answer.status_code == 200, answer.text
    pixels = image.imread(io.BytesIO(answer.content), format="png")
    assert len(np.unique(pixels[..., 0])) > 30
    thumbnail = httpx.get(item.assets["thumbnail"].href, trust_env=False)
    assert thumbnail.headers["content-type"] == "image/png"
