"""One product, opened and checked: its leader, its images, and the grid that its layers are yielded on."""

import datetime as dt
import io
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from escape_process.errors import SceneError
from escape_process.hrefs import file_name, open_href
from escape_process.physics.radiometry import CALIBRATION_FACTOR_DB, SPEED_OF_LIGHT
from escape_process.readers.ceos import geometry
from escape_process.readers.ceos.image import Image, LineHeader
from escape_process.readers.ceos.leader import Leader, read_leader
from escape_process.readers.ceos.names import POLARIZATIONS, ProductFiles, parse_name
from escape_process.readers.ceos.terrain import Heights, open_heights
from escape_process.records import Grid
from escape_process.settings import Settings

COMPLEX_OFFSET_DB = -32.0
"""Level 1.1: sigma0_db = 10 log10(I^2 + Q^2) + factor - 32. JAXA, calibration result of the standard products."""
SPACING_STEP = 5.0
"""m: the grid's spacing is a multiple of it."""
FINEST_SPACING = 1.25
"""Of the grid, in units of the coarsest of spacing and resolution in the image."""
LARGEST_EXTENT = 600e3
"""m: a strip or frame is smaller."""
COARSE = 128
"""Places along each side of a scene at which its heights are looked up to lay out the grid."""
HEIGHT_STEP = 50.0
"""m, to which they are rounded for it."""
LONGEST_OFFSET = dt.timedelta(seconds=120)
"""Between the first line of an image and the centre of its scene; half a frame takes 5 s, half a ScanSAR frame 30 s."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """How the image is averaged to the grid."""

    spacing: float
    """Of the grid, m."""
    line_spacing: float
    """Of the image on the ground at its centre, m."""
    pixel_spacing: float
    lines: int
    """Of the box that is averaged."""
    pixels: int
    looks: float | None
    """Equivalent number of a box; None: the leader does not tell what it takes to know."""
    resolution_azimuth: float
    """Of a box, m: what one set of `looks` covers."""
    resolution_range: float


@dataclass(frozen=True, eq=False)
class Terrain:
    """What terrain correction takes."""

    dem: Heights
    geoid: Heights | None
    axes: geometry.Axes

    def heights(self, grid: Grid) -> Array:
        """Return the heights above the ellipsoid at the cells of a grid, m; errors as of `Heights.on`."""
        heights: Array = self.dem.on(grid).astype(np.float64)
        return heights if self.geoid is None else heights + self.geoid.on(grid)


@dataclass(frozen=True, eq=False)
class Product:
    """An open product. Use it inside `open_product`."""

    files: ProductFiles
    leader: Leader
    images: Mapping[str, Image]
    first_line: LineHeader
    last_line: LineHeader
    orbit: geometry.Orbit
    sampling: Sampling
    grid: Grid
    outline: shapely.Polygon
    """Of the image on the ground, in the grid's CRS."""
    terrain: "Terrain | None"
    """None: no DEM is given."""

    @property
    def shape(self) -> tuple[int, int]:
        """(lines, pixels) of the image."""
        layout = self.images["HH"].descriptor
        return layout.lines, layout.pixels

    @property
    def is_complex(self) -> bool:
        """True for level 1.1."""
        return self.leader.level == "1.1"

    @property
    def first_range(self) -> float | None:
        """Slant range of the first pixel of a slant-range image, m, where it is stated."""
        return self.first_line.slant_range if self.is_complex else None

    @property
    def factor(self) -> float:
        """Linear: sigma0 of the ellipsoid over the stored power."""
        stated = self.leader.calibration_factor_db
        factor_db = CALIBRATION_FACTOR_DB if stated is None else stated
        return float(10 ** ((factor_db + (COMPLEX_OFFSET_DB if self.is_complex else 0.0)) / 10))


@contextmanager
def open_product(files: ProductFiles, settings: Settings) -> Iterator[Product]:
    """Open a product's leader and images and check that they belong together.

    Raises
    ------
    UpstreamError
        where a file is missing or its host fails, at opening or later.
    SceneError
        where a file is damaged, cut short, mislabelled or of another product.
    """
    if files.geoid is not None and files.dem is None:
        raise SceneError(f"{file_name(files.geoid)} is given as the geoid, but no DEM is: give the DEM.")
    leader = read_leader(files.leader, settings)
    _check_name(files.leader, leader, "LED", None)
    with ExitStack() as stack:
        images = {}
        for name in POLARIZATIONS:
            stream = stack.enter_context(open_href(files.images[name], settings))
            size = stream.seek(0, io.SEEK_END)
            images[name] = Image(stream, size, file_name(files.images[name]))
            _check_name(files.images[name], leader, "IMG", name)
        first, last = _check_images(images, leader)
        orbit = geometry.orbit_of(leader)
        shape = (images["HH"].descriptor.lines, images["HH"].descriptor.pixels)
        grid, sampling, outline = lay_out(leader, shape)
        terrain = None
        if files.dem is not None:
            dem = stack.enter_context(open_heights(files.dem, settings))
            geoid = None if files.geoid is None else stack.enter_context(open_heights(files.geoid, settings))
            first_range = first.slant_range if leader.level == "1.1" else None
            axes = geometry.fit_axes(leader, orbit, shape, first_range, range_spacing(leader))
            terrain = Terrain(dem, geoid, axes)
            outline = _outline_on(terrain, grid, leader, orbit, shape)
            grid = _grid_around(outline, grid.crs, sampling.spacing)
        yield Product(files, leader, images, first, last, orbit, sampling, grid, outline, terrain)


def lay_out(leader: Leader, shape: tuple[int, int]) -> tuple[Grid, Sampling, shapely.Polygon]:
    """Return the grid of an image of (lines, pixels), how it is averaged to it, and its outline in the grid's CRS.

    All at the height at which the leader's polynomials hold.

    Raises
    ------
    SceneError
        where the leader's polynomials do not place such an image on the ground.
    """
    outline, crs = _outline(leader, shape)
    sampling = _sampling(leader, shape)
    return _grid_around(outline, crs, sampling.spacing), sampling, outline


def _grid_around(outline: shapely.Polygon, crs: str, edge: float) -> Grid:
    """Return the grid over an outline, its edges on whole multiples of its spacing."""
    left, bottom, right, top = outline.bounds
    column, row = math.floor(left / edge), math.ceil(top / edge)
    width, height = max(1, math.ceil(right / edge) - column), max(1, row - math.floor(bottom / edge))
    return Grid(crs, Affine(edge, 0.0, column * edge, 0.0, -edge, row * edge), width, height)


def _outline_on(
    terrain: Terrain, grid: Grid, leader: Leader, orbit: geometry.Orbit, shape: tuple[int, int]
) -> shapely.Polygon:
    """Return the outline of the image on ground between the lowest and the highest places around it."""
    left, bottom, right, top = grid.bounds
    margin = 0.25 * max(right - left, top - bottom)
    columns, rows = (right - left + 2 * margin) / COARSE, (top - bottom + 2 * margin) / COARSE
    coarse = Grid(grid.crs, Affine(columns, 0.0, left - margin, 0.0, -rows, top + margin), COARSE, COARSE)
    heights = terrain.heights(coarse)
    if not np.isfinite(heights).any():
        what = "the DEM" if not np.isfinite(terrain.dem.on(coarse)).any() else "the DEM, with its geoid"
        raise SceneError(f"{terrain.dem.file}, {what}, does not cover the scene.")
    to_grid = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    outlines = []
    lowest, highest = np.nanmin(heights) / HEIGHT_STEP, np.nanmax(heights) / HEIGHT_STEP
    for height in (HEIGHT_STEP * math.floor(lowest), HEIGHT_STEP * math.ceil(highest)):
        latitude, longitude = geometry.to_ground(leader, orbit, terrain.axes, _border(shape), height)
        x, y = to_grid.transform(longitude, latitude)
        outlines.append(shapely.Polygon(np.stack([x, y], axis=-1)))
    return shapely.union_all(outlines).convex_hull


def range_spacing(leader: Leader) -> float:
    """Return the spacing of slant-range samples, m."""
    if leader.sampling_rate is None:
        return leader.pixel_spacing
    return SPEED_OF_LIGHT / (2 * leader.sampling_rate)


def _check_name(href: str, leader: Leader, kind: str, polarization: str | None) -> None:
    named = parse_name(href)
    if named is None:
        return
    if named.scene != leader.scene_id or named.level != leader.level:
        raise SceneError(
            f"{file_name(href)} is of another product than the leader, which is of {leader.scene_id}, level"
            f" {leader.level}: give the files of one product."
        )
    if named.kind != kind or named.polarization != polarization:
        raise SceneError(f"{file_name(href)} is given as {polarization or 'the leader'}, against its name.")


def _check_images(images: Mapping[str, Image], leader: Leader) -> tuple[LineHeader, LineHeader]:
    """Return the headers of the first and the last line of HH; all images must agree with it and the leader."""
    wanted = "C*8" if leader.level == "1.1" else "IU2"
    reference = images["HH"]
    shape = (reference.descriptor.lines, reference.descriptor.pixels)
    headers = {}
    for name, image in images.items():
        layout = image.descriptor
        if layout.sample_type != wanted:
            raise SceneError(
                f"{image.file} holds {layout.sample_type} samples, but the leader is of level {leader.level}, which has"
                f" {wanted}."
            )
        if (layout.lines, layout.pixels) != shape:
            raise SceneError(
                f"{image.file} has {layout.lines} x {layout.pixels} pixels, but {reference.file} has {shape[0]} x"
                f" {shape[1]}: the images of a product share one size."
            )
        headers[name] = image.header(0)
        time = headers[name].time
        if time is not None and abs(time - leader.centre_time) > LONGEST_OFFSET:
            raise SceneError(
                f"{image.file} begins at {time:%Y-%m-%dT%H:%M:%SZ}, but the leader is of a scene at"
                f" {leader.centre_time:%Y-%m-%dT%H:%M:%SZ}: give the files of one product."
            )
    if leader.shape is not None and leader.shape != shape:
        raise SceneError(
            f"{reference.file} has {shape[0]} x {shape[1]} pixels, but the leader says {leader.shape[0]} x"
            f" {leader.shape[1]}: give the files of one product."
        )
    said = {header.polarization for header in headers.values()}
    for name, header in headers.items():
        if len(said) > 1 and header.polarization != name:
            raise SceneError(f"{images[name].file} is given as {name}, but its lines say {header.polarization}.")
    return headers["HH"], reference.header(shape[0] - 1)


def _outline(leader: Leader, shape: tuple[int, int]) -> tuple[shapely.Polygon, str]:
    """Return the image's outline by its polynomials in the UTM zone of its centre."""
    last_line, last_pixel = shape[0] - 1.0, shape[1] - 1.0
    lines, pixels = _border(shape)
    latitude, longitude = geometry.to_geographic(leader.polynomials, lines, pixels)
    middle = geometry.to_geographic(leader.polynomials, np.array(last_line / 2), np.array(last_pixel / 2))
    centre_latitude, centre_longitude = float(middle[0]), float(middle[1])
    placed = np.all(np.isfinite(latitude) & np.isfinite(longitude) & (np.abs(latitude) <= 84))
    if placed and abs(centre_latitude) <= 84 and abs(centre_longitude) <= 360:
        zone = int(((centre_longitude + 180) % 360) // 6) + 1
        crs = f"EPSG:{(32600 if centre_latitude >= 0 else 32700) + zone}"
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
        outline = shapely.Polygon(np.stack([x, y], axis=-1))
        if outline.is_valid and np.ptp(x) < LARGEST_EXTENT and np.ptp(y) < LARGEST_EXTENT:
            return outline, crs
    raise SceneError(
        f"The polynomials in the leader of {leader.scene_id} do not place {shape[0]} x {shape[1]} pixels in one piece"
        " on the ground: it is damaged or of another product."
    )


def _border(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return lines and pixels along the border of an image, all the way around."""
    last_line, last_pixel = shape[0] - 1.0, shape[1] - 1.0
    way = np.linspace(0, 1, 17)[:-1]
    lines = np.concatenate([0 * way, last_line * way, last_line + 0 * way, last_line * (1 - way)])
    pixels = np.concatenate([last_pixel * way, last_pixel + 0 * way, last_pixel * (1 - way), 0 * way])
    return lines, pixels


def _sampling(leader: Leader, shape: tuple[int, int]) -> Sampling:
    line, pixel = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    lines, pixels = (
        np.array([line, line - 1, line + 1, line, line]),
        np.array([pixel, pixel, pixel, pixel - 1, pixel + 1]),
    )
    places = geometry.to_geographic(leader.polynomials, lines, pixels)
    points = geometry.earth_fixed(leader, *places, 0.0)
    line_spacing = float(np.linalg.norm(points[2] - points[1])) / 2
    pixel_spacing = float(np.linalg.norm(points[4] - points[3])) / 2
    if not (0.3 < line_spacing < 500 and 0.3 < pixel_spacing < 500):
        raise SceneError(
            f"The polynomials in the leader of {leader.scene_id} put {line_spacing:g} m between lines and"
            f" {pixel_spacing:g} m between pixels: it is damaged."
        )
    azimuth, across = _occupied(leader, line_spacing, pixel_spacing)
    coarsest = max(line_spacing / min(azimuth or 1.0, 1.0), pixel_spacing / min(across or 1.0, 1.0))
    spacing = SPACING_STEP * math.ceil(FINEST_SPACING * coarsest / SPACING_STEP)
    rows, columns = (max(1, round(spacing / one)) for one in (line_spacing, pixel_spacing))
    looks = None
    if azimuth is not None and across is not None:
        base = 1.0 if leader.level == "1.1" else leader.looks_azimuth * leader.looks_range
        looks = base * max(1.0, rows * azimuth) * max(1.0, columns * across)
    return Sampling(
        spacing=spacing,
        line_spacing=line_spacing,
        pixel_spacing=pixel_spacing,
        lines=rows,
        pixels=columns,
        looks=looks,
        resolution_azimuth=max(rows * line_spacing, line_spacing / min(azimuth or 1.0, 1.0)),
        resolution_range=max(columns * pixel_spacing, pixel_spacing / min(across or 1.0, 1.0)),
    )


def _occupied(leader: Leader, line_spacing: float, pixel_spacing: float) -> tuple[float | None, float | None]:
    """Return independent samples a line and a pixel: bandwidth over sampling rate, or spacing over resolution."""
    if leader.level == "1.1":
        azimuth = _ratio(leader.bandwidth_azimuth, leader.pulse_rate)
        across = _ratio(leader.bandwidth_range, leader.sampling_rate)
    else:
        azimuth = _ratio(line_spacing, leader.resolution_azimuth)
        across = _ratio(pixel_spacing, leader.resolution_range)
    return azimuth, across


def _ratio(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    ratio = one / other
    return min(ratio, 1.0) if ratio > 0.02 else None
