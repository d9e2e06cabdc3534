"""A steady face gets a steady crop, and a moving one is not followed late. Films are encoded and decoded."""

from fractions import Fraction

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage.data

from operators.faces.dlib_finder import DlibFinder
from operators.faces.find_tracks import FindTracks
from operators.faces.quad import quads_from_landmarks
from operators.puppets.movie import frame_of
from operators.puppets.sample import sample_script
from operators.video.encode import write_mp4
from schemas.face_settings import FaceSettings
from schemas.video import Frame
from tests.conftest import REPO
from tests.operators.test_faces_find_tracks import segment_of

ASSETS = REPO / "latentreel" / "assets"
NOISE = 3.0  # grey levels, of a sensor
JITTER_MAX = 0.003  # of the crop's side, standard deviation of a corner: 0.4 px of a crop of 128


@pytest.fixture(scope="module")
def finder():
    return DlibFinder(FaceSettings())


class Remembering:
    """A finder that looks at each frame once."""

    frames_per_batch = 1

    def __init__(self, finder):
        self.finder, self.landmarks, self.known = finder, finder.landmarks, {}

    def __call__(self, frames):
        for rgb in frames:
            if id(rgb) not in self.known:
                self.known[id(rgb)] = self.finder([rgb])[0]
        return [self.known[id(rgb)] for rgb in frames]


def decoded(path, first=0, n=None):
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return frames[first:] if n is None else frames[first : first + n]


def tracked(frames, finder, fps, **changes):
    pts_us = np.rint(np.arange(len(frames)) * 1e6 / fps).astype(np.int64)
    settings = FaceSettings(supersample=1, **changes)
    rows = [Frame(frame_index=i, pts_us=int(pts_us[i]), rgb_HWC=rgb) for i, rgb in enumerate(frames)]
    (clip,) = FindTracks(finder, settings, crop_px=32)(segment_of(pts_us), lambda: rows).clips
    return clip.track


def side_of(quad_T42):
    return np.linalg.norm(quad_T42[:, 3] - quad_T42[:, 0], axis=1).mean()


def jitter(quad_T42):
    return np.linalg.norm(quad_T42.std(axis=0), axis=1).max() / side_of(quad_T42)


def astronaut(_):
    return skimage.data.astronaut()[:320, 80:400]


def puppet(_):
    script = sample_script()
    return frame_of(script, script.takes[0], 20)[:, 120:480]


def woman(request):
    return decoded(request.getfixturevalue("media") / "talk_d10.mp4", first=100, n=1)[0]


def man(request):
    return decoded(request.getfixturevalue("media") / "talk_d0.mp4", first=30, n=1)[0]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "picture_of",
    [astronaut, puppet, pytest.param(woman, marks=SLOW), pytest.param(man, marks=SLOW)],
    ids=lambda picture_of: picture_of.__name__,
)
def test_a_face_at_rest_has_a_crop_at_rest(request, finder, tmp_path, picture_of):
    """One picture for two seconds, with noise."""
    picture, rng = picture_of(request), np.random.default_rng(0)
    noisy = (
        np.clip(np.rint(picture + rng.normal(0, NOISE, picture.shape)), 0, 255).astype(np.uint8) for _ in range(50)
    )
    write_mp4(tmp_path / "still.mp4", noisy, fps=Fraction(25), crf=20)
    frames = decoded(tmp_path / "still.mp4")
    known = Remembering(finder)
    raw = quads_from_landmarks(np.stack([faces[0].landmarks_682 for faces in known(frames)]))
    for settings in ({}, dict(smoothing="one-euro")):
        steady = jitter(tracked(frames, known, 25, **settings).quad_T42)
        assert steady < JITTER_MAX, settings
        assert steady < 0.7 * jitter(raw), settings


def test_a_moving_face_is_not_followed_late(finder):
    """The sample's first shot, where the head turns and the camera moves, against its exact truth."""
    frames, known = decoded(ASSETS / "sample.mp4", n=54), Remembering(finder)
    truth = pq.read_table(ASSETS / "sample_truth.parquet").to_pandas().iloc[:54]
    true_T42 = quads_from_landmarks(np.stack(truth["landmarks"].tolist()).reshape(-1, 68, 2).astype(np.float32))

    def off(quad_T42, later=0):
        apart = (np.roll(quad_T42, -later, axis=0) - true_T42)[8:-8] / side_of(true_T42)
        return np.sqrt(np.square(apart - apart.mean(axis=0)).sum(axis=2).mean())  # dlib's constant bias is no lag

    raw = off(quads_from_landmarks(np.stack([faces[0].landmarks_682 for faces in known(frames)])))
    for share, settings in ((0.9, {}), (0.9, dict(detect_every=3)), (1.0, dict(smoothing="one-euro"))):
        quad_T42 = tracked(frames, known, 24, **settings).quad_T42
        errors = {later: off(quad_T42, later) for later in range(-4, 5)}
        assert errors[0] < share * raw, settings
        assert min(errors, key=lambda later: errors[later]) == 0, settings
