"""How well the two methods invert, where the right latents are known, and on a real face."""

from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from operators.inversion.frame_loss import FrameLoss, Targets
from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.inverter import make_inverter
from operators.inversion.tools import inversion_tools
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Generator
from schemas.clips import LatentClip
from schemas.config import InversionSettings, LossSettings
from tests.reference.inversion_clips import clip_of, crops_of, jerk, known_path

SETTINGS = InversionSettings(prior_samples=5000)  # otherwise the defaults: they are what is promised
NAIVE = SETTINGS.model_copy(update={"method": "naive"})
N = 8


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator("random-32")


class CountingLoss(FrameLoss):
    """Each picture that it is shown was made by one evaluation of the generator."""

    evaluations = 0

    def __call__(self, x_N3RR: torch.Tensor, targets: Targets) -> torch.Tensor:
        self.evaluations += len(x_N3RR)
        return super().__call__(x_N3RR, targets)


@dataclass(frozen=True)
class Both:
    """One clip by both methods."""

    naive: LatentClip
    sequential: LatentClip
    later_evaluations: float  # sequential, per frame after the first


@pytest.fixture(scope="module")
def both(generator: Generator) -> Both:
    """A face that moves 2 % of the way between two samples per frame."""
    clip = clip_of(crops_of(generator, known_path(generator, N, seed=4)))
    counting = CountingLoss(LossSettings(), resolution=generator.resolution)
    tools = replace(inversion_tools(generator, SETTINGS), loss=counting)
    sequential = InvertSequential(tools, SETTINGS)([clip])[0]
    later = (counting.evaluations - SETTINGS.first_steps) / (N - 1)
    return Both(
        naive=InvertNaive(tools, NAIVE, frames_per_pass=N)([clip])[0], sequential=sequential, later_evaluations=later
    )


def test_known_pictures_are_found_again(both: Both) -> None:
    assert both.naive.psnr.min() > 42
    assert both.sequential.psnr.min() > 42


def test_sequential_is_as_good_in_a_fifth_of_the_evaluations(both: Both) -> None:
    assert both.sequential.psnr.mean() > both.naive.psnr.mean() - 1
    assert both.later_evaluations < SETTINGS.first_steps / 5


def test_sequential_latents_move_ten_times_more_smoothly(both: Both) -> None:
    assert jerk(both.sequential.w_TLD) < jerk(both.naive.w_TLD) / 10


def test_sequential_flickers_less(both: Both) -> None:
    assert both.sequential.change_error.sum() < both.naive.change_error.sum()


def test_a_real_face_is_recognised_in_colour_and_shape_and_followed(media: Path) -> None:
    crops = _face_crops(media / "talk_d0.mp4", first=20, n=6)
    latents = make_inverter(load_generator("random-64"), SETTINGS)([clip_of(crops)])[0]
    variance = np.square(crops / 1.0 - crops.mean(axis=(1, 2), keepdims=True)).mean()
    assert latents.psnr.min() > 22
    assert latents.psnr.min() > 10 * np.log10(255**2 / variance) + 8, "little better than its mean colour"
    assert latents.psnr[-1] > latents.psnr[0] - 1, "the track drifts away from the face"


def test_a_higher_price_of_moving_moves_less(generator: Generator) -> None:
    clip = clip_of(crops_of(generator, known_path(generator, 4, seed=5, step=0.2)))
    prices = ("coarse_weight", "middle_weight", "fine_weight")
    quick = SETTINGS.model_copy(update={"first_steps": 60, "next_steps": 12})
    free, dear = (
        make_inverter(generator, quick.model_copy(update=dict.fromkeys(prices, price)))([clip])[0]
        for price in (0.0, 100.0)
    )
    np.testing.assert_array_equal(free.w_TLD[0], dear.w_TLD[0])  # the head has nothing before it to stay near
    assert np.abs(np.diff(dear.w_TLD, axis=0)).mean() < np.abs(np.diff(free.w_TLD, axis=0)).mean() / 2


def _face_crops(path: Path, *, first: int, n: int) -> np.ndarray:
    """Centre squares of 430 of 512 pixels, at 64: the head with some room."""
    with av.open(str(path)) as container:
        frames = [frame.to_image() for i, frame in enumerate(container.decode(video=0)) if first <= i < first + n]
    return np.stack([np.asarray(f.crop((41, 41, 471, 471)).resize((64, 64), Image.Resampling.LANCZOS)) for f in frames])
