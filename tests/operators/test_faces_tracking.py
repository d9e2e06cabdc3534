"""Linking detections: gaps, splits, false finds, crossings, appearance, and time taken from pts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.faces.face import Face
from operators.faces.filled_tracks import filled_tracks
from operators.faces.sighting import Sighting
from operators.faces.suppress import without_doubles
from operators.faces.tracking import link_faces
from schemas.face_settings import FaceSettings

SIDE = 100.0


def face(x, y=100.0, *, side=SIDE, score=1.0, identity=None):
    """68 points that fill a square of that side around (x, y)."""
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 17), np.linspace(-0.5, 0.5, 4)), axis=-1).reshape(68, 2)
    points = (grid * side + (x, y)).astype(np.float32)
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Sighting(face=Face(box=box, landmarks_682=points, score=score), identity_128=identity)


def link(frames, *, pts_us=None, max_gap_s=0.2, min_track_s=0.0, **more):
    pts_us = 40_000 * np.arange(len(frames)) if pts_us is None else np.array(pts_us)
    settings = FaceSettings(max_gap_s=max_gap_s, min_track_s=min_track_s)
    linked = link_faces(frames, pts_us, max_gap_s=max_gap_s)
    answers_for = range(1000, 1000 + len(frames))
    return filled_tracks(linked, pts_us, settings, first_frame=1000, answers_for=answers_for, **more)[0]


def spans(tracks):
    return [(t.first_frame - 1000, t.end_frame - 1000) for t in tracks]


def x_of(track):
    return track.landmarks_T682[:, :, 0].mean(axis=1)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param("#########", [(0, 9)], id="always_there"),
        pytest.param("..###....", [(2, 5)], id="comes_and_goes"),
        pytest.param("##....###", [(0, 9)], id="gap_of_0.2_s_is_bridged"),
        pytest.param("##.....##", [(0, 2), (7, 9)], id="gap_of_0.24_s_splits"),
        pytest.param(".........", [], id="nobody"),
        pytest.param("#", [(0, 1)], id="one_frame"),
    ],
)
def test_gaps(seen, expected):
    assert spans(link([[face(100)] if mark == "#" else [] for mark in seen])) == expected


def test_a_bridged_gap_is_interpolated_in_time_and_marked():
    pts_us = [0, 40_000, 60_000, 140_000, 180_000]  # uneven: frame 2 is a seventh of the way, frame 3 is five
    (track,) = link([[face(100)], [face(110, score=0.9)], [], [], [face(124, score=0.8)]], pts_us=pts_us)
    np.testing.assert_allclose(x_of(track), [100, 110, 112, 120, 124], atol=1e-3)
    np.testing.assert_allclose(track.confidence_T, [1, 0.9, 0, 0, 0.8])
    assert track.pts_us.tolist() == pts_us


@pytest.mark.parametrize(
    ("step_us", "n_tracks"),
    [pytest.param(40_000, 1, id="25_fps"), pytest.param(100_000, 2, id="10_fps")],
)
def test_a_gap_is_counted_in_seconds(step_us, n_tracks):
    frames = [[face(100)], [face(100)], [], [], [face(100)], [face(100)]]
    assert len(link(frames, pts_us=step_us * np.arange(6))) == n_tracks


@pytest.mark.parametrize(
    ("n_seen", "open_end", "n_tracks"),
    [
        pytest.param(7, False, 0, id="0.28_s_is_a_false_find"),
        pytest.param(8, False, 1, id="0.32_s_is_a_face"),
        pytest.param(2, True, 1, id="short_but_the_shot_goes_on"),
    ],
)
def test_short_tracks_are_dropped(n_seen, open_end, n_tracks):
    frames = [[]] * 5 + [[face(100)]] * n_seen
    assert len(link(frames, min_track_s=0.3, open_end=open_end)) == n_tracks
    assert len(link([*frames, []], min_track_s=0.3, open_end=open_end)) == n_tracks * (not open_end)


def test_two_who_pass_each_other_are_not_swapped_by_the_order_of_detections():
    """They walk past each other at different heights, and the finder lists them in changing order."""
    frames = []
    for t in range(40):
        both = [face(100 + 8 * t, 100), face(412 - 8 * t, 160)]
        frames.append(both if t % 3 else both[::-1])
    left, right = link(frames)
    np.testing.assert_allclose(x_of(left), 100 + 8 * np.arange(40), atol=1e-2)
    np.testing.assert_allclose(x_of(right), 412 - 8 * np.arange(40), atol=1e-2)


@pytest.mark.parametrize(
    ("second", "n_tracks"),
    [
        pytest.param(face(140), 1, id="moved_by_0.4_of_its_side"),
        pytest.param(face(180), 2, id="jumped_by_0.8_of_its_side"),
        pytest.param(face(100, side=150), 1, id="half_as_large_again"),
        pytest.param(face(100, side=220), 2, id="more_than_twice_as_large"),
    ],
)
def test_what_cannot_be_the_same_face(second, n_tracks):
    assert len(link([[face(100)], [second]])) == n_tracks


def test_speed_carries_a_track_where_position_alone_would_fail():
    """50 px a frame, two blinks: 150 px between the sightings are more than a face may jump."""
    frames = [[face(50 * t)] if t not in {4, 5} else [] for t in range(9)]
    assert spans(link(frames)) == [(0, 9)]
    assert spans(link(frames[3:])) == [(0, 1), (3, 6)]  # seen once before the blinks, so no speed is known


def test_order_is_first_frame_then_left_to_right():
    frames = [[face(500), face(100)], [face(100), face(500), face(300)]]
    tracks = link(frames)
    assert [(t.first_frame - 1000, round(float(x_of(t)[0]))) for t in tracks] == [(0, 100), (0, 500), (1, 300)]


A, B = np.zeros(128, np.float32), np.full(128, 0.06, np.float32)  # 0.68 apart: two people


@pytest.mark.parametrize(
    ("before", "behind", "expected"),
    [
        pytest.param(A, A, [(0, 8)], id="the_same_person"),
        pytest.param(A, B, [(0, 3), (5, 8)], id="another_person"),
        pytest.param(A, None, [(0, 8)], id="not_recognised_behind"),
        pytest.param(None, None, [(0, 8)], id="never_recognised"),
    ],
)
def test_who_comes_back_after_a_gap(before, behind, expected):
    frames = [[face(100, identity=before)]] * 3 + [[], []] + [[face(110, identity=behind)]] * 3
    assert spans(link(frames)) == expected


def test_appearance_decides_between_two_places():
    """Both vanish for two frames and come back, each nearer to where the other one was."""
    there = [face(100, identity=A), face(200, identity=B)]
    swapped = [face(165, identity=A), face(135, identity=B)]
    tracks = link([there] * 3 + [[], []] + [swapped] * 3)
    assert [(round(float(x_of(t)[0])), round(float(x_of(t)[-1]))) for t in tracks] == [(100, 165), (200, 135)]
    unknown = [[face(100), face(200)]] * 3 + [[], []] + [[face(165), face(135)]] * 3
    assert [(round(float(x_of(t)[0])), round(float(x_of(t)[-1]))) for t in link(unknown)] == [(100, 135), (200, 165)]


def test_nobody_joins_two_strangers():
    """An unknown sighting between A and B, near both: it goes to one of them, and the other one is not taken along."""
    a, unknown, b = face(100, identity=A), face(100), face(100, identity=B)
    tracks = link([[a]] * 4 + [[], [unknown], []] + [[b]] * 4)
    assert spans(tracks) in ([(0, 6), (7, 11)], [(0, 4), (5, 11)])


@settings(deadline=None)  # a machine that is shared may take longer than 0.2 s for the largest
@given(st.lists(st.lists(st.integers(0, 12), max_size=4, unique=True), min_size=1, max_size=25), st.randoms())
def test_every_detection_is_in_one_track_whatever_the_order_in_a_frame(places, random):
    """Faces 90 px apart on a line. Tracks have no holes, and all sightings are there, each once."""
    frames = [[face(90 * p, score=1 + p) for p in frame] for frame in places]
    tracks = link(frames)
    seen = sorted(
        (t.first_frame - 1000 + i, round(float(c)) - 1) for t in tracks for i, c in enumerate(t.confidence_T) if c > 0
    )
    assert seen == sorted((i, p) for i, frame in enumerate(places) for p in frame)
    assert all(len(t.landmarks_T682) == len(t.pts_us) == t.end_frame - t.first_frame for t in tracks)
    for frame in frames:
        random.shuffle(frame)
    assert spans(link(frames)) == spans(tracks)


@pytest.mark.parametrize(
    ("boxes", "scores", "kept"),
    [
        pytest.param([(0, 0, 100, 100), (10, 0, 110, 100)], [1, 2], [1], id="the_surer_of_two_across"),
        pytest.param([(0, 0, 100, 100), (30, 30, 60, 60)], [1, 0.5], [0], id="a_nose_inside_a_face"),
        pytest.param([(0, 0, 100, 100), (70, 0, 170, 100)], [1, 2], [1, 0], id="cheek_to_cheek"),
        pytest.param([(0, 0, 100, 100), (0, 0, 100, 100)], [1, 1], [0], id="equal_scores_keep_the_first"),
        pytest.param([], [], [], id="none"),
    ],
)
def test_doubles(boxes, scores, kept):
    assert without_doubles(np.array(boxes, float).reshape(-1, 4), np.array(scores, float)) == kept
