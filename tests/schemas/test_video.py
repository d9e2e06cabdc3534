"""Rows about films on their way between processes."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests import builders


@pytest.mark.parametrize(
    ("steps_us", "bytes_max"),
    [
        pytest.param([], 1_000, id="one_frame"),
        pytest.param([41_667, 41_667, 41_666] * 57_600, 10_000, id="two_hours"),
        pytest.param(np.random.default_rng(0).integers(1, 2**40, 500), 5_000, id="any_steps"),
    ],
)
def test_a_film_travels_with_its_times_and_weighs_little(steps_us, bytes_max):
    pts_us = np.cumsum([0, *steps_us]).astype(np.int64)
    video = replace(builders.video(1), pts_us=pts_us)
    packed = pickle.dumps(video)
    assert len(packed) < bytes_max
    came = pickle.loads(packed)
    np.testing.assert_array_equal(came.pts_us, pts_us)
    assert came.pts_us.dtype == np.int64
    assert repr(came) == repr(video)
    assert vars(video).keys() == vars(came).keys()
