"""The dlib finder on a photograph that is always there: places read off the picture, sizes, and what is no face."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from operators.faces.dlib_finder import DlibFinder, predictor_path
from operators.faces.face import Face
from operators.faces.finder import make_finder
from schemas.config import FaceSettings

ASTRONAUT = skimage.data.astronaut()


def enlarged(picture, times):
    size = (round(picture.shape[1] * times), round(picture.shape[0] * times))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def finder():
    return DlibFinder(FaceSettings())


def test_points_lie_where_the_photograph_shows_them(finder):
    [(face,)] = finder([ASTRONAUT])
    places = {
        "eye left": (face.landmarks_682[36:42].mean(0), (204, 101)),
        "eye right": (face.landmarks_682[42:48].mean(0), (247, 103)),
        "tip of the nose": (face.landmarks_682[30], (224, 126)),
        "mouth left": (face.landmarks_682[48], (204, 140)),
        "mouth right": (face.landmarks_682[54], (244, 142)),
        "chin": (face.landmarks_682[8], (225, 178)),
    }
    for name, (found, seen) in places.items():
        assert np.linalg.norm(found - seen) < 5.5, f"{name}: {found}, in the picture {seen}"
    x0, y0, x1, y1 = face.box
    assert x0 < 204 and x1 > 247
    assert y0 < 101 and y1 > 142
    assert face.score > 1


@pytest.mark.parametrize("times", [pytest.param(1.5, id="larger"), pytest.param(3.0, id="reduced_for_the_detector")])
def test_a_larger_picture_gives_larger_coordinates(finder, times):
    """The centre of a pixel has whole-number coordinates, so x becomes (x + 0.5) * times - 0.5."""
    portrait = ASTRONAUT[:360]
    [(small,)], [(large,)] = finder([portrait]), finder([enlarged(portrait, times)])
    back = (large.landmarks_682 + 0.5) / times - 0.5
    assert np.abs(back - small.landmarks_682).mean() < 1.5
    assert np.abs((back - small.landmarks_682).mean(axis=0)).max() < 1.0


@pytest.mark.parametrize(
    ("picture", "n_faces"),
    [
        pytest.param(ASTRONAUT, 1, id="astronaut"),
        pytest.param(np.hstack([ASTRONAUT[:256], ASTRONAUT[:256]]), 2, id="two"),
        pytest.param(ASTRONAUT[::2, ::2], 0, id="too_small_for_the_detector"),
        pytest.param(skimage.data.coffee(), 0, id="coffee"),
        pytest.param(np.zeros((90, 160, 3), np.uint8), 0, id="black"),
        pytest.param(np.zeros((1, 2000, 3), np.uint8), 0, id="one_line"),
    ],
)
def test_how_many(picture, n_faces):
    (faces,) = DlibFinder(FaceSettings(detect_px=1024))([picture])
    assert len(faces) == n_faces
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)


def test_equal_frames_give_equal_faces_and_stay_as_they_are(finder):
    frame = ASTRONAUT.copy()
    [(first,)] = finder([frame])
    (again,), none, (third,) = DlibFinder(FaceSettings())([frame[::-1][::-1], np.zeros_like(frame), frame])
    for other in (again, third):  # of a view with negative strides, and behind another frame
        assert np.array_equal(first.landmarks_682, other.landmarks_682)
        assert first.box == other.box
    assert none == []
    assert np.array_equal(frame, ASTRONAUT)


def test_landmarks_in_known_places_are_those_of_the_found_face(finder):
    [(face,)] = finder([ASTRONAUT])
    points_N682 = finder.landmarks(ASTRONAUT, np.array([face.box, np.add(face.box, 150)]))
    assert points_N682.shape == (2, 68, 2)
    assert points_N682.dtype == np.float32
    assert np.array_equal(points_N682[0], face.landmarks_682)
    assert np.abs(points_N682[1] - face.landmarks_682).mean() > 50  # there is no face, and still an answer
    assert finder.landmarks(ASTRONAUT, np.empty((0, 4))).shape == (0, 68, 2)


def test_made_by_name_without_importing_what_is_not_used():
    assert isinstance(make_finder(FaceSettings()), DlibFinder)
    assert predictor_path().is_file()


def test_a_face_has_68_points():
    with pytest.raises(ValueError, match=r"landmarks \(5, 2\), expected \(68, 2\)"):
        Face(box=(0, 0, 9, 9), landmarks_682=np.zeros((5, 2), np.float32), score=1)
