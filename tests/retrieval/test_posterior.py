"""Moments and quantiles of the members' mixture, against sampling and scipy."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from escape_process.retrieval.decoder import soil_moisture_of
from escape_process.retrieval.encoder import Components
from escape_process.retrieval.posterior import Marginals, marginals_of, summarise


def random_marginals(members=3, components=2, pixels=5, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high):
        return low + (high - low) * torch.rand(members, components, pixels, generator=generator)

    return Marginals(
        log_weight=torch.log_softmax(draw(-1, 1), dim=1),
        mean=(draw(-1.5, 0.5), draw(-1.5, -0.5), draw(-2, 0)),
        variance=(draw(0.02, 0.6), draw(0.02, 0.2), draw(0.05, 0.5)),
        calibration_share=draw(0.0, 0.4),
    )


def test_moments_and_quantiles():
    marginals = random_marginals()
    found = summarise(marginals)
    rng = np.random.default_rng(1)
    weight = marginals.log_weight.exp().numpy() / 3
    for pixel in range(5):
        share = weight[..., pixel].ravel() / weight[..., pixel].sum()
        pick = rng.choice(6, 400_000, p=share)
        mean, spread = (each[..., pixel].numpy().ravel() for each in (marginals.mean[0], marginals.variance[0].sqrt()))
        drawn = soil_moisture_of(torch.tensor(rng.normal(mean[pick], spread[pick]))).numpy()
        assert found.soil_moisture[pixel] == pytest.approx(drawn.mean(), abs=5e-4)
        assert found.uncertainty[pixel] == pytest.approx(drawn.std(), rel=5e-3)

        def cumulative(u, share=share, mean=mean, spread=spread):
            return float((share * stats.norm.cdf((u - mean) / spread)).sum())

        for level, value in ((0.05, found.p05), (0.95, found.p95)):
            root = optimize.brentq(lambda u, level=level: cumulative(u) - level, -9, 9)
            expected = float(soil_moisture_of(torch.tensor(root, dtype=torch.float64)))
            assert float(value[pixel]) == pytest.approx(expected, abs=2e-4)


def test_variance_is_decomposed():
    marginals = random_marginals(components=1)
    found = summarise(marginals)
    nodes = torch.distributions.Normal(0, 1).icdf((torch.arange(4000) + 0.5) / 4000)
    value = soil_moisture_of(marginals.mean[0] + nodes[:, None, None, None] * marginals.variance[0].sqrt())
    within, means = value.var(dim=0)[:, 0], value.mean(dim=0)[:, 0]
    share = marginals.calibration_share[:, 0]
    assert found.aleatoric.square().numpy() == pytest.approx((within * (1 - share)).mean(dim=0).numpy(), rel=1e-2)
    expected = means.var(dim=0, unbiased=False) + (within * share).mean(dim=0)
    assert found.epistemic.square().numpy() == pytest.approx(expected.numpy(), rel=1e-2)


def test_saturated_members_are_left_out():
    marginals = random_marginals(members=3, components=1)
    marginals.mean[0][0] = 12.0
    found = summarise(marginals)
    assert found.usable.sum(dim=0).tolist() == [2] * 5
    kept = Marginals(
        marginals.log_weight[1:],
        tuple(each[1:] for each in marginals.mean),
        tuple(each[1:] for each in marginals.variance),
        marginals.calibration_share[1:],
    )
    torch.testing.assert_close(found.soil_moisture, summarise(kept).soil_moisture)
    torch.testing.assert_close(found.p95, summarise(kept).p95)


def test_factor_inverts_the_precision():
    raw = torch.randn(2, 2, 15, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    components = Components(raw)
    factor = components.factor()
    precision = torch.zeros(2, 2, 3, 4, 4, dtype=torch.float64)
    lower = torch.zeros_like(precision)
    for i in range(4):
        precision[..., i, i] = raw[:, :, 5 + i].exp()
        for j in range(i + 1):
            lower[..., i, j] = factor[i][j]
    for index, (i, j) in enumerate(((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))):
        precision[..., i, j] = raw[:, :, 9 + index]
    torch.testing.assert_close(precision @ lower, torch.eye(4, dtype=torch.float64).expand_as(lower))


def test_log_density_integrates_the_mixture():
    raw = 0.5 * torch.randn(1, 2, 15, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    components = Components(raw)
    factor, weight = components.factor(), components.log_weights.exp()[0, :, 0].numpy()
    point = np.array([0.3, -0.2, 0.5, 0.1])
    expected = 0.0
    for k in range(2):
        lower = np.array([[float(factor[i][j][0, k, 0]) if j <= i else 0.0 for j in range(4)] for i in range(4)])
        mean = [float(components.mean(i)[0, k, 0]) for i in range(4)]
        expected += weight[k] * stats.multivariate_normal(mean, lower @ lower.T).pdf(point)
    found = components.log_density(torch.tensor(point)[None, None, :, None])
    assert float(found) == pytest.approx(np.log(expected), abs=1e-9)


def test_marginals_carry_the_variance_of_the_factor():
    raw = torch.randn(2, 2, 15, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centre, width = torch.randn(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64) + 0.5
    components = Components(raw)
    factor, marginals = components.factor(), marginals_of(components, centre, width)
    square = sum(entry.square() for entry in factor[3]) * width[:, 2, None, None].square()
    torch.testing.assert_close(marginals.variance[2], square)
    assert ((marginals.calibration_share >= 0) & (marginals.calibration_share <= 1)).all()
