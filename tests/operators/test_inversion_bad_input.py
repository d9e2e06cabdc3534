"""Bad input, for every way to invert: a finite row, or one line that names the track, the frame and the cure."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_scene import InvertScene
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.inverter import Inverter
from operators.inversion.latent_clip import latent_clip
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator
from schemas.clips import LatentClip, TrackClip, ratio_of_sums
from schemas.config import InversionSettings, LossSettings, SceneSettings
from schemas.errors import BadInput
from tests.reference.inversion_clips import clip_of, crops_of, known_path

METHODS = ("naive", "sequential", "scene")
QUICK = InversionSettings(first_steps=6, next_steps=6, prior_samples=1000)  # laws hold after any number of steps
QUICK_SCENE = SceneSettings(round_evaluations=6, evaluations=6, evaluations_per_draw=4, probe_evaluations=3)


@pytest.fixture(scope="module")
def tools() -> InversionTools:
    return inversion_tools(small_generator(), QUICK, loss=LossSettings(perceptual="pyramid"))


def small_generator() -> Generator:
    return random_generator(32, seed=0, channel_base=64, channel_max=16)


def inverter_of(tools: InversionTools, method: str, settings: InversionSettings = QUICK) -> Inverter:
    if method == "scene":
        return InvertScene(tools, settings, QUICK_SCENE)
    return InvertNaive(tools, settings) if method == "naive" else InvertSequential(tools, settings)


@pytest.fixture(scope="module", params=METHODS)
def inverter(request: pytest.FixtureRequest, tools: InversionTools) -> Inverter:
    return inverter_of(tools, request.param)


@pytest.fixture(scope="module")
def crops(tools: InversionTools) -> NDArray[np.uint8]:
    return crops_of(tools.generator, known_path(tools.generator, 8, seed=1, step=0.1))


def assert_finite(latents: LatentClip) -> None:
    motion = latents.motion
    for name, column in {**vars(latents), **vars(motion)}.items():
        if isinstance(column, np.ndarray):
            assert len(column) == latents.track.n_frames, name
            assert np.isfinite(column).all(), name
    assert all(value is None or np.isfinite(value) for value in (motion.velocity, motion.acceleration))


def at_times(clip: TrackClip, frame_index: list[int], pts_us: list[int]) -> TrackClip:
    track = replace(clip.track, frame_index=np.array(frame_index, np.int32), pts_us=np.array(pts_us, np.int64))
    return replace(clip, track=track)


def one_black(crops_TRRC: NDArray[np.uint8]) -> TrackClip:
    spoilt = crops_TRRC.copy()
    spoilt[3] = 0
    return clip_of(spoilt, warmup=2)


ODD: dict[str, Callable[[NDArray[np.uint8]], TrackClip]] = {
    "one_frame": lambda crops: clip_of(crops[:1]),
    "two_frames": lambda crops: clip_of(crops[:2], warmup=1),
    "identical_frames": lambda crops: clip_of(np.repeat(crops[:1], 8, axis=0)),
    "black_frames": lambda crops: clip_of(np.zeros_like(crops)),
    "white_frames": lambda crops: clip_of(np.full_like(crops, 255)),
    "one_black_frame": one_black,
    "a_black_frame_alone": lambda crops: clip_of(np.zeros_like(crops[:1])),
    "a_gap_of_half_a_minute": lambda crops: at_times(
        clip_of(crops[:5]), [7, 8, 9, 729, 730], [0, 40_000, 80_000, 30_000_000, 30_040_000]
    ),
    "a_gap_of_a_day_then_a_microsecond": lambda crops: at_times(
        clip_of(crops[:4]), [0, 1, 2, 3], [0, 40_000, 86_400_000_000, 86_400_000_001]
    ),
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in ODD.items()])
def test_odd_clips_give_finite_rows(
    inverter: Inverter, crops: NDArray[np.uint8], make: Callable[[NDArray[np.uint8]], TrackClip]
) -> None:
    clip = make(crops)
    (latents,) = inverter([clip])
    assert latents.track is clip.track, "warm-up frames are inverted and kept"
    assert_finite(latents)


def test_a_film_that_stands_still_has_no_flicker_to_speak_of(inverter: Inverter, crops: NDArray[np.uint8]) -> None:
    """Flicker is a share of the film's own change; where that is 0 there is no number, and no NaN either."""
    (latents,) = inverter([clip_of(np.repeat(crops[:1], 8, axis=0))])
    np.testing.assert_array_equal(latents.change, 0)
    assert ratio_of_sums(latents.change_error, latents.change) is None


def test_crops_of_another_size_are_refused_with_the_cure(inverter: Inverter) -> None:
    with pytest.raises(ValueError, match=r"track004.* 64 px, this generator makes 32 px; align with crop_px 32"):
        inverter([clip_of(np.zeros((2, 64, 64, 3), np.uint8), track_index=4)])


def test_no_clips_are_no_latents(inverter: Inverter) -> None:
    assert inverter([]) == []


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        pytest.param((2, 32, 24, 3), r"crops \(2, 32, 24, 3\) for 2 frames", id="not_square"),
        pytest.param((2, 32, 32, 1), r"crops \(2, 32, 32, 1\) for 2 frames", id="grey"),
        pytest.param((3, 32, 32, 3), r"crops \(3, 32, 32, 3\) for 2 frames", id="one_too_many"),
    ],
)
def test_crops_that_are_no_clip_never_reach_an_inverter(shape: tuple[int, ...], told: str) -> None:
    track = clip_of(np.zeros((2, 32, 32, 3), np.uint8), track_index=4).track
    with pytest.raises(ValueError, match=rf"track004.*{told}; expected \(T, R, R, 3\)"):
        TrackClip(track=track, crops_TRRC=np.zeros(shape, np.uint8))


def with_nan(generator: Generator) -> Generator:
    generator.synthesis.convs[-1].bias[0] = float("nan")
    return generator


def with_infinity(generator: Generator) -> Generator:
    generator.synthesis.later[-1].torgb.bias[0] = float("inf")
    return generator


def with_overflow(generator: Generator) -> Generator:
    """Finite weights whose pictures are not."""
    generator.synthesis.convs[-2].bias.fill_(3e38)
    return generator


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(with_nan, id="nan_in_the_output"),
        pytest.param(with_infinity, id="infinity_in_the_output"),
        pytest.param(with_overflow, id="overflow_on_the_way"),
    ],
)
def test_what_is_not_finite_names_track_frame_and_cure(
    tools: InversionTools, method: str, spoil: Callable[[Generator], Generator]
) -> None:
    with torch.no_grad():
        broken = spoil(small_generator())
    inverter = inverter_of(replace(tools, generator=broken), method)
    with pytest.raises(BadInput) as caught:
        inverter([clip_of(np.zeros((9, 32, 32, 3), np.uint8), track_index=4, first_frame=70)])
    told = str(caught.value)
    assert "track004-part000: frame 70 has no finite latent and picture" in told
    assert "check the generator's weights" in told
    assert "\n" not in told


def test_steps_far_too_large_are_named_with_their_setting(tools: InversionTools) -> None:
    """By Adam, which noise maps need; L-BFGS refuses a step that gains nothing."""
    noisy = small_generator().unfreeze()
    with torch.no_grad():
        for conv in noisy.synthesis.convs:
            conv.noise_strength.fill_(0.2)
    wild = QUICK.model_copy(update={"noise": True, "learning_rate": 1e30})
    with pytest.raises(BadInput, match=r"track004-part000: frame 70 has no .*, or lower inversion\.learning_rate"):
        InvertNaive(replace(tools, generator=noisy.freeze()), wild)(
            [clip_of(np.zeros((2, 32, 32, 3), np.uint8), track_index=4, first_frame=70)]
        )


@pytest.mark.parametrize(
    "value", [pytest.param(float("nan"), id="nan"), pytest.param(70_000.0, id="beyond_what_is_stored")]
)
def test_the_frame_at_fault_is_named_wherever_it_stands(tools: InversionTools, value: float) -> None:
    clip = clip_of(np.zeros((12, 32, 32, 3), np.uint8), track_index=4, first_frame=70)
    w_TLD = torch.zeros(12, tools.generator.num_ws, tools.generator.w_dim)
    w_TLD[[9, 11], 2, 5] = value  # in the second pass of rendering
    with pytest.raises(BadInput, match="track004-part000: frame 79 has no finite latent"):
        latent_clip(clip, w_TLD, tools)
