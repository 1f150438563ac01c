"""What is fuzzed: every parser of bytes that come from outside, with valid input made by our own writers.

A parser gets bytes and a folder to lay them in as a file where it reads files. It may return, or raise an
`EscapeError`; anything else is a fault. To add one, add a line to `PARSERS`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
from affine import Affine

from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from fuzz.products import PRODUCTS
from fuzz.registry import Parser, documents, of_file, of_json

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "catalog" / "samples"
BBOX = [-5.48, 41.23, -5.40, 41.29]
SQUARE = {"type": "Polygon", "coordinates": [[[-5.5, 41], [-5.4, 41], [-5.4, 41.3], [-5.5, 41.3], [-5.5, 41]]]}
SETTINGS = Settings(data_dir=Path("absent"), max_items=30)
REQUEST = RetrievalRequest.from_inputs({"bbox": BBOX, "datetime": "2024-01-01/2025-01-01"})


def files_of(pattern: str) -> Callable[[Path], list[bytes]]:
    """Return seeds that are files of the sample catalogue."""
    return lambda folder: [path.read_bytes() for path in sorted((ROOT / "catalog").glob(pattern))]


def _scene(item: Any) -> object:
    from escape_process.catalogue.item_assets import as_mapping
    from escape_process.catalogue.scenes import join_passes, scene_from_item
    from escape_process.records import Scene

    scene = scene_from_item(as_mapping(item), str(SAMPLES / "scene" / "scene.json"), REQUEST)
    return join_passes([scene]) if isinstance(scene, Scene) else scene


def _walked(root: Any) -> object:
    from escape_process.catalogue.item_assets import as_mapping
    from escape_process.catalogue.item_search import conformance_of, search_link
    from escape_process.catalogue.walk import walk

    href = str(SAMPLES / "collection.json")
    search_link(as_mapping(root), href, conformance_of(as_mapping(root), href, SETTINGS))
    return list(walk(as_mapping(root), href, REQUEST, SETTINGS, note=lambda note: None, lose=lambda place, error: None))


def _catalogues(folder: Path) -> list[bytes]:
    collection, *items = (json.loads(content) for content in files_of("samples/**/*.json")(folder))
    child = {"rel": "child", "href": "./collection.json"}
    root = {"type": "Catalog", "stac_version": "1.1.0", "id": "root", "description": "", "links": [child]}
    return documents(root, collection, items[0], {"type": "FeatureCollection", "features": items})(folder)


def _searched(data: bytes, folder: Path) -> object:
    """Take the bytes for every answer of a STAC API's search; items then pass the local filters."""
    from escape_process.catalogue import item_search, search

    request = RetrievalRequest.from_inputs({"bbox": BBOX, "filter": FILTER})
    link = ("https://catalogue.example/search", "POST")
    with mock.patch.object(item_search, "fetch", return_value=data):
        found = item_search.search_items(link, [], request, SETTINGS, lambda note: None)
        return list(search._matching(found, request, {}, []))


FILTER = {"op": ">", "args": [{"property": "sat:relative_orbit"}, 3]}
FILTERS = (
    FILTER,
    {"op": "a_contains", "args": [{"property": "sar:polarizations"}, ["HH", "VV"]]},
    {"op": "t_after", "args": [{"property": "datetime"}, {"timestamp": "2024-05-20T00:00:00Z"}]},
    {"op": "s_intersects", "args": [{"property": "geometry"}, SQUARE]},
    {"op": "like", "args": [{"op": "casei", "args": [{"property": "platform"}]}, "sim%"]},
    {"op": "not", "args": [{"op": "between", "args": [{"property": "view:off_nadir"}, 1, 40]}]},
)


def _filtered(value: Any) -> object:
    from escape_process.catalogue.search import _matching

    request = RetrievalRequest.from_inputs({"bbox": BBOX, "filter": value})
    item = json.loads(next(SAMPLES.glob("sim-salamanca-20240504/*.json")).read_text(encoding="utf-8"))
    return list(_matching([(item, "item.json")], request, {}, []))


def _page(folder: Path) -> list[bytes]:
    items = [json.loads(content) for content in files_of("samples/*/*.json")(folder)]
    following = {"rel": "next", "href": "https://catalogue.example/search", "method": "POST", "body": {"token": "2"}}
    page = {"type": "FeatureCollection", "features": items, "links": [following], "context": {"limit": 10}}
    merged = {**following, "merge": True}
    return [json.dumps({**page, "links": links}).encode() for links in ([], [following], [merged])]


REQUESTS = (
    {"bbox": BBOX, "datetime": "2024-05-01T00:00:00Z/..", "catalog": "sample", "resolution": 50.0, "crs": 32630},
    {"bbox": {"bbox": [292000, 4567000, 299000, 4574000], "crs": "EPSG:32630"}, "members": 3, "mode": "deterministic"},
    {"geometry": SQUARE, "collections": ["samples"], "filter": FILTER, "max_scenes": 3, "looks": 20.0, "seed": 1},
    {"ids": ["one", "two"], "radiometry": "gamma0", "incidence_angle_deg": 30.0, "frequency": 1.27e9, "dry_run": True},
    {
        "bbox": {"value": [179.0, -18.0, -179.0, -17.0]},
        "zones": {"type": "FeatureCollection", "features": [{"type": "Feature", "id": 1, "geometry": SQUARE}]},
        "catalog": "https://catalogue.example/stac",
    },
)


def _asked(inputs: Any) -> object:
    request = RetrievalRequest.from_inputs(inputs)
    return request.interval, request.area, request.digest(), request.content()


def _rasters(folder: Path) -> list[bytes]:
    """Write a GeoTIFF of each kind that scenes are made of."""
    random = np.random.default_rng(0)
    power = random.gamma(4, 0.02, (64, 80)).astype(np.float32)
    kinds: list[tuple[np.ndarray, dict[str, Any]]] = [
        (power, {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate", "predictor": 3}),
        (power, {"driver": "COG", "compress": "deflate", "blocksize": 64}),
        (10 * np.log10(power), {"compress": "lzw", "nodata": -9999.0}),
        ((power * 1e4).astype(np.uint16), {"blockysize": 8, "nodata": 0}),
        ((power * 1e4).astype(np.uint16), {"compress": "packbits", "BIGTIFF": "YES", "ENDIANNESS": "BIG"}),
        ((power > 0.05).astype(np.uint8), {"nbits": 1, "compress": "ccittfax4", "photometric": "miniswhite"}),
    ]
    contents = []
    for index, (values, options) in enumerate(kinds):
        path = folder / f"{index}.tif"
        profile = {"driver": "GTiff", "height": 64, "width": 80, "count": 1, "dtype": values.dtype, **options}
        georeference = {"crs": "EPSG:32630", "transform": Affine(25, 0, 600000, 0, -25, 4600000)}
        with rasterio.open(path, "w", **profile, **georeference) as raster:
            raster.write(values, 1)
            raster.set_band_description(1, "HH")
        contents.append(path.read_bytes())
    return contents


def _raster(path: Path) -> object:
    """Open a scene of which every raster is this file, and read a block of it."""
    import datetime as dt

    from escape_process.readers.loading import load_observables
    from escape_process.readers.opening import open_scene
    from escape_process.records import Angle, Band, Mask, Pass, Scene, Stack, Window

    scene = Scene(
        id="scene",
        item={},
        href="scene.json",
        datetime=dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
        bands={name: Band(name, str(path)) for name in ("HH", "HV", "VV")},
        angle=Angle("angle", str(path)),
        mask=Mask("mask", str(path)),
        geometry={},
        frequency=1.27e9,
        looks=None,
        resolution_cell=None,
        pass_key="pass",
    )
    opened = open_scene(scene, SETTINGS)
    grid = opened.grid
    window = Window(grid.height // 2, grid.width // 2, min(grid.height - grid.height // 2, 64), 64)
    window = Window(window.row, window.column, window.height, min(grid.width - grid.width // 2, 64))
    stack = Stack((Pass("pass", (opened,)),), grid, window, factor=1)
    return load_observables(stack, window, SETTINGS)


ESTIMATES = b"""site,datetime,soil_moisture,soil_moisture_uncertainty,soil_moisture_p05,soil_moisture_p95,flags
a,2024-05-04T23:28:31Z,0.21,0.05,0.13,0.30,0
"b, c",2024-05-18,-9999,,0.1,0.2,4096
"""
MEASUREMENTS = b"""site,date,soil_moisture,latitude,longitude,soil_moisture_sd,depth,soil_temperature
a,2024-05-04,0.20,41.25,-5.44,0.01,0.05,12.5
a,2024-05-18,0.12,41.25,-5.44,NA,0.05,-1
"""
STATION = b"""NET NET Hill 41.25 -5.44 800.0 0.05 0.05 Probe
2024/05/04 23:00 0.2100 G M
2024/05/05 00:00 0.2000 U M
2024/05/05 01:00 -9999.0000 C03 M
"""
CEOP = b"""2024/05/04 23:00 2024/05/04 23:00 NET NET Hill 41.25000 -5.44000 800.00 0.05 0.05 0.2100 G M
2024/05/05 00:00 2024/05/05 00:00 NET NET Hill 41.25000 -5.44000 800.00 0.05 0.05 0.2000 U M
"""


def _estimates(path: Path) -> object:
    from escape_process.validation.tables import read_estimates

    return read_estimates(path)


def _measurements(path: Path) -> object:
    from escape_process.validation.references import read_reference

    reference = read_reference(path, depth=(0.0, 0.1), ismn_flags=("G", "U"), columns={}, wanted=lambda *place: True)
    return reference.places()


def _archives(folder: Path) -> list[bytes]:
    import zipfile

    path = folder / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, data in (("_sm_", STATION), ("_ts_", STATION.replace(b"0.2", b"9.2"))):
            name = zipfile.ZipInfo(f"NET/Hill/{STATION_NAME.replace('_sm_', kind)}")  # without the time of writing
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return [path.read_bytes()]


STATION_NAME = "NET_NET_Hill_sm_0.050000_0.050000_Probe_20240501_20240531.stm"


def _ensembles(folder: Path) -> list[bytes]:
    """Write an ensemble of two members that nothing was learnt by."""
    import torch

    from escape_process.retrieval.encoder import MemberNetworks
    from escape_process.retrieval.ensemble import Ensemble
    from escape_process.retrieval.priors import Parameters

    wide = ("log_a", "log_b", "offset_db", "log_error_db")
    parameters = {name: torch.zeros((2, 3) if name in wide else 2) for name in Parameters.names()}
    layers = [(torch.zeros(2, 4, 4), torch.zeros(2, 1, 4)) for _ in range(3)]
    networks = MemberNetworks(*(tuple(layer[part] for layer in layers) for part in (0, 1)))
    Ensemble(Parameters(**parameters), networks, (None, None), 1.2365e9, "variational").save(folder / "ensemble.npz")
    return [(folder / "ensemble.npz").read_bytes()]


def _ensemble(path: Path) -> object:
    import escape_process as ep

    return ep.load_ensemble(path)


PARSERS = {
    parser.name: parser
    for parser in (
        Parser("request", of_json(_asked), documents(*REQUESTS), rate=650),
        Parser("filter", of_json(_filtered), documents(*FILTERS), rate=2200),
        Parser("item", of_json(_scene), files_of("samples/*/*.json"), rate=620),
        Parser("catalogue", of_json(_walked), _catalogues, rate=480),
        Parser("search", _searched, _page, rate=80),
        Parser("geotiff", of_file("raster.tif", _raster), _rasters, rate=190),
        Parser("estimates", of_file("estimates.csv", _estimates), lambda folder: [ESTIMATES], rate=280),
        Parser("measurements", of_file("measurements.csv", _measurements), lambda folder: [MEASUREMENTS], rate=240),
        Parser("ismn", of_file(STATION_NAME, _measurements), lambda folder: [STATION, CEOP], rate=260),
        Parser("ismn-archive", of_file("archive.zip", _measurements), _archives, rate=390),
        Parser("ensemble", of_file("ensemble.npz", _ensemble), _ensembles, rate=950),
        *PRODUCTS,
    )
}
