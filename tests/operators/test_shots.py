"""FindShots: cuts that somebody looked at, and shots that cover the film."""

import json
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from operators.video.shots import FindShots
from schemas.shot_settings import ShotSettings
from schemas.video import Frame, Video


@pytest.fixture(scope="module")
def source() -> Iterator[FrameSource]:
    with FrameSource() as source:
        yield source


def _shots(source, path, settings):
    video = probe(str(path), uri=path.name, video_id="")
    return video, FindShots(settings)(video, source.read(video, str(path), longer_side_px=settings.detect_px))


def _assert_covers(video, shots):
    assert [shot.shot_index for shot in shots] == list(range(len(shots)))
    assert shots[0].first_frame == 0 and shots[-1].end_frame == video.n_frames
    assert all(a.end_frame == b.first_frame and a.end_us == b.start_us for a, b in pairwise(shots))
    assert [shot.start_us for shot in shots] == [int(video.pts_us[shot.first_frame]) for shot in shots]
    assert shots[-1].end_us == round(video.duration_s * 1e6)


@pytest.mark.parametrize("detector", ["adaptive", "content"])
@pytest.mark.parametrize(
    ("name", "firsts"),
    [
        # black, cut to a leaf, cut to black, the deer fades in at 212 and out by 358, rocks fade in from 394;
        # the dissolve at 540 to 558 is not promised
        pytest.param("cuts_testvideo.mp4", [0, 30, 180, 212, 394], id="fades_and_cuts"),
        pytest.param("vfr_goldeneye.mp4", [0, 60, 140], id="variable_rate"),
        pytest.param("talk_d12.mp4", [0], id="fast_head_is_no_cut"),
        pytest.param("talk_d3.mp4", [0], id="strong_expressions_are_no_cut"),
        pytest.param("poison/one_frame.mp4", [0], id="one_frame"),
    ],
)
def test_cuts_seen_by_eye(media, source, detector, name, firsts):
    video, shots = _shots(source, media / name, ShotSettings(detector=detector))
    assert [shot.first_frame for shot in shots] == firsts
    _assert_covers(video, shots)


def test_a_dark_film_in_a_letter_box(media, source):
    """Seen by eye, frames before and behind each. Not found: a fade through white at 75, a title that fades in at 176;
    356 is a cut, 8 frames after one, and 631 the end of the black that begins at 624: both below min_shot_s.
    """
    fade_in, cut, cut_from_black, cut_to_black = "fade in", "cut", "cut from black", "cut to black"
    seen = {
        241: fade_in, 286: cut, 348: cut_from_black, 372: cut_to_black, 388: fade_in, 480: fade_in, 523: cut, 573: cut,
        610: cut, 624: cut_to_black,
    }  # fmt: skip
    video, shots = _shots(source, media / "cuts_cosmos30s.mp4", ShotSettings())
    assert [shot.first_frame for shot in shots[1:]] == list(seen)
    _assert_covers(video, shots)


@pytest.mark.parametrize("detector", ["adaptive", "content", "hash", "histogram"])
def test_trailer_cuts_are_exact(media, source, detector):
    truth = json.loads((media / "trailer_cuts.json").read_text())
    video, shots = _shots(source, media / "trailer_cuts.mp4", ShotSettings(detector=detector))
    assert [shot.first_frame for shot in shots[1:]] == truth["cuts"] and len(truth["cuts"]) == 7
    _assert_covers(video, shots)


def _film(levels, step_us=40_000):
    """A film of textured frames whose brightness is given, and its row."""
    n = len(levels)
    grey = np.random.default_rng(0).integers(0, 256, (2, 36, 64, 1))  # grey: noise has no hue to lose in the dark
    texture = np.repeat(grey, 3, axis=-1)
    frames = [
        Frame(
            frame_index=i,
            pts_us=i * step_us,
            rgb_HWC=(texture[scene] * level / 255).astype(np.uint8),
        )
        for i, (scene, level) in enumerate(levels)
    ]
    pts_us = np.arange(n, dtype=np.int64) * step_us
    fps = 1e6 / step_us
    video = Video(
        video_id="", uri="made", bytes=1, codec="", fps=fps, width=64, height=36, decoder="pyav", pts_us=pts_us
    )
    return video, frames


FADE = [(0, 255)] * 20 + [(0, 255 - 25 * i) for i in range(11)] + [(0, 0)] * 5
FADE += [(1, 25 * i) for i in range(11)] + [(1, 255)] * 20
FLASH = [(0, 255)] * 20 + [(1, 255)] * 5 + [(0, 255)] * 20


@pytest.mark.parametrize(
    ("levels", "settings", "firsts"),
    [
        pytest.param([(0, 255)] * 20 + [(1, 255)] * 20, {}, [0, 20], id="cut"),
        pytest.param(FLASH, {}, [0, 20], id="flash_is_part_of_the_shot"),
        pytest.param(
            [(0, 255)] * 20 + [(1, 255)] * 5 + [(0, 255)] * 20,
            {"min_shot_s": 0.2},
            [0, 20, 25],
            id="flash_may_be_a_shot",
        ),
        pytest.param(FADE, {"fades": True}, [0, 37], id="fade_ends_where_the_picture_comes_back"),
    ],
)
def test_made_films(levels, settings, firsts):
    video, frames = _film(levels)
    shots = FindShots(ShotSettings(**settings))(video, frames)
    assert [shot.first_frame for shot in shots] == firsts
    _assert_covers(video, shots)


@pytest.mark.parametrize(
    ("settings", "firsts"),
    [
        pytest.param({"adaptive": {"threshold": 256.0}, "fades": False}, [0], id="adaptive_threshold"),
        pytest.param({"adaptive": {"min_content": 200.0}, "fades": False}, [0], id="adaptive_min_content"),
        pytest.param({"adaptive": {"window": 30}, "fades": False}, [0], id="adaptive_window_beyond_the_film"),
        pytest.param({"weights": {"lightness": 0.0}, "fades": False}, [0], id="a_grey_film_has_no_hue"),
        pytest.param({"detector": "content", "content": {"threshold": 200.0}}, [0], id="content_threshold"),
        pytest.param({"detector": "hash"}, [0, 20], id="hash"),
        pytest.param({"detector": "hash", "hash": {"threshold": 1.0}}, [0], id="hash_threshold"),
        pytest.param({"detector": "histogram", "histogram": {"bins": 16}}, [0, 20], id="histogram"),
    ],
)
def test_each_setting_is_heard(settings, firsts):
    video, frames = _film([(0, 255)] * 20 + [(1, 255)] * 20)
    shots = FindShots(ShotSettings.model_validate(settings))(video, frames)
    assert [shot.first_frame for shot in shots] == firsts


@pytest.mark.parametrize(
    ("fade", "firsts"),
    [
        pytest.param({"bias": -1.0}, [0, 30], id="starts_with_the_black"),
        pytest.param({"bias": 0.0}, [0, 34], id="starts_in_its_middle"),
        pytest.param({"black": 60.0}, [0, 41], id="black_is_brighter"),
    ],
)
def test_where_a_fade_is_cut(fade, firsts):
    """Grey levels are half of what stands in FADE: below 3 in frames 30 to 36, below 60 in frames 26 to 40."""
    video, frames = _film(FADE)
    shots = FindShots(ShotSettings.model_validate({"fade": fade}))(video, frames)
    assert [shot.first_frame for shot in shots] == firsts


def test_the_shortest_shot_is_in_seconds_at_any_rate():
    video, frames = _film(FLASH, step_us=100_000)  # 5 frames last half a second here
    assert [shot.first_frame for shot in FindShots(ShotSettings())(video, frames)] == [0, 20, 25]


def test_the_shots_of_a_damaged_film_cover_the_frames_that_came():
    video, frames = _film([(0, 255)] * 20)
    (shot,) = FindShots(ShotSettings())(video, frames[:-1])
    assert (shot.first_frame, shot.n_frames, shot.end_us) == (0, 19, 19 * 40_000)
