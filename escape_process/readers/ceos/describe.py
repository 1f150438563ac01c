"""Describes a CEOS product for a STAC item."""

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from escape_process.hrefs import file_name, read_bytes
from escape_process.physics.radiometry import CALIBRATION_FACTOR_DB, SPEED_OF_LIGHT
from escape_process.readers.ceos import geometry
from escape_process.readers.ceos.faraday import FaradayRotation, cross_polarized_leak_db, estimate_faraday
from escape_process.readers.ceos.layers import ELLIPSOID_ANGLE, LOCAL_ANGLE, MASK
from escape_process.readers.ceos.names import (
    DEM_KEY,
    GEOID_KEY,
    LEADER_KEY,
    POLARIZATIONS,
    ProductFiles,
    files_of_hrefs,
    parse_name,
)
from escape_process.readers.ceos.placing import LAYOVER, SHADOW, VALID
from escape_process.readers.ceos.product import Product, open_product
from escape_process.records import Description
from escape_process.settings import Settings

FAMILY = {"escape:family": "ceos"}
MUCH_ROTATION = 5.0
"""Degrees of Faraday rotation beyond which a warning is due."""
LONGEST_SUMMARY = 64 * 1024
_CEOS_TYPE = "application/octet-stream"
_TIFF_TYPE = "image/tiff; application=geotiff"
_TEXT_TYPES = {"summary": "text/plain", "volume": _CEOS_TYPE, "trailer": _CEOS_TYPE}
_INSTRUMENTS = {"alos-2": "palsar-2", "alos-4": "palsar-3"}
_ORIENTATION = {"H": "horizontal", "V": "vertical"}
_MASK_CLASSES = ((0, "no_data"), (VALID, "valid"), (LAYOVER, "layover"), (SHADOW, "shadow"))
_STAMP = r'Img_Scene{}DateTime="(\d{{8}} \d{{2}}:\d{{2}}:\d{{2}}\.\d{{1,6}})"'


def describe(
    hrefs: Sequence[str], settings: Settings, *, dem: str | None = None, geoid: str | None = None
) -> Description:
    """Describe a level 1.1 or 1.5 product with all four polarizations.

    Parameters
    ----------
    hrefs
        The files of one product: LED, IMG-HH, IMG-HV, IMG-VH, IMG-VV, and VOL, TRL, summary.txt where they are there.
    dem
        A GeoTIFF of heights in metres, in any CRS: the layers are then terrain corrected. Heights count from the
        ellipsoid, after the scale and offset that the file declares.
    geoid
        A GeoTIFF of the geoid's height above the ellipsoid in metres, where those of the DEM count from the geoid.

    Raises
    ------
    UpstreamError
        where a file is missing or its host fails.
    SceneError
        where a polarization is missing, or a file is damaged, cut short, mislabelled or of another product.
    """
    files = files_of_hrefs(hrefs, dem, geoid)
    warnings: list[str] = []
    with open_product(files, settings) as product:
        rotation = estimate_faraday(product.images) if product.is_complex else None
        warnings += _warnings(product, files, rotation)
        start, end = _times(product, files, settings)
        if start is product.leader.centre_time:
            warnings.append("Neither the lines nor a summary tell the times of start and end: the centre's is given.")
        return Description(
            id=_id(product, files),
            start=start,
            end=end,
            grid=product.grid,
            geometry=_geometry(product),
            assets=_assets(product, files),
            properties=_properties(product, files, rotation),
            warnings=tuple(warnings),
        )


def _id(product: Product, files: ProductFiles) -> str:
    named = parse_name(files.leader)
    name = f"{product.leader.scene_id}-L{product.leader.level}" if named is None else named.product
    return name.replace(".", "_").rstrip("_")


def _times(product: Product, files: ProductFiles, settings: Settings) -> tuple[dt.datetime, dt.datetime | None]:
    """Return start and end: of the first and last line, else of summary.txt, else the scene's centre alone."""
    first, last = product.first_line.time, product.last_line.time
    if product.is_complex and first is not None and last is not None and first < last:
        return first, last
    if "summary" in files.others:
        text = read_bytes(files.others["summary"], settings, LONGEST_SUMMARY).decode("ascii", "replace")
        found = [re.search(_STAMP.format(which), text) for which in ("Start", "End")]
        try:
            stamps = [dt.datetime.strptime(one[1], "%Y%m%d %H:%M:%S.%f").replace(tzinfo=dt.UTC) for one in found if one]
        except ValueError:
            stamps = []
        if len(stamps) == 2 and stamps[0] <= product.leader.centre_time <= stamps[1]:
            return stamps[0], stamps[1]
    return product.leader.centre_time, None


def _geometry(product: Product) -> Mapping[str, Any]:
    to_degrees = Transformer.from_crs(product.grid.crs, "EPSG:4326", always_xy=True)
    outline = shapely.transform(product.outline, to_degrees.transform, interleaved=False)
    west, _, east, _ = outline.bounds
    if east - west > 180:  # across the antimeridian: two parts
        turn = np.array([360.0, 0.0])
        outline = shapely.transform(outline, lambda points: points + turn * (points[:, :1] < 0))
        halves = [outline & shapely.box(0, -90, 180, 90), outline & shapely.box(180, -90, 360, 90)]
        outline = shapely.MultiPolygon([halves[0], shapely.transform(halves[1], lambda points: points - turn)])
    parts = [shapely.geometry.polygon.orient(part) for part in shapely.get_parts(outline)]
    shape: Mapping[str, Any] = shapely.geometry.mapping(parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))
    return shape


def _properties(product: Product, files: ProductFiles, rotation: FaradayRotation | None) -> dict[str, Any]:
    leader, sampling = product.leader, product.sampling
    named = parse_name(files.leader)
    right, ascending = leader.right_looking, leader.ascending
    if named is not None:
        right, ascending = named.look == "R", named.direction == "A"
    orbit = re.fullmatch(r"ALOS2(\d{5})\d{4}-\d{6}", leader.scene_id)
    known: dict[str, Any] = {
        "platform": leader.platform,
        "instruments": [_INSTRUMENTS[leader.platform]],
        "gsd": sampling.spacing,
        "product:type": f"L{leader.level}",
        "sar:frequency_band": "L",
        "sar:center_frequency": round(SPEED_OF_LIGHT / leader.wavelength / 1e9, 6),
        "sar:polarizations": list(POLARIZATIONS),
        "sar:instrument_mode": None if named is None else named.mode,
        "sar:observation_direction": None if right is None else ("right" if right else "left"),
        "sat:orbit_state": None if ascending is None else ("ascending" if ascending else "descending"),
        "sat:absolute_orbit": None if orbit is None else int(orbit[1]),
        "sar:looks_equivalent_number": None if sampling.looks is None else round(sampling.looks, 3),
        "sar:resolution_range": round(sampling.resolution_range, 3),
        "sar:resolution_azimuth": round(sampling.resolution_azimuth, 3),
        "sar:pixel_spacing_range": sampling.spacing,
        "sar:pixel_spacing_azimuth": sampling.spacing,
        "view:off_nadir": leader.off_nadir_deg,
        "view:incidence_angle": round(_centre_incidence(product), 3),
        "escape:terrain_corrected": files.dem is not None,
        "escape:faraday_rotation_deg": None if rotation is None else round(rotation.angle_deg, 2),
        "escape:faraday_corrected": None if rotation is None else rotation.is_corrected,
    }
    return {name: value for name, value in known.items() if value is not None}


def _centre_incidence(product: Product) -> float:
    """Return the incidence angle on the ellipsoid at the centre of the image, degrees, by the orbit."""
    lines, pixels = product.shape
    place = geometry.to_geographic(product.leader.polynomials, np.array((lines - 1) / 2), np.array((pixels - 1) / 2))
    points = geometry.earth_fixed(product.leader, *place, 0.0)
    sight = geometry.zero_doppler(product.orbit, points)[2]
    return math.degrees(float(geometry.angle_between(sight, geometry.up(*place))))


def _assets(product: Product, files: ProductFiles) -> dict[str, Any]:
    terrain = files.dem is not None
    spacing = product.sampling.spacing
    assets: dict[str, Any] = {}
    for name in POLARIZATIONS:
        sent, received = (_ORIENTATION[letter] for letter in name)
        band = {"name": name, "data_type": "float32", "unit": "1", "raster:spatial_resolution": spacing}
        assets[name] = {
            "href": files.images[name],
            "type": _CEOS_TYPE,
            "title": f"{name} backscatter",
            "description": f"Sent {sent}, received {received}.",
            "roles": ["data", "sigma0"],
            "sar:polarizations": [name],
            "bands": [band],
            **FAMILY,
        }
        if product.leader.noise_floor_db is not None:
            assets[name]["escape:noise_floor_db"] = product.leader.noise_floor_db
    assets[LEADER_KEY] = {
        "href": files.leader,
        "type": _CEOS_TYPE,
        "title": "Leader: orbit, polynomials, calibration",
        "roles": ["metadata"],
    }
    angle = LOCAL_ANGLE if terrain else ELLIPSOID_ANGLE
    assets[angle] = _derived(files, angle, {"data_type": "float32", "unit": "deg"}, ["data", angle.replace("_", "-")])
    if terrain:
        classes = [
            {"value": value, "name": name, "description": name.replace("_", " ").capitalize() + "."}
            for value, name in _MASK_CLASSES
        ]
        band = {"data_type": "uint8", "classification:classes": classes}
        assets[MASK] = _derived(files, MASK, band, ["metadata", "data-mask"])
    for key, href, title in (
        (DEM_KEY, files.dem, "Heights that the layers are terrain corrected with"),
        (GEOID_KEY, files.geoid, "Height of the geoid above the ellipsoid"),
    ):
        if href is not None:
            assets[key] = {"href": href, "type": _TIFF_TYPE, "title": title, "roles": ["metadata"]}
    for key, href in files.others.items():
        assets[key] = {"href": href, "type": _TEXT_TYPES[key], "title": file_name(href), "roles": ["metadata"]}
    return assets


def _derived(files: ProductFiles, name: str, band: Mapping[str, Any], roles: list[str]) -> dict[str, Any]:
    """Describe a layer that the reader computes from the leader."""
    return {
        "href": files.leader,
        "type": _CEOS_TYPE,
        "title": name.replace("_", " ").capitalize(),
        "description": "Computed from the leader's orbit where it is read.",
        "roles": roles,
        "bands": [{"name": name, **band}],
        **FAMILY,
    }


def _warnings(product: Product, files: ProductFiles, rotation: FaradayRotation | None) -> list[str]:
    said = []
    leader = product.leader
    if files.dem is None:
        said.append(
            f"Level {leader.level} is not terrain corrected: positions and angles are wrong where there is relief; give"
            " a DEM."
        )
    elif files.geoid is None:
        said.append(
            f"The heights of {file_name(files.dem)} are taken to count from the ellipsoid: where they count from the"
            " geoid, give its height too, or the scene is displaced by about as much."
        )
    if files.dem is not None and not product.is_complex and leader.reference_height is None:
        said.append("The leader does not tell at which height its polynomials hold; that of the ellipsoid is taken.")
    if leader.calibration_factor_db is None:
        said.append(f"The leader states no calibration factor; JAXA's usual {CALIBRATION_FACTOR_DB:g} dB is used.")
    if product.sampling.looks is None:
        said.append("The leader does not tell the number of looks: it will be measured on the pixels.")
    if rotation is not None and not rotation.is_known:
        said.append(
            f"The Faraday rotation cannot be told, because the circular cross terms cohere by {rotation.coherence:.2f}"
            " only; it is not corrected."
        )
    elif rotation is not None and abs(rotation.angle_deg) > MUCH_ROTATION:
        said.append(
            f"The Faraday rotation is {rotation.angle_deg:.1f} degrees, by which power of HH and VV leaks into HV,"
            f" {-cross_polarized_leak_db(rotation.angle_deg):.0f} dB below them: it is corrected by the mean of the"
            " scene, and HV is less certain."
        )
    return said
