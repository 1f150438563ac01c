"""How an item's rasters store backscatter: the convention is declared or the scene is refused, never guessed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from escape_process.catalogue.item_assets import Asset, AssetBand, as_mapping, as_number, as_texts
from escape_process.hrefs import file_name
from escape_process.records import Band, Convention, Encoding

CALIBRATION_FIELDS = ("escape:calibration_factor_db", "calibration_factor_db", "calibration_factor")
NOISE_FIELDS = (
    "escape:noise_floor_db",
    "card4l:noise_equivalent_intensity",
    "noise_equivalent_sigma0",
    "noise_floor_db",
)

TERRAIN_FIELD = "escape:terrain_corrected"
"""On the item or an asset: whether its reader corrects for the terrain, where a product's name does not tell it."""

PALSAR_LEVEL = re.compile(r"(?<![0-9.])(?P<level>1\.1|1\.5|2\.1|2\.2|3\.1)[GR_][UPML_][AD]")
"""Level, option, projection and orbit direction at the end of JAXA's product ids, as in HBQR2.1GUA."""
PALSAR_MOSAIC = re.compile(r"[NS]\d{2}[EW]\d{3}_\d{2}_(?:sl|MOS)_", re.IGNORECASE)
"""File names of JAXA's yearly mosaics, as in N23W161_20_sl_HH_F02DAR.tif."""

_WORD = re.compile(r"(sigma|gamma|beta)[\s_-]?(?:0|nought|naught|zero)", re.IGNORECASE)
_CONVENTION_OF_PRODUCT: Mapping[str, Convention] = {
    "RTC": "gamma0",
    "NRB": "gamma0",
    "ORB": "sigma0",
    "L2.2": "gamma0",
    "L1.5": "sigma0",
    "L2.1": "sigma0",
    "L3.1": "sigma0",
}
_CONVENTION_OF_LEVEL: Mapping[str, Convention] = {"2.2": "gamma0", "1.5": "sigma0", "2.1": "sigma0", "3.1": "sigma0"}
_TERRAIN_CORRECTED: Mapping[str, bool] = {"1.1": False, "1.5": False, "3.1": False, "2.1": True, "2.2": True}
_RADAR_GEOMETRY_PRODUCTS = frozenset({"GRD", "GEC", "MLD", "MLC", "SLC", "SSC", "L1.1", "L1.5", "L3.1"})
_DN_EQUATION = re.compile(r"(?:20\*?log10\(\|?DN\|?\)|10\*?log10\(DN(?:\^|\*\*)2\))([+-]\d+(?:\.\d+)?)?")


def band_record(asset: Asset, band: AssetBand, convention: Convention) -> Band:
    """Return what a reader needs to know of one polarization."""
    scale = band.number("raster:scale", "scale")
    return Band(
        key=asset.key,
        href=asset.href,
        index=asset.index_of(band),
        convention=convention,
        encoding=encoding_of(asset, band),
        calibration_factor_db=calibration_factor_of(band),
        scale=1.0 if scale is None else scale,
        offset=band.number("raster:offset", "offset") or 0.0,
        nodata=nodata_of(band),
        source=asset.source_of(band),
    )


def convention_of(item: Mapping[str, Any], asset: Asset, band: AssetBand) -> Convention | None:
    """Return the declared convention; the first of the places that answers wins."""
    for text in _statements(item, asset, band):
        if found := _WORD.search(text):
            return cast(Convention, found[1].lower() + "0")
    for kind in product_types(item, asset):
        if kind in _CONVENTION_OF_PRODUCT:
            return _CONVENTION_OF_PRODUCT[kind]
    level = palsar_level(item, asset)
    return "gamma0" if level == "mosaic" else _CONVENTION_OF_LEVEL.get(level)


def _statements(item: Mapping[str, Any], asset: Asset, band: AssetBand) -> Iterator[str]:
    yield band.text("card4l:measurement_type", "ceosard:measurement_type", "measurement_type")
    yield from sorted(asset.roles)
    yield band.name
    yield asset.key
    yield file_name(asset.href)
    title = asset.fields.get("title")
    yield title if isinstance(title, str) else ""


def product_types(item: Mapping[str, Any], asset: Asset | None = None) -> list[str]:
    """Return the declared kinds of product, upper case, the most specific first."""
    layers = [] if asset is None else [asset.fields]
    layers.append(as_mapping(item.get("properties")))
    names = ("product:type", "sar:product_type", "ceosard:specification", "card4l:specification")
    return [text.strip().upper() for layer in layers for name in names for text in as_texts(layer.get(name))]


def palsar_level(item: Mapping[str, Any], asset: Asset) -> str:
    """Return the JAXA level that a file's or the item's name gives: "2.1", "mosaic" or nothing."""
    for text in (file_name(asset.href), str(item.get("id", ""))):
        if found := PALSAR_LEVEL.search(text):
            return found["level"]
        if PALSAR_MOSAIC.search(text):
            return "mosaic"
    return ""


def is_terrain_corrected(item: Mapping[str, Any], asset: Asset) -> bool:
    """Tell whether positions and angles follow the terrain; where nothing is said, analysis-ready data are assumed."""
    for layer in (asset.fields, as_mapping(item.get("properties"))):
        if isinstance(said := layer.get(TERRAIN_FIELD), bool):
            return said
    level = palsar_level(item, asset)
    if level:
        return _TERRAIN_CORRECTED.get(level, True)
    kinds = product_types(item, asset)
    return not kinds or kinds[0] not in _RADAR_GEOMETRY_PRODUCTS


def encoding_of(asset: Asset, band: AssetBand) -> Encoding | None:
    """Return how power is stored, where it is declared."""
    unit = band.text("unit").strip().lower()
    kind = band.text("data_type").lower()
    said = band.text("card4l:measurement_convention", "ceosard:measurement_convention").lower()
    scaled = (band.number("raster:scale", "scale") or 1.0, band.number("raster:offset", "offset") or 0.0) != (1.0, 0.0)
    if unit in ("db", "decibel", "decibels") or said in ("db", "decibel", "logarithmic"):
        return "db"
    if asset.roles & {"amplitude", "magnitude"} or said == "linear amplitude":
        return "dn" if kind.startswith("uint") and not scaled else "amplitude"
    if unit == "dn" or _DN_EQUATION.fullmatch(_equation(band)):
        return "dn"
    if said == "linear power" or unit in ("linear", "linear power", "power", "m2/m2", "m2 m-2", "m^2/m^2"):
        return "linear"
    if unit == "1" and (scaled or kind.startswith("float")):
        return "linear"
    return "dn" if kind == "uint16" and not scaled else None


def calibration_factor_of(band: AssetBand) -> float | None:
    """Return F of power_db = 20 log10(DN) + F, where it is declared."""
    factor = band.number(*CALIBRATION_FIELDS)
    if factor is not None:
        return factor
    found = _DN_EQUATION.fullmatch(_equation(band))
    return float(found[1]) if found and found[1] else None


def _equation(band: AssetBand) -> str:
    return re.sub(r"\s", "", band.text("card4l:conversion_eq", "ceosard:conversion_eq"))


def nodata_of(band: AssetBand) -> float | None:
    """Return the declared nodata value; NaN is one."""
    for value in band.values("nodata"):
        if (number := as_number(value)) is not None:
            return number
        if value == "nan":
            return float("nan")
    return None


def noise_floor_of(band: AssetBand, polarization: str) -> float | None:
    """Return the noise-equivalent backscatter in dB, where it is annotated; the worst of a range."""
    for value in band.values(*NOISE_FIELDS):
        by_name = as_mapping(value)
        for candidate in (value, by_name.get(polarization), by_name.get("maximum"), by_name.get("mean")):
            number = as_number(candidate)
            if number is not None and -80 <= number < 0:
                return number
    return None
