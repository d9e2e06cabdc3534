"""One evaluation of the generator: its slope, each row by itself, and the same numbers by every faster way."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from operators.inversion.frame_loss import Targets
from operators.inversion.prior import LatentPrior
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings
from schemas.errors import WrongUse

SETTINGS = InversionSettings(encoder="none", prior_samples=1000, prior_weight=0.01)  # a price that shows in sums
WAYS = [
    pytest.param({}, id="float32"),
    pytest.param({"bfloat16": True}, id="bfloat16"),
    # Traced, differentiated and replayed as for any compiler, but run by torch's own kernels: inductor takes a minute
    # for the smallest generator. benchmarks/evaluation.py holds what it makes against plain float32.
    pytest.param({"compiler": "aot_eager"}, id="compiled"),
    pytest.param({"compiler": "aot_eager", "bfloat16": True}, id="bfloat16_compiled"),
]


@pytest.fixture(scope="module")
def tools() -> InversionTools:
    return inversion_tools(random_generator(32, seed=0, channel_base=512, channel_max=32), SETTINGS)


def latents(generator: Generator, n: int, *, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        w_NLD: Tensor = generator.mapping(torch.randn(n, generator.z_dim, generator=source), truncation_psi=0.7)
    return w_NLD


def frames(tools: InversionTools, n: int, *, seed: int = 1) -> Targets:
    with torch.no_grad():
        return tools.loss.targets(tools.generator.synthesis(latents(tools.generator, n, seed=seed)).clamp(-1, 1))


def slopes_of(tools: InversionTools, w_NLD: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """By the book: no context, nothing compiled."""
    w_NLD = w_NLD.clone().requires_grad_(True)
    loss_N = tools.loss(tools.generator.synthesis(w_NLD), targets)
    loss_N = loss_N + tools.prior_weight * tools.prior.mahalanobis(w_NLD).mean(dim=1)
    loss_N.sum().backward()
    assert w_NLD.grad is not None
    return loss_N.detach(), w_NLD.grad


@pytest.mark.parametrize(
    ("way", "loss_within", "cosine_above"),
    [
        pytest.param({}, 1e-6, 1 - 1e-6, id="float32"),
        pytest.param({"compiler": "aot_eager"}, 1e-5, 1 - 1e-6, id="compiled"),
        # 8 bits: 0.4 % a product, of which sums keep less.
        pytest.param({"bfloat16": True}, 1e-2, 0.998, id="bfloat16"),
        pytest.param({"bfloat16": True, "compiler": "aot_eager"}, 1e-2, 0.998, id="bfloat16_compiled"),
    ],
)
def test_losses_and_slopes_are_those_of_plain_autograd(
    tools: InversionTools, way: dict, loss_within: float, cosine_above: float
) -> None:
    w_NLD, targets = latents(tools.generator, 3, seed=0), frames(tools, 3)
    exact_N, exact_NLD = slopes_of(tools, w_NLD, targets)
    loss_N, slope_NLD = replace(tools, **way).evaluate(w_NLD, targets)
    assert loss_N.dtype == slope_NLD.dtype == torch.float32
    assert not loss_N.requires_grad
    torch.testing.assert_close(loss_N, exact_N, rtol=loss_within, atol=0)
    cosine_N = torch.cosine_similarity(slope_NLD.flatten(1).double(), exact_NLD.flatten(1).double())
    assert float(cosine_N.min()) > cosine_above
    torch.testing.assert_close(slope_NLD.norm(), exact_NLD.norm(), rtol=loss_within, atol=0)


def test_the_slope_says_what_a_small_step_gains(tools: InversionTools) -> None:
    generator = random_generator(32, seed=0, channel_base=512, channel_max=32).double().freeze()
    prior = LatentPrior(**{field.name: getattr(tools.prior, field.name).double() for field in fields(LatentPrior)})
    exact = replace(tools, generator=generator, prior=prior)
    w_NLD = latents(tools.generator, 2, seed=0).double()
    targets = replace(frames(tools, 2), picture_N3RR=frames(tools, 2).picture_N3RR.double())
    way_NLD = torch.randn(w_NLD.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 1e-5
    _, slope_NLD = exact.evaluate(w_NLD, targets)
    gained_N = exact.evaluate(w_NLD + way_NLD, targets)[0] - exact.evaluate(w_NLD - way_NLD, targets)[0]
    torch.testing.assert_close(gained_N, 2 * (slope_NLD * way_NLD).sum(dim=(1, 2)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("way", WAYS[:1] + WAYS[2:3])
def test_a_latent_pays_for_its_distance_from_the_mean(tools: InversionTools, way: dict) -> None:
    """In squared spreads: a weight means the same in every generator."""
    generator, weight = tools.generator, 0.25
    w_NLD, targets = latents(generator, 3, seed=0), frames(tools, 3)
    free_N, free_NLD = replace(tools, **way).evaluate(w_NLD, targets)
    priced = inversion_tools(generator, SETTINGS.model_copy(update={"average_weight": weight}))
    loss_N, slope_NLD = replace(priced, **way).evaluate(w_NLD, targets)
    away_NLD = (w_NLD - generator.mapping.w_avg) / w_statistics(generator).spread
    assert float(away_NLD.square().mean()) > 0.1, "the latents are the mean: nothing is measured"
    torch.testing.assert_close(loss_N - free_N, weight * away_NLD.square().mean(dim=(1, 2)), rtol=1e-4, atol=1e-5)
    expected_NLD = 2 * weight * away_NLD / w_statistics(generator).spread / away_NLD[0].numel()
    torch.testing.assert_close(slope_NLD - free_NLD, expected_NLD, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_row_has_the_bits_it_has_in_any_other_company(tools: InversionTools, way: dict) -> None:
    chosen = replace(tools, **way)
    w_NLD, targets = latents(tools.generator, 4, seed=0), frames(tools, 4)
    company_NLD, company = latents(tools.generator, 4, seed=5), frames(tools, 4, seed=6)
    company_NLD[2] = w_NLD[1]
    company.picture_N3RR[2] = targets.picture_N3RR[1]
    (loss_N, slope_NLD), (other_N, other_NLD) = (
        chosen.evaluate(w_NLD, targets),
        chosen.evaluate(company_NLD, company),
    )
    assert torch.equal(loss_N[1], other_N[2])
    assert torch.equal(slope_NLD[1], other_NLD[2])


def test_colours_keep_their_32_bits_under_autocast(tools: InversionTools) -> None:
    w_NLD = latents(tools.generator, 1, seed=0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = tools.generator.synthesis(w_NLD)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, rounded.bfloat16().float()), "colours were rounded to 8 bits"


def test_a_generator_in_training_learns_under_autocast_from_slopes_of_slopes() -> None:
    """Styles come out of the mapping network in bfloat16 then, and path length regularisation differentiates twice."""
    made = random_generator(32, seed=0, channel_base=128, channel_max=8).unfreeze()
    with torch.autocast("cpu", torch.bfloat16):
        w_NLD = made.mapping(torch.randn(2, made.z_dim, generator=torch.Generator().manual_seed(0)))
        pictures = made.synthesis(w_NLD)
    (slope_NLD,) = torch.autograd.grad(pictures.sum(), w_NLD, create_graph=True)
    slope_NLD.float().square().sum().backward()
    weights = [conv.weight for conv in made.synthesis.convs]
    assert all(weight.grad is not None and bool((weight.grad != 0).any()) for weight in weights)


@pytest.fixture
def machine_with_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that can be run, which is all that is asked of a compiler before the first evaluation."""
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return compiler


@pytest.mark.parametrize(
    ("settings", "bfloat16", "compiler"),
    [
        pytest.param({}, False, None, id="defaults"),
        pytest.param({"precision": "bfloat16"}, True, None, id="bfloat16"),
        pytest.param({"compiled": True}, False, "inductor", id="compiled"),
    ],
)
@pytest.mark.usefixtures("machine_with_compiler")
def test_settings_choose_the_way(settings: dict, bfloat16: bool, compiler: str | None) -> None:
    small = random_generator(32, seed=0, channel_base=64, channel_max=8)
    made = inversion_tools(small, SETTINGS.model_copy(update=settings))
    assert (made.bfloat16, made.compiler) == (bfloat16, compiler)


def test_a_machine_without_a_compiler_says_so_at_once(machine_with_compiler: Path) -> None:
    machine_with_compiler.unlink()
    small = random_generator(32, seed=0, channel_base=64, channel_max=8)
    with pytest.raises(
        WrongUse, match=r"inversion\.compiled: no C\+\+ compiler .*; install it, name it in CXX, or set"
    ):
        inversion_tools(small, SETTINGS.model_copy(update={"compiled": True}))
