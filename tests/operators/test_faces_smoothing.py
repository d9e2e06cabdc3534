"""Smoothing in seconds: what must not change, by how much noise falls, and that the frame rate does not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.faces.smoothing import one_euro, smooth_along_time

steps_us = st.lists(st.integers(1_000, 200_000), min_size=1, max_size=60)


def times(steps):
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)


@given(steps=steps_us, sigma_s=st.floats(0, 1), value=st.floats(-100, 100, width=32))
def test_what_stands_still_stays_still(steps, sigma_s, value):
    values = np.full((len(steps) + 1, 2, 3), value, np.float32)
    np.testing.assert_allclose(smooth_along_time(values, times(steps), sigma_s), values, atol=1e-4)


@given(steps=steps_us, sigma_s=st.floats(0.001, 1), seed=st.integers(0, 99))
def test_nothing_leaves_the_range_it_had(steps, sigma_s, seed):
    values = np.random.default_rng(seed).normal(size=(len(steps) + 1, 3)).astype(np.float32)
    smooth = smooth_along_time(values, times(steps), sigma_s)
    assert np.all(smooth <= values.max(axis=0) + 1e-6)
    assert np.all(smooth >= values.min(axis=0) - 1e-6)


@pytest.mark.parametrize(
    ("sigma_s", "n_frames"),
    [pytest.param(0.0, 9, id="switched_off"), pytest.param(0.1, 1, id="one_frame")],
)
def test_left_as_it_is(sigma_s, n_frames):
    values = np.random.default_rng(0).normal(size=(n_frames, 4)).astype(np.float32)
    assert np.array_equal(smooth_along_time(values, 40_000 * np.arange(n_frames), sigma_s), values)


def test_an_even_motion_has_no_lag_inside_the_track():
    pts_us = 40_000 * np.arange(50)
    line = np.linspace(0, 490, 50, dtype=np.float32)[:, None]
    smooth = smooth_along_time(line, pts_us, 0.06)
    np.testing.assert_allclose(smooth[7:-7], line[7:-7], atol=1e-3)


def test_noise_falls_as_a_gaussian_of_that_width_says():
    noise = np.random.default_rng(1).normal(size=(20_000, 1)).astype(np.float32)
    smooth = smooth_along_time(noise, 40_000 * np.arange(20_000), 0.06)
    expected = (2 * np.sqrt(np.pi) * 0.06 / 0.04) ** -0.5  # of a sampled Gaussian kernel: 0.434
    assert smooth.std() == pytest.approx(expected, rel=0.03)


def test_a_variable_frame_rate_gives_the_same_curve():
    """The same motion, once at 100 fps, once at a wildly uneven rate: the frames in common agree."""
    even_us = 10_000 * np.arange(400)
    chosen = np.sort(np.random.default_rng(2).choice(400, 250, replace=False))
    motion = (100 * np.sin(even_us / 1e6 * 2 * np.pi))[:, None].astype(np.float32)
    even = smooth_along_time(motion, even_us, 0.06)[chosen]
    uneven = smooth_along_time(motion[chosen], even_us[chosen], 0.06)
    by_index = smooth_along_time(motion[chosen], 16_000 * np.arange(250), 0.06)
    inner = slice(20, -20)
    error = np.abs(uneven - even)[inner].max()
    assert error < 2.5
    assert error < 0.6 * np.abs(by_index - even)[inner].max()  # what counting frames instead of seconds costs


EURO = dict(rest_hz=1.0, slope=10.0, unit_px=100.0)


@given(steps=steps_us, value=st.floats(-100, 100, width=32))
def test_one_euro_holds_what_stands_still(steps, value):
    points = np.full((len(steps) + 1, 3, 2), value, np.float32)
    np.testing.assert_allclose(one_euro(points, times(steps), **EURO), points, atol=1e-4)


@pytest.mark.parametrize(("hz", "error_px"), [pytest.param(0.5, 2.0, id="slow"), pytest.param(2.0, 9.0, id="fast")])
def test_one_euro_is_not_late(hz, error_px):
    """A sway of 30 px of a face 100 px wide: nowhere far off, and later half of the time only, unlike one run alone."""
    pts_us = 20_000 * np.arange(200)
    sway = (30 * np.sin(pts_us / 1e6 * 2 * np.pi * hz))[:, None, None] * np.ones((1, 1, 2))
    smooth = one_euro(sway.astype(np.float32), pts_us, **EURO)
    inner = slice(25, -25)
    assert np.abs(smooth - sway)[inner].max() < error_px
    shifts = range(-5, 6)
    apart = [np.abs(np.roll(smooth, k, axis=0) - sway)[inner].mean() for k in shifts]
    assert abs(shifts[int(np.argmin(apart))]) <= 1  # frames of 20 ms


def test_one_euro_takes_noise_off_a_face_at_rest():
    noise = np.random.default_rng(1).normal(0, 0.5, (2000, 4, 2)).astype(np.float32)  # pixels, as of landmarks
    smooth = one_euro(noise, 40_000 * np.arange(2000), **EURO)
    assert smooth.std() < 0.35 * noise.std()


def test_one_euro_follows_the_clock_and_not_the_frames():
    even_us = 10_000 * np.arange(400)
    chosen = np.sort(np.random.default_rng(2).choice(400, 250, replace=False))
    motion = (30 * np.sin(even_us / 1e6 * 2 * np.pi))[:, None, None].astype(np.float32) * np.ones((1, 1, 2), np.float32)
    even = one_euro(motion, even_us, **EURO)[chosen]
    uneven = one_euro(motion[chosen], even_us[chosen], **EURO)
    by_index = one_euro(motion[chosen], 16_000 * np.arange(250), **EURO)
    inner = slice(20, -20)
    assert np.abs(uneven - even)[inner].max() < 0.6 * np.abs(by_index - even)[inner].max()
