"""A cut is never crossed: a shot has the latents that it has alone, whatever was inverted before it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from operators.inversion.invert_scene import InvertScene
from operators.inversion.invert_sequential import InvertSequential, SequentialInverter
from operators.inversion.inverter import Inverter
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.random_weights import random_generator
from schemas.clips import TrackClip
from schemas.config import InversionSettings, LossSettings, SceneSettings
from tests.reference.inversion_clips import clip_of, crops_of, known_path

QUICK = InversionSettings(first_steps=4, next_steps=6, prior_samples=1000)
QUICK_SCENE = SceneSettings(round_evaluations=4, evaluations=4, evaluations_per_draw=4, probe_evaluations=3)
CUT = 4  # frames of the first shot; the second one is as long


@pytest.fixture(scope="module")
def tools() -> InversionTools:
    small = random_generator(32, seed=0, channel_base=64, channel_max=16)
    return inversion_tools(small, QUICK, loss=LossSettings(perceptual="pyramid"))


def inverter_of(tools: InversionTools, method: str) -> Inverter:
    if method == "scene":
        return InvertScene(tools, QUICK, QUICK_SCENE)
    return InvertSequential(tools, QUICK, lanes=int(method.removeprefix("sequential_")))


METHODS = [
    pytest.param("sequential_1", id="sequential_one_lane"),
    pytest.param("sequential_3", id="sequential_three_lanes"),
    pytest.param("scene", id="scene"),
]


@pytest.fixture(scope="module")
def crops(tools: InversionTools) -> NDArray[np.uint8]:
    """Two faces that both move, with a cut between them."""
    paths = [known_path(tools.generator, CUT, seed=seed, step=0.05) for seed in (1, 2)]
    return np.concatenate([crops_of(tools.generator, w_TLD) for w_TLD in paths])


def clip_from(crops_TRRC: NDArray[np.uint8], first: int, last: int, *, shot: int) -> TrackClip:
    """Frames of the film, at the film's times: as the pipeline would hand over a face of this shot."""
    clip = clip_of(crops_TRRC[first:last], first_frame=first)
    track = replace(clip.track, key=replace(clip.track.key, shot_index=shot), pts_us=clip.track.pts_us + first * 40_000)
    return replace(clip, track=track)


def latents(inverter: Inverter, clips: Sequence[TrackClip]) -> NDArray[np.float32]:
    """Of the last of the clips."""
    return inverter(clips)[-1].w_TLD


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_a_shot_reaches_the_next_one(tools: InversionTools, crops: NDArray[np.uint8], method: str) -> None:
    inverter = inverter_of(tools, method)
    before, after = clip_from(crops, 0, CUT, shot=0), clip_from(crops, CUT, 2 * CUT, shot=1)
    alone = latents(inverter, [after])
    np.testing.assert_array_equal(latents(inverter, [before, after]), alone)
    assert inverter([before])[0].track.n_frames == CUT
    np.testing.assert_array_equal(latents(inverter, [after]), alone, err_msg="a call left something behind")
    uncut = latents(inverter, [clip_from(crops, 0, 2 * CUT, shot=0)])[CUT:]
    assert np.abs(uncut[0] - alone[0]).max() > 0.01, "without the cut nothing is smoothed, so this proves nothing"


def test_online_a_track_that_begins_again_forgets(tools: InversionTools, crops: NDArray[np.uint8]) -> None:
    def followed(first: int, *, begins_at_the_cut: bool) -> NDArray[np.float32]:
        online = SequentialInverter(tools, QUICK)
        found = [
            online.step(crops[t : t + 1], begins_B=np.array([begins_at_the_cut and t == CUT]))
            for t in range(first, 2 * CUT)
        ]
        return np.concatenate(found)[CUT - first :]

    alone = followed(CUT, begins_at_the_cut=False)
    np.testing.assert_array_equal(followed(0, begins_at_the_cut=True), alone)
    assert np.abs(followed(0, begins_at_the_cut=False)[0] - alone[0]).max() > 0.01, "it never remembered anything"


def test_online_the_other_tracks_go_on_over_one_tracks_cut(tools: InversionTools, crops: NDArray[np.uint8]) -> None:
    """Row 0 is cut, row 1 shows the first face all the time: it must not notice."""

    def other_row(cut_at: int | None) -> NDArray[np.float32]:
        online = SequentialInverter(tools, QUICK, tracks=2)
        rows = [
            online.step(crops[[CUT + t if cut_at else t, t]], begins_B=np.array([t == cut_at, False]))[1]
            for t in range(CUT)
        ]
        return np.stack(rows)

    np.testing.assert_array_equal(other_row(None), other_row(2))
