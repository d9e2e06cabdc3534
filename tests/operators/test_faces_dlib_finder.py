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
    (face,) = finder(ASTRONAUT)
    places = {
        "eye left": (face.landmarks_682[36:42].mean(0), (204, 101)),
        "eye right": (face.landmarks_682[42:48].mean(0), (247, 103)),
        "tip of the nose": (face.landmarks_682[30], (224, 126)),
        "mouth left": (face.landmarks_682[48], (204, 140)),
        "mouth right": (face.landmarks_682[54], (244, 142)),
        "chin": (face.landmarks_682[8], (225, 178)),
    }
    for name, (found, seen) in places.items():
        assert np.linalg.norm(found - seen) < 5, f"{name}: {found}, in the picture {seen}"
    x0, y0, x1, y1 = face.box
    assert x0 < 204 and x1 > 247
    assert y0 < 101 and y1 > 142
    assert face.score > 1


@pytest.mark.parametrize("times", [pytest.param(1.5, id="larger"), pytest.param(3.0, id="reduced_for_the_detector")])
def test_a_larger_picture_gives_larger_coordinates(finder, times):
    """The centre of a pixel has whole-number coordinates, so x becomes (x + 0.5) * times - 0.5."""
    portrait = ASTRONAUT[:360]
    (small,), (large,) = finder(portrait), finder(enlarged(portrait, times))
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
    faces = DlibFinder(FaceSettings(detect_px=1024))(picture)
    assert len(faces) == n_faces
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)


@pytest.mark.parametrize(("min_face_px", "n_faces"), [(80, 1), (100, 0)])
def test_small_faces_are_left_out(min_face_px, n_faces):
    """Its box in the photograph is 88 px wide."""
    assert len(DlibFinder(FaceSettings(min_face_px=min_face_px))(ASTRONAUT)) == n_faces


def test_equal_frames_give_equal_faces_and_stay_as_they_are(finder):
    frame = ASTRONAUT.copy()
    first, again = finder(frame), DlibFinder(FaceSettings())(frame[::-1][::-1])  # a view with negative strides
    assert np.array_equal(first[0].landmarks_682, again[0].landmarks_682)
    assert first[0].box == again[0].box
    assert np.array_equal(frame, ASTRONAUT)


def test_made_by_name_without_importing_what_is_not_used():
    assert isinstance(make_finder(FaceSettings()), DlibFinder)
    assert predictor_path().is_file()


def test_a_face_has_68_points():
    with pytest.raises(ValueError, match=r"landmarks \(5, 2\), expected \(68, 2\)"):
        Face(box=(0, 0, 9, 9), landmarks_682=np.zeros((5, 2), np.float32), score=1)
