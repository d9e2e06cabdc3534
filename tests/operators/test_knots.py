"""Where lines bend: corners of known paths are found, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.inversion.knots import (
    fitted_knots,
    hat_weights,
    inner_products,
    misfit,
    pieces,
    settled,
    spread_frames,
    with_splits,
    without_the_least,
)

N = 40
PTS_US = np.arange(N, dtype=np.int64) * 41_667
ALL = np.arange(N)


def path_with_corners(corners: list[int], *, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """(N, 50): straight pieces of like speed in unlike directions."""
    source = np.random.default_rng(seed)
    values = np.cumsum(source.normal(size=(len(corners) + 2, 50)), axis=0)
    knots_us = PTS_US[[0, *corners, N - 1]]
    return hat_weights(PTS_US, knots_us) @ values + noise * source.normal(size=(N, 50))


@pytest.mark.parametrize(
    ("t_us", "expected"),
    [
        pytest.param(0, [1, 0, 0], id="at_the_first"),
        pytest.param(250, [0.75, 0.25, 0], id="a_quarter_of_the_way"),
        pytest.param(1000, [0, 1, 0], id="at_a_knot"),
        pytest.param(1500, [0, 0.75, 0.25], id="by_time_where_knots_stand_unevenly"),
        pytest.param(-7, [1, 0, 0], id="before_all"),
        pytest.param(9000, [0, 0, 1], id="after_all"),
    ],
)
def test_what_each_knot_contributes(t_us: int, expected: list[float]) -> None:
    np.testing.assert_allclose(hat_weights(np.array([t_us]), np.array([0, 1000, 3000]))[0], expected, atol=1e-12)


@given(
    knots=st.lists(st.integers(0, 10**13), min_size=1, max_size=6, unique=True).map(sorted),
    t_us=st.integers(-(10**6), 10**13),
)
def test_contributions_sum_to_one_and_at_most_two_knots_have_some(knots: list[int], t_us: int) -> None:
    weights = hat_weights(np.array([t_us]), np.array(knots))[0]
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert weights.min() >= 0
    assert np.count_nonzero(weights) <= 2


def test_values_at_known_knots_are_found_again() -> None:
    points = path_with_corners([9, 22])
    knots = [0, 9, 22, N - 1]
    np.testing.assert_allclose(fitted_knots(points, PTS_US, PTS_US[knots]), points[knots], atol=1e-4)


def test_a_knot_that_no_point_tells_of_has_value_zero() -> None:
    values = fitted_knots(np.ones((3, 2)), PTS_US[[0, 1, 2]], PTS_US[[0, 2, 30, N - 1]])
    np.testing.assert_allclose(values, [[1, 1], [1, 1], [0, 0], [0, 0]], atol=1e-4)


@pytest.mark.parametrize(
    ("corners", "noise", "n_new"),
    [
        pytest.param([17], 0.0, 1, id="one"),
        pytest.param([3], 0.0, 1, id="near_an_end"),
        pytest.param([17], 0.1, 1, id="one_in_noise"),
        pytest.param([9, 24], 0.0, 2, id="two_at_once"),
        pytest.param([15, 19, 23], 0.0, 3, id="a_blink"),
        pytest.param([8, 14, 30], 0.05, 3, id="three_in_noise"),
    ],
)
def test_corners_are_found_where_they_are(corners: list[int], noise: float, n_new: int) -> None:
    gram = inner_products(path_with_corners(corners, noise=noise))
    found = with_splits(gram, ALL, PTS_US, [0, N - 1], [0], n_new=n_new, frames_min=3)
    np.testing.assert_allclose(found, [0, *corners, N - 1], atol=1 if noise else 0)


def test_corners_are_found_from_few_probes() -> None:
    probes = spread_frames(0, N - 1, 14)
    gram = inner_products(path_with_corners([18])[probes])
    (corner,) = with_splits(gram, probes, PTS_US, [0, N - 1], [0], n_new=1, frames_min=3)[1:-1]
    assert abs(corner - 18) <= 1


def test_only_the_named_segments_are_split() -> None:
    gram = inner_products(path_with_corners([8, 20, 30]))
    assert with_splits(gram, ALL, PTS_US, [0, 20, N - 1], [1], n_new=1, frames_min=3) != [0, 20, N - 1]
    found = with_splits(gram, ALL, PTS_US, [0, 20, N - 1], [0], n_new=1, frames_min=3)
    assert len(found) == 4


@pytest.mark.parametrize("last", [pytest.param(n, id=f"{n + 1}_frames") for n in (1, 2, 5)])
def test_a_segment_too_short_stays_whole(last: int) -> None:
    gram = inner_products(path_with_corners([])[: last + 1])
    assert with_splits(gram, ALL[: last + 1], PTS_US, [0, last], [0], n_new=3, frames_min=3) == [0, last]


def test_misplaced_knots_settle_at_the_corners() -> None:
    gram = inner_products(path_with_corners([12, 27]))
    assert settled(gram, ALL, PTS_US, [0, 8, 30, N - 1], frames_min=3) == [0, 12, 27, N - 1]


def test_the_knot_that_goes_is_the_one_without_a_corner() -> None:
    gram = inner_products(path_with_corners([12, 27]))
    assert without_the_least(gram, ALL, PTS_US, [0, 12, 20, 27, N - 1]) == [0, 12, 27, N - 1]


@given(seed=st.integers(0, 10**6), inner=st.sets(st.integers(1, N - 2), max_size=5), more=st.integers(1, N - 2))
def test_one_more_knot_never_fits_worse(seed: int, inner: set[int], more: int) -> None:
    gram = inner_products(np.random.default_rng(seed).normal(size=(N, 20)))
    few, many = sorted({0, N - 1} | inner), sorted({0, N - 1, more} | inner)
    assert misfit(gram, PTS_US, PTS_US[many]) <= misfit(gram, PTS_US, PTS_US[few]) + 1e-3


def test_a_probe_at_a_knot_belongs_to_both_pieces() -> None:
    here = pieces(np.array([0, 3, 5, 8, 9]), [0, 5, 9])
    assert [list(each) for each in here] == [[0, 1, 2], [2, 3, 4]]


@pytest.mark.parametrize(
    ("first", "last", "n", "expected"),
    [
        pytest.param(0, 9, 4, [0, 3, 6, 9], id="evenly"),
        pytest.param(4, 6, 12, [4, 5, 6], id="all_where_there_are_few"),
        pytest.param(7, 7, 12, [7], id="one"),
    ],
)
def test_frames_are_spread(first: int, last: int, n: int, expected: list[int]) -> None:
    assert list(spread_frames(first, last, n)) == expected
