"""A face's numbers: there and back again, in pieces, and which feeling they show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.puppets.expression import actions_of, shown_emotion
from operators.puppets.parameters import N_PARAMETERS, PARAMETER_NAMES, Expression, FaceParameters
from operators.puppets.sampling import random_parameters
from schemas.emotions import EMOTIONS

NEUTRAL = EMOTIONS.index("neutral")


@given(st.lists(st.floats(-2.5, 2.5, width=32), min_size=N_PARAMETERS, max_size=N_PARAMETERS))
def test_a_vector_survives_the_way_there_and_back_bit_for_bit(values):
    vector_D = np.array(values, np.float32)
    np.testing.assert_array_equal(FaceParameters.from_vector(vector_D).vector(), vector_D)


def test_every_number_has_its_own_name_and_place():
    assert len(set(PARAMETER_NAMES)) == N_PARAMETERS == len(FaceParameters().vector())
    one = np.zeros(N_PARAMETERS, np.float32)
    one[PARAMETER_NAMES.index("yaw")] = 1
    assert FaceParameters.from_vector(one).pose.yaw == 16


def test_another_length_is_refused():
    with pytest.raises(ValueError, match=f"one vector of {N_PARAMETERS}"):
        FaceParameters.from_vector(np.zeros(N_PARAMETERS + 1))


def test_a_set_can_be_drawn_in_pieces_and_seeds_differ():
    whole_ND = random_parameters(3, 50)
    np.testing.assert_array_equal(random_parameters(3, 20), whole_ND[:20])
    assert np.abs(random_parameters(4, 50) - whole_ND).mean() > 0.1


def test_random_faces_show_all_emotions_about_equally():
    shown = [shown_emotion(FaceParameters.from_vector(v).expression)[0] for v in random_parameters(1, 1400)]
    counts = np.bincount(shown, minlength=len(EMOTIONS))
    assert counts.min() > 140  # of 200 on average


@pytest.mark.parametrize(
    ("expression", "emotion", "intensity"),
    [
        pytest.param(Expression(), NEUTRAL, 1.0, id="blank"),
        pytest.param(Expression(anger=0.25), NEUTRAL, 0.5, id="hardly_angry"),
        pytest.param(Expression(anger=0.75), 0, 0.75, id="angry"),
        pytest.param(Expression(happiness=0.5, surprise=0.625), 5, 0.625, id="the_stronger_of_two"),
        pytest.param(Expression(jaw_down=1.0, lips_apart=1.0), NEUTRAL, 1.0, id="speech_is_no_feeling"),
    ],
)
def test_the_shown_emotion_is_the_strongest_feeling(expression, emotion, intensity):
    assert shown_emotion(expression) == (emotion, intensity)


def test_feelings_and_single_actions_add_up():
    actions = actions_of(Expression(happiness=0.5, corner_up=0.25))
    assert actions.corner_up == pytest.approx(0.75)
    assert actions.jaw_down == 0
