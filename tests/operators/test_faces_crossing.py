"""Who is who when faces cross, hide and replace each other. Heads are cut out of pictures and moved over a canvas."""

import av
import cv2
import numpy as np
import pytest
import skimage.data

from operators.faces.dlib_finder import DlibFinder
from operators.faces.find_tracks import FindTracks
from operators.faces.identity import IdentityReader
from operators.puppets.face import draw_face
from operators.puppets.parameters import FaceParameters
from operators.puppets.sample import sample_script
from schemas.face_settings import FaceSettings
from schemas.video import Frame
from tests.operators.test_faces_find_tracks import segment_of

SETTINGS = FaceSettings(supersample=1)
WIDTH, HEIGHT, HEAD = 720, 240, 200


@pytest.fixture(scope="module")
def finder():
    return DlibFinder(SETTINGS)


@pytest.fixture(scope="module")
def identity():
    return IdentityReader()


@pytest.fixture(scope="module")
def astronaut():
    return [np.ascontiguousarray(skimage.data.astronaut()[20:220, 120:320])]


@pytest.fixture(scope="module")
def ben():
    return [draw_face(FaceParameters(identity=sample_script().actors[1]), px=HEAD, supersample=1)[0]]


@pytest.fixture(scope="module")
def clara():
    return [draw_face(FaceParameters(identity=sample_script().actors[2]), px=HEAD, supersample=1)[0]]


def pictures_of(path, first, n):
    with av.open(str(path)) as container:
        frames = (f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if first <= i)
        return [cv2.resize(next(frames), (HEAD, HEAD), interpolation=cv2.INTER_AREA) for _ in range(n)]


@pytest.fixture(scope="module")
def woman(media):
    return pictures_of(media / "talk_d10.mp4", 80, 34)


@pytest.fixture(scope="module")
def man(media):
    return pictures_of(media / "talk_d3.mp4", 200, 34)


class Scene:
    """Heads on a wall, the last one in front. `places(i)`: x of each head's middle in frame i, None: not there."""

    def __init__(self, heads, places, n_frames, bar=None):
        wall = cv2.resize(skimage.data.brick(), (WIDTH, HEIGHT))
        self.wall = np.repeat(wall[..., None], 3, axis=2)
        y, x = np.mgrid[:HEAD, :HEAD] - (HEAD - 1) / 2
        inside = (x / (0.34 * HEAD)) ** 2 + (y / (0.46 * HEAD)) ** 2
        self.cover = np.clip((1.15 - inside) / 0.15, 0, 1)[..., None]
        self.heads, self.places, self.bar = heads, places, bar
        self.segment = segment_of(40_000 * np.arange(n_frames))

    def picture(self, i):
        canvas = self.wall.copy()
        top = (HEIGHT - HEAD) // 2
        for head, x in zip(self.heads, self.places(i), strict=True):
            if x is not None:
                here = canvas[top : top + HEAD, round(x) - HEAD // 2 : round(x) + HEAD // 2]
                here[:] = np.rint(here + self.cover * (head[i % len(head)].astype(float) - here))
        if self.bar is not None:
            low, high = self.bar(i)
            canvas[:, max(low, 0) : max(high, 0)] = (60, 70, 80)
        return canvas

    def __call__(self):
        for i, pts_us in enumerate(self.segment.video.pts_us.tolist()):
            yield Frame(frame_index=i, pts_us=pts_us, rgb_HWC=self.picture(i))


def tracks_of(scene, finder, identity, **settings):
    find = FindTracks(finder, SETTINGS.model_copy(update=settings), crop_px=32, identity=identity)
    return [clip.track for clip in find(scene.segment, scene).clips]


def whose(track, scene):
    """Which heads are nearest to the track in the frames in which it was seen."""
    x = track.landmarks_T682[..., 0].mean(axis=1)
    owners = set()
    for i, x_i, sure in zip(track.frame_index.tolist(), x, track.confidence, strict=True):
        distance = [np.inf if place is None else abs(place - x_i) for place in scene.places(i)]
        if sure > 0 and sorted(distance)[1] - min(distance) > HEAD / 4:  # elsewhere both heads are in one place
            owners.add(int(np.argmin(distance)))
    return owners


def crossing(i):
    """Each walks from one side to the other, 14 px a frame; the faces are 90 px wide."""
    return 590 - 14 * i, 130 + 14 * i


def meeting(i):
    """They come together, one hides behind the other, and each goes back where it came from."""
    step = min(i, 33 - i)
    return 590 - 14 * step, 130 + 14 * step


@pytest.mark.parametrize(
    ("back", "front", "places", "detect_every"),
    [
        pytest.param("ben", "astronaut", crossing, 1, id="a_photograph_crosses_a_puppet"),
        pytest.param("clara", "ben", crossing, 3, id="puppets_cross_a_third_detected"),
        pytest.param("ben", "clara", meeting, 1, id="puppets_meet"),
        pytest.param("woman", "man", crossing, 1, id="films_cross", marks=pytest.mark.slow),
        pytest.param("man", "woman", crossing, 3, id="films_cross_a_third_detected", marks=pytest.mark.slow),
        pytest.param("woman", "man", meeting, 1, id="films_meet"),
    ],
)
def test_two_who_cross_keep_their_tracks(request, finder, identity, back, front, places, detect_every):
    heads = [request.getfixturevalue(back), request.getfixturevalue(front)]
    scene = Scene(heads, places, 34)
    tracks = tracks_of(scene, finder, identity, detect_every=detect_every)
    assert [(t.frame_index[0], t.n_frames) for t in tracks] == [(0, 34), (0, 34)]
    assert [whose(t, scene) for t in tracks] == [{1}, {0}]  # from left to right
    assert any(np.any(t.confidence == 0) for t in tracks), "nobody was hidden, so this test proved nothing"


@pytest.mark.parametrize(
    ("left", "right", "places"),
    [
        pytest.param("ben", "clara", crossing, id="puppets_cross"),
        pytest.param("clara", "ben", meeting, id="puppets_turn_round"),
        pytest.param("woman", "man", crossing, id="films_cross", marks=pytest.mark.slow),
    ],
)
def test_who_comes_out_from_behind_a_pillar(request, finder, identity, left, right, places):
    """Both are hidden for 0.36 s: whether they crossed or turned round, only their appearance tells."""
    heads = [request.getfixturevalue(left), request.getfixturevalue(right)]
    scene = Scene(heads, places, 33, bar=lambda _: (300, 420))
    tracks = tracks_of(scene, finder, identity)
    assert [(t.frame_index[0], t.n_frames) for t in tracks] == [(0, 33), (0, 33)]
    assert [whose(t, scene) for t in tracks] == [{1}, {0}]
    assert all(np.any(t.confidence == 0) for t in tracks), "one was always seen, so this test proved nothing"
    by_motion = [whose(t, scene) for t in tracks_of(scene, finder, None)]
    assert (by_motion == [{1}, {0}]) == (places is meeting)  # motion alone takes both for turning round


@pytest.mark.parametrize(("who", "detect_every"), [("astronaut", 1), ("ben", 3), ("woman", 3)])
def test_a_bar_that_passes_in_front_does_not_end_a_track(request, finder, identity, who, detect_every):
    """It is 120 px wide and moves 30 px a frame, so the face, which walks, is partly hidden for about 0.3 s."""
    scene = Scene(
        [request.getfixturevalue(who)], lambda i: (200 + 4 * i,), 34, bar=lambda i: (-130 + 30 * i, -10 + 30 * i)
    )
    (track,) = tracks_of(scene, finder, identity, detect_every=detect_every)
    assert (track.frame_index[0], track.n_frames) == (0, 34)
    hidden = track.confidence == 0
    assert 4 <= hidden.sum() <= 12
    x = track.landmarks_T682[..., 0].mean(axis=1) - 4 * np.arange(34)
    assert np.ptp(x) < 10


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param("ben", "clara", id="two_puppets"),
        pytest.param("woman", "man", id="two_films"),
    ],
)
def test_another_person_in_the_same_place_is_another_track(request, finder, identity, first, then):
    """Four frames after the first has gone, well within max_gap_s; by motion alone they are one."""
    heads = [request.getfixturevalue(first), request.getfixturevalue(then)]
    scene = Scene(heads, lambda i: (360 if i < 9 else None, 360 if i >= 13 else None), 22)
    assert [(t.frame_index[0], t.n_frames) for t in tracks_of(scene, finder, identity)] == [(0, 9), (13, 9)]
    assert [(t.frame_index[0], t.n_frames) for t in tracks_of(scene, finder, None)] == [(0, 22)]


def test_the_same_person_in_the_same_place_is_the_same_track(finder, identity, ben):
    scene = Scene([ben], lambda i: (360 if i < 8 or i >= 12 else None,), 20)
    (track,) = tracks_of(scene, finder, identity)
    assert (track.frame_index[0], track.n_frames) == (0, 20)
    assert np.flatnonzero(track.confidence == 0).tolist() == [8, 9, 10, 11]
    assert track.identity_128.shape == (128,)
