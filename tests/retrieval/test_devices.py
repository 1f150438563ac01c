"""What a GPU does differently: larger chunks, coarser products, copies that nobody waits for."""

import numpy as np
import pytest
import torch
from retrieval.simulated import assert_identical

from escape_process import retrieval
from escape_process.retrieval import application, devices
from escape_process.retrieval.encoder import MemberNetworks

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use (CUDA)")
CLOSE = 1e-3
"""m3 m-3, that a GPU's answer may differ from the CPU's."""
MOISTURES = (
    "soil_moisture",
    "soil_moisture_uncertainty",
    "soil_moisture_aleatoric",
    "soil_moisture_epistemic",
    "soil_moisture_p05",
    "soil_moisture_p95",
)


@pytest.fixture(scope="module")
def on_cpu(scene, ensemble):
    return retrieval.retrieve(**scene.arguments(), ensemble=ensemble, device="cpu")


def assert_close(one, other):
    for name in MOISTURES:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=CLOSE, rtol=0, err_msg=name)
    assert (one.flags != other.flags).mean() < 1e-3


def as_tf32(values):
    """Round to the 10 bits of mantissa that tensor cores take of a float32, halves to even."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


def test_tf32_has_ten_bits_of_mantissa():
    assert as_tf32(torch.tensor([1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, -3.0])).tolist() == [
        1 + 2**-10,
        1.0,
        1 + 2**-9,
        -3.0,
    ]


def test_products_in_tf32_move_no_estimate_by_more_than_a_thousandth(scene, ensemble, on_cpu, monkeypatch):
    whole, before = torch.addmm, []

    def rounded(bias, weight, values, **options):
        before.append(values)
        return whole(bias, as_tf32(weight), as_tf32(values), **options)

    monkeypatch.setattr(torch, "addmm", rounded)
    coarse = retrieval.retrieve(**scene.arguments(), ensemble=ensemble, device="cpu")
    assert len(before) >= 3
    assert_close(coarse, on_cpu)
    assert not np.array_equal(coarse.soil_moisture, on_cpu.soil_moisture)


def test_chunks_of_a_gpus_size_give_the_same_but_for_rounding(scene, ensemble, on_cpu, monkeypatch):
    monkeypatch.setattr(application, "chunk_of", lambda device: devices.GPU_CHUNK)
    application._applier.cache_clear()
    large = retrieval.retrieve(**scene.arguments(), ensemble=ensemble, device="cpu")
    application._applier.cache_clear()
    for name in MOISTURES:
        np.testing.assert_allclose(getattr(large, name), getattr(on_cpu, name), atol=1e-5, err_msg=name)


def test_an_ensemble_changed_since_is_put_on_the_device_again(scene, ensemble):
    """Applied ensembles are kept between calls: by what they are, not by their number of members."""
    few = scene.arguments(slice(50))
    first = retrieval.retrieve(**few, ensemble=ensemble, device="cpu")
    weights = [part.clone() for part in ensemble.networks.weights]
    weights[-1] *= 1.05
    changed = type(ensemble)(
        ensemble.parameters,
        MemberNetworks(tuple(weights), ensemble.networks.biases),
        ensemble.rejected,
        ensemble.frequency,
        ensemble.mode,
        ensemble.report,
    )
    other = retrieval.retrieve(**few, ensemble=changed, device="cpu")
    assert not np.array_equal(first.soil_moisture, other.soil_moisture)
    assert_identical(retrieval.retrieve(**few, ensemble=ensemble, device="cpu"), first)


def test_an_item_is_finished_in_order_while_the_next_has_begun():
    told = []

    def begin(item):
        told.append(f"begin {item}")
        return item * 10

    def finish(item, begun):
        told.append(f"finish {item}")
        return item + begun

    assert list(devices.pipelined(begin, finish, [1, 2, 3])) == [11, 22, 33]
    assert told == ["begin 1", "begin 2", "finish 1", "begin 3", "finish 2", "finish 3"]
    assert list(devices.pipelined(begin, finish, [])) == []


@GPU
def test_a_gpu_agrees_with_the_cpu(scene, ensemble, on_cpu):
    before = torch.backends.cuda.matmul.fp32_precision
    found = retrieval.retrieve(**scene.arguments(), ensemble=ensemble, device="cuda")
    assert_close(found, on_cpu)
    assert torch.backends.cuda.matmul.fp32_precision == before


@GPU
def test_on_a_gpu_a_samples_answer_depends_on_that_sample_alone(scene, ensemble):
    whole = retrieval.retrieve(**scene.arguments(), ensemble=ensemble, device="cuda")
    part = retrieval.retrieve(**scene.arguments(slice(1000, 1500)), ensemble=ensemble, device="cuda")
    assert_identical(whole, part, slice(1000, 1500))


@GPU
def test_a_gpus_memory_does_not_grow_with_the_scene(scene, ensemble):
    peaks = []
    for times in (20, 80):  # 120,000 and 480,000 samples: more than one chunk each
        many = {name: np.tile(values, times) for name, values in scene.arguments().items() if name != "looks"}
        torch.cuda.reset_peak_memory_stats()
        retrieval.retrieve(**many, looks=scene.looks, ensemble=ensemble, device="cuda")
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 1.05 * peaks[0]
    assert peaks[1] < 2 * 2**30
