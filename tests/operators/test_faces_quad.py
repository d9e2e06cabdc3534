"""The FFHQ quad: a value worked out by hand, and the laws of a similarity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.faces.quad import into_crop, quads_from_landmarks, steady_quads


def face(eye_left, eye_right, mouth_left, mouth_right):
    """68 points of which only those that count are set; the others lie far away, so that using them would show."""
    points = np.full((68, 2), 1e4, np.float32)
    points[36:42], points[42:48], points[48], points[54] = eye_left, eye_right, mouth_left, mouth_right
    return points[None]


@pytest.mark.parametrize(
    ("points", "corners"),
    [
        # eyes 40 apart, mouth 50 below: half a side is max(2 * 40, 1.8 * 50) = 90, centre 0.1 * 50 below the eyes
        pytest.param(
            [(80, 100), (120, 100), (85, 150), (115, 150)],
            [(10, 15), (10, 195), (190, 195), (190, 15)],
            id="long_face_sized_by_its_height",
        ),
        # mouth only 30 below: half a side is max(2 * 40, 1.8 * 30) = 80, centre 3 below the eyes
        pytest.param(
            [(80, 100), (120, 100), (85, 130), (115, 130)],
            [(20, 23), (20, 183), (180, 183), (180, 23)],
            id="wide_face_sized_by_its_eyes",
        ),
        # the first face lying on its side, its top to the right: (x, y) -> (-y, x)
        pytest.param(
            [(-100, 80), (-100, 120), (-150, 85), (-150, 115)],
            [(-15, 10), (-195, 10), (-195, 190), (-15, 190)],
            id="turned_by_a_quarter",
        ),
    ],
)
def test_worked_out_by_hand(points, corners):
    np.testing.assert_allclose(quads_from_landmarks(face(*points))[0], corners, atol=1e-4)


@given(
    noise=st.integers(0, 2**32 - 1),
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.3, 3),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_moves_with_the_face_and_stays_a_square(noise, angle, scale, shift):
    points = face((80, 100), (120, 100), (85, 150), (115, 150))
    points += np.random.default_rng(noise).normal(0, 4, points.shape)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = quads_from_landmarks((points @ turn + shift).astype(np.float32))[0]
    np.testing.assert_allclose(moved, quads_from_landmarks(points)[0] @ turn + shift, atol=0.05)
    sides = np.linalg.norm(moved - np.roll(moved, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, sides[0], rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(moved[0] - moved[2]), sides[0] * np.sqrt(2), rtol=1e-3)


def test_corners_of_the_quad_are_the_outer_corners_of_the_crop():
    quad = np.array([[[10, 20], [5, 60], [45, 65], [50, 25]]], np.float32)  # a turned square
    points = np.concatenate([quad, quad.mean(axis=1, keepdims=True)], axis=1)
    np.testing.assert_allclose(
        into_crop(points, quad, 64)[0],
        [(-0.5, -0.5), (-0.5, 63.5), (63.5, 63.5), (63.5, -0.5), (31.5, 31.5)],
        atol=1e-4,
    )


def test_steady_quads_are_squares_around_the_same_middles():
    rng = np.random.default_rng(0)
    centre, half = rng.normal(200, 20, (40, 2)), np.array([50, 3]) + rng.normal(0, 2, (40, 2))
    turned = half @ np.array([[0, 1], [-1, 0]])
    quads = np.stack(
        [centre - half - turned, centre - half + turned, centre + half + turned, centre + half - turned], 1
    )
    steady = steady_quads(quads.astype(np.float32), 40_000 * np.arange(40), 0.12)
    np.testing.assert_allclose(steady.mean(axis=1), centre, atol=1e-3)
    across, down = steady[:, 3] - steady[:, 0], steady[:, 1] - steady[:, 0]
    np.testing.assert_allclose(down, across @ np.array([[0, 1], [-1, 0]]), atol=1e-3)
    # noise of a Gaussian of 3 frames, sampled: sqrt(1 / (2 sqrt(pi) 3)) = 0.31 of what it was, more at the two ends
    assert np.linalg.norm(across, axis=1)[8:-8].std() < 0.5 * 2 * np.linalg.norm(half, axis=1).std()
