"""Our generator against the published equations, written out slowly in float64: pictures, styles, gradients."""

import math

import pytest
import torch
from torch import Tensor

from operators.stylegan import pixel_bound
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.labels import with_label
from operators.stylegan.modulated_conv import modulated_conv2d, weight_energy
from operators.stylegan.random_weights import random_generator
from tests.reference import stylegan2_equations as reference

TOLERANCE = 1e-4  # relative, float32 against float64


def generator(
    resolution: int, channels: tuple[int, ...], *, seed: int = 0, label_dim: int = 0, clamp: float | None = None
) -> Generator:
    """Every weight random, noise strengths and biases too, so that no term can hide behind a zero."""
    sizes = {"z_dim": 24, "w_dim": 24, "mapping_layers": 3, "label_dim": label_dim}
    made = Generator(Architecture(resolution=resolution, channels=channels, clamp=clamp, **sizes))
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
    ("resolution", "channels", "noise", "clamp", "batch"),
    [
        pytest.param(32, (8, 8, 6, 4), True, None, 3, id="32px_noise"),
        pytest.param(32, (8, 8, 6, 4), False, None, 3, id="32px_no_noise"),
        pytest.param(32, (8, 8, 6, 4), True, 0.7, 3, id="32px_clamp_reached_by_most"),
        pytest.param(32, (8, 8, 6, 4), True, 0.7, 1, id="32px_clamp_alone"),
        pytest.param(32, (8, 8, 6, 4), True, 256.0, 3, id="32px_clamp_never_reached"),
        pytest.param(64, (16, 12, 8, 8, 4), True, None, 3, id="64px_noise"),
        pytest.param(64, (16, 12, 8, 8, 4), True, None, 1, id="64px_alone"),
        pytest.param(128, (16, 16, 16, 8, 8, 4), True, None, 3, id="128px_noise"),
        pytest.param(256, (4, 4, 4, 4, 4, 4, 2), True, None, 3, id="256px_noise"),
    ],
)
@pytest.mark.parametrize("form", [pytest.param("chosen", id="forms_chosen_by_size"), "weight_bound", "pixel_bound"])
def test_pictures_and_slopes_are_the_published_ones(
    monkeypatch: pytest.MonkeyPatch,
    resolution: int,
    channels: tuple[int, ...],
    noise: bool,
    clamp: float | None,
    batch: int,
    form: str,
) -> None:
    if form != "chosen":  # each of the two forms of a layer at every size
        bound = {"weight_bound": math.inf, "pixel_bound": 0.0}[form]
        monkeypatch.setattr(pixel_bound, "_PIXELS_PER_WEIGHT", bound)
    made = generator(resolution, channels, clamp=clamp)
    w_NLD = torch.randn(batch, made.num_ws, 24, generator=torch.Generator().manual_seed(1))
    ours_w, exact_w = w_NLD.clone().requires_grad_(True), w_NLD.double().requires_grad_(True)
    ours = made.synthesis(ours_w, noise="const" if noise else "none")
    exact = reference.synthesis(
        weights(made), exact_w, resolution=resolution, noise=noise, clamp=math.inf if clamp is None else clamp
    )
    assert ours.shape == (batch, 3, resolution, resolution)
    assert relative(ours, exact) < TOLERANCE
    probe = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours_slope,) = torch.autograd.grad((ours * probe).sum(), ours_w)
    (exact_slope,) = torch.autograd.grad((exact * probe).sum(), exact_w)
    assert relative(ours_slope, exact_slope) < TOLERANCE


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("random-64-f", id="64px_config_f"),
        pytest.param("random-64-e", id="64px_config_e"),
        pytest.param("random-256-f", id="256px_config_f", marks=pytest.mark.slow),  # 20 s in float64
        pytest.param("puppet-128", id="trained"),
    ],
)
def test_published_widths_and_a_trained_network_agree_as_well(name: str) -> None:
    """On the way from one picture to another, as inversion goes."""
    if name == "random-64-e":  # half the widths of config-f beyond 32 px: Karras et al. 2020, table 1
        made = random_generator(64, seed=0, channel_base=16384, channel_max=512)
    else:
        made = load_generator(name)
    z_NZ = torch.randn(2, made.z_dim, generator=torch.Generator().manual_seed(0))
    w_NLD, target_w = made.mapping(z_NZ).split(1)
    target = made.synthesis(target_w)
    ours_w, exact_w = w_NLD.clone().requires_grad_(True), w_NLD.double().requires_grad_(True)
    ours = made.synthesis(ours_w)
    exact = reference.synthesis(weights(made), exact_w, resolution=made.resolution, noise=True)
    assert relative(ours, exact) < TOLERANCE
    (ours_slope,) = torch.autograd.grad((ours - target).square().mean(), ours_w)
    (exact_slope,) = torch.autograd.grad((exact - target).square().mean(), exact_w)
    assert relative(ours_slope, exact_slope) < TOLERANCE


@pytest.mark.parametrize("label", [pytest.param(None, id="by_its_labels"), pytest.param(2, id="held_to_one")])
@pytest.mark.parametrize("psi", [pytest.param(p, id=f"psi={p}") for p in (0.0, 0.5, 1.0)])
def test_labels_are_the_published_ones(psi: float, label: int | None) -> None:
    made = generator(32, (8, 8, 6, 4), label_dim=4)
    z_NZ = torch.randn(4, 24, generator=torch.Generator().manual_seed(3))
    label_NK = torch.eye(4) if label is None else torch.eye(4)[[label] * 4]
    exact = weights(made)
    if label is None:
        w_NLD = made.mapping(z_NZ, label_NK, truncation_psi=psi)
    else:
        one = with_label(made, label, name="a test's")
        assert one.architecture == generator(32, (8, 8, 6, 4)).architecture
        w_NLD = one.mapping(z_NZ, truncation_psi=psi)
        exact["mapping.w_avg"] = one.mapping.w_avg.double()  # the mean of that label's own latents
        samples_ND = made.mapping(
            torch.randn(4000, 24, generator=torch.Generator().manual_seed(4)), torch.eye(4)[[label] * 4000]
        )[:, 0]
        assert (one.mapping.w_avg - samples_ND.mean(0)).square().mean().sqrt() < 0.1 * samples_ND.std()
    exact_ND = reference.mapping(exact, z_NZ.double(), label_NK.double(), n_layers=3, psi=psi)
    assert relative(w_NLD, exact_ND[:, None].expand(-1, 8, -1)) < TOLERANCE


@pytest.mark.parametrize(
    "label_NK",
    [pytest.param(None, id="none"), pytest.param(torch.eye(3), id="of_another_number")],
)
def test_a_wrong_label_is_refused(label_NK: Tensor | None) -> None:
    made = generator(32, (8, 8, 6, 4), label_dim=4)
    with pytest.raises(ValueError, match="for a generator of 4 labels; give"):
        made.mapping(torch.zeros(3, 24), label_NK)


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


@pytest.mark.parametrize("maps_each", [pytest.param(False, id="one_for_all"), pytest.param(True, id="one_each")])
def test_given_noise_without_a_slope_is_used_by_either_form(monkeypatch: pytest.MonkeyPatch, maps_each: bool) -> None:
    made = generator(32, (8, 8, 6, 4))
    source = torch.Generator().manual_seed(5)
    w_NLD = torch.randn(2, 8, 24, generator=source)
    sides = [conv.noise_const.shape for conv in made.synthesis.convs]
    maps = [
        torch.randn(2, 1, *side, generator=source) if maps_each else torch.randn(side, generator=source)
        for side in sides
    ]
    slopes, pictures = [], []
    for bound in (math.inf, 0.0):
        monkeypatch.setattr(pixel_bound, "_PIXELS_PER_WEIGHT", bound)
        varied = w_NLD.clone().requires_grad_(True)
        pictures.append(made.synthesis(varied, noise=maps))
        slopes.append(torch.autograd.grad(pictures[-1].square().mean(), varied)[0])
    torch.testing.assert_close(pictures[0], pictures[1], rtol=1e-4, atol=1e-4)
    assert relative(slopes[0], slopes[1].double()) < TOLERANCE


def test_the_pixel_bound_form_keeps_one_block_for_each_layer() -> None:
    """Its reason to be, and less than half of what autograd would keep."""
    made = load_generator("random-64")
    kept: dict[float, int] = {}
    for bound in (math.inf, 0.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pixel_bound, "_PIXELS_PER_WEIGHT", bound)
            blocks: dict[int, int] = {}

            def note(tensor: Tensor, blocks: dict[int, int] = blocks) -> Tensor:
                blocks[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                made.synthesis(torch.randn(8, made.num_ws, 512, requires_grad=True))
            kept[bound] = sum(blocks.values())
    assert kept[0.0] < 0.5 * kept[math.inf], kept


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
