"""Anchors, self-calibration and the members' networks."""

import numpy as np
import torch
from retrieval.simulated import FREQUENCY, observe

from escape_process import retrieval
from escape_process.physics import oh2004, water_cloud
from escape_process.physics.radiometry import db_from_linear, wavenumber
from escape_process.retrieval import specialisation, warm_start
from escape_process.retrieval.calibration import Observations
from escape_process.retrieval.decoder import expected_db, expected_db_and_soil_share, moisture_of
from escape_process.retrieval.encoder import context_of, load_warm_start
from escape_process.retrieval.priors import CENTRE, WIDTH, Parameters, draw_anchors


def test_decoder_is_the_forward_model():
    state = torch.tensor([moisture_of(0.25), np.log(0.4), np.log(0.7)], dtype=torch.float64)
    log_a, log_b = torch.log(torch.tensor([[0.08, 0.01, 0.07], [0.2, 0.3, 0.25]], dtype=torch.float64))
    angle = torch.tensor(0.6, dtype=torch.float64)
    hh, hv, vv = oh2004(0.25, 0.4, 0.6)
    expected = [water_cloud(*each) for each in ((hh, 0.7, 0.6, 0.08, 0.2), (hv, 0.7, 0.6, 0.01, 0.3))]
    expected.append(water_cloud(vv, 0.7, 0.6, 0.07, 0.25))
    found, share = expected_db_and_soil_share(state, angle, log_a, log_b)
    np.testing.assert_allclose(found, db_from_linear(expected), rtol=1e-9)
    np.testing.assert_allclose(share[1], np.exp(-2 * 0.3 * 0.7 / np.cos(0.6)) * hv / expected[1], rtol=1e-9)
    torch.testing.assert_close(expected_db(state, angle, log_a, log_b), found)


def test_anchors_span_the_prior_evenly():
    scaled = (draw_anchors(10, torch.Generator().manual_seed(3)).flat() - CENTRE) / WIDTH
    strata = torch.special.ndtr(scaled.double()).mul(10).floor().sort(dim=0).values
    assert (strata == torch.arange(10)[:, None]).all()


def test_parameters_survive_flattening():
    anchors = draw_anchors(4, torch.Generator().manual_seed(0))
    again = Parameters.of_flat(anchors.flat())
    for name in Parameters.names():
        assert torch.equal(getattr(anchors, name), getattr(again, name))


def test_calibration_learns_what_the_scene_tells():
    """Bright and dim canopies are told apart, and members come closer together than their anchors."""
    rng = np.random.default_rng(0)
    count = 2000
    learnt = {}
    for scale in (0.4, 2.5):
        scene = observe(
            rng.normal(0.22, 0.05, count).clip(0.05, 0.5),
            0.012 * np.exp(rng.normal(0, 0.3, count)),
            np.exp(rng.normal(np.log(0.5), 0.8, count)),
            np.radians(rng.uniform(30, 40, count)),
            rng=rng,
            a=np.array([0.08, 0.01, 0.08]) * scale,
        )
        found = retrieval.calibrate(**scene.arguments(), members=5).parameters
        learnt[scale] = found.log_a + found.vegetation_centre[:, None]  # only their product is told by brightness
    step = (learnt[2.5] - learnt[0.4]).mean(dim=0)
    assert (step > 0.5).all()
    assert (learnt[2.5].std(dim=0)[1] < 0.75 * WIDTH[1]).all()


def test_specialised_networks_know_more(scene):
    generator = torch.Generator().manual_seed(0)
    anchors = draw_anchors(3, generator)
    k = wavenumber(FREQUENCY)
    start = load_warm_start().fold(context_of(anchors, k))
    observations = Observations(
        torch.zeros(3, 50), torch.full((3, 50), 0.25), torch.linspace(0.5, 0.7, 50)
    )  # only angle and speckle are used
    trained = specialisation.specialise(start, anchors, observations, k, generator, progress=lambda share: None)
    held_out = specialisation.simulate(anchors, observations, 2000, k, torch.Generator().manual_seed(9))
    gains = [
        networks(held_out.features).log_density(held_out.coordinates[:, None]).mean(dim=(1, 2))
        for networks in (start, trained)
    ]
    assert (gains[1] > gains[0] + 0.02).all()


def test_members_one_by_one_give_what_their_batch_gives():
    generator = torch.Generator().manual_seed(0)
    networks = load_warm_start().fold(context_of(draw_anchors(4, generator), wavenumber(FREQUENCY)))
    features = torch.randn(4, 7, 300, generator=generator)
    one_by_one = networks(features)
    batch = networks(features.requires_grad_())  # training needs the batch
    assert batch.raw.requires_grad
    torch.testing.assert_close(one_by_one.raw, batch.raw.detach(), rtol=1e-5, atol=1e-5)


def test_warm_start_can_be_made_again():
    first, again = warm_start.fit(3), warm_start.fit(3)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
