"""C3 and T3 matrices: folders of PolSARpro and SNAP (ENVI), GeoTIFFs of an element each, or one of many bands.

Both hold the same powers. With reciprocity the lexicographic vector is (S_HH, sqrt(2) S_HV, S_VV) and the Pauli vector
(S_HH + S_VV, S_HH - S_VV, 2 S_HV) / sqrt(2), so that |HV|^2 = C22/2 = T33/2, |HH|^2 = C11 = (T11 + T22)/2 + Re T12 and
|VV|^2 = C33 = (T11 + T22)/2 - Re T12: Lee and Pottier (2009), Polarimetric Radar Imaging, sections 3.2 and 3.3.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, is_remote
from escape_process.readers.computed import ComputedRaster, footprint_of, id_from
from escape_process.readers.covariance.files import ANGLES, ELEMENTS, Matrix, MatrixFiles, OpenedMatrix, recognises
from escape_process.readers.covariance.geotiffs import open_bands, open_geotiffs
from escape_process.readers.covariance.raw import open_raw
from escape_process.readers.footprints import outline_of
from escape_process.records import Description, Source
from escape_process.settings import Settings

__all__ = ["describe", "needed", "open_layer", "powers", "recognises"]


def powers(matrix: Matrix, layer: str, elements: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the power of one polarization from the elements of a matrix.

    Parameters
    ----------
    matrix, layer
        "HH", "HV" or "VV" of the matrix.
    elements
        By name, linear, any common shape: those of `needed`.

    Returns
    -------
    Linear power, float32, same shape; NaN where an element is not finite.
    """
    values = {name: np.asarray(stored, dtype=np.float64) for name, stored in elements.items()}
    with np.errstate(over="ignore", invalid="ignore"):
        if layer == "HV":
            power = values["C22" if matrix == "C3" else "T33"] / 2
        elif matrix == "C3":
            power = values["C11" if layer == "HH" else "C33"]
        else:
            sign = 1.0 if layer == "HH" else -1.0
            power = (values["T11"] + values["T22"]) / 2 + sign * values["T12_real"]
        found = power.astype(np.float32)
    return np.where(np.isfinite(found), found, np.float32(np.nan))


def needed(matrix: Matrix, layer: str) -> tuple[str, ...]:
    """Return the elements that a polarization is computed from."""
    if matrix == "C3":
        return ({"HH": "C11", "HV": "C22", "VV": "C33"}[layer],)
    return ("T33",) if layer == "HV" else ("T11", "T22", "T12_real")


def describe(hrefs: Sequence[str], settings: Settings, dem: str | None = None) -> Description:
    """Describe the product that some files make: a folder of a matrix, or a GeoTIFF of its bands.

    A terrain model is of no use here: the product is on a map grid. Nothing in it tells its time, its band, its
    convention or its angles: those are left to the caller.

    Raises
    ------
    SceneError
        naming the file, the field and its value where an element is missing, cut short or of another size, where
        matrices are mixed, or nothing says where the product lies.
    UpstreamError
        where a file is missing or its host does not give it.
    """
    files = MatrixFiles.of(hrefs)
    with ExitStack() as stack:
        opened = _open(files, ELEMENTS[files.matrix], settings, stack)
        grid = opened.grid
        name = file_name(files.elements[ELEMENTS[files.matrix][0]])
        geometry = footprint_of(grid, name)
        if not is_remote(files.elements[ELEMENTS[files.matrix][0]]):
            geometry = outline_of(_valid(files.matrix, opened), grid, name)
    return Description(
        id=_id_of(files),
        start=None,
        end=None,
        grid=grid,
        geometry=geometry,
        assets=_assets(files, [name for name in opened.readers if name in ANGLES.values()]),
        properties={"sar:polarizations": ["HH", "HV", "VV"]},
        warnings=opened.warnings,
    )


def _valid(matrix: Matrix, opened: OpenedMatrix) -> Callable[[RasterWindow], NDArray[np.bool_]]:
    """Return a function that tells where all powers of a window are there."""

    def valid(window: RasterWindow) -> NDArray[np.bool_]:
        elements = {name: opened.readers[name](window) for name in ELEMENTS[matrix]}
        found = np.stack([powers(matrix, layer, elements) for layer in ("HH", "HV", "VV")])
        return np.asarray((found > 0).all(axis=0))

    return valid


@contextmanager
def open_layer(source: Source, settings: Settings) -> Iterator[ComputedRaster]:
    """Open one polarization, or the mask of valid pixels ("mask"), of a product.

    Raises
    ------
    SceneError, UpstreamError
        as `describe`; reads raise them too.
    """
    files = MatrixFiles.of(list(source.files.values()))
    with ExitStack() as stack:
        if source.layer == "mask" and files.mask is not None:
            opened = _open(files, ("mask_valid_pixels",), settings, stack)
            read = opened.readers["mask_valid_pixels"]
            yield ComputedRaster(opened.grid, lambda window: (read(window) == 1).astype(np.uint8), None)
            return
        if source.layer in ANGLES.values() and (files.many_bands or source.layer in files.angles):
            opened = _open(files, (source.layer,), settings, stack)
            if source.layer in opened.readers:
                yield ComputedRaster(opened.grid, opened.readers[source.layer])
                return
        if source.layer not in ("HH", "HV", "VV"):
            raise SceneError(f"A {files.matrix} matrix has no layer {source.layer}: it has HH, HV and VV.")
        names = needed(files.matrix, source.layer)
        opened = _open(files, names, settings, stack)
        matrix, layer, readers = files.matrix, source.layer, opened.readers

        def compute(window: RasterWindow) -> NDArray[np.float32]:
            return powers(matrix, layer, {name: readers[name](window) for name in names})

        yield ComputedRaster(opened.grid, compute)


def _open(files: MatrixFiles, names: Sequence[str], settings: Settings, stack: ExitStack) -> OpenedMatrix:
    first = files.elements[ELEMENTS[files.matrix][0]]
    if files.many_bands:
        return open_bands(first, files.matrix, names, settings, stack)
    if files.is_geotiff:
        return open_geotiffs(files, names, settings, stack)
    return open_raw(files, names, settings, stack)


def _id_of(files: MatrixFiles) -> str:
    """Return the folder's name, with the one above it where it only says which matrix it is."""
    href = files.elements[ELEMENTS[files.matrix][0]].split("?")[0]
    if files.many_bands:
        return id_from(re.sub(r"\.tiff?$", "", file_name(href), flags=re.IGNORECASE))
    folders = [part for part in href.split("/")[:-1] if part]
    named = [folder.removesuffix(".data") for folder in folders[-1:]]
    if named and named[0].upper() in ("C3", "T3"):
        named = folders[-2:]
    return id_from("_".join(named))


def _assets(files: MatrixFiles, angle_bands: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the matrix as one asset of three layers, its other files beside it."""
    first = ELEMENTS[files.matrix][0]
    raw = "image/tiff; application=geotiff" if files.is_geotiff else "application/octet-stream"
    described = {
        "HH": "Power of HH.",
        "HV": "Power of HV, mean of HV and VH by reciprocity.",
        "VV": "Power of VV.",
    }
    assets: dict[str, dict[str, Any]] = {
        files.matrix: {
            "href": files.elements[first],
            "type": raw,
            "title": f"{'Covariance' if files.matrix == 'C3' else 'Coherency'} matrix {files.matrix}",
            "roles": ["data"],
            "escape:family": "covariance",
            "bands": [
                {"name": name, "description": text, "data_type": "float32", "unit": "1"}
                for name, text in described.items()
            ],
        }
    }
    for name in ANGLES.values():
        href = files.elements[first] if name in angle_bands else files.angles.get(name)
        if href is not None:
            assets[name] = _angle_asset(name, href, raw, inside=name in angle_bands)
    if not files.many_bands:
        for name, href in files.elements.items():
            if name != first:
                assets[name] = {"href": href, "type": raw, "title": f"Element {name}", "roles": ["covmat"]}
    for name, href in files.headers.items():
        assets[f"{name}_hdr"] = {"href": href, "type": "text/plain", "roles": ["metadata"]}
    for href in files.configs:
        assets[id_from(file_name(href).rpartition(".")[0])] = {
            "href": href,
            "type": "text/plain",
            "roles": ["metadata"],
        }
    if files.mask is not None and not files.is_geotiff:
        assets["mask"] = {
            "href": files.mask,
            "type": "application/octet-stream",
            "title": "Mask of valid pixels",
            "roles": ["data-mask"],
            "escape:family": "covariance",
            "bands": [
                {
                    "name": "mask",
                    "data_type": "uint8",
                    "classification:classes": [
                        {"value": 0, "name": "no_data", "description": "No data"},
                        {"value": 1, "name": "valid", "description": "Valid"},
                    ],
                }
            ],
        }
    return assets


def _angle_asset(name: str, href: str, raw: str, *, inside: bool) -> dict[str, Any]:
    """Describe an incidence angle: a band or a raw file, read by this module, or a GeoTIFF. Its unit is not told."""
    plain = not inside and _is_geotiff(href)
    return {
        "href": href,
        "type": "image/tiff; application=geotiff" if plain else raw,
        "title": name.replace("_", " ").capitalize(),
        "roles": ["data", name.replace("_", "-")],
        **({} if plain else {"escape:family": "covariance"}),
        "bands": [{"name": name}],
    }


def _is_geotiff(href: str) -> bool:
    return file_name(href).lower().endswith((".tif", ".tiff"))
