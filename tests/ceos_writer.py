"""Writes CEOS products of known content, field by field after JAXA's format description.

The product's orbit, its polynomials, its line times and slant ranges follow from one circular orbit, so that they agree
as those of a real product do.
"""

import datetime as dt
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ceos_geometry import CircularOrbit, incidence, place, spline_of
from numpy.typing import NDArray

Array = NDArray[np.float64]
POLARIZATIONS = ("HH", "HV", "VH", "VV")
SPEED_OF_LIGHT = 299_792_458.0


ORBIT = CircularOrbit(node=np.radians(-70.0), argument=np.radians(41.0))


@dataclass(frozen=True)
class Design:
    """A product to be written; the defaults are like a high-sensitive quad-pol scene, but small."""

    lines: int = 1000
    pixels: int = 420
    level: str = "1.1"
    scene_id: str = "ALOS2014555550-140829"
    mode: str = "HBQ"
    centre_time: dt.datetime = dt.datetime(2014, 8, 29, 3, 12, 41, 250_000, tzinfo=dt.UTC)
    orbit: CircularOrbit = ORBIT
    first_range: float = 718_000.0
    sampling_rate: float = 52.4e6
    bandwidth: float = 41.92e6
    pulse_rate: float = 2300.0
    azimuth_bandwidth: float = 1840.0
    reference_height: float = 0.0
    """m: where the polynomials hold."""
    calibration_factor: str = f"{-83.0:16.7f}"
    incidence_polynomial: bool = False
    interval: float = 60.0

    @property
    def range_spacing(self) -> float:
        """m."""
        return SPEED_OF_LIGHT / 2 / self.sampling_rate

    @property
    def product(self) -> str:
        """As in file names."""
        return f"{self.scene_id}-{self.mode}R{self.level}__A"

    def times(self, line: Array) -> Array:
        """Zero-Doppler times of lines, s from the centre."""
        return (line - (self.lines - 1) / 2) / self.pulse_rate

    def ranges(self, pixel: Array) -> Array:
        """Slant ranges of pixels, m."""
        return self.first_range + pixel * self.range_spacing

    def place(self, line: Array, pixel: Array, height: Array | float = 0.0) -> tuple[Array, Array]:
        """Return longitude and latitude of samples on ground at a height; slow, so for few."""
        return place(self.orbit, self.times(line), self.ranges(pixel), height)

    def placer(self, height: float = 0.0) -> Callable[..., Array]:
        """Return a fast function of line and pixel that gives longitude and latitude, (2, ...)."""
        line = np.linspace(-200, self.lines + 200, 12)
        pixel = np.linspace(-200, self.pixels + 200, 12)
        return spline_of(lambda one, other: self.place(one, other, height), line, pixel)


def write_product(design: Design, images: Mapping[str, NDArray[np.generic]], folder: Path) -> list[str]:
    """Write LED, IMG, VOL, TRL and summary.txt; return the files' paths.

    Images are complex64 at level 1.1, uint16 at level 1.5, (lines, pixels).
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {name: f"IMG-{name}-{design.product}" for name in images}
    files = {
        f"VOL-{design.product}": volume_bytes(design, len(images)),
        f"LED-{design.product}": leader_bytes(design),
        f"TRL-{design.product}": _record((63, 192, 18, 18), 720, {}, 1),
        "summary.txt": summary_text(design, list(names.values())).encode(),
        **{names[name]: image_bytes(design, name, values) for name, values in images.items()},
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in files]


def _record(code: tuple[int, int, int, int], length: int, fields: Mapping[tuple[int, int], str], number: int) -> bytes:
    """Return a record: preamble, blanks, and texts at places that count from 1."""
    content = bytearray(b" " * length)
    struct.pack_into(">I4BI", content, 0, number, *code, length)
    for (first, last), text in fields.items():
        width = last - first + 1
        assert len(text) <= width, (first, last, text)
        content[first - 1 : last] = text.rjust(width).encode("ascii")
    return bytes(content)


def _left(text: str, width: int) -> str:
    return text.ljust(width)


def polynomials(design: Design) -> tuple[Array, Array, Array, Array, tuple[float, ...]]:
    """Return the tables a, b, c, d as the facility record lists them (25 each), and the four origins."""
    line, pixel = np.meshgrid(np.linspace(0, design.lines - 1, 14), np.linspace(0, design.pixels - 1, 14))
    origin_line, origin_pixel = float(design.lines // 2), float(design.pixels // 2)
    longitude, latitude = design.place(line, pixel, design.reference_height)
    origins = design.place(np.array(origin_line), np.array(origin_pixel), design.reference_height)
    origin_longitude, origin_latitude = float(origins[0]), float(origins[1])
    longitude = origin_longitude + (longitude - origin_longitude + 180) % 360 - 180  # in one piece across 180 degrees

    def fit(outer: Array, inner: Array, values: Array) -> Array:
        """Fit terms of a total degree up to 4; both powers fall in the list, the outer one slowly."""
        terms = [(i, j) for i in range(5) for j in range(5 - i)]
        scales = (np.abs(outer).max(), np.abs(inner).max())
        design_matrix = np.stack([((outer / scales[0]) ** i * (inner / scales[1]) ** j).ravel() for i, j in terms], -1)
        solved, *_ = np.linalg.lstsq(design_matrix, values.ravel(), rcond=None)
        table = np.zeros((5, 5))
        for (i, j), value in zip(terms, solved, strict=True):
            table[4 - i, 4 - j] = value / scales[0] ** i / scales[1] ** j
        return table.ravel()

    a, b = (fit(pixel - origin_pixel, line - origin_line, one) for one in (latitude, longitude))
    away = (latitude - origin_latitude, longitude - origin_longitude)
    c, d = (fit(*away, one) for one in (pixel, line))
    return a, b, c, d, (origin_pixel, origin_line, origin_latitude, origin_longitude)


def leader_bytes(design: Design) -> bytes:
    """Return a leader: the records that every product has; a slant-range one has no map projection."""
    a, b, c, d, origins = polynomials(design)
    middle = design.place(np.array((design.lines - 1) / 2), np.array((design.pixels - 1) / 2))
    longitude, latitude = float(middle[0]), float(middle[1])
    angle = incidence(design.orbit, 0.0, longitude, latitude)
    sizes = {"1.1": "     0     0"}
    descriptor = {
        (49, 64): _left("AL2 SARCSARL", 16),
        (181, 192): f"{1:6}{4096:6}",
        (193, 204): sizes.get(design.level, f"{0:6}{0:6}"),
        (205, 216): f"{1:6}{4680:6}",
        (217, 228): f"{1:6}{16384:6}",
        (229, 240): f"{1:6}{9860:6}",
        (241, 252): f"{0:6}{0:6}",
        (253, 264): f"{1:6}{1620:6}",
        **{(265 + 12 * k, 276 + 12 * k): f"{0:6}{0:6}" for k in range(8)},
    }
    spacing = _ground_spacing(design)
    summary = {
        (13, 16): "1",
        (21, 52): _left(design.scene_id, 32),
        (69, 100): _left(design.centre_time.strftime("%Y%m%d%H%M%S%f")[:17], 32),
        (117, 132): f"{latitude:16.7f}",
        (133, 148): f"{longitude:16.7f}",
        (165, 180): _left("GRS80", 16),
        (181, 196): f"{6378.137:16.7f}",
        (197, 212): f"{6356.7523141:16.7f}",
        (325, 332): str(design.lines // 2),
        (333, 340): str(design.pixels // 2),
        (389, 392): "4",
        (397, 412): _left(design.scene_id[:5], 16),
        (477, 484): f"{90.0:8.3f}",
        (485, 492): f"{angle:8.3f}",
        (501, 516): f"{0.2424525:16.9f}",
        (517, 518): "00",
        (711, 726): f"{design.sampling_rate / 1e6:16.7f}",
        (759, 762): _left("YES", 4),
        (763, 766): _left("YES", 4),
        (931, 934): _left("OFF", 4),
        (935, 950): f"{design.pulse_rate * 1e3:16.7f}",
        (1095, 1110): _left(design.level, 16),
        (1175, 1190): f"{1.0:16.7f}",
        (1191, 1206): f"{1.0:16.7f}",
        (1207, 1222): f"{design.azimuth_bandwidth:16.7f}",
        (1239, 1254): f"{design.azimuth_bandwidth:16.7f}",
        (1255, 1270): f"{design.bandwidth / 1e3:16.7f}",
        (1271, 1302): "1",
        (1303, 1334): "1",
        (1535, 1542): _left("ASCEND", 8),
        (1671, 1678): _left("OTHER", 8),
        (1679, 1682): _left("NO", 4),
        (1683, 1686): _left("NO", 4),
        (1687, 1702): f"{spacing:16.7f}",
        (1703, 1718): f"{design.range_spacing:16.7f}",
        (1839, 1854): f"{30.4:16.7f}",
        (1855, 1858): "5",
        **{(1887 + 20 * k, 1906 + 20 * k): f"{value:20.13E}" for k, value in enumerate(_incidence_terms(design))},
    }
    first = round((14 - 0.5) * design.interval)
    start = (design.centre_time - dt.timedelta(seconds=first)).replace(microsecond=0)
    times = np.array([(start - design.centre_time).total_seconds() + design.interval * k for k in range(28)])
    position, velocity = design.orbit.at(times)
    midnight = start.replace(hour=0, minute=0, second=0)
    vectors = np.concatenate([position, velocity], axis=1).ravel()
    orbit = {
        (13, 44): _left("2", 32),
        (141, 144): "28",
        (145, 148): str(start.year),
        (149, 152): str(start.month),
        (153, 156): str(start.day),
        (157, 160): str(start.timetuple().tm_yday),
        (161, 182): f"{(start - midnight).total_seconds():22.15E}",
        (183, 204): f"{design.interval:22.15E}",
        (205, 268): _left("ECR", 64),
        **{(387 + 22 * k, 408 + 22 * k): f"{value:22.15E}" for k, value in enumerate(vectors)},
        (4101, 4101): "0",
    }
    attitude = {(13, 16): "1", (17, 20): "241", (21, 28): "11561250"}
    radiometry = {
        (13, 16): "1",
        (17, 20): "1",
        (21, 36): design.calibration_factor,
        **{(37 + 16 * k, 52 + 16 * k): f"{float(k in (0, 6, 8, 14)):16.7f}" for k in range(16)},
    }
    quality = {(13, 16): "1", (27, 30): "4", (95, 110): f"{-34.0:16.7f}"}
    tables = ((1025, a), (1525, b), (2025, origins[:2]), (2065, c), (2565, d), (3065, origins[2:]))
    facility = {(13, 16): "5"}
    for start_at, table in tables:
        facility |= {(start_at + 20 * k, start_at + 20 * k + 19): f"{value:20.10E}" for k, value in enumerate(table)}
    parts = [
        ((11, 192, 18, 18), 720, descriptor),
        ((18, 10, 18, 20), 4096, summary),
        ((18, 30, 18, 20), 4680, orbit),
        ((18, 40, 18, 20), 16384, attitude),
        ((18, 50, 18, 20), 9860, radiometry),
        ((18, 60, 18, 20), 1620, quality),
        *(((18, 200, 18, 70), length, {(13, 16): str(k)}) for k, length in enumerate((3000, 5000, 3072, 7000), 1)),
        ((18, 200, 18, 70), 5000, facility),
    ]
    return b"".join(_record(code, length, texts, number) for number, (code, length, texts) in enumerate(parts, 1))


def _ground_spacing(design: Design) -> float:
    """Return the distance between lines on the ground in the middle, m, on a sphere."""
    line = (design.lines - 1) / 2 + np.array([-0.5, 0.5])
    longitude, latitude = np.radians(design.place(line, np.array((design.pixels - 1) / 2)))
    across = (longitude[1] - longitude[0]) * np.cos(latitude.mean())
    return float(6.37e6 * np.hypot(across, latitude[1] - latitude[0]))


def _incidence_terms(design: Design) -> Array:
    """Return the six terms of the angle in rad by the slant range in km, or zeros."""
    if not design.incidence_polynomial:
        return np.zeros(6)
    pixel = np.linspace(0, design.pixels - 1, 9)
    line = np.full(9, (design.lines - 1) / 2)
    places = design.place(line, pixel)
    angles = [incidence(design.orbit, 0.0, float(x), float(y)) for x, y in zip(*places, strict=True)]
    fitted = np.polynomial.Polynomial.fit(design.ranges(pixel) / 1000, np.radians(angles), 3).convert().coef
    return np.concatenate([fitted, np.zeros(6 - fitted.size)])


def descriptor_bytes(design: Design) -> bytes:
    """Return the first record of an image file."""
    width, prefix, kind = (8, 544, "C*8") if design.level == "1.1" else (2, 192, "IU2")
    length = prefix + width * design.pixels
    fields = {
        (181, 186): str(design.lines),
        (187, 192): str(length),
        (217, 220): "32" if width == 8 else "16",
        (221, 224): "2" if width == 8 else "1",
        (225, 228): str(width),
        (233, 236): "1",
        (237, 244): str(design.lines),
        (245, 248): "0",
        (249, 256): str(design.pixels),
        (257, 260): "0",
        (261, 264): "0",
        (265, 268): "0",
        (269, 272): "BSQ",
        (273, 274): "1",
        (275, 276): "1",
        (277, 280): str(prefix),
        (281, 288): str(width * design.pixels),
        (289, 292): "0",
        (429, 432): _left(kind, 4),
    }
    return _record((50, 192, 18, 18), 720, fields, 1)


def image_bytes(design: Design, polarization: str, values: NDArray[np.generic]) -> bytes:
    """Return an image file."""
    assert values.shape == (design.lines, design.pixels)
    stored = values.astype(">c8" if design.level == "1.1" else ">u2")
    prefix = 544 if design.level == "1.1" else 192
    length = prefix + stored.itemsize * design.pixels
    year = design.centre_time.year
    day = design.centre_time.timetuple().tm_yday
    midnight = design.centre_time.replace(hour=0, minute=0, second=0, microsecond=0)
    seconds = (design.centre_time - midnight).total_seconds()
    sent, received = ("HV".index(letter) for letter in polarization)
    parts = [descriptor_bytes(design)]
    for line in range(design.lines):
        time = seconds + float(design.times(np.array(line)))
        head = bytearray(prefix)
        kind = 10 if design.level == "1.1" else 11
        struct.pack_into(">I4BI", head, 0, line + 2, 50, kind, 18, 20, length)
        struct.pack_into(">6I", head, 12, line + 1, 1, 0, design.pixels, 0, 1)
        struct.pack_into(">3I", head, 36, year, day, int(time * 1000))
        struct.pack_into(">4H", head, 48, 4, 0, sent, received)
        struct.pack_into(">I", head, 56, round(design.pulse_rate * 1000))
        if design.level == "1.1":
            struct.pack_into(">Q", head, 84, round(time * 1e6))
            struct.pack_into(">I", head, 116, round(design.first_range))
        else:
            struct.pack_into(">I", head, 64, round(design.first_range))
        parts += [bytes(head), stored[line].tobytes()]
    return b"".join(parts)


def volume_bytes(design: Design, images: int) -> bytes:
    """Return a volume directory."""
    first = {
        (89, 90): "1",
        (113, 128): design.centre_time.strftime("%Y%m%d%H%M%S00"),
        (161, 164): str(images + 2),
        (165, 168): "1",
    }
    text = {(17, 56): _left(f"PRODUCT:{design.product}", 40), (157, 196): _left(f"ORBIT:{design.scene_id}", 40)}
    records = [_record((192, 192, 18, 18), 360, first, 1)]
    records += [_record((219, 192, 18, 18), 360, {}, k + 2) for k in range(images + 2)]
    return b"".join([*records, _record((18, 192, 18, 18), 360, text, images + 4)])


def summary_text(design: Design, images: list[str]) -> str:
    """Return summary.txt."""
    half = dt.timedelta(seconds=design.lines / 2 / design.pulse_rate)
    stamps = {
        "Center": design.centre_time,
        "Start": design.centre_time - half,
        "End": design.centre_time + half,
    }
    files = [f"VOL-{design.product}", f"LED-{design.product}", *images, f"TRL-{design.product}"]
    entries = {
        "Odi_SceneId": "made by a test",
        "Scs_SceneID": design.scene_id,
        "Scs_SceneShift": "0",
        "Pds_ProductID": design.product[len(design.scene_id) + 1 :],
        **{f"Img_Scene{k}DateTime": f"{v:%Y%m%d %H:%M:%S}.{v.microsecond // 1000:03}" for k, v in stamps.items()},
        "Img_OffNadirAngle": "30.4",
        "Pdi_ProductDataSize": "1.0",
        f"Pdi_CntOfL{design.level.replace('.', '')}ProductFileName": str(len(files)),
        **{f"Pdi_L11ProductFileName{k:02}": name for k, name in enumerate(files, 1)},
        "Pdi_BitPixel": "32",
        "Pdi_NoOfPixels_0": str(design.pixels),
        "Pdi_NoOfLines_0": str(design.lines),
        "Pdi_ProductFormat": "CEOS",
        "Ach_TimeCheck": "GOOD",
        "Rad_PracticeResultCode": "GOOD",
        "Lbi_Satellite": "ALOS2",
        "Lbi_ObservationDate": f"{design.centre_time:%Y%m%d}",
        "Lbi_ProcessFacility": "EICS",
    }
    return "".join(f'{key}="{value}"\n' for key, value in entries.items())


def speckle(design: Design, seed: int, count: int = 3) -> NDArray[np.complex64]:
    """Return fully developed speckle of unit mean power, (count, lines, pixels), limited to the product's bands."""
    random = np.random.default_rng(seed)
    shape = (count, design.lines, design.pixels)
    white = random.normal(size=shape) + 1j * random.normal(size=shape)
    spectrum = np.fft.fft2(white)
    azimuth = np.abs(np.fft.fftfreq(design.lines)) <= design.azimuth_bandwidth / design.pulse_rate / 2
    across = np.abs(np.fft.fftfreq(design.pixels)) <= design.bandwidth / design.sampling_rate / 2
    limited = np.fft.ifft2(spectrum * (azimuth[:, np.newaxis] & across))
    return np.asarray(limited / np.sqrt(np.mean(np.abs(limited) ** 2)), dtype=np.complex64)


def scatter(
    design: Design, sigma0: Mapping[str, Array], seed: int = 0, faraday_deg: float = 0.0
) -> dict[str, NDArray[np.complex64]]:
    """Return single-look complex images of reciprocal ground with given sigma0 (HH, HV, VV), (lines, pixels).

    HH and VV correlate by one half; a Faraday rotation turns the matrix on both ways.
    """
    one, other, cross = speckle(design, seed)
    amplitude = {name: np.sqrt(power * 10 ** ((83.0 + 32.0) / 10)) for name, power in sigma0.items()}
    hh, hv = amplitude["HH"] * one, amplitude["HV"] * cross
    vv = amplitude["VV"] * (0.5 * one + np.sqrt(0.75) * other)
    c, s = np.cos(np.radians(faraday_deg)), np.sin(np.radians(faraday_deg))
    # M = R S R; rows receive, columns send, so that HV (sent H, received V) is M21.
    rotation = np.array([[c, s], [-s, c]])
    matrix = np.array([[hh, hv], [hv, vv]])
    product = np.einsum("ij,jkyx,kl->ilyx", rotation, matrix, rotation)
    turned: dict[str, Array] = {"HH": product[0, 0], "VH": product[0, 1], "HV": product[1, 0], "VV": product[1, 1]}
    return {name: turned[name].astype(np.complex64) for name in POLARIZATIONS}


def other_scene(design: Design) -> Design:
    """Return a product of the same place on another day."""
    return replace(design, scene_id="ALOS2015625550-140912", centre_time=design.centre_time + dt.timedelta(days=14))
