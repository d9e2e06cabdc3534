"""Velocity and acceleration: paths whose numbers are known, any frame rate, tracks in parts."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from operators.latents.motion import motion
from schemas.clips import ratio_of_sums

AT_25_FPS = np.arange(50, dtype=np.int64) * 40_000
AT_50_FPS = np.arange(100, dtype=np.int64) * 20_000
UNEVEN = np.cumsum(np.random.default_rng(0).integers(8_000, 90_000, 60)).astype(np.int64)


def path(pts_us: NDArray[np.int64], *, speed: float = 0.0, acceleration: float = 0.0) -> Tensor:
    """Every coordinate of every layer at speed t + acceleration t^2 / 2."""
    s = torch.from_numpy((pts_us - pts_us[0]) / 1e6)[:, None, None]
    return (speed * s + acceleration * s.square() / 2).expand(-1, 3, 8)


TIMES = [
    pytest.param(AT_25_FPS, id="25_fps"),
    pytest.param(AT_50_FPS, id="50_fps"),
    pytest.param(UNEVEN, id="uneven"),
    pytest.param(AT_25_FPS[:3], id="three_frames"),
    pytest.param(np.delete(AT_25_FPS, slice(10, 20)), id="a_gap"),
]


@pytest.mark.parametrize("pts_us", TIMES)
def test_an_even_walk_has_its_speed_and_no_acceleration(pts_us: NDArray[np.int64]) -> None:
    found = motion(path(pts_us, speed=-3), pts_us)
    assert found.velocity == pytest.approx(3, rel=1e-5)
    assert found.acceleration == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pts_us", TIMES)
def test_a_fall_has_its_acceleration(pts_us: NDArray[np.int64]) -> None:
    found = motion(path(pts_us, acceleration=7), pts_us)
    assert found.acceleration == pytest.approx(7, rel=1e-5)
    length_s = (pts_us[-1] - pts_us[0]) / 1e6
    assert found.velocity == pytest.approx(7 * length_s / 2, rel=1e-5)


def test_twice_the_frames_of_a_smooth_path_are_the_same_motion() -> None:
    def swing(pts_us: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.sin(pts_us / 1e6 * 4))[:, None, None].expand(-1, 2, 4)

    slow, fast = motion(swing(AT_25_FPS), AT_25_FPS), motion(swing(AT_50_FPS), AT_50_FPS)
    assert fast.velocity == pytest.approx(slow.velocity, rel=0.01)
    assert fast.acceleration == pytest.approx(slow.acceleration, rel=0.02)


def test_two_frames_a_moment_apart_do_not_make_a_fast_track() -> None:
    pts_us = np.insert(AT_25_FPS, 10, AT_25_FPS[9] + 10)  # 10 us: as clumsy remuxing leaves them
    p_TLD = path(pts_us, speed=1)
    p_TLD = p_TLD + torch.randn(p_TLD.shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    assert motion(p_TLD, pts_us).velocity == pytest.approx(1, rel=0.01)


def test_layers_count_alike_whatever_their_size_and_sign() -> None:
    p_TLD = torch.zeros(2, 2, 4)
    p_TLD[1, 0] = torch.tensor([2.0, -2.0, 2.0, -2.0])  # root mean square 2
    p_TLD[1, 1] = torch.tensor([12.0, 0.0, 0.0, 0.0])  # root mean square 6
    found = motion(p_TLD, np.array([0, 500_000]))
    assert found.step.tolist() == [0, 4]
    assert found.velocity == pytest.approx(8)


@pytest.mark.parametrize(
    ("n", "velocity", "acceleration"),
    [
        pytest.param(1, None, None, id="one_frame"),
        pytest.param(2, 0.0, None, id="two_frames"),
        pytest.param(3, 0.0, 0.0, id="three_equal_frames"),
    ],
)
def test_what_a_short_track_does_not_say_is_null(n: int, velocity: float | None, acceleration: float | None) -> None:
    found = motion(torch.ones(n, 3, 4), AT_25_FPS[:n])
    assert (found.velocity, found.acceleration) == (velocity, acceleration)
    for column in vars(found).values():
        assert column.shape == (n,)
        assert column.dtype == np.float32
        assert np.isfinite(column).all()


@given(cuts=st.sets(st.integers(2, 58), max_size=4), warmup=st.integers(2, 5))
def test_parts_of_a_track_add_up_to_the_track(cuts: set[int], warmup: int) -> None:
    p_TLD = torch.randn(60, 2, 8, generator=torch.Generator().manual_seed(1))
    whole = motion(p_TLD, UNEVEN)
    columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in vars(whole)}
    edges = [0, *sorted(cuts), 60]
    for first, end in pairwise(edges):
        begin = max(0, first - warmup)
        part = motion(p_TLD[begin:end], UNEVEN[begin:end])
        for name, column in vars(part).items():
            columns[name].append(column[first - begin :])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    for name, column in vars(whole).items():
        np.testing.assert_allclose(joined[name], column, rtol=1e-6)
    assert ratio_of_sums(joined["turn"], joined["turn_s"]) == pytest.approx(whole.acceleration, rel=1e-6)


def test_a_part_without_warm_up_leaves_its_first_way_out_of_both_sums() -> None:
    p_TLD = path(AT_25_FPS, speed=2)
    parts = [motion(p_TLD[:20], AT_25_FPS[:20]), motion(p_TLD[20:] + 100, AT_25_FPS[20:])]
    step, step_s = (np.concatenate([getattr(part, name) for part in parts]) for name in ("step", "step_s"))
    assert ratio_of_sums(step, step_s) == pytest.approx(2, rel=1e-5)


def test_latents_and_times_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 latents but 4 pts; give one latent per frame"):
        motion(torch.zeros(3, 2, 4), AT_25_FPS[:4])
