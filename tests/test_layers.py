"""The tables of layers and flags, and the guide that shows them."""

from pathlib import Path

import numpy as np

from escape_process.layers import FLAGS, LAYERS, UNUSABLE

GUIDE = (Path(__file__).parent.parent / "docs" / "users-guide.md").read_text()


def test_names_and_bits_are_unique() -> None:
    assert len({layer.name for layer in LAYERS}) == len(LAYERS)
    assert [flag.bit for flag in FLAGS] == list(range(len(FLAGS)))


def test_unusable_is_every_bit_that_is_not_advisory() -> None:
    assert sum(flag.mask for flag in FLAGS if not flag.description.startswith("Advisory")) == UNUSABLE


def test_nodata_fits_the_data_type() -> None:
    for layer in LAYERS:
        assert layer.nodata is None or np.dtype(layer.dtype).type(layer.nodata) == layer.nodata


def test_the_guide_shows_every_flag_and_layer() -> None:
    for flag in FLAGS:
        assert f"| {flag.bit} | `{flag.name}` | {flag.description} |" in GUIDE
    for layer in LAYERS:
        assert f"`{layer.name}`" in GUIDE
