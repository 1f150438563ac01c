"""The tables of layers and flags."""

import numpy as np

from escape_process.layers import FLAGS, LAYERS, UNUSABLE


def test_names_and_bits_are_unique() -> None:
    assert len({layer.name for layer in LAYERS}) == len(LAYERS)
    assert [flag.bit for flag in FLAGS] == list(range(len(FLAGS)))


def test_unusable_is_every_bit_that_is_not_advisory() -> None:
    assert sum(flag.mask for flag in FLAGS if not flag.description.startswith("Advisory")) == UNUSABLE


def test_nodata_fits_the_data_type() -> None:
    for layer in LAYERS:
        assert layer.nodata is None or np.dtype(layer.dtype).type(layer.nodata) == layer.nodata
