"""How far heads are turned, against puppets whose pose is known exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.faces.pose import turned_deg
from operators.puppets.camera import Camera
from operators.puppets.parameters import Expression, Identity, Pose
from operators.puppets.sample import sample_script
from operators.puppets.scene import Person, PosedPerson

CAMERA = Camera.straight(distance_mm=1300, focal_px=1300, centre=(300, 300))


def landmarks(identity=None, expression=None, **pose):
    person = Person(identity=identity or Identity(), expression=expression or Expression(), pose=Pose(**pose))
    return PosedPerson(person).landmarks(CAMERA).astype(np.float32)


@pytest.mark.parametrize("yaw", [-45, -20, 0, 20, 45])
@pytest.mark.parametrize("pitch", [-20, 0, 20])
@pytest.mark.parametrize("who", [0, 1, 2])
def test_the_pose_of_three_actors(who, pitch, yaw):
    """Of none of the three is the head the mean one."""
    seen = turned_deg(landmarks(sample_script().actors[who], yaw=yaw, pitch=pitch, roll=0)[None])[0]
    np.testing.assert_allclose(seen, (yaw, pitch, 0), atol=7.5)


@pytest.mark.parametrize(
    "expression", [pytest.param(dict(jaw_down=1.0), id="shouts"), pytest.param(dict(happiness=1.0), id="laughs")]
)
def test_speaking_and_laughing_are_no_nods(expression):
    still, moved = landmarks(), landmarks(expression=Expression(**expression))
    assert np.abs(moved - still).max() > 5, "the mouth did not move, so this test proved nothing"
    np.testing.assert_allclose(turned_deg(still[None]), turned_deg(moved[None]), atol=4)


@given(
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)), scale=st.floats(0.1, 10), roll_deg=st.floats(-60, 60)
)
def test_place_and_size_do_not_matter_and_a_tilt_is_a_tilt(shift, scale, roll_deg):
    points = landmarks(yaw=20, pitch=-10).astype(np.float64)
    cos, sin = np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg))
    moved = (points @ np.array([[cos, sin], [-sin, cos]])) * scale + shift
    expected = np.add(turned_deg(points[None]), (0, 0, roll_deg))
    np.testing.assert_allclose(turned_deg(moved[None]), expected, atol=1e-6)
