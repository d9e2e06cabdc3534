"""The scene method where the right path is known; and what it owes its caller whatever the clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from operators.inversion.invert_scene import InvertScene
from operators.inversion.latent_clip import latent_clip
from operators.inversion.scene_descent import PathDescent
from operators.inversion.scene_path import ScenePath
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator
from schemas.clips import TrackClip
from schemas.config import InversionSettings, LossSettings, SceneSettings
from tests.reference.inversion_clips import clip_of, crops_of, jerk, known_path

N = 24
QUICK = SceneSettings(
    round_evaluations=6, evaluations=6, evaluations_per_draw=4, probe_evaluations=3, frames_per_segment=4
)
FEW = InversionSettings(first_steps=12)  # laws hold after any number of steps


@pytest.fixture(scope="module")
def small() -> Generator:
    return random_generator(32, seed=0, channel_base=64, channel_max=16)


@pytest.fixture(scope="module")
def tools(small: Generator) -> InversionTools:
    return inversion_tools(small, InversionSettings(prior_samples=1000), loss=LossSettings(perceptual="pyramid"))


@pytest.fixture(scope="module")
def scene(tools: InversionTools) -> InvertScene:
    """The defaults, but for the last tenths of a dB."""
    return InvertScene(tools, InversionSettings(), SceneSettings(evaluations=300))


@pytest.fixture(scope="module")
def hasty(tools: InversionTools) -> InvertScene:
    """Near enough to tell straight from bent."""
    settings = SceneSettings(round_evaluations=100, evaluations=50)
    return InvertScene(tools, InversionSettings(first_steps=100), settings)


@pytest.fixture(scope="module")
def quick(tools: InversionTools) -> InvertScene:
    return InvertScene(tools, FEW, QUICK)


def test_a_straight_walk_is_recovered_from_two_knots(
    small: Generator, scene: InvertScene, tools: InversionTools
) -> None:
    clip = clip_of(crops_of(small, known_path(small, N, seed=4)))
    path = scene.fit(clip)
    assert list(path.pts_us) == [0, clip.track.pts_us[-1]]
    w_TLD = torch.from_numpy(path.at(clip.track.pts_us))
    latents = latent_clip(clip, w_TLD, tools)
    assert latents.psnr.mean() > 45
    assert latents.psnr.min() > 43, "some frames, most of which were hardly looked at, fell behind"
    assert latents.change_error.mean() < 0.5, "grey levels; the rounding of the crops alone makes 0.33"
    assert jerk(latents.w_TLD) < 1e-3, "more than rounding to half precision leaves"


@pytest.mark.slow
def test_the_knot_of_a_corner_is_found(small: Generator, hasty: InvertScene) -> None:
    there = known_path(small, 9, seed=5, step=0.08)
    clip = clip_of(crops_of(small, torch.cat((there, there[:-1].flip(0)))))
    knots = hasty.fit(clip).pts_us // 40_000
    assert len(knots) == 3
    np.testing.assert_allclose(knots, [0, 8, 16], atol=1)


def test_a_still_face_has_a_still_path(small: Generator, hasty: InvertScene) -> None:
    crops = np.repeat(crops_of(small, known_path(small, 1, seed=6)), 12, axis=0)
    path = hasty.fit(clip_of(crops))
    assert len(path.pts_us) == 2
    with torch.no_grad():
        first, last = small.synthesis(torch.from_numpy(path.w_KLD))
    assert float((first - last).square().mean().sqrt()) * 127.5 < 2, "grey levels between the first frame and the last"


@pytest.mark.parametrize("n", [pytest.param(n, id=f"{n}_frames") for n in (1, 2, 3)])
def test_short_clips_have_a_knot_at_each_end(small: Generator, quick: InvertScene, n: int) -> None:
    clip = clip_of(crops_of(small, known_path(small, n, seed=1)))
    assert list(quick.fit(clip).pts_us) == sorted({0, 40_000 * (n - 1)})
    assert len(quick([clip])[0].w_TLD) == n


def _with_a_gap(clip: TrackClip) -> TrackClip:
    track = clip.track
    late_us = np.where(np.arange(track.n_frames) >= 4, 30_000_000, 0)
    return replace(clip, track=replace(track, pts_us=track.pts_us + late_us))


def test_time_counts_and_not_frame_numbers(small: Generator, quick: InvertScene) -> None:
    clip = _with_a_gap(clip_of(crops_of(small, known_path(small, 8, seed=1))))
    path = quick.fit(clip)
    moved = np.abs(np.diff(quick([clip])[0].w_TLD, axis=0)).mean(axis=(1, 2))
    assert len(path.pts_us) == 2
    assert np.argmax(moved) == 3
    assert moved[3] > 100 * np.median(moved)


def test_bits_follow_from_the_clip_and_the_seed(small: Generator, quick: InvertScene, tools: InversionTools) -> None:
    clips = [clip_of(crops_of(small, known_path(small, 12, seed=i, step=0.05)), track_index=i) for i in (2, 3)]
    together = quick(clips)
    backwards = quick(clips[::-1])[::-1]
    for one, other in zip(together, backwards, strict=True):
        np.testing.assert_array_equal(one.w_TLD, other.w_TLD)
    another = InvertScene(replace(tools, seed=1), FEW, QUICK)
    assert not np.array_equal(another(clips[:1])[0].w_TLD, together[0].w_TLD), "other frames were to be drawn"


def test_rows_hold_the_path_rounded_as_stored(small: Generator, quick: InvertScene) -> None:
    clip = clip_of(crops_of(small, known_path(small, 9, seed=1)))
    path = quick.fit(clip)
    np.testing.assert_array_equal(path.w_KLD, path.w_KLD.astype(np.float16))
    w_TLD = path.at(clip.track.pts_us)
    latents = quick([clip])[0]
    np.testing.assert_array_equal(latents.w_TLD, w_TLD.astype(np.float16))
    assert latents.knot_T is not None
    np.testing.assert_array_equal(clip.track.pts_us[latents.knot_T], path.pts_us)


def test_a_residual_leaves_the_path_where_it_pays_and_never_at_the_knots(
    small: Generator, tools: InversionTools
) -> None:
    clip = clip_of(crops_of(small, known_path(small, 9, seed=1, step=0.1)))
    on_the_path, dear, cheap = (
        InvertScene(tools, FEW, QUICK.model_copy(update=changes))([clip])[0]
        for changes in (
            {"residual": False},
            {"residual": True, "residual_weight": 1e3},
            {"residual": True, "residual_weight": 1e-4},
        )
    )
    knots = on_the_path.knot_T
    assert knots is not None
    np.testing.assert_array_equal(cheap.w_TLD[knots], on_the_path.w_TLD[knots])
    assert np.all(cheap.psnr[~knots] > on_the_path.psnr[~knots] + 0.5)
    moved_dear, moved_cheap = (np.abs(x.w_TLD - on_the_path.w_TLD).max() for x in (dear, cheap))
    assert moved_dear < moved_cheap / 10


def test_every_draw_holds_the_knots_and_covers_the_clip(tools: InversionTools) -> None:
    clip = clip_of(np.zeros((60, 32, 32, 3), np.uint8))
    descent = PathDescent(tools, clip, frames_per_segment=6, evaluations_per_draw=4)
    draws = [descent.draw([0, 17, 59], on_all=True) for _ in range(20)]
    for frames in draws:
        assert {0, 17, 59} <= set(frames)
        assert np.diff(frames).max() < 10, "two stretches of 5 frames without a frame"
    assert len(set(np.concatenate(draws))) > 50, "most frames are seen before long"


@pytest.fixture
def bent() -> ScenePath:
    w_KLD = np.array([0, 2, -1], np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    return ScenePath(pts_us=np.array([1_000, 3_000, 9_000]), w_KLD=w_KLD)


@pytest.mark.parametrize(
    ("t_us", "expected"),
    [
        pytest.param(1_000, 0, id="at_the_first"),
        pytest.param(2_000, 1, id="half_way"),
        pytest.param(3_000, 2, id="at_the_bend"),
        pytest.param(5_000, 1, id="a_third_of_the_second_piece"),
        pytest.param(0, 0, id="before"),
        pytest.param(99_000, -1, id="after"),
    ],
)
def test_a_path_is_sampled_at_any_time(bent: ScenePath, t_us: int, expected: float) -> None:
    np.testing.assert_allclose(bent.at(np.array([t_us])), np.full((1, 2, 3), expected), atol=1e-6)


def test_at_the_double_rate_every_other_latent_lies_between_its_neighbours(bent: ScenePath) -> None:
    film_us = np.arange(1_000, 9_001, 1_000)
    dense = bent.at(np.arange(1_000, 9_001, 500))
    np.testing.assert_allclose(dense[::2], bent.at(film_us), atol=1e-6)
    between = dense[1::2]
    assert np.all(between >= np.minimum(dense[:-1:2], dense[2::2]))
    assert np.all(between <= np.maximum(dense[:-1:2], dense[2::2]))


@pytest.mark.parametrize(
    ("pts_us", "n", "message"),
    [
        pytest.param([0, 5], 3, "2 times for 3 latents", id="lengths"),
        pytest.param([], 0, "0 times", id="none"),
        pytest.param([5, 5], 2, "must rise", id="twice"),
    ],
)
def test_what_is_no_path_is_refused(pts_us: list[int], n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScenePath(pts_us=np.array(pts_us, dtype=np.int64), w_KLD=np.zeros((n, 1, 1), np.float32))
