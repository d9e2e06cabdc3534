"""What every inverter owes its caller, whatever it finds: exact bits, honest numbers, one-line errors."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.inversion.fit_by_adam import as_projected, fit_by_adam
from operators.inversion.fit_by_lbfgs import fit_by_lbfgs
from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.inverter import Inverter, make_inverter
from operators.inversion.latent_clip import latent_clip
from operators.inversion.reconstruction_loss import reconstruction_loss
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator
from schemas.config import InversionSettings, SceneSettings
from tests.reference.inversion_clips import clip_of, crops_of, known_path

QUICK = InversionSettings(first_steps=6, next_steps=6, prior_samples=1000)  # laws hold after any number of steps
QUICK_SCENE = SceneSettings(round_evaluations=6, evaluations=6, evaluations_per_draw=4, probe_evaluations=3)


@pytest.fixture(scope="module")
def small() -> Generator:
    return random_generator(32, seed=0, channel_base=64, channel_max=16)


@pytest.fixture(scope="module")
def tools(small: Generator) -> InversionTools:
    return inversion_tools(small, QUICK)


METHODS = [pytest.param(method, id=method) for method in ("naive", "sequential", "scene")]


def inverter_of(generator: Generator, method: str) -> Inverter:
    return make_inverter(generator, QUICK.model_copy(update={"method": method}), scene=QUICK_SCENE)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_clip_gives_the_same_bits(small: Generator, method: str) -> None:
    inverter = inverter_of(small, method)
    clip = clip_of(crops_of(small, known_path(small, 5, seed=1)))
    first, second = inverter([clip])[0], inverter([clip])[0]
    for name in ("w_TLD", "psnr", "change_error", "change"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("lanes", [pytest.param(n, id=f"{n}_lanes") for n in (1, 3)])
@settings(max_examples=4, deadline=None)  # each example inverts up to four clips twice
@given(lengths=st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_tracks_in_one_batch_have_the_bits_they_have_alone(
    small: Generator, tools: InversionTools, lanes: int, lengths: list[int]
) -> None:
    inverter = InvertSequential(tools, QUICK, lanes=lanes)
    clips = [
        clip_of(crops_of(small, known_path(small, n, seed=i, step=0.3)), track_index=i) for i, n in enumerate(lengths)
    ]
    together = inverter(clips)
    assert [latents.track.key for latents in together] == [clip.track.key for clip in clips]
    for clip, latents in zip(clips, together, strict=True):
        np.testing.assert_array_equal(latents.w_TLD, inverter([clip])[0].w_TLD)


def test_a_naive_frame_has_the_same_bits_wherever_it_stands(small: Generator, tools: InversionTools) -> None:
    inverter = InvertNaive(tools, QUICK, frames_per_pass=4)
    crops = crops_of(small, known_path(small, 7, seed=2, step=0.3))
    whole, part = inverter([clip_of(crops), clip_of(crops[2:5])])
    np.testing.assert_array_equal(whole.w_TLD[2:5], part.w_TLD)


@pytest.mark.parametrize("method", METHODS)
def test_numbers_are_those_of_the_stored_latents(small: Generator, method: str) -> None:
    crops = crops_of(small, known_path(small, 11, seed=3, step=0.3))  # more than one rendering pass
    latents = inverter_of(small, method)([clip_of(crops, warmup=3)])[0]
    assert latents.lpips is None
    assert latents.track.n_frames == 11, "warm-up frames are inverted and kept"
    np.testing.assert_array_equal(latents.w_TLD, latents.w_TLD.astype(np.float16).astype(np.float32))
    with torch.no_grad():
        pictures = small.synthesis(torch.from_numpy(latents.w_TLD)).movedim(1, -1).double().numpy()
    shown, film = (pictures.clip(-1, 1) + 1) * 127.5, crops.astype(np.float64)
    psnr = 10 * np.log10(255**2 / np.square(shown - film).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(latents.psnr, psnr, atol=1e-3)
    change = np.abs(np.diff(film, axis=0)).mean(axis=(1, 2, 3))
    error = np.abs(np.diff(shown - film, axis=0)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(latents.change, np.concatenate(([0], change)), atol=1e-3)
    np.testing.assert_allclose(latents.change_error, np.concatenate(([0], error)), atol=1e-3)


def test_an_exact_match_has_a_finite_psnr(tools: InversionTools) -> None:
    black = random_generator(32, seed=0, channel_base=64, channel_max=16)
    with torch.no_grad():
        black.synthesis.b4.torgb.bias.fill_(-50)  # clamped to black whatever the latent
    clip = clip_of(np.zeros((2, 32, 32, 3), np.uint8))
    latents = latent_clip(clip, torch.zeros(2, black.num_ws, black.w_dim), replace(tools, generator=black))
    np.testing.assert_array_equal(latents.psnr, 100)


@pytest.mark.parametrize("method", METHODS)
def test_crops_may_be_read_only(small: Generator, method: str) -> None:
    crops = crops_of(small, known_path(small, 2, seed=1))
    crops.flags.writeable = False  # as the engine's object store hands them out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inverter_of(small, method)([clip_of(crops)])


def test_the_walk_never_reads_from_the_device(small: Generator, tools: InversionTools) -> None:
    phantom = random_generator(32, seed=0, channel_base=64, channel_max=16).to("meta")  # any read of a value raises
    there = replace(tools, generator=phantom, prior=tools.prior.to("meta"))
    targets = tools.loss.targets(torch.zeros(3, 3, 32, 32, device="meta"))
    start = torch.zeros(3, small.num_ws, small.w_dim, device="meta")
    descent = as_projected(steps=3, spread=1.0, w_dim=small.w_dim, seed=0)
    assert fit_by_adam(there, targets, start, descent, lanes=2).shape == start.shape
    assert fit_by_lbfgs(there, targets, start, evaluations=3, first_move=0.02, lanes=2).shape == start.shape


def test_the_loss_of_a_picture_is_its_own() -> None:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 32, 32, generator=source)
    y = torch.randn(4, 3, 32, 32, generator=source)
    together = reconstruction_loss(x, y, pyramid_weight=0.3)
    for i in range(4):
        torch.testing.assert_close(together[i], reconstruction_loss(x[i : i + 1], y[i : i + 1], pyramid_weight=0.3)[0])
    assert reconstruction_loss(x, x, pyramid_weight=0.3).abs().max() == 0


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        # Constant difference of 1: square 1; every band is flat but the coarsest, whose soft distance is 1 - soft / 2.
        pytest.param("flat", 1 + 0.5 * (1 - 1 / 255), id="flat"),
        # +1 and -1 in turn: square 1; all of it in the finest band.
        pytest.param("checkerboard", 1 + 0.5 * (1 - 1 / 255), id="checkerboard"),
        # Squares of 2x2 pixels in turn: nothing in the finest band, all in the second.
        pytest.param("coarse", 1 + 0.5 * (1 - 1 / 255), id="coarse_checkerboard"),
    ],
)
def test_each_size_of_error_costs_the_same(offset: str, expected: float) -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(16)
    board = torch.outer(signs, signs)
    patterns = {
        "flat": torch.ones(32, 32),
        "checkerboard": board,
        "coarse": board[:16, :16].repeat_interleave(2, 0).repeat_interleave(2, 1),
    }
    x = patterns[offset].expand(1, 3, 32, 32)
    loss = reconstruction_loss(x, torch.zeros(1, 3, 32, 32), pyramid_weight=0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
