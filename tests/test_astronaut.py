"""The sample movie: three shots, a face in the first and the last, and the same bytes again."""

import sys

import dlib
import numpy as np
import pytest

from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from operators.video.shots import FindShots
from schemas.shot_settings import ShotSettings
from tests import astronaut
from tests.astronaut import write_astronaut_movie


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("astronaut") / "astronaut.mp4"
    shots = write_astronaut_movie(path)
    video = probe(str(path), uri=path.name, video_id="")
    with FrameSource() as source:
        return path, shots, video, list(source.read(video, str(path)))


def test_its_shots_are_those_it_says(movie):
    _, shots, video, frames = movie
    assert (video.width, video.height, video.n_frames) == (512, 288, 108)
    assert [(shot.first_frame, shot.n_frames) for shot in shots] == [(0, 48), (48, 24), (72, 36)]
    assert FindShots(ShotSettings())(video, frames) == shots


def test_dlib_finds_one_large_face_in_every_frame_that_has_one(movie):
    _, shots, _, frames = movie
    find = dlib.get_frontal_face_detector()
    widths = [[box.width() for box in find(frame.rgb_HWC, 0)] for frame in frames]
    without = range(shots[1].first_frame, shots[1].end_frame)
    assert [i for i, found in enumerate(widths) if len(found) != (0 if i in without else 1)] == []
    assert min(width for found in widths for width in found) >= 100


def test_every_frame_moves(movie):
    _, shots, _, frames = movie
    for shot in shots:
        rgb_THWC = np.stack([frame.rgb_HWC for frame in frames[shot.first_frame : shot.end_frame]]).astype(int)
        assert np.abs(np.diff(rgb_THWC, axis=0)).mean(axis=(1, 2, 3)).min() > 0.1


def test_the_camera_never_looks_over_the_edge_of_a_photograph():
    for take in astronaut._TAKES:
        blank_HWC = np.full_like(take.photo(), 255)
        for part in np.linspace(0, 1, 9):
            seen_HWC = astronaut._look(blank_HWC, astronaut._between(take.start, take.end, float(part)))
            assert seen_HWC.min() == 255


def test_it_is_made_the_same_twice_and_fetches_nothing(movie, tmp_path):
    path, _, _, _ = movie
    write_astronaut_movie(tmp_path / "again.mp4")
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes()
    assert "pooch" not in sys.modules, "scikit-image downloads through pooch"
