"""The rejection rule finds spoiled members, and only these."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from escape_process import retrieval
from escape_process.layers import FLAG
from escape_process.physics.radiometry import wavenumber
from escape_process.retrieval.encoder import MemberNetworks
from escape_process.retrieval.screening import Conditions, self_check


def spoil(ensemble, **changes):
    return replace(ensemble, parameters=replace(ensemble.parameters, **changes))


def with_weights(ensemble, change):
    weights = [part.clone() for part in ensemble.networks.weights]
    change(weights)
    return replace(ensemble, networks=MemberNetworks(tuple(weights), ensemble.networks.biases))


def test_a_sound_ensemble_is_kept_whole(ensemble):
    assert ensemble.rejected == (None,) * 10
    shortfall, errors = self_check(
        ensemble.parameters,
        ensemble.networks,
        wavenumber(ensemble.frequency),
        Conditions(**ensemble.report["conditions"]),
    )
    assert (shortfall < 0.1).all()
    assert (errors < 1).all()


def test_every_member_s_network_is_told_from_a_spoiled_one(ensemble, scene):
    def scramble(weights):
        weights[1].copy_(weights[1].flip(1))

    found = retrieval.retrieve(**scene.arguments(slice(0, 20)), ensemble=with_weights(ensemble, scramble))
    assert len(found.report["rejected"]) == 10


def test_spoiled_members_are_rejected_and_do_no_harm(ensemble, scene, result):
    log_a = ensemble.parameters.log_a.clone()
    log_a[2] = 6.0
    centre = ensemble.parameters.roughness_centre.clone()
    centre[5] = np.nan

    def scramble(weights):
        weights[1][7] = weights[1][7].flip(0)

    spoiled = with_weights(spoil(ensemble, log_a=log_a, roughness_centre=centre), scramble)
    found = retrieval.retrieve(**scene.arguments(), ensemble=spoiled)
    assert sorted(found.report["rejected"]) == ["2", "5", "7"]
    assert "water-cloud coefficient A" in found.report["rejected"]["2"]
    assert "not finite" in found.report["rejected"]["5"]
    assert "own simulations" in found.report["rejected"]["7"]
    ub = {name: (each.soil_moisture - scene.soil_moisture).std() for name, each in (("a", found), ("b", result))}
    assert ub["a"] < 1.03 * ub["b"]


def test_fewer_than_three_members_are_flagged(ensemble, scene):
    log_b = ensemble.parameters.log_b.clone()
    log_b[:8] = 8.0
    found = retrieval.retrieve(**scene.arguments(slice(0, 20)), ensemble=spoil(ensemble, log_b=log_b))
    assert np.isfinite(found.soil_moisture).all()
    assert ((found.flags & FLAG["few_members"].mask) != 0).all()


def test_without_members_there_is_no_value(ensemble, scene):
    spoiled = spoil(ensemble, log_b=torch.full_like(ensemble.parameters.log_b, torch.inf))
    found = retrieval.retrieve(**scene.arguments(slice(0, 20)), ensemble=spoiled)
    assert np.isnan(found.soil_moisture).all()
    assert (found.flags == FLAG["few_members"].mask).all()


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_weights_that_are_not_finite(ensemble, scene, weight):
    def break_one(weights):
        weights[0][4, 0, 0] = weight

    found = retrieval.retrieve(**scene.arguments(slice(0, 20)), ensemble=with_weights(ensemble, break_one))
    assert list(found.report["rejected"]) == ["4"]
    assert np.isfinite(found.soil_moisture).all()
