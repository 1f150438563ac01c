"""A product written by the tests, read by a reader that is not ours and by ours: the same pixels, the same leader."""

from pathlib import Path

import numpy as np
import pytest
from ceos_writer import Design, scatter, write_product
from numpy.typing import NDArray

from escape_process.hrefs import open_href
from escape_process.readers.ceos.image import Image
from escape_process.readers.ceos.leader import parse_leader
from escape_process.settings import Settings

ceos_alos2 = pytest.importorskip("ceos_alos2", reason="xarray-ceos-alos2 is not installed")

DESIGN = Design(lines=60, pixels=50, incidence_polynomial=True)


@pytest.fixture(scope="module")
def images() -> dict[str, NDArray[np.complex64]]:
    """Return complex images, each of other values."""
    uneven = np.linspace(0.01, 1.0, DESIGN.lines * DESIGN.pixels).reshape(DESIGN.lines, DESIGN.pixels)
    return scatter(DESIGN, {"HH": uneven, "HV": uneven / 7, "VV": uneven[::-1]}, faraday_deg=3.0)


@pytest.fixture(scope="module")
def folder(images: dict[str, NDArray[np.complex64]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the product."""
    made = tmp_path_factory.mktemp("round-trip")
    write_product(DESIGN, images, made)
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_other_reader_finds_the_same_pixels(
    folder: Path, images: dict[str, NDArray[np.complex64]], settings: Settings
) -> None:
    tree = ceos_alos2.open_alos2(str(folder), backend_options={"use_cache": False})
    for name, written in images.items():
        theirs = tree[f"imagery/{name}"]["data"].to_numpy()
        path = folder / f"IMG-{name}-{DESIGN.product}"
        with open_href(str(path), settings) as stream:
            image = Image(stream, path.stat().st_size, path.name)
            ours = image.read(0, 0, DESIGN.lines, DESIGN.pixels)
            part = image.read(13, 7, 20, 30)
            sparse = image.read(13, 7, 20, 2)
        np.testing.assert_array_equal(ours, written)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(part, written[13:33, 7:37])
        np.testing.assert_array_equal(sparse, written[13:33, 7:9])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_other_reader_finds_the_same_leader(folder: Path) -> None:
    tree = ceos_alos2.open_alos2(str(folder), backend_options={"use_cache": False})
    leader = parse_leader((folder / f"LED-{DESIGN.product}").read_bytes())
    summary = tree["metadata/dataset_summary"].attrs
    assert summary["scene_id"] == leader.scene_id
    theirs = tree["metadata/dataset_summary"]
    assert float(theirs["nominal_radar_wavelength"]) == leader.wavelength
    assert float(tree["metadata/radiometric_data"]["calibration_factor"]) == leader.calibration_factor_db
    positions = tree["metadata/platform_position/positions/position"]
    np.testing.assert_array_equal(positions["x"], leader.orbit.positions[:, 0])
    np.testing.assert_array_equal(positions["z"], leader.orbit.positions[:, 2])
    geographic = tree["metadata/transformations/image_to_geographic"]
    np.testing.assert_array_equal(geographic["a"], leader.polynomials.latitude[::-1, ::-1].ravel())
    np.testing.assert_array_equal(geographic["b"], leader.polynomials.longitude[::-1, ::-1].ravel())
    image = tree["metadata/transformations/geographic_to_image"]
    np.testing.assert_array_equal(image["d"], leader.polynomials.line[::-1, ::-1].ravel())
