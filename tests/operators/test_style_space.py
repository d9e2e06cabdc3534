"""Style space: blind to what no picture shows, and to nothing else."""

import pytest
import torch
from torch import Tensor

from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Generator
from operators.stylegan.style_space import StyleSpace


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator("random-32")


@pytest.fixture(scope="module")
def space(generator: Generator) -> StyleSpace:
    return StyleSpace(generator)


@pytest.fixture(scope="module", name="w_NLD")
def latents(generator: Generator) -> Tensor:
    w_NLD: Tensor = generator.mapping(torch.randn(40, 512, generator=torch.Generator().manual_seed(8)))
    return w_NLD


def grey_levels(generator: Generator, a_NLD: Tensor, b_NLD: Tensor) -> float:
    with torch.no_grad():
        return float((generator.synthesis(a_NLD) - generator.synthesis(b_NLD)).abs().max() * 127.5)


def hidden_move(generator: Generator, w_NLD: Tensor, *, size: float) -> Tensor:
    """Moves row 3 of w within the null spaces of all that read it: the colours of 8 px and a convolution of 16 px."""
    block, after = generator.synthesis.later[0], generator.synthesis.later[1]
    readers = torch.cat((block.torgb.affine.weight, after.conv0.affine.weight))
    move_ND = torch.randn(len(w_NLD), 512, generator=torch.Generator().manual_seed(0))
    move_ND = move_ND - move_ND @ torch.linalg.pinv(readers) @ readers
    moved = w_NLD.clone()
    moved[:, 3] += size * move_ND
    return moved


def shorter_style(generator: Generator, w_NLD: Tensor) -> Tensor:
    """Row 0 of w such that the first convolution's style has 0.6 of its length, and its direction."""
    affine = generator.synthesis.b4.conv1.affine
    style_NC = affine(w_NLD[:, 0])
    change_NC = 0.6 * style_NC - style_NC
    moved = w_NLD.clone()
    moved[:, 0] += change_NC @ torch.linalg.pinv(affine.weight * affine.weight_gain).T
    torch.testing.assert_close(affine(moved[:, 0]), 0.6 * style_NC, atol=1e-3, rtol=1e-3)
    return moved


def test_a_move_in_a_null_space_is_no_error(generator: Generator, space: StyleSpace, w_NLD: Tensor) -> None:
    moved = hidden_move(generator, w_NLD, size=2.0)
    assert (moved - w_NLD).square().mean(dim=(1, 2)).sqrt().min() > 0.5, "w itself must be far off"
    assert grey_levels(generator, moved, w_NLD) < 0.1
    assert space.error(moved, w_NLD).max() < 1e-4


def test_the_length_of_a_demodulated_style_is_no_error(generator: Generator, space: StyleSpace, w_NLD: Tensor) -> None:
    moved = shorter_style(generator, w_NLD)
    assert (moved - w_NLD).abs().max() > 0.1
    assert grey_levels(generator, moved, w_NLD) < 0.1
    assert space.error(moved, w_NLD).max() < 1e-4


def test_the_length_of_a_colour_layers_style_is_an_error(
    generator: Generator, space: StyleSpace, w_NLD: Tensor
) -> None:
    affine = generator.synthesis.later[-1].torgb.affine  # alone with the last row
    moved = w_NLD.clone()
    moved[:, -1] += (-0.4 * affine(w_NLD[:, -1])) @ torch.linalg.pinv(affine.weight * affine.weight_gain).T
    assert grey_levels(generator, moved, w_NLD) > 1
    errors_NK = space.layer_errors(moved, w_NLD)
    assert errors_NK[:, -1].min() > 0.1
    assert errors_NK[:, :-1].max() == 0


def test_the_unit_is_a_samples_distance_from_the_mean(generator: Generator, space: StyleSpace, w_NLD: Tensor) -> None:
    mean = generator.mapping.w_avg.expand_as(w_NLD)
    assert 0.9 < float(space.error(mean, w_NLD).mean()) < 1.1
    strangers = float(space.error(w_NLD[:20], w_NLD[20:]).mean())
    assert 1.25 < strangers < 1.55  # sqrt(2) where samples have nothing to do with one another
    torch.testing.assert_close(space.error(w_NLD[:20], w_NLD[20:]), space.error(w_NLD[20:], w_NLD[:20]))
    assert space.error(w_NLD, w_NLD).max() == 0


def test_every_layer_that_takes_a_style_is_there(generator: Generator, space: StyleSpace, w_NLD: Tensor) -> None:
    styles = space.styles(w_NLD)
    network = generator.synthesis
    assert len(styles) == len(network.convs) + len(network.later) + 1
    assert [s.shape for s in styles[:2]] == [(40, 128), (40, 128)]
    # A row of w changes the styles of those that read it: the pictures say who does.
    for row in range(generator.num_ws):
        moved = w_NLD.clone()
        moved[:, row] = w_NLD.roll(1, 0)[:, row]
        changed = space.layer_errors(moved, w_NLD).max(dim=0).values > 0
        assert int(changed.sum()) == (2 if row % 2 and row < generator.num_ws - 1 else 1)
        assert grey_levels(generator, moved, w_NLD) > 0


def test_slopes_reach_the_latent(space: StyleSpace, w_NLD: Tensor) -> None:
    wanted = w_NLD[:4].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(space.error(wanted, w_NLD[4:8]).sum(), wanted)
    assert bool((slope.square().sum(dim=2) > 0).all())
