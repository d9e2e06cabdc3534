"""Rendered faces: equal bytes for equal numbers, truth that agrees with geometry, with the pixels and with dlib."""

from dataclasses import replace

import numpy as np
import pytest

from operators.faces.align import align_crop
from operators.faces.dlib_finder import DlibFinder
from operators.faces.quad import into_crop, quads_from_landmarks
from operators.puppets.face import draw_aligned_crop, draw_face
from operators.puppets.parameters import Expression, FaceParameters, Identity, Look, Pose
from operators.puppets.sampling import random_faces
from schemas.face_settings import FaceSettings

NOSE_TIP, LEFT_OUTER, RIGHT_OUTER, UPPER_LID, LOWER_LID, UPPER_LIP, LOWER_LIP = 30, 36, 45, 37, 41, 62, 66
N_FOUND_BY_DLIB = 40


def landmarks(px=160, **parts):
    return draw_face(FaceParameters(**parts), px=px, supersample=1)[1].landmarks_682


def test_equal_parameters_give_equal_bytes_and_others_other_bytes():
    a, b = random_faces(1, 2)
    first, truth = draw_face(a, px=96)
    again, truth_again = draw_face(FaceParameters.from_vector(a.vector()), px=96)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(truth.landmarks_682, truth_again.landmarks_682)
    assert np.abs(first.astype(int) - draw_face(b, px=96)[0]).mean() > 5


def test_the_nose_tip_moves_with_the_turn_as_parallax_says():
    look = Look(distance=1.0)
    straight, turned = landmarks(look=look), landmarks(look=look, pose=Pose(yaw=20))
    per_mm = 89 / np.linalg.norm(straight[RIGHT_OUTER] - straight[LEFT_OUTER])
    eyes_moved, nose_moved = (
        (turned - straight)[points, 0].mean() * per_mm for points in ([LEFT_OUTER, RIGHT_OUTER], [NOSE_TIP])
    )
    # about the neck's axis the eyes' corners are 65 to 75 mm deep and the nose's tip 35 to 50 mm deeper
    assert 35 * np.sin(np.deg2rad(20)) < nose_moved - eyes_moved < 55 * np.sin(np.deg2rad(20)) * 1.1


def test_a_symmetric_face_has_symmetric_landmarks():
    points = landmarks()
    middle = points[NOSE_TIP, 0]
    np.testing.assert_allclose(points[:17, 0] - middle, (middle - points[16::-1, 0])[:17], atol=0.05)
    np.testing.assert_allclose(points[:17, 1], points[16::-1, 1], atol=0.05)


@pytest.mark.parametrize("roll", [pytest.param(-15.0, id="left"), pytest.param(15.0, id="right")])
def test_roll_turns_the_eyes_clockwise_on_the_screen(roll):
    points = landmarks(pose=Pose(roll=roll))
    across = points[RIGHT_OUTER] - points[LEFT_OUTER]
    assert np.rad2deg(np.arctan2(across[1], across[0])) == pytest.approx(roll, abs=1.0)


def test_a_blink_closes_the_lids_and_an_open_jaw_the_mouth_opens():
    plain = landmarks()
    shut = landmarks(expression=Expression(blink=1.0))
    agape = landmarks(expression=Expression(jaw_down=1.0))
    assert shut[LOWER_LID, 1] - shut[UPPER_LID, 1] < 0.25 * (plain[LOWER_LID, 1] - plain[UPPER_LID, 1])
    assert agape[LOWER_LIP, 1] - agape[UPPER_LIP, 1] > 5 + plain[LOWER_LIP, 1] - plain[UPPER_LIP, 1]


def test_pixels_follow_the_truth():
    """Where the truth says iris, the picture is dark; where it says skin between the brows, it is not."""
    parameters = FaceParameters(identity=Identity(iris_hue=0.0, skin_tone=0.1))
    for pose in (Pose(), Pose(yaw=20), Pose(yaw=-20, pitch=8, roll=8)):
        rgb_HWC, truth = draw_face(replace(parameters, pose=pose), px=320)
        grey_HW = rgb_HWC.mean(axis=2)

        def around(x, y, grey_HW=grey_HW):
            return grey_HW[round(float(y)) - 2 : round(float(y)) + 3, round(float(x)) - 2 : round(float(x)) + 3].mean()

        points = truth.landmarks_682
        for eye in (points[36:42], points[42:48]):
            x, y = eye.mean(axis=0)
            assert around(x, y + 1) < 90
        assert around(*points[27]) > 140


def test_an_aligned_crop_is_what_the_aligner_would_cut():
    parameters = replace(random_faces(2, 1)[0], pose=Pose(yaw=10, roll=5))
    crop_HWC, truth = draw_aligned_crop(parameters, px=128)
    frame_HWC, in_frame = draw_face(parameters, px=720)
    quad_T42 = quads_from_landmarks(in_frame.landmarks_682[None])
    mapped = into_crop(in_frame.landmarks_682[None], quad_T42, 128)[0]
    np.testing.assert_allclose(truth.landmarks_682, mapped, atol=0.1)
    cut_HWC = align_crop(frame_HWC, quad_T42[0], crop_px=128, supersample=4)
    face = slice(40, 100)  # behind the head the background is another one, by design
    apart = np.abs(crop_HWC[face, face].astype(int) - cut_HWC[face, face])
    assert apart.mean() < 3


def test_dlib_finds_the_faces_where_the_truth_says():
    natural = [
        f for f in random_faces(77, 60) if abs(f.pose.yaw) < 30 and max(abs(f.pose.pitch), abs(f.pose.roll)) < 18
    ]
    find = DlibFinder(FaceSettings(min_score=0.0))
    errors = []
    for parameters in natural[:N_FOUND_BY_DLIB]:
        rgb_HWC, truth = draw_face(parameters, px=160, supersample=1)
        for face in find([rgb_HWC])[0][:1]:
            eyes_px = np.linalg.norm(truth.landmarks_682[RIGHT_OUTER] - truth.landmarks_682[LEFT_OUTER])
            errors.append(np.linalg.norm(face.landmarks_682 - truth.landmarks_682, axis=1).mean() / eyes_px)
    assert len(errors) >= 0.97 * N_FOUND_BY_DLIB
    assert np.mean(errors) <= 0.06
