"""What is fuzzed of the readers of products that users hold: headers, leaders, matrices, HDF5, archives."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from ceos_writer import Design, scatter, write_product
from matrix_files import matrices, write_envi
from nisar_files import write_gcov
from rasterio.windows import Window

from escape_process.records import Family, Source
from escape_process.settings import Settings
from fuzz.registry import Parser, documents, of_file

SETTINGS = Settings(data_dir=Path("absent"))
RASTER = "IMG-HH-ALOS2014555550-140829-HBQR2.1GUA.tif"
SUMMARY = b"""Scs_SceneID="ALOS2014555550-140829"
Pds_ProductID="HBQR2.1GUA"
Img_SceneCenterDateTime="20140829 04:33:47.052"
Img_OffNadirAngle="28.6"
Pds_PixelSpacing="6.25"
"""
CARD4L = b"""<?xml version="1.0" encoding="UTF-8"?>
<CEOSARD><SourceAttributes><FirstAcquisitionDate>2022-06-30T16:02:58Z</FirstAcquisitionDate>
<Radar><Polarizations>HH, HV</Polarizations><RadarBand>L-band</RadarBand></Radar>
<NoiseEquivalentIntensity Polarization="HH">-30.0</NoiseEquivalentIntensity></SourceAttributes>
<Product><MeasurementType>Gamma-Nought</MeasurementType></Product></CEOSARD>
"""
GRANULE = "NISAR_L2_PR_GCOV_006_172_A_008_2005_QPDH_A_20251122T024618_20251122T024652_X05007_N_F_J_001"
CONFIG = b"Nrow\n10\n---------\nNcol\n20\n---------\nPolarCase\nmonostatic\n---------\nPolarType\nfull\n"


def _summary(path: Path) -> object:
    from escape_process.readers.geotiff.jaxa import hints_of_alos2
    from escape_process.readers.geotiff.summary import hints_of_summary

    beside = {"summary.txt": str(path), RASTER: RASTER}
    return hints_of_summary(beside, SETTINGS).over(hints_of_alos2(beside, SETTINGS))


def _manifest(path: Path) -> object:
    from escape_process.readers.geotiff.nisar_manifest import hints_of_manifest

    return hints_of_manifest({"manifest.json": str(path), "HHHH.tif": "HHHH.tif"}, SETTINGS)


def _named(data: bytes, folder: Path) -> object:
    from escape_process.readers.geotiff.hints import hints_of_names
    from escape_process.readers.geotiff.jaxa import hints_of_alos2, hints_of_mosaic
    from escape_process.readers.listing import group_products

    name = data.decode("utf-8", errors="replace").replace("/", "_")
    group_products([str(folder / name)])
    beside = {name: name}
    return hints_of_names([name]).over(hints_of_alos2(beside, SETTINGS)).over(hints_of_mosaic(beside, SETTINGS))


def _card4l(path: Path) -> object:
    from escape_process.readers.geotiff.card4l import hints_of_card4l

    return hints_of_card4l({"ALOS2437590500-220630_WWDR2.2GUA_summary.xml": str(path)}, SETTINGS)


def _unpacked(path: Path) -> object:
    from escape_process.readers.archives import archived_names, unpack

    names = archived_names(str(path), SETTINGS)
    return names, unpack(str(path), path.parent / "unpacked", SETTINGS)


def _zips(folder: Path) -> list[bytes]:
    contents = []
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", kind) as archive:
            for name, data in (("scene/HH.tif", b"II*\0" * 200), ("scene/summary.txt", SUMMARY)):
                archive.writestr(zipfile.ZipInfo(name), data, kind)  # without the time of writing
        contents.append(content.getvalue())
    return contents


def _tars(folder: Path) -> list[bytes]:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("scene/summary.txt")
        member.size = len(SUMMARY)
        archive.addfile(member, io.BytesIO(SUMMARY))
    return [gzip.compress(content.getvalue(), mtime=0)]


def _config(data: bytes, folder: Path) -> object:
    from escape_process.readers.covariance.envi import read_config

    return read_config(data, "config.txt")


def _ceos(folder: Path) -> list[str]:
    design = Design(lines=120, pixels=80)
    powers = (("HH", 0.1), ("HV", 0.01), ("VV", 0.12))
    even = {name: np.full((design.lines, design.pixels), power) for name, power in powers}
    return write_product(design, scatter(design, even), folder)


def _gcov(folder: Path) -> list[str]:
    powers = {name: np.full((60, 70), 0.1, dtype=np.float32) for name in ("HH", "HV", "VH", "VV")}
    layers = {"factor": np.full((60, 70), 0.8), "mask": np.ones((60, 70))}
    return [str(write_gcov(folder / "gcov.h5", powers, looks=20.0, **layers))]


def _matrix(folder: Path) -> list[str]:
    write_envi(folder / "C3", matrices()[1])
    return [str(path) for path in sorted((folder / "C3").iterdir())]


def _bands(path: Path, names: Sequence[str], dtype: str) -> Path:
    """Write a GeoTIFF of several bands that are named."""
    profile = {"driver": "GTiff", "height": 60, "width": 70, "count": len(names), "dtype": dtype, "tiled": True}
    place = {"crs": "EPSG:32630", "transform": Affine(25, 0, 600000, 0, -25, 4600000)}
    with rasterio.open(path, "w", blockxsize=32, blockysize=32, compress="deflate", **profile, **place) as raster:
        for index, name in enumerate(names, 1):
            raster.write(np.full((60, 70), index if dtype == "uint16" else 0.1 * index, dtype=dtype), index)
            raster.set_band_description(index, name)
    return path


def _stack(folder: Path) -> list[bytes]:
    names = ("Sigma0_HH", "Sigma0_HV", "Sigma0_VV", "localIncidenceAngle", "mask")
    return [_bands(folder / "stack.tif", names, dtype).read_bytes() for dtype in ("float32", "uint16")]


def _described(path: Path) -> object:
    from escape_process.readers import geotiff

    return geotiff.describe([str(path)], SETTINGS) if geotiff.is_stack(str(path), SETTINGS) else None


def _complex_matrix(folder: Path) -> list[str]:
    names = [f"T{place}" for place in ("11", "12", "13", "22", "23", "33")]
    return [str(_bands(folder / "scene_T3.tif", names, "complex64"))]


def of_product(name: str, family: Family, write: Callable[[Path], list[str]], part: str, rate: int) -> Parser:
    """Return what fuzzes one file of a product, described and read; its other files stay as our writer made them."""

    def seeds(folder: Path) -> list[bytes]:
        return [Path(next(file for file in write(folder) if part in Path(file).name)).read_bytes()]

    def parse(data: bytes, folder: Path) -> object:
        module = import_module(f"escape_process.readers.{family}")
        product = folder / "product"
        if not product.exists():
            product.mkdir()
            write(product)
        files = sorted(str(path) for path in product.rglob("*") if path.is_file())
        Path(next(file for file in files if part in Path(file).name)).write_bytes(data)
        described = module.describe(files, SETTINGS)
        hrefs = {key: str(asset["href"]) for key, asset in described.assets.items()}
        layers = [band["name"] for asset in described.assets.values() for band in asset.get("bands", ())]
        for layer in dict.fromkeys(layers):
            with module.open_layer(Source(family, layer, hrefs), SETTINGS) as raster:
                raster.read(1, window=Window(0, 0, min(8, raster.width), min(8, raster.height)))
        return described

    return Parser(name, parse, seeds, rate=rate)


def _one(content: bytes) -> Callable[[Path], list[bytes]]:
    return lambda folder: [content]


PRODUCTS = (
    Parser("summary", of_file("summary.txt", _summary), _one(SUMMARY), rate=2600),
    Parser(
        "manifest",
        of_file("manifest.json", _manifest),
        documents({"source": f"{GRANULE}.h5", "radiometry": "gamma0"}),
        rate=2300,
    ),
    Parser("names", _named, _one(RASTER.encode()), rate=5000),
    Parser("card4l", of_file("summary.xml", _card4l), _one(CARD4L), rate=2500),
    Parser("zip", of_file("product.zip", _unpacked), _zips, rate=1400),
    Parser("tar", of_file("product.tar.gz", _unpacked), _tars, rate=2000),
    of_product("ceos-leader", "ceos", _ceos, "LED-", rate=45),
    of_product("ceos-image", "ceos", _ceos, "IMG-HH", rate=35),
    of_product("envi", "covariance", _matrix, "C11.bin.hdr", rate=180),
    Parser("bands", of_file("stack.tif", _described), _stack, rate=200),
    of_product("matrix-geotiff", "covariance", _complex_matrix, "_T3.tif", rate=180),
    of_product("nisar", "nisar", _gcov, ".h5", rate=65),
    Parser("polsarpro", _config, _one(CONFIG), rate=19000),
)
