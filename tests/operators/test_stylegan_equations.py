"""Our generator against the published equations, written out slowly in float64: pictures, styles, gradients."""

import pytest
import torch
from torch import Tensor

from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.modulated_conv import modulated_conv2d, weight_energy
from tests.reference import stylegan2_equations as reference

TOLERANCE = 1e-4  # relative, float32 against float64


def generator(resolution: int, channels: tuple[int, ...], *, seed: int = 0) -> Generator:
    """Every weight random, noise strengths and biases too, so that no term can hide behind a zero."""
    made = Generator(Architecture(resolution=resolution, channels=channels, z_dim=24, w_dim=24, mapping_layers=3))
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            scale = 100 if name.startswith("mapping.fc") else 1
            tensor.copy_(torch.randn(tensor.shape, generator=source) * scale)
    return made.freeze()


def weights(made: Generator) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in made.state_dict().items()}


def relative(ours: Tensor, exact: Tensor) -> float:
    return float((ours.double() - exact).detach().norm() / exact.detach().norm())


@pytest.mark.parametrize(
    ("resolution", "channels", "noise"),
    [
        pytest.param(32, (8, 8, 6, 4), True, id="32px_noise"),
        pytest.param(32, (8, 8, 6, 4), False, id="32px_no_noise"),
        pytest.param(64, (16, 12, 8, 8, 4), True, id="64px_noise"),
        pytest.param(128, (16, 16, 16, 8, 8, 4), True, id="128px_noise"),
        pytest.param(256, (4, 4, 4, 4, 4, 4, 2), True, id="256px_noise"),
    ],
)
def test_pictures_and_slopes_are_the_published_ones(resolution: int, channels: tuple[int, ...], noise: bool) -> None:
    made = generator(resolution, channels)
    w_NLD = torch.randn(3, made.num_ws, 24, generator=torch.Generator().manual_seed(1))
    ours_w, exact_w = w_NLD.clone().requires_grad_(True), w_NLD.double().requires_grad_(True)
    ours = made.synthesis(ours_w, noise="const" if noise else "none")
    exact = reference.synthesis(weights(made), exact_w, resolution=resolution, noise=noise)
    assert ours.shape == (3, 3, resolution, resolution)
    assert relative(ours, exact) < TOLERANCE
    probe = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours_slope,) = torch.autograd.grad((ours * probe).sum(), ours_w)
    (exact_slope,) = torch.autograd.grad((exact * probe).sum(), exact_w)
    assert relative(ours_slope, exact_slope) < TOLERANCE


@pytest.mark.parametrize("psi", [pytest.param(p, id=f"psi={p}") for p in (0.0, 0.5, 1.0)])
def test_styles_and_truncation_are_the_published_ones(psi: float) -> None:
    made = generator(32, (8, 8, 6, 4))
    z_NZ = torch.randn(5, 24, generator=torch.Generator().manual_seed(3))
    exact_ND = reference.mapping(weights(made), z_NZ.double(), n_layers=3, psi=psi)
    w_NLD = made.mapping(z_NZ, truncation_psi=psi)
    assert w_NLD.shape == (5, 8, 24)
    assert relative(w_NLD, exact_ND[:, None].expand(-1, 8, -1)) < TOLERANCE


def test_truncation_of_the_first_layers_leaves_the_others() -> None:
    made = generator(32, (8, 8, 6, 4))
    z_NZ = torch.randn(2, 24, generator=torch.Generator().manual_seed(3))
    w_NLD = made.mapping(z_NZ, truncation_psi=0.0, truncation_layers=3)
    torch.testing.assert_close(w_NLD[:, :3], made.mapping.w_avg.expand(2, 3, -1))
    torch.testing.assert_close(w_NLD[:, 3:], made.mapping(z_NZ)[:, 3:])


@pytest.mark.parametrize("up", [pytest.param(False, id="same_size"), pytest.param(True, id="twice_the_size")])
def test_one_convolution_alone_is_the_published_one(up: bool) -> None:
    source = torch.Generator().manual_seed(4)
    x = torch.randn(3, 5, 7, 7, generator=source)
    weight = torch.randn(6, 5, 3, 3, generator=source)
    style = torch.randn(3, 5, generator=source)
    y, scale = modulated_conv2d(x, weight, style, energy_OI=weight_energy(weight), up=up)
    exact = reference.modulated_conv(x.double(), weight.double(), style.double(), demodulate=True, up=up)
    assert relative(y * scale[:, :, None, None], exact) < 1e-6


def test_given_noise_is_used_and_gets_a_slope() -> None:
    made = generator(32, (8, 8, 6, 4))
    w_NLD = torch.randn(2, 8, 24, generator=torch.Generator().manual_seed(5))
    maps = [conv.noise_const.clone().requires_grad_(True) for conv in made.synthesis.convs]
    picture = made.synthesis(w_NLD, noise=maps)
    torch.testing.assert_close(picture, made.synthesis(w_NLD, noise="const"))
    picture.square().sum().backward()
    assert all(map_HW.grad is not None and map_HW.grad.abs().sum() > 0 for map_HW in maps)


def test_fresh_noise_differs_from_call_to_call() -> None:
    made = generator(32, (8, 8, 6, 4))
    w_NLD = torch.randn(1, 8, 24, generator=torch.Generator().manual_seed(5))
    assert not torch.equal(made.synthesis(w_NLD, noise="random"), made.synthesis(w_NLD, noise="random"))


def test_a_frozen_generator_gives_slopes_to_the_latent_only_and_the_same_picture() -> None:
    made = generator(32, (8, 8, 6, 4))
    w_NLD = torch.randn(1, 8, 24, generator=torch.Generator().manual_seed(6)).requires_grad_(True)
    frozen = made.synthesis(w_NLD)
    frozen.sum().backward()
    assert w_NLD.grad is not None
    assert all(parameter.grad is None for parameter in made.parameters())
    unfrozen = made.unfreeze().synthesis(w_NLD)
    torch.testing.assert_close(unfrozen, frozen)
    unfrozen.sum().backward()
    reached = {name for name, parameter in made.synthesis.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in made.synthesis.named_parameters()}
