"""What a STAC item says of its assets, read tolerantly: 1.0 and 1.1, `role` and `roles`, bands in three places.

Nothing here raises on odd metadata: a value of the wrong kind counts as absent, so that the rules built on top see one
shape whatever catalogue the item came from.
"""

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import unquote, urljoin, urlsplit

from escape_process.hrefs import file_name, is_remote
from escape_process.records import Family, Source

FAMILY_FIELD = "escape:family"
"""On an asset of a product that is no plain raster: which reader it needs; its bands are named by layer."""

_POLARIZATION = re.compile(r"(?:^|[_.\-\s])(HH|HV|VH|VV)(?=[_.\-\s]|$)", re.IGNORECASE)
_NOT_RASTERS = re.compile(r"json|xml|text|pdf|html|png|jpe?g|hdf|netcdf|zip|kml|zarr", re.IGNORECASE)
_NOT_MEASUREMENTS = frozenset(
    {"thumbnail", "overview", "metadata", "data-mask", "noise-power", "contributing-area", "date-offset", "covmat"}
    | {"local-incidence-angle", "ellipsoid-incidence-angle", "uncertainty", "visual"}
)
_NOT_MEASUREMENT_WORDS = re.compile(
    r"(?:^|[_.-])(?:mask|msk|noise|nesz|quicklook|ql|thumbnail|browse|preview|angle|inc|lin|linci|phase|coherence|lut"
    r"|uncertainty|std)(?:[_.-]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AssetBand:
    """One band of an asset, with what the asset and the item say of all bands behind it."""

    index: int
    """From 1."""
    name: str
    layers: tuple[Mapping[str, Any], ...]
    """Metadata objects that speak of the band, the most specific first."""

    def values(self, *names: str) -> Iterator[Any]:
        """Yield what is said under any of the names, the most specific first."""
        for layer in self.layers:
            for name in names:
                if layer.get(name) is not None:
                    yield layer[name]

    def number(self, *names: str) -> float | None:
        """Return the first number said under any of the names."""
        return next((found for value in self.values(*names) if (found := as_number(value)) is not None), None)

    def text(self, *names: str) -> str:
        """Return the first text said under any of the names, or nothing."""
        return next((value for value in self.values(*names) if isinstance(value, str) and value), "")


@dataclass(frozen=True)
class Asset:
    """One asset of an item."""

    key: str
    href: str
    """Absolute."""
    roles: frozenset[str]
    """Lower case."""
    media_type: str
    fields: Mapping[str, Any]
    bands: tuple[AssetBand, ...]
    """At least one."""
    siblings: Mapping[str, str]
    """Hrefs of all assets of the item by key."""

    @property
    def family(self) -> Family | None:
        """The family of products whose reader the asset needs; None: it is a GeoTIFF or nothing that is read."""
        said = self.fields.get(FAMILY_FIELD)
        return cast(Family, said) if said in get_args(Family) else None

    def source_of(self, band: AssetBand) -> Source | None:
        """Return where a band lies inside a product; None for a GeoTIFF."""
        return None if self.family is None else Source(self.family, band.name, self.siblings)

    def index_of(self, band: AssetBand) -> int:
        """Return the number of a band in what a reader opens: a layer of a product is opened by itself."""
        return band.index if self.family is None else 1

    @property
    def is_raster(self) -> bool:
        """False where suffix or media type show something that no reader reads; a suffix is wrong less often."""
        suffix = posixpath.splitext(file_name(self.href))[1].lower()
        if self.family is not None or suffix in (".tif", ".tiff"):
            return True
        if self.media_type:
            return "tif" in self.media_type or _NOT_RASTERS.search(self.media_type) is None
        return _NOT_RASTERS.search(suffix) is None

    @property
    def is_measurement(self) -> bool:
        """False for masks, angles, previews and other rasters that hold no backscatter."""
        by_role = self.roles & _NOT_MEASUREMENTS
        if "data" in self.roles:
            by_role -= {"overview", "visual", "metadata"}
        return not by_role and _NOT_MEASUREMENT_WORDS.search(self.key) is None

    def polarization_of(self, band: AssetBand) -> str | None:
        """Return the one polarization that a band holds, where metadata or names tell it without doubt."""
        own = [layer for layer in band.layers[:-2] if layer]  # what speaks of the band alone
        for text in (band.name, *(str(layer.get("polarization", "")) for layer in own)):
            if found := polarizations_in(text):
                return found[0] if len(found) == 1 else None
        stated = [name for layer in own for name in as_polarizations(layer.get("sar:polarizations"))]
        if len(set(stated)) == 1:
            return stated[0]
        if len(self.bands) > 1:
            return None
        stated = as_polarizations(self.fields.get("sar:polarizations"))
        for names in (stated, polarizations_in(self.key), polarizations_in(file_name(self.href))):
            if names:
                return names[0] if len(names) == 1 else None
        return None


def assets_of(item: Mapping[str, Any], href: str) -> tuple[Asset, ...]:
    """Return an item's assets with their hrefs resolved against the item's."""
    properties = as_mapping(item.get("properties"))
    said = {str(key): as_mapping(raw) for key, raw in as_mapping(item.get("assets")).items()}
    hrefs = {
        key: resolve(fields["href"], href)
        for key, fields in said.items()
        if isinstance(fields.get("href"), str) and fields["href"]
    }
    assets = []
    for key, target in hrefs.items():
        fields = said[key]
        roles = {text.strip().lower() for name in ("roles", "role") for text in as_texts(fields.get(name))}
        media_type = fields.get("type")
        assets.append(
            Asset(
                key,
                target,
                frozenset(roles),
                media_type.lower() if isinstance(media_type, str) else "",
                fields,
                _bands_of(fields, properties),
                hrefs,
            )
        )
    return tuple(assets)


def _bands_of(fields: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[AssetBand, ...]:
    said = [as_list(fields.get(name)) for name in ("bands", "raster:bands", "eo:bands")]
    bands = []
    for index in range(max([1, *map(len, said)])):
        own = tuple(as_mapping(part[index]) for part in said if index < len(part))
        names = [layer["name"] for layer in own if isinstance(layer.get("name"), str)]
        bands.append(AssetBand(index + 1, names[0] if names else "", (*own, fields, properties)))
    return tuple(bands)


def is_usable(href: str, item_href: str) -> bool:
    """Tell whether an asset may be read: a remote item names only http(s) addresses, a local one also paths."""
    return is_remote(href) or (not is_remote(item_href) and "://" not in href and not href.startswith("/vsi"))


def resolve(href: str, base: str) -> str:
    """Make an href absolute: against the address of the item, or the folder of a local one."""
    if href.lower().startswith("file://") and not is_remote(base):
        try:
            return unquote(urlsplit(href).path)
        except ValueError:
            return href
    if "://" in href or href.startswith("/vsi"):
        return href
    if is_remote(base):
        try:
            return _beside_object(href, base) if base.startswith("s3://") else urljoin(base, href)
        except ValueError:
            return href
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), href))


def _beside_object(href: str, base: str) -> str:
    """Make an href absolute against an s3 address: its path is a key, which urljoin knows nothing of."""
    bucket, _, key = base.removeprefix("s3://").partition("/")
    inside = posixpath.normpath(posixpath.join("/", posixpath.dirname(key), href))
    return f"s3://{bucket}/{inside.lstrip('/')}"


def polarizations_in(text: str) -> list[str]:
    """Return the polarizations that a name holds as words of their own, each once."""
    return list(dict.fromkeys(found.upper() for found in _POLARIZATION.findall(text)))


def as_polarizations(value: Any) -> list[str]:
    """Return the linear polarizations of a `sar:polarizations`."""
    names = [text.strip().upper() for text in as_texts(value)]
    return [name for name in dict.fromkeys(names) if name in ("HH", "HV", "VH", "VV")]


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON array, or an empty one in place of anything else."""
    return value if isinstance(value, list) else []


def as_texts(value: Any) -> list[str]:
    """Return the texts of an array, or a lone text as one."""
    values: Iterable[Any] = [value] if isinstance(value, str) else as_list(value)
    return [text for text in values if isinstance(text, str)]


def as_number(value: Any) -> float | None:
    """Return a finite number; None for anything else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
