"""CEOS products: a real leader, and one written for the tests."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from ceos_writer import Design, scatter, write_product

from escape_process.settings import Settings

REAL_PRODUCT = "ALOS2015976960-140909-FBDR1.5GUA"


@pytest.fixture(scope="session")
def real_product(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack a real level 1.5 product, dual-pol, whose images are cut after their descriptors."""
    folder = tmp_path_factory.mktemp("real-ceos")
    (archive,) = (shared_data / "alos2_l15_fbd_ceos").glob("*.zip")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def real_leader(real_product: Path) -> bytes:
    """Return the bytes of a real leader."""
    return (real_product / f"LED-{REAL_PRODUCT}").read_bytes()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings that read local files."""
    return Settings(data_dir=tmp_path / "var")


SMALL = Design(lines=120, pixels=80)


@pytest.fixture(scope="session")
def small_product(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write a small product of even ground; tests that change its files copy them."""
    even = {
        name: np.full((SMALL.lines, SMALL.pixels), power) for name, power in (("HH", 0.1), ("HV", 0.01), ("VV", 0.12))
    }
    return write_product(SMALL, scatter(SMALL, even), tmp_path_factory.mktemp("small-ceos"))
