"""The prior: what its name promises, on samples that it was not made from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from operators.inversion.prior import LatentPrior, latent_prior
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.random_weights import random_generator
from operators.stylegan.w_statistics import style_samples, w_statistics
from schemas.errors import WrongUse


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator("random-32")


@pytest.fixture(scope="module")
def prior(generator: Generator) -> LatentPrior:
    return latent_prior(generator, n_samples=20_000)


@pytest.fixture(scope="module", name="fresh_ND")
def fresh_samples(generator: Generator) -> Tensor:
    return torch.cat(list(style_samples(generator.mapping, n=8000, seed=99)))


def test_fresh_samples_become_a_white_cloud(prior: LatentPrior, fresh_ND: Tensor) -> None:
    p_ND = prior.whiten(fresh_ND).double()
    free = prior.scale_D > prior.scale_D[-1]
    assert 256 < int(free.sum()) < 512, "a floor that floors nothing, or nearly everything, is no test"
    covariance = torch.cov(p_ND.T)
    assert p_ND.mean(dim=0).abs().max() < 5 * (1 / 8000 + 1 / 20_000) ** 0.5
    # Identity up to sampling: entries scatter by sqrt(1/8000 + 1/20000) = 0.013, variances by sqrt(2) times that.
    error = (covariance - torch.eye(512))[free][:, free]
    assert error.square().mean().sqrt() < 0.02
    assert error.abs().max() < 0.15  # tails are heavier than a normal law's
    floored = covariance.diagonal()[~free]
    assert floored.max() < 1.1
    assert floored.min() > 0


def test_the_mappings_last_bend_is_undone(generator: Generator, prior: LatentPrior) -> None:
    """What comes before its last leaky ReLU, times the gain, is straight in the whitened space."""
    before = 3 * torch.randn(2, 512, generator=torch.Generator().manual_seed(6))
    ends_2D = torch.nn.functional.leaky_relu(before, 0.2) * 2**0.5
    middle_D = torch.nn.functional.leaky_relu(before.mean(dim=0), 0.2) * 2**0.5
    torch.testing.assert_close(prior.whiten(middle_D), prior.whiten(ends_2D).mean(dim=0), atol=1e-3, rtol=1e-4)
    # And the mapping does end like this: its w, put back, is what its last dense layer gave.
    z_NZ = torch.randn(3, 512, generator=torch.Generator().manual_seed(7))
    seen: list[Tensor] = []
    hook = generator.mapping.layers[-1].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    w_NLD = generator.mapping(z_NZ)
    hook.remove()
    torch.testing.assert_close(torch.nn.functional.leaky_relu(w_NLD[:, 0], 5) / 2**0.5, seen[0])


def test_coordinates_are_ordered_by_variance(prior: LatentPrior) -> None:
    assert (prior.scale_D.diff() <= 0).all()
    largest_1D = prior.directions_DD.abs().argmax(dim=0, keepdim=True)
    assert (prior.directions_DD.gather(0, largest_1D) > 0).all(), "their signs must not be the library's"
    torch.testing.assert_close(prior.directions_DD.T @ prior.directions_DD, torch.eye(512), atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.floats(0.01, 30), n=st.integers(1, 3), layers=st.integers(1, 8))
def test_whitening_can_be_undone_both_ways(prior: LatentPrior, seed: int, size: float, n: int, layers: int) -> None:
    x_NLD = torch.randn(n, layers, 512, generator=torch.Generator().manual_seed(seed)) * size
    torch.testing.assert_close(prior.unwhiten(prior.whiten(x_NLD)), x_NLD, atol=2e-5 * max(1, size), rtol=0)
    torch.testing.assert_close(prior.whiten(prior.unwhiten(x_NLD)), x_NLD, atol=2e-4 * max(1, size), rtol=0)


def test_a_sample_is_near_and_a_stranger_is_far(prior: LatentPrior, fresh_ND: Tensor) -> None:
    samples_NLD = fresh_ND[:512].reshape(64, 8, 512)
    near = prior.mahalanobis(samples_NLD)
    assert near.shape == (64, 8)
    assert 0.7 < float(near.mean()) < 1.1
    # Equal mean and equal spread, but coordinates without their correlations: same size, another law.
    shuffled = samples_NLD.flatten(0, 1)[:, torch.randperm(512, generator=torch.Generator().manual_seed(0))]
    assert float(prior.mahalanobis(shuffled).median()) > 5 * float(near.max())
    centre = prior.unwhiten(torch.zeros(1, 1, 512))
    assert float(prior.mahalanobis(centre)) < 1e-8


def test_a_layer_has_the_distance_it_has_alone(prior: LatentPrior, fresh_ND: Tensor) -> None:
    w_NLD = fresh_ND[:24].reshape(3, 8, 512)
    torch.testing.assert_close(prior.mahalanobis(w_NLD)[1, 5], prior.mahalanobis(w_NLD[1, 5]), rtol=1e-5, atol=0)


def test_slopes_reach_the_latent_and_lead_home(prior: LatentPrior, fresh_ND: Tensor) -> None:
    w_NLD = (2 * fresh_ND[:16].reshape(2, 8, 512)).requires_grad_(True)
    far = prior.mahalanobis(w_NLD)
    (slope,) = torch.autograd.grad(far.sum(), w_NLD)
    assert bool((slope.square().sum(dim=2) > 0).all())
    moved = w_NLD.detach() - 0.1 * slope
    assert bool((prior.mahalanobis(moved) < far).all())


def test_equal_arguments_give_equal_bits(generator: Generator) -> None:
    torch.manual_seed(1)
    first = latent_prior(generator, n_samples=2000)
    torch.manual_seed(2)  # the global state is nobody's argument
    second, other = latent_prior(generator, n_samples=2000), latent_prior(generator, n_samples=2000, seed=1)
    for name in ("mean_D", "directions_DD", "scale_D"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.mean_D, other.mean_D)


def test_mean_and_variance_are_those_of_one_large_sum(generator: Generator) -> None:
    """Against numpy in one piece: passes of 512 lose nothing, the short last one neither."""
    prior = latent_prior(generator, n_samples=1500)
    w_ND = torch.cat(list(style_samples(generator.mapping, n=1500, seed=0))).double().numpy()
    v_ND = np.where(w_ND < 0, 5 * w_ND, w_ND)
    np.testing.assert_allclose(prior.mean_D, v_ND.mean(axis=0), rtol=1e-6, atol=1e-7)
    along_ND = (v_ND - v_ND.mean(axis=0)) @ prior.directions_DD.double().numpy()
    largest = slice(0, 50)
    np.testing.assert_allclose(prior.scale_D[largest], along_ND.std(axis=0)[largest], rtol=1e-5)


@pytest.mark.parametrize(
    ("z_dim", "w_dim"), [pytest.param(3, 32, id="thin_noise"), pytest.param(64, 16, id="thin_styles")]
)
def test_any_widths_give_a_finite_prior(z_dim: int, w_dim: int) -> None:
    generator = _mapped(z_dim=z_dim, w_dim=w_dim)
    prior = latent_prior(generator, n_samples=4000)
    w_NLD = generator.mapping(torch.randn(5, z_dim, generator=torch.Generator().manual_seed(3)))
    assert bool(prior.mahalanobis(w_NLD).isfinite().all())
    torch.testing.assert_close(prior.unwhiten(prior.whiten(w_NLD)), w_NLD, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bad", [pytest.param(0.0, id="all_zero"), pytest.param(float("nan"), id="nan")])
def test_a_mapping_without_a_cloud_is_refused(bad: float) -> None:
    generator = random_generator(32, seed=0, channel_base=64, channel_max=16)
    generator.mapping.layers[3].weight.fill_(bad)
    with pytest.raises(WrongUse, match=r"generator 32 px: the variance of its styles is \S+, .*; check the weights"):
        latent_prior(generator, n_samples=1000)


def test_the_prior_goes_where_it_is_sent(prior: LatentPrior) -> None:
    assert {tensor.device.type for tensor in vars(prior.to("meta")).values()} == {"meta"}


def test_statistics_of_styles_are_those_of_their_samples(generator: Generator) -> None:
    w_ND = torch.cat(list(style_samples(generator.mapping, n=700, seed=5)))
    assert w_ND.shape == (700, 512)
    found = w_statistics(generator, n=700, seed=5)
    assert torch.equal(found.mean_D, w_ND.mean(dim=0))


def _mapped(*, z_dim: int, w_dim: int) -> Generator:
    """A generator with a random mapping of odd widths; its synthesis is never asked."""
    generator = Generator(
        Architecture(resolution=32, channels=(8, 8, 8, 8), z_dim=z_dim, w_dim=w_dim, mapping_layers=3)
    )
    source = torch.Generator().manual_seed(7)
    for layer in generator.mapping.layers:
        torch.nn.init.normal_(layer.weight, std=1 / layer.bias_gain, generator=source)
    return generator.freeze()
