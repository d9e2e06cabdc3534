"""The dlib finder on a photograph that is always there: places read off the picture, sizes, and what is no face."""

import itertools

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image

from operators.faces import enlarge
from operators.faces.dlib_finder import DlibFinder, predictor_path
from operators.faces.face import Face
from operators.faces.finder import make_finder
from schemas.face_settings import FaceSettings

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
        assert np.linalg.norm(found - seen) < 5, f"{name}: {found}, in the picture {seen}"
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


def scene(*faces):
    """Grey grass of 640 x 480 with the astronaut in it: x and y of each picture's corner, and its scale."""
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal(110, 12, (480, 640, 1)).repeat(3, axis=2), 0, 255).astype(np.uint8)
    for x, y, times in faces:
        small = enlarged(ASTRONAUT[:300, 100:350], times)
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small
    return picture


@pytest.fixture(scope="module")
def truth():
    """Points of the astronaut's face, seen large, in pixels of the part that `scene` shows."""
    ((face,),) = DlibFinder(FaceSettings(detect_px=1500))([enlarged(ASTRONAUT[:300, 100:350], 5)])
    return (face.landmarks_682 + 0.5) / 5 - 0.5


@pytest.mark.parametrize(
    ("face_px", "smallest_px", "found"),
    [
        pytest.param(24, None, False, id="24_px"),
        pytest.param(24, 20, True, id="24_px_looked_for"),
        pytest.param(32, None, False, id="32_px"),
        pytest.param(32, 28, True, id="32_px_looked_for"),
        pytest.param(48, None, False, id="48_px"),
        pytest.param(48, 40, True, id="48_px_looked_for"),
        pytest.param(64, 56, True, id="64_px_looked_for"),
        pytest.param(120, None, True, id="120_px"),
        pytest.param(120, 24, True, id="a_large_one_when_small_ones_are_looked_for"),
    ],
)
def test_small_faces_in_an_enlarged_picture(truth, face_px, smallest_px, found):
    """Its face is 88 px wide in the photograph."""
    times = face_px / 88
    (faces,) = DlibFinder(FaceSettings(smallest_px=smallest_px))([scene((281, 53, times))])
    assert len(faces) == found
    for face in faces:
        there = (truth + 0.5) * times - 0.5 + (281, 53)
        assert np.linalg.norm(face.landmarks_682 - there, axis=1).mean() < 0.03 * face_px


def test_tiles_show_what_one_picture_shows(monkeypatch):
    """Faces on the seams of the tiles, in a corner, and one that no tile shows whole."""
    frame = scene((20, 10, 0.5), (250, 20, 0.5), (500, 330, 0.5), (200, 180, 1.0))
    settings = FaceSettings(smallest_px=40)
    (whole,) = DlibFinder(settings)([frame])
    monkeypatch.setattr(enlarge, "TILE_PX", 640)
    assert len(enlarge.views(480, 640, settings)) > 6
    (tiled,) = DlibFinder(settings)([frame])
    assert len(whole) == len(tiled) == 4
    for face in whole:
        nearest = min(tiled, key=lambda other: np.abs(other.landmarks_682 - face.landmarks_682).mean())
        size = face.box[2] - face.box[0]
        assert np.linalg.norm(nearest.landmarks_682 - face.landmarks_682, axis=1).mean() < 0.04 * size


@pytest.mark.parametrize(
    ("clip", "frame_index", "smallest_px", "at_least"),
    [
        pytest.param("street_multiface.mp4", 0, None, 0, id="street"),
        pytest.param("street_multiface.mp4", 0, 60, 2, id="street_looked_for"),
        pytest.param("talk_s13.mp4", 0, None, 1, id="far_walking_figure"),
    ],
)
def test_real_small_faces(media, clip, frame_index, smallest_px, at_least):
    with av.open(str(media / clip)) as film:
        frame = next(itertools.islice(film.decode(video=0), frame_index, None))
    rgb_HWC = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    (faces,) = DlibFinder(FaceSettings(smallest_px=smallest_px))([rgb_HWC])
    assert len(faces) >= at_least
    assert all(face.box[2] - face.box[0] < 150 for face in faces)


@pytest.mark.parametrize("box", [(-300, -300, -200, -200), (900, 10, 990, 100), (10, 10, 10.4, 10.4)])
def test_landmarks_of_a_box_that_shows_nothing(finder, box):
    assert np.isfinite(finder.landmarks(ASTRONAUT, np.array([box]))).all()


def test_the_patch_is_larger_than_what_the_landmarks_depend_on(finder):
    """Beyond 0.6 of the box's width the picture may be black, and the patch reaches 1.0 far."""
    [(face,)] = finder([ASTRONAUT])
    x0, y0, x1, y1 = np.rint(face.box).astype(int)
    reach = round(0.6 * (x1 - x0))
    seen = (slice(y0 - reach, y1 + reach), slice(x0 - reach, x1 + reach))
    black = np.zeros_like(ASTRONAUT)
    black[seen] = ASTRONAUT[seen]
    assert np.array_equal(finder.landmarks(black, np.array([face.box])), face.landmarks_682[None])


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
