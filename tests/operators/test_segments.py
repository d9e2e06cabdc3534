"""cut_segments: every frame is worked on once, and long shots are cut where only they decide."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.video.segments import cut_segments
from schemas.shot_settings import ShotSettings
from schemas.video import Shot, Video


def _film(shot_frames: list[int], step_us: int = 40_000) -> tuple[Video, tuple[Shot, ...]]:
    pts_us = np.arange(sum(shot_frames), dtype=np.int64) * step_us
    video = Video(
        video_id="", uri="made", bytes=1, codec="", fps=25.0, width=64, height=36, decoder="pyav", pts_us=pts_us
    )
    firsts = np.cumsum([0, *shot_frames]).tolist()
    shots = tuple(
        Shot(shot_index=i, first_frame=a, n_frames=b - a, start_us=a * step_us, end_us=b * step_us)
        for i, (a, b) in enumerate(pairwise(firsts))
    )
    return video, shots


@pytest.mark.parametrize(
    ("shot_frames", "expected"),
    [
        pytest.param([1], [(0, 1, 0, 0)], id="one_frame"),
        pytest.param([100, 100, 100, 100], [(0, 300, 0, 0), (300, 100, 0, 0)], id="runs_of_ten_seconds"),
        pytest.param([200, 300], [(0, 200, 0, 0), (200, 300, 0, 0)], id="a_run_is_never_too_long"),
        pytest.param([375], [(0, 375, 0, 0)], id="one_and_a_half_stays_whole"),
        pytest.param([376], [(0, 188, 0, 12), (188, 188, 12, 0)], id="longer_is_cut"),
        pytest.param(
            [50, 750, 50],
            [(0, 50, 0, 0), (50, 250, 0, 12), (300, 250, 12, 12), (550, 250, 12, 0), (800, 50, 0, 0)],
            id="long_in_the_middle",
        ),
    ],
)
def test_ten_second_segments_at_25_fps(shot_frames, expected):
    segments = cut_segments(*_film(shot_frames), ShotSettings(segment_s=10.0, overlap_frames=12))
    assert [(s.first_frame, s.n_frames, s.warmup_frames, s.lookahead_frames) for s in segments] == expected


def test_the_cuts_of_a_long_shot_depend_on_it_alone():
    settings = ShotSettings(segment_s=10.0, overlap_frames=12)
    alone = [s.first_frame for s in cut_segments(*_film([1234]), settings)]
    amid = [s.first_frame - 333 for s in cut_segments(*_film([333, 1234, 70]), settings)]
    assert alone == amid[1:-1]


@given(
    shot_frames=st.lists(st.integers(1, 400), min_size=1, max_size=12),
    step_us=st.sampled_from([1_000, 16_683, 40_000, 5_000_000]),
    segment_s=st.floats(0.05, 30),
    overlap_frames=st.integers(0, 40),
)
def test_every_frame_belongs_to_exactly_one_segment(shot_frames, step_us, segment_s, overlap_frames):
    video, shots = _film(shot_frames, step_us)
    segments = cut_segments(video, shots, ShotSettings(segment_s=segment_s, overlap_frames=overlap_frames))
    covered = [i for s in segments for i in range(s.first_frame, s.first_frame + s.n_frames)]
    assert covered == list(range(video.n_frames))
    assert [s.segment_index for s in segments] == list(range(len(segments)))
    assert {s.n_segments for s in segments} == {len(segments)}
    for segment in segments:
        home = segment.shots[0]
        assert home.first_frame <= segment.decode_first
        assert segment.warmup_frames in (0, min(overlap_frames, segment.first_frame - home.first_frame))
        assert segment.lookahead_frames in (0, min(overlap_frames, segment.shots[-1].end_frame - segment.end_frame))
        assert segment.decode_first + segment.decode_n <= segment.shots[-1].end_frame
        starts_inside = segment.first_frame > home.first_frame
        assert (segment.warmup_frames > 0) == (starts_inside and overlap_frames > 0)
        ends_inside = segment.end_frame < segment.shots[-1].end_frame
        assert (segment.lookahead_frames > 0) == (ends_inside and overlap_frames > 0)
