"""Cutting a track into parts: a law over all tracks, and the cases at the edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.faces.parts import cut_into_parts


@given(
    first=st.integers(0, 500),
    before=st.integers(-30, 60),
    n=st.integers(1, 400),
    warmup_frames=st.integers(0, 12),
    room=st.integers(1, 90),
)
def test_every_kept_frame_is_in_exactly_one_part(first, before, n, warmup_frames, room):
    kept_from, end, frames_max = first + before, first + n, warmup_frames + room
    parts = cut_into_parts(
        first=first, kept_from=kept_from, end=end, frames_max=frames_max, warmup_frames=warmup_frames
    )
    assert [i for p in parts for i in range(p.start, p.end)] == list(range(max(first, kept_from), end))
    for part in parts:
        assert part.end - part.head <= frames_max
        assert part.end > part.start
        # as much warm-up as there is and as is asked for
        assert part.start - part.head == min(warmup_frames, part.start - first)
    assert all(part.start % room == 0 for part in parts[1:])


@pytest.mark.parametrize(
    ("first", "kept_from", "end", "expected"),
    [
        pytest.param(3, 0, 28, [(3, 3, 28)], id="just_fits"),
        pytest.param(3, 0, 29, [(3, 3, 20), (15, 20, 29)], id="one_too_long"),
        pytest.param(20, 0, 80, [(20, 20, 40), (35, 40, 60), (55, 60, 80)], id="starts_on_a_cut"),
        pytest.param(90, 100, 110, [(95, 100, 110)], id="warm_up_of_the_segment"),
        pytest.param(98, 100, 110, [(98, 100, 110)], id="track_starts_inside_the_warm_up"),
        pytest.param(90, 100, 100, [], id="wholly_in_the_warm_up"),
    ],
)
def test_edges(first, kept_from, end, expected):
    parts = cut_into_parts(first=first, kept_from=kept_from, end=end, frames_max=25, warmup_frames=5)
    assert [(p.head, p.start, p.end) for p in parts] == expected


def test_no_room_beside_the_warm_up():
    with pytest.raises(ValueError, match="12 frames fit into a clip and 12 are warm-up; raise clip_bytes_max"):
        cut_into_parts(first=0, kept_from=0, end=9, frames_max=12, warmup_frames=12)
