"""Which files make a C3 or T3 product, and what each of them holds: by their names alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from escape_process.errors import SceneError
from escape_process.hrefs import file_name
from escape_process.readers.geotiff.files import kind_of
from escape_process.records import Grid

Matrix = Literal["C3", "T3"]

ELEMENTS: Mapping[Matrix, tuple[str, ...]] = {"C3": ("C11", "C22", "C33"), "T3": ("T11", "T22", "T33", "T12_real")}
"""The elements that hold the powers."""

_PLACES = ("11", "12_real", "12_imag", "13_real", "13_imag", "22", "23_real", "23_imag", "33")
COMPLEX_ORDER: Mapping[Matrix, tuple[str, ...]] = {
    "C3": tuple(f"C{place}" for place in ("11", "12", "13", "22", "23", "33")),
    "T3": tuple(f"T{place}" for place in ("11", "12", "13", "22", "23", "33")),
}
"""Bands of a complex GeoTIFF of six whose bands have no names: the upper triangle."""
BAND_ORDER: Mapping[Matrix, tuple[str, ...]] = {
    "C3": tuple(f"C{place}" for place in _PLACES),
    "T3": tuple(f"T{place}" for place in _PLACES),
}
"""Bands of a GeoTIFF of nine whose bands have no names, as PolSARpro and SNAP order them."""

ELEMENT_FILE = re.compile(r"(?P<element>[CT][1-4][1-4](?:_real|_imag)?)\.(?P<kind>bin|img|tiff?)", re.IGNORECASE)
_HEADER = re.compile(
    r"(?P<element>[CT][1-4][1-4](?:_real|_imag)?|mask_valid_pixels)(?:\.bin|\.img)?\.hdr", re.IGNORECASE
)
_RAW = re.compile(r"(?P<stem>.+)\.(?:bin|img)", re.IGNORECASE)
_RAW_HEADER = re.compile(r"(?P<stem>.+?)(?:\.bin|\.img)?\.hdr", re.IGNORECASE)
_MASK = re.compile(r"mask_valid_pixels\.(?:bin|img)", re.IGNORECASE)
_CONFIG = re.compile(r"config(?:_mapinfo)?\.txt", re.IGNORECASE)
MANY_BANDS = re.compile(r"(?:.*[_.-])?(?P<matrix>[CT]3)(?:[_.-].*)?\.tiff?", re.IGNORECASE)

ANGLES = {"local_angle": "local_incidence_angle", "ellipsoid_angle": "ellipsoid_incidence_angle"}
"""Layers of an incidence angle by the kind that a name tells."""

GEOREFERENCE = (
    "geocode it before it is written (SNAP: Terrain Correction; PolSARpro: import of geocoded data), so that a .hdr"
    " beside an element has a map info"
)


def recognises(names: Sequence[str]) -> bool:
    """Tell whether file names are those of a C3 or T3 product."""
    return any(ELEMENT_FILE.fullmatch(name) or MANY_BANDS.fullmatch(name) for name in names)


@dataclass
class MatrixFiles:
    """The files of one product, sorted by what they hold; hrefs."""

    matrix: Matrix = "C3"
    elements: dict[str, str] = field(default_factory=dict)
    """By element. Of a GeoTIFF of many bands: the same for each."""
    headers: dict[str, str] = field(default_factory=dict)
    configs: list[str] = field(default_factory=list)
    mask: str | None = None
    angles: dict[str, str] = field(default_factory=dict)
    """By layer: raw files, or GeoTIFFs."""
    many_bands: bool = False

    @classmethod
    def of(cls, hrefs: Sequence[str]) -> "MatrixFiles":
        """Sort hrefs; refuse what is no whole matrix of one kind."""
        files = cls()
        stacks = []
        for href in dict.fromkeys(hrefs):
            name = file_name(href)
            if found := ELEMENT_FILE.fullmatch(name):
                element = canonical(found["element"])
                if element in files.elements:
                    raise SceneError(
                        f"Element {element} is there twice, as {file_name(files.elements[element])} and {name}: leave"
                        " one of them out."
                    )
                files.elements[element] = href
            elif found := _HEADER.fullmatch(name):
                files.headers.setdefault(canonical(found["element"]), href)
            elif _MASK.fullmatch(name):
                files.mask = href
            elif _CONFIG.fullmatch(name):
                files.configs.append(href)
            elif MANY_BANDS.fullmatch(name):
                stacks.append(href)
            else:
                files._keep_angle(href, name)
        files = files._of_bands(stacks) if stacks else files._checked()
        if files.is_geotiff:  # its reader reads no raw files
            files.angles = {
                layer: href for layer, href in files.angles.items() if _RAW.fullmatch(file_name(href)) is None
            }
        return files

    def _keep_angle(self, href: str, name: str) -> None:
        """Keep a raster of the incidence angle, as SNAP's localIncidenceAngle.img, or its header."""
        if found := _RAW.fullmatch(name):
            layer = angle_named(found["stem"])
            if layer is not None:
                self.angles[layer] = href  # rather than a GeoTIFF of the same
        elif found := _RAW_HEADER.fullmatch(name):
            layer = angle_named(found["stem"])
            if layer is not None:
                self.headers.setdefault(layer, href)
        elif kind_of(name) in ANGLES:
            self.angles.setdefault(ANGLES[str(kind_of(name))], href)

    def _of_bands(self, stacks: list[str]) -> "MatrixFiles":
        if len(stacks) > 1 or self.elements:
            names = ", ".join(sorted(file_name(href) for href in (*stacks, *self.elements.values())))
            raise SceneError(f"More than one matrix is there ({names[:200]}): give the files of one.")
        found = MANY_BANDS.fullmatch(file_name(stacks[0]))
        self.matrix = cast(Matrix, found["matrix"].upper() if found else "C3")
        self.elements = dict.fromkeys(ELEMENTS[self.matrix], stacks[0])
        self.many_bands = True
        return self

    def _checked(self) -> "MatrixFiles":
        letters = sorted({name[0] for name in self.elements})
        if not letters:
            raise SceneError("No element of a C3 or T3 matrix (C11.bin, T11.bin, ...) is among the files.")
        if len(letters) > 1:
            raise SceneError("Elements of C3 and T3 are mixed: give the files of one of the matrices.")
        self.matrix = "C3" if letters == ["C"] else "T3"
        if any("4" in name for name in self.elements):
            raise SceneError(
                f"It is a 4 x 4 matrix ({letters[0]}4), whose second and third elements are other ones: convert it to"
                f" {self.matrix}."
            )
        for name in [name for name in self.elements if re.fullmatch("[CT](12|13|23)", name)]:  # complex: both parts
            self.elements.setdefault(f"{name}_real", self.elements.pop(name))
        missing = [name for name in ELEMENTS[self.matrix] if name not in self.elements]
        if missing:
            dual = " It is a dual-pol matrix (C2)." if self.matrix == "C3" and missing == ["C33"] else ""
            raise SceneError(f"The {self.matrix} matrix has no {' and no '.join(missing)}.{dual}")
        return self

    @property
    def is_geotiff(self) -> bool:
        """True where the elements are GeoTIFFs, False where they are raw files."""
        first = self.elements[ELEMENTS[self.matrix][0]]
        return re.search(r"\.tiff?$", file_name(first), re.IGNORECASE) is not None


@dataclass
class OpenedMatrix:
    """Elements ready to be read, all of one size on one grid."""

    grid: Grid
    readers: Mapping[str, Callable[[RasterWindow], NDArray[Any]]]
    warnings: tuple[str, ...] = ()


def canonical(element: str) -> str:
    return element[:3].upper() + element[3:].lower() if element[0] in "cCtT" else element.lower()


def angle_named(text: str) -> str | None:
    """Return the layer of an incidence angle that a name without suffix stands for."""
    return ANGLES.get(str(kind_of(f"{text}.tif")))
