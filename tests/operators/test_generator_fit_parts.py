"""The parts of training: augmentation, penalties, discriminator, distance, order of pictures, settings."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from operators.stylegan.generator import Architecture
from operators.stylegan.training import losses
from operators.stylegan.training.augment import augment, next_probability
from operators.stylegan.training.frechet import RandomFeatures, frechet_distance
from operators.stylegan.training.packed_images import Shuffled
from operators.stylegan.training.settings import FitSettings, difference
from operators.stylegan.training.start import new_discriminator, new_generator
from schemas.errors import WrongUse

TINY = Architecture(resolution=32, channels=(8, 8, 4, 4), z_dim=6, w_dim=8, mapping_layers=2)


def smooth(n=4, side=32, seed=0):
    """Pictures without fine detail: what resampling must not change."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(-1, 1)


def test_no_augmentation_at_probability_zero():
    x = smooth()
    assert augment(x, 0.0) is x


def test_augmentation_changes_nearly_all_at_probability_one_and_none_in_place():
    x = smooth(16)
    before = x.clone()
    torch.manual_seed(0)
    changed = (augment(x, 1.0) - x).abs().mean(dim=(1, 2, 3))
    assert (changed > 0.02).all()
    assert torch.equal(x, before)


def test_augmentation_at_a_small_probability_leaves_most_pictures_untouched():
    x = smooth(200)
    torch.manual_seed(0)
    distance = (augment(x, 0.01) - x).abs().amax(dim=(1, 2, 3))
    assert (distance < 1e-4).sum() >= 150  # eleven changes of one per cent: 0.99^11 = 0.9
    assert (distance > 1e-2).any()


def test_augmentation_is_differentiable():
    """Against a finite difference: changing one picture moves the sum as its slope says."""
    x = smooth(3).double().float().requires_grad_(True)
    weight = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def total(pictures):
        torch.manual_seed(5)
        return (augment(pictures, 0.8) * weight).sum()

    (slope,) = torch.autograd.grad(total(x), x)
    along = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    moved = float(total(x.detach() + 0.05 * along) - total(x.detach() - 0.05 * along)) / 0.1
    assert float((slope * along).sum()) == pytest.approx(moved, rel=1e-3)


@pytest.mark.parametrize(
    ("p", "mean_sign", "expected"),
    [
        pytest.param(0.5, 0.9, 0.51, id="overfitting"),
        pytest.param(0.5, 0.1, 0.49, id="no_longer"),
        pytest.param(0.0, 0.1, 0.0, id="not_below_0"),
        pytest.param(1.0, 0.9, 1.0, id="not_above_1"),
    ],
)
def test_probability_follows_the_signs_of_the_discriminator(p, mean_sign, expected):
    got = next_probability(p, mean_sign=mean_sign, target=0.6, n_images=100, n_full=10_000)
    assert got == pytest.approx(expected)


def test_slope_penalty_is_exact_for_a_linear_score_and_reaches_the_weights():
    x = smooth(2).requires_grad_(True)
    weight = torch.full((3, 32, 32), 0.1, requires_grad=True)
    penalty = losses.r1_penalty((x * weight).sum(dim=(1, 2, 3)), x)
    assert float(penalty.detach()) == pytest.approx(3 * 32 * 32 * 0.01 / 2, rel=1e-4)
    penalty.backward()
    torch.testing.assert_close(weight.grad, weight.detach())  # of w^2 / 2

    discriminator = new_discriminator(TINY.channels, seed=0)
    losses.r1_penalty(discriminator(x), x).backward()
    slopes = [p.grad for name, p in discriminator.named_parameters() if name.endswith("weight")]
    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)


def test_path_lengths_are_exact_for_a_linear_picture_and_reach_the_weights():
    w = torch.randn(2, 3, 5, requires_grad=True)
    picture = w.sum(dim=(1, 2))[:, None, None, None].expand(2, 3, 4, 4)
    length = losses.path_lengths(picture, w, torch.ones(2, 3, 4, 4))
    torch.testing.assert_close(length, torch.full((2,), 12 * 5**0.5))  # 48 pixels / 4, over 5 coordinates

    generator = new_generator(TINY, seed=0, noise=False)
    w = generator.mapping(torch.randn(2, 6))
    picture = generator.synthesis(w, noise="none")
    losses.path_lengths(picture, w, torch.randn_like(picture)).sum().backward()
    for name in ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b32.conv1.weight", "synthesis.b8.torgb.weight"):
        slope = generator.get_parameter(name).grad
        assert slope is not None, name
        assert slope.abs().sum() > 0, name


def test_the_discriminator_starts_at_unit_scale_and_sees_the_spread_of_its_batch():
    discriminator = new_discriminator(TINY.channels, seed=0)
    many = torch.cat([discriminator(smooth(seed=seed)) for seed in range(8)])
    assert 0.05 < float(many.detach().std()) < 5
    x = smooth(4)
    alone = discriminator(x[:1])
    together = discriminator(x)
    assert float((alone - together[:1]).detach().abs()) > 1e-4


def test_a_wanted_picture_costs_nothing_and_edges_cost_extra():
    x = smooth(2)
    assert float(losses.multiscale_loss(x, x, edge_weight=1.0)) == 0
    brighter, striped = x + 0.1, x + 0.1 * (torch.arange(32) % 2 * 2 - 1)

    def cost(pictures, edge_weight):
        return float(losses.multiscale_loss(pictures, x, edge_weight=edge_weight))

    assert cost(brighter, 0.0) == cost(brighter, 1.0) == pytest.approx(0.3, abs=1e-4)  # at 32, 16 and 8 px
    assert cost(striped, 0.0) == pytest.approx(0.1, abs=1e-4)  # averaged away below 32 px
    assert cost(striped, 1.0) == pytest.approx(0.1 + 0.2 / 2, abs=1e-4)  # columns differ by 0.2, rows do not


def test_distance_of_sets():
    features = RandomFeatures(torch.device("cpu"))
    near, same, far = (features([x]) for x in (smooth(64), smooth(64, seed=1), smooth(64, seed=2) * 0.3 + 0.5))
    assert frechet_distance(near, near) < 1e-6
    assert 10 * frechet_distance(near, same) < frechet_distance(near, far)
    assert frechet_distance(near, far) == pytest.approx(frechet_distance(far, near), rel=1e-3)


def test_distance_of_normal_clouds_is_the_formula():
    source = torch.Generator().manual_seed(0)
    a = torch.randn(20_000, 3, generator=source).double()
    b = torch.randn(20_000, 3, generator=source).double() * 2 + 1
    assert frechet_distance(a, b) == pytest.approx(3 * 1 + 3 * (1 + 4 - 2 * 2), rel=0.05)


@law(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), batch=st.sampled_from([2, 4, 8]), ranks=st.sampled_from([1, 2]))
def test_each_epoch_has_every_picture_once_whatever_the_number_of_processes(n, batch, ranks):
    order = Shuffled(n, seed=3)
    seen = [
        i for step in range(3 * n) for rank in range(ranks) for i in order(step, batch=batch, rank=rank, ranks=ranks)
    ]
    for epoch in range(len(seen) // n):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))
    late = Shuffled(n, seed=3)(2 * n, batch=batch, rank=0, ranks=1)
    assert late.tolist() == seen[2 * n * batch : 2 * n * batch + batch]  # no memory of earlier steps


def test_shuffling_does_shuffle():
    first = Shuffled(1000, seed=0)(0, batch=100, rank=0, ranks=1)
    assert np.abs(np.diff(first)).mean() > 100


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"objective": "gan"}, "objective is gan; give adversarial or reconstruction", id="objective"),
        pytest.param({"batch": 0}, "batch is 0; give 1 or more", id="batch"),
        pytest.param({"mixing": 1.5}, "mixing is 1.5; give 0 to 1", id="share"),
        pytest.param({"learning_rate": float("nan")}, "learning_rate is nan; give 0 or more", id="nan"),
        pytest.param({"weights": "int8"}, "weights is int8; give fp32 or fp16", id="weights"),
    ],
)
def test_wrong_settings_are_refused(changes, told):
    with pytest.raises(WrongUse, match=told):
        FitSettings(**changes)


def test_each_objective_has_its_own_rates():
    assert FitSettings(objective="reconstruction").mapping_rate == 1.0
    assert FitSettings(objective="adversarial").mapping_rate == 0.01
    assert FitSettings(objective="adversarial", mapping_rate=0.5).mapping_rate == 0.5


def test_a_difference_names_old_and_new():
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b 2, now 3"
    assert difference({"a": 1}, {"a": 1}) == ""
