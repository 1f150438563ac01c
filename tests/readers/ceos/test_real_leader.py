"""The leader of a real level 1.5 scene (Rondonia, 2014): its numbers, its corners, its orbit, its refusal."""

import datetime as dt
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from rasterio.windows import Window

from escape_process.errors import SceneError
from escape_process.readers.ceos import describe, geometry, open_layer, recognises
from escape_process.readers.ceos.image import parse_descriptor
from escape_process.readers.ceos.leader import parse_leader
from escape_process.records import Source
from escape_process.settings import Settings

REAL = "ALOS2015976960-140909-FBDR1.5GUA"


def test_numbers_of_the_real_leader(real_leader: bytes) -> None:
    leader = parse_leader(real_leader)
    assert leader.scene_id == "ALOS2015976960-140909"
    assert leader.level == "1.5"
    assert leader.wavelength == pytest.approx(0.2424525, abs=1e-9)
    assert leader.calibration_factor_db == -83.0
    assert leader.shape == (13161, 12870)
    assert leader.off_nadir_deg == pytest.approx(36.6481913)
    assert leader.noise_floor_db == pytest.approx(-32.1)
    assert leader.incidence_polynomial is None
    assert leader.centre_time == dt.datetime(2014, 9, 9, 4, 33, 47, 52_000, tzinfo=dt.UTC)
    assert leader.right_looking
    assert leader.ascending


def test_polynomials_give_the_corners_that_the_map_projection_states(real_leader: bytes) -> None:
    leader = parse_leader(real_leader)
    assert leader.shape is not None
    assert leader.corners is not None
    last_line, last_pixel = leader.shape[0] - 1.0, leader.shape[1] - 1.0
    lines, pixels = np.array([0, 0, last_line, last_line]), np.array([0, last_pixel, last_pixel, 0])
    latitude, longitude = geometry.to_geographic(leader.polynomials, lines, pixels)
    np.testing.assert_allclose(np.stack([latitude, longitude], axis=-1), leader.corners, atol=1e-5, rtol=0)
    line, pixel = geometry.to_image(leader.polynomials, latitude, longitude)
    np.testing.assert_allclose(np.stack([line, pixel]), np.stack([lines, pixels]), atol=1e-3)


def test_corners_are_those_of_the_summary(real_product: Path, real_leader: bytes) -> None:
    leader = parse_leader(real_leader)
    text = (real_product / "summary.txt").read_text()
    pattern = r'Img_FrameScene{}{}="(-?[\d.]+)"'
    assert leader.corners is not None
    for corner, place in zip(("LeftTop", "RightTop", "RightBottom", "LeftBottom"), leader.corners, strict=True):
        for axis, value in zip(("Latitude", "Longitude"), place, strict=True):
            found = re.search(pattern.format(corner, axis), text)
            assert found is not None
            assert value == pytest.approx(float(found[1]), abs=0.0006)  # the summary has three decimals


def test_orbit_meets_the_scene_when_and_as_the_leader_says(real_leader: bytes) -> None:
    """The orbit passes the scene's centre broadside at its centre time, under its incidence angle."""
    leader = parse_leader(real_leader)
    orbit = geometry.orbit_of(leader)
    place = np.array(leader.polynomials.origin_latitude), np.array(leader.polynomials.origin_longitude)
    points = geometry.earth_fixed(leader, *place, 0.0)
    time, _, sight = geometry.zero_doppler(orbit, points)
    assert abs(float(time)) < 0.005
    assert leader.incidence_deg is not None
    angle = np.degrees(geometry.angle_between(sight, geometry.up(*place)))
    assert float(angle) == pytest.approx(leader.incidence_deg, abs=0.1)


def test_orbit_passes_through_state_vectors_that_it_was_not_made_from(real_leader: bytes) -> None:
    leader = parse_leader(real_leader)
    orbit = geometry.orbit_of(leader)
    centre = (leader.centre_time - leader.orbit.start).total_seconds()
    for point in (12, 15, 11, 16):
        position, velocity, _ = orbit.at(np.array(point * leader.orbit.interval - centre))
        used = point in (12, 15)
        np.testing.assert_allclose(position, leader.orbit.positions[point], atol=1e-4 if used else 0.5)
        np.testing.assert_allclose(velocity, leader.orbit.velocities[point], atol=1e-6 if used else 0.03)


def test_orbit_and_polynomials_of_the_real_leader_agree(real_leader: bytes) -> None:
    leader = parse_leader(real_leader)
    assert leader.shape is not None
    axes = geometry.fit_axes(leader, geometry.orbit_of(leader), leader.shape, None, leader.pixel_spacing)
    assert axes.origin[0] == pytest.approx(0.0, abs=0.01)


def test_descriptor_of_the_real_image(real_product: Path) -> None:
    (path,) = real_product.glob("IMG-HH-*")
    layout = parse_descriptor(path.read_bytes())
    assert (layout.lines, layout.pixels, layout.sample_type) == (13161, 12870, "IU2")
    assert (layout.prefix, layout.record_length) == (192, 25932)


def test_dual_polarized_product_is_refused_by_what_it_lacks(real_product: Path, settings: Settings) -> None:
    hrefs = sorted(str(path) for path in real_product.iterdir())
    assert recognises([Path(href).name for href in hrefs])
    with pytest.raises(SceneError, match="ALOS2015976960-140909 is not full-polarimetric: VH and VV missing, only HH"):
        describe(hrefs, settings)


def test_pixels_lie_where_the_map_projection_puts_them(real_product: Path, tmp_path: Path, settings: Settings) -> None:
    """With images of our own, holes but for a patch: its place follows from the corner's easting and northing."""
    easting, northing, spacing = 510_879.0839, 8_819_462.9930, 6.25  # of the first pixel, by the map projection record
    (original,) = real_product.glob("IMG-HH-*")
    descriptor = original.read_bytes()
    layout = parse_descriptor(descriptor)
    shutil.copy(real_product / f"LED-{REAL}", tmp_path)
    first_line, first_pixel, size = 5000, 7000, 60
    for name in ("HH", "HV", "VH", "VV"):
        with (tmp_path / f"IMG-{name}-{REAL}").open("wb") as file:
            file.write(descriptor)
            for line in (0, layout.lines - 1, *range(first_line, first_line + size)):
                samples = np.zeros(layout.pixels, dtype=">u2")
                samples[first_pixel : first_pixel + size] = 3000
                head = struct.pack(">I4BI", line + 2, 50, 11, 18, 20, layout.record_length)
                file.seek(layout.line_start(line))
                file.write(head.ljust(layout.prefix, b"\0") + samples.tobytes())
            file.truncate(layout.size)
    description = describe(sorted(str(path) for path in tmp_path.iterdir()), settings)
    assert description.grid.crs == "EPSG:32720"
    assert description.id == "ALOS2015976960-140909-FBDR1_5GUA"
    middle = (size - 1) / 2
    x, y = easting + spacing * (first_pixel + middle), northing - spacing * (first_line + middle)
    column, row = (int(at) for at in ~description.grid.transform @ (x, y))
    files = {key: str(asset["href"]) for key, asset in description.assets.items()}
    with open_layer(Source("ceos", "VV", files), settings) as layer:
        power = layer.read(1, window=Window(column - 40, row - 40, 80, 80))
    valid = np.isfinite(power)
    np.testing.assert_allclose(10 * np.log10(power[valid]), 20 * np.log10(3000) - 83, atol=1e-3)
    rows, columns = np.nonzero(valid)
    transform = description.grid.transform
    centre = transform @ (column - 40 + columns.mean() + 0.5, row - 40 + rows.mean() + 0.5)
    assert np.hypot(centre[0] - x, centre[1] - y) < transform.a / 2
    assert valid.sum() * transform.a**2 == pytest.approx((size * spacing) ** 2, rel=0.1)
