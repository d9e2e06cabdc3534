"""Noise maps: each picture's own, kept noise, and the same after storing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.inversion.noise_maps import (
    noise_regularity,
    pack_noise_maps,
    renormalise_noise_maps,
    start_noise_maps,
    unpack_noise_maps,
)
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator


@pytest.fixture(scope="module")
def noisy() -> Generator:
    """Random weights have no noise; this one adds it as trained ones do."""
    generator = random_generator(32, seed=0, channel_base=256, channel_max=16).unfreeze()
    with torch.no_grad():
        for conv in generator.synthesis.convs:
            conv.noise_strength.fill_(0.2)
    return generator.freeze()


@pytest.fixture(scope="module", name="w_NLD")
def latents(noisy: Generator) -> Tensor:
    w_NLD: Tensor = noisy.mapping(noise(3, 512, seed=4))
    return w_NLD


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_start_is_the_picture_without_own_maps(noisy: Generator, w_NLD: Tensor) -> None:
    maps = start_noise_maps(noisy, 3)
    assert [tuple(x.shape) for x in maps] == [(3, 1, side, side) for side in (4, 8, 8, 16, 16, 32, 32)]
    torch.testing.assert_close(noisy.synthesis(w_NLD, noise=maps), noisy.synthesis(w_NLD), atol=1e-5, rtol=1e-5)


def test_the_start_is_a_copy(noisy: Generator) -> None:
    before = noisy.synthesis.convs[0].noise_const.clone()
    start_noise_maps(noisy, 2)[0].add_(5)
    assert torch.equal(noisy.synthesis.convs[0].noise_const, before)


def test_every_map_of_every_picture_gets_a_slope_of_its_own(noisy: Generator, w_NLD: Tensor) -> None:
    maps = [x.requires_grad_(True) for x in start_noise_maps(noisy, 3)]
    loss_N = noisy.synthesis(w_NLD, noise=maps).square().mean(dim=(1, 2, 3)) + noise_regularity(maps)
    slopes = torch.autograd.grad(loss_N[1], maps)
    for slope in slopes:
        assert float(slope[1].abs().max()) > 0
        assert float(slope[[0, 2]].abs().max()) == 0


def test_a_generator_without_noise_is_refused_with_the_cure() -> None:
    silent = random_generator(32, seed=0, channel_base=64, channel_max=16)
    with pytest.raises(ValueError, match=r"generator 32 px: all its noise strengths are 0.*; invert without them"):
        start_noise_maps(silent, 1)


def board(side: int, period: int) -> Tensor:
    signs = torch.tensor([1.0, -1.0]).repeat_interleave(period).repeat(side // (2 * period))
    return torch.outer(signs, signs)[None, None]


@pytest.mark.parametrize(
    ("x_11HW", "expected"),
    [
        pytest.param(torch.zeros(1, 1, 32, 32), 0.0, id="black"),
        # Two directions at 32, 16 and 8 px, each fully correlated.
        pytest.param(torch.ones(1, 1, 32, 32), 6.0, id="flat"),
        pytest.param(torch.ones(1, 1, 4, 4), 2.0, id="flat_4_px"),
        # Neighbours are opposite: a correlation of -1 costs as much. Halved, nothing is left.
        pytest.param(board(32, 1), 2.0, id="checkerboard"),
        # Half the neighbours equal, half opposite: nothing at 32 px; at 16 px the board above.
        pytest.param(board(32, 2), 2.0, id="coarse_checkerboard"),
    ],
)
def test_the_price_of_patterns(x_11HW: Tensor, expected: float) -> None:
    assert float(noise_regularity([x_11HW])) == pytest.approx(expected, abs=1e-6)


def test_white_noise_is_nearly_free_and_smoothed_noise_is_not() -> None:
    white = noise(8, 1, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(white, 3, stride=1, padding=1)
    renormalise_noise_maps([smooth])
    assert float(noise_regularity([white]).max()) < 0.01
    assert float(noise_regularity([smooth]).min()) > 0.5


def test_prices_and_means_are_each_pictures_own() -> None:
    maps = [noise(3, 1, side, side, seed=side) * torch.tensor([0.1, 1, 50]).reshape(3, 1, 1, 1) for side in (4, 16, 32)]
    alone = [[x[i : i + 1].clone() for x in maps] for i in range(3)]
    together = noise_regularity(maps)
    for i in range(3):
        torch.testing.assert_close(together[i], noise_regularity(alone[i])[0])
    renormalise_noise_maps(maps)
    for i in range(3):
        renormalise_noise_maps(alone[i])
        for x, lonely in zip(maps, alone[i], strict=True):
            torch.testing.assert_close(x[i], lonely[0])


@pytest.mark.parametrize("side", [4, 8, 64])
def test_renormalised_maps_have_mean_0_and_rms_1(side: int) -> None:
    x_N1HW = noise(4, 1, side, side) * 30 + torch.tensor([0, 5, -100, 1000]).reshape(4, 1, 1, 1)
    leaf = x_N1HW.requires_grad_(True)  # as an optimiser holds it
    renormalise_noise_maps([leaf])
    np.testing.assert_allclose(leaf.detach().mean(dim=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(leaf.detach().square().mean(dim=(1, 2, 3)), 1, rtol=1e-4)


def test_a_flat_map_stays_finite() -> None:
    flat = [torch.full((2, 1, 8, 8), 3.0), torch.zeros(2, 1, 16, 16)]
    renormalise_noise_maps(flat)
    assert all(float(x.abs().max()) == 0 for x in flat)


def test_stored_maps_show_the_same_picture(noisy: Generator, w_NLD: Tensor) -> None:
    maps = [noise(3, 1, *x.shape[2:], seed=i) for i, x in enumerate(start_noise_maps(noisy, 3))]
    packed = pack_noise_maps(maps)
    assert packed.shape == (3, 16 + 2 * (64 + 256 + 1024))
    for x, back in zip(maps, unpack_noise_maps(noisy, packed), strict=True):
        assert torch.equal(x, back)
    pictures = noisy.synthesis(w_NLD, noise=maps)
    assert torch.equal(noisy.synthesis(w_NLD, noise=unpack_noise_maps(noisy, packed)), pictures)
    assert float((pictures - noisy.synthesis(w_NLD)).abs().max()) > 0.05, "the maps must matter"


def test_maps_of_another_generator_are_refused(noisy: Generator) -> None:
    with pytest.raises(ValueError, match=r"noise maps of 100 numbers per picture, but a generator of 32 px takes 2704"):
        unpack_noise_maps(noisy, torch.zeros(2, 100))
