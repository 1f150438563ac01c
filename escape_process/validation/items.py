"""Result items of a STAC catalogue, and what their rasters say at sites on the ground."""

import datetime as dt
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

from escape_process.errors import InvalidInputError, SceneError
from escape_process.hrefs import file_name, is_remote, open_raster, read_bytes
from escape_process.layers import UNUSABLE
from escape_process.settings import Settings

REQUIRED = "soil_moisture"
COLUMNS = {
    "soil_moisture": "soil_moisture",
    "soil_moisture_uncertainty": "sigma",
    "soil_moisture_p05": "p05",
    "soil_moisture_p95": "p95",
    "flags": "flags",
}
"""Assets that are sampled, and the columns that they become."""
_SLACK_DEGREES = 0.01
"""Added to an item's bbox, which may be rounded; the raster itself decides."""


@dataclass(frozen=True)
class ResultItem:
    """One date of a result."""

    id: str
    time: dt.datetime
    """UTC."""
    made: str
    """When the item was made, RFC 3339: the newest of several for the same place and time counts."""
    bbox: tuple[float, ...] | None
    hrefs: Mapping[str, str]
    """Absolute, by asset key."""
    format_test: bool = False
    """Whether its source only shows that a format is read: such a result is not scored."""


def find_result_items(source: str, settings: Settings) -> list[ResultItem]:
    """Find the items with a soil moisture raster under a STAC document or in a folder.

    Raises
    ------
    InvalidInputError
        where there are none.
    UpstreamError
        where a document of the catalogue cannot be read.
    """
    name = file_name(source)
    if not is_remote(source) and not Path(source).exists():
        raise InvalidInputError(f"The estimates {name} do not exist.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pystac's, on items of old STAC versions
            items = list(_folder_items(Path(source)) if _is_folder(source) else _stac_items(source, settings))
            found = [_result(item) for item in items if REQUIRED in item.assets]
    except (pystac.STACError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"The estimates {name} are neither a .csv table nor a readable STAC catalogue, collection or item."
        ) from error
    if not found:
        raise InvalidInputError(f"{name} holds no result: none of its {len(items)} STAC items has an asset {REQUIRED}.")
    measured = [result for result in found if not result.format_test]
    if not measured:
        raise InvalidInputError(f"{name} holds results of format tests only: their figures are no measurements.")
    return measured


def _is_folder(source: str) -> bool:
    return not is_remote(source) and Path(source).is_dir()


def _folder_items(folder: Path) -> Iterator[pystac.Item]:
    """Yield the items among a folder's JSON files."""
    for path in sorted(folder.rglob("*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and document.get("type") == "Feature" and "assets" in document:
            yield _item(document, str(path.resolve()))


def _item(document: dict[str, Any], href: str) -> pystac.Item:
    item = pystac.Item.from_dict(document)
    item.set_self_href(href)
    return item


def _stac_items(source: str, settings: Settings) -> Iterator[pystac.Item]:
    """Yield the items that a STAC document is or leads to."""
    href = source if is_remote(source) else str(Path(source).resolve())
    reader = _StacReader(settings)
    document = json.loads(reader.read_text(href))
    if document.get("type") == "FeatureCollection":
        yield from (_item(feature, href) for feature in document["features"])
        return
    read = pystac.read_file(href, stac_io=reader)
    if isinstance(read, pystac.Item):
        yield read
    elif isinstance(read, pystac.Catalog):
        yield from read.get_items(recursive=True)


class _StacReader(pystac.StacIO):
    """Reads STAC documents the way every other byte is read here."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        return read_bytes(str(source), self._settings).decode("utf-8")

    def write_text(self, dest: Any, txt: str, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError


def _result(item: pystac.Item) -> ResultItem:
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise InvalidInputError(f"The item {item.id} has no datetime.")
    moment = moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    hrefs = {
        name: item.assets[name].get_absolute_href() or item.assets[name].href for name in COLUMNS if name in item.assets
    }
    made = str(item.properties.get("created") or item.properties.get("updated") or "")
    marked = bool(item.properties.get("escape:format_test"))
    return ResultItem(item.id, moment, made, tuple(item.bbox) if item.bbox else None, hrefs, marked)


def reach_of(item: ResultItem) -> Callable[[float, float], bool]:
    """Return what tells whether a latitude and longitude may lie on an item."""
    if item.bbox is None or len(item.bbox) not in (4, 6):
        return lambda latitude, longitude: True
    half = len(item.bbox) // 2
    west, south, east, north = *item.bbox[:2], *item.bbox[half : half + 2]

    def reaches(latitude: float, longitude: float) -> bool:
        beside = west - _SLACK_DEGREES <= longitude, longitude <= east + _SLACK_DEGREES
        across = any(beside) if west > east else all(beside)  # west > east: over the antimeridian
        return across and south - _SLACK_DEGREES <= latitude <= north + _SLACK_DEGREES

    return reaches


def sample_items(
    items: Sequence[ResultItem], places: pd.DataFrame, window: int, settings: Settings
) -> tuple[pd.DataFrame, list[str]]:
    """Read the items' rasters at sites.

    Where at least half of a window's valid pixels are unflagged, the sample is their mean and unflagged; otherwise it
    is the mean of all valid pixels and carries every flag among them. Uncertainty and quantiles are averaged, not
    divided by the number of pixels: neighbours share calibration and model error.

    Returns
    -------
    A table of site, time, soil_moisture, sigma, p05, p95, flags (NaN where there is no such asset), and notes.

    Raises
    ------
    InvalidInputError
        where no site has a valid pixel, or soil moisture is above 1.
    """
    rows = []
    reached = 0
    for item in sorted(items, key=lambda one: (one.time, one.made)):
        reach = reach_of(item)
        near = places[[reach(place.latitude, place.longitude) for place in places.itertuples()]]
        for place, layers in _windows(item, near, window, settings):
            reached += 1
            sample = _mean(layers)
            if sample is None:
                continue
            if not 0 <= sample["soil_moisture"] <= 1:
                raise InvalidInputError(
                    f"Item {item.id} has soil moisture {sample['soil_moisture']:g} at site {place},"
                    " outside 0 to 1 m3 m-3; in percent?"
                )
            rows.append({"site": place, "time": pd.Timestamp(item.time), **sample})
    if not rows:
        raise InvalidInputError(_say_nothing(items, places, reached))
    table = pd.DataFrame(rows, columns=["site", "time", *COLUMNS.values()])
    table["time"] = table["time"].astype("datetime64[ns]")
    newest = table.drop_duplicates(["site", "time"], keep="last").reset_index(drop=True)
    notes = []
    if reached > len(rows):
        notes.append(f"{reached - len(rows)} samples without data were left out.")
    if len(newest) < len(table):
        notes.append(
            f"{len(table) - len(newest)} samples were left out because a newer result has the same place and time."
        )
    return newest, notes


def _say_nothing(items: Sequence[ResultItem], places: pd.DataFrame, reached: int) -> str:
    if reached:
        return f"All {reached} places where a site lies on a result have no data there: try a larger window."
    boxes = [item.bbox for item in items if item.bbox is not None]
    first = ", ".join(f"{value:g}" for value in boxes[0]) if boxes else "an unknown area"
    return (
        f"None of the {len(places)} sites lies on any of the {len(items)} results: site {places['site'].iloc[0]} is at"
        f" latitude {places['latitude'].iloc[0]:g}, longitude {places['longitude'].iloc[0]:g}, the first result"
        f" covers {first}."
    )


def _windows(
    item: ResultItem, places: pd.DataFrame, size: int, settings: Settings
) -> Iterator[tuple[str, dict[str, NDArray[np.float64]]]]:
    """Yield each site inside the rasters with the pixels around it, by column name."""
    if places.empty:
        return
    windows: dict[str, Window] = {}
    read: dict[str, dict[str, NDArray[np.float64]]] = {}
    grid: Any = None
    for asset in sorted(item.hrefs, key=lambda name: name != REQUIRED):
        with open_raster(item.hrefs[asset], settings) as raster:
            if asset == REQUIRED:
                grid = (raster.shape, raster.transform, raster.crs)
                windows = _windows_at(raster, places, size, item)
            elif (raster.shape, raster.transform, raster.crs) != grid:
                raise SceneError(f"The asset {asset} of item {item.id} does not lie on the grid of {REQUIRED}.")
            for site, window in windows.items():
                values = raster.read(1, window=window).astype(np.float64)
                if raster.nodata is not None and asset != "flags":
                    values[values == raster.nodata] = np.nan
                read.setdefault(site, {})[COLUMNS[asset]] = values
    yield from read.items()


def _windows_at(raster: Any, places: pd.DataFrame, size: int, item: ResultItem) -> dict[str, Window]:
    if raster.crs is None:
        raise SceneError(f"The asset {REQUIRED} of item {item.id} has no coordinate reference system.")
    to_raster = Transformer.from_crs("OGC:CRS84", raster.crs.to_wkt(), always_xy=True)
    x, y = to_raster.transform(places["longitude"].to_numpy(), places["latitude"].to_numpy())
    windows = {}
    for site, east, north in zip(places["site"], x, y, strict=True):
        column, row = ~raster.transform @ (east, north)
        if not (0 <= column < raster.width and 0 <= row < raster.height):  # False, too, where not finite
            continue
        left, top = max(int(column) - size // 2, 0), max(int(row) - size // 2, 0)
        right = min(int(column) + size // 2 + 1, raster.width)
        bottom = min(int(row) + size // 2 + 1, raster.height)
        windows[site] = Window(left, top, right - left, bottom - top)
    return windows


def _mean(layers: Mapping[str, NDArray[np.float64]]) -> dict[str, float] | None:
    """Return one sample of a window, or None where it has no valid pixel."""
    valid = np.isfinite(layers["soil_moisture"])
    if not valid.any():
        return None
    bits = layers["flags"].astype(np.int64) if "flags" in layers else None
    if bits is not None:
        unflagged = valid & ((bits & UNUSABLE) == 0)
        if 2 * unflagged.sum() >= valid.sum():
            valid = unflagged
    sample = dict.fromkeys(COLUMNS.values(), np.nan)
    for name, values in layers.items():
        chosen = values[valid & np.isfinite(values)]
        if name != "flags" and chosen.size:
            sample[name] = float(chosen.mean())
    if bits is not None:
        sample["flags"] = float(np.bitwise_or.reduce(bits[valid]))
    return sample
