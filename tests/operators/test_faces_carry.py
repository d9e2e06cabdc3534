"""Faces between two detections: carried, confirmed, followed back, and given up."""

import cv2
import numpy as np
import pytest
import skimage.data

from operators.faces.carry import CARRIED, carried_between
from operators.faces.dlib_finder import DlibFinder
from operators.faces.flow import Place, moved_on
from schemas.face_settings import FaceSettings

PHOTO = skimage.data.astronaut()


@pytest.fixture(scope="module")
def finder():
    return DlibFinder(FaceSettings())


@pytest.fixture(scope="module")
def face(finder):
    return finder([seen(0)])[0][0]


def motion(k, dx=4.0, dy=-1.5, scale=1.006, roll_deg=0.4):
    """(2, 3), from the photograph to frame k."""
    matrix = cv2.getRotationMatrix2D((222, 125), k * roll_deg, scale**k)
    matrix[:, 2] += (k * dx - 100, k * dy)
    return matrix


def seen(k, hidden=False):
    frame = cv2.warpAffine(PHOTO, motion(k), (300, 260), flags=cv2.INTER_LINEAR)
    if hidden:
        frame[:, 90:220] = 0
    return frame


def after(points, k):
    """Where points of frame 0 are in frame k."""
    back = cv2.invertAffineTransform(motion(0))
    photo = points @ back[:, :2].T + back[:, 2]
    return photo @ motion(k)[:, :2].T + motion(k)[:, 2]


def test_the_flow_follows_shift_turn_and_growth(face):
    place = Place(points_682=face.landmarks_682, box_4=np.array(face.box))
    for k in range(8):
        moved = moved_on(place, seen(k), seen(k + 1))
        assert moved is not None
        place = moved
    np.testing.assert_allclose(place.points_682, after(face.landmarks_682, 8), atol=0.5)  # pixels, of 33 travelled
    middle = np.array(face.box).reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(place.box_4.reshape(2, 2).mean(axis=0), after(middle, 8), atol=0.5)
    assert place.box_4[2] - place.box_4[0] == pytest.approx((face.box[2] - face.box[0]) * 1.006**8, rel=0.005)


@pytest.mark.parametrize(
    "other",
    [pytest.param(np.zeros_like(seen(0)), id="black"), pytest.param(seen(0, hidden=True), id="covered")],
)
def test_the_flow_gives_up(face, other):
    place = Place(points_682=face.landmarks_682, box_4=np.array(face.box))
    assert moved_on(place, seen(0), other) is None


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param("######", "####", id="confirmed"),
        pytest.param("###...", "##..", id="covered_on_the_way"),
        pytest.param("...###", "..##", id="appears_on_the_way"),
        pytest.param("#....#", "....", id="hidden_in_between"),
        pytest.param("......", "....", id="nobody"),
    ],
)
def test_who_is_between_two_detections(finder, visible, expected):
    frames = [seen(k, hidden=mark == ".") for k, mark in enumerate(visible)]
    first, last = finder([frames[0], frames[-1]])
    assert (len(first), len(last)) == (visible[0] == "#", visible[-1] == "#")
    found = carried_between(finder, frames, first, last)
    assert "".join(".#"[len(faces)] for faces in found) == expected
    detected = min((faces[0].score for faces in (first, last) if faces), default=0.0)
    for k, faces in enumerate(found, start=1):
        for face in faces:
            (itself,) = finder([frames[k]])[0]
            eyes_px = np.linalg.norm(itself.landmarks_682[45] - itself.landmarks_682[36])
            assert np.linalg.norm(face.landmarks_682 - itself.landmarks_682, axis=1).mean() < 0.05 * eyes_px
            assert face.score == pytest.approx(CARRIED * detected)
