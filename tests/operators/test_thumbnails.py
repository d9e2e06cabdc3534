"""ShotThumbnails: one picture a shot, of its middle frame, whoever reads the segment and however often."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.video.segments import cut_segments
from operators.video.thumbnails import ShotThumbnails, thumbnail
from schemas.shot_settings import ShotSettings
from schemas.video import Frame, Segment
from tests import builders


def _watched(segment: Segment, reads: int = 1) -> dict[int, bytes]:
    """Frames show their number as a grey level, and another one the second time."""
    thumbnails = ShotThumbnails(segment)
    n_read = 0

    def read():
        nonlocal n_read
        n_read += 1
        for i in range(segment.decode_first, segment.decode_first + segment.decode_n):
            yield Frame(frame_index=i, pts_us=i, rgb_HWC=np.full((8, 16, 3), i * n_read % 256, np.uint8))

    watched = thumbnails.watched(read)
    for _ in range(reads):
        assert len(list(watched())) == segment.decode_n
    return dict(thumbnails.jpegs)


def _level(jpeg: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(jpeg)))[4, 8, 0])


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), segment_s=st.floats(0.2, 3))
def test_each_shot_has_one_picture_however_the_film_is_dealt_out(lengths, segment_s):
    firsts = np.cumsum([0, *lengths]).tolist()
    shots = [builders.shot(a, n, index=i) for i, (a, n) in enumerate(zip(firsts, lengths, strict=False))]
    segments = cut_segments(builders.video(firsts[-1]), shots, ShotSettings(segment_s=segment_s))
    found = [item for segment in segments for item in _watched(segment).items()]
    assert [shot_index for shot_index, _ in found] == list(range(len(lengths)))
    for (_, jpeg), shot in zip(found, shots, strict=True):
        assert abs(_level(jpeg) - (shot.first_frame + shot.n_frames // 2) % 256) <= 2


def test_of_two_readings_the_first_counts():
    segment = Segment(
        video=builders.video(24),
        segment_index=0,
        n_segments=1,
        shots=(builders.shot(0, 24),),
        first_frame=0,
        n_frames=24,
    )
    assert _watched(segment, reads=2) == _watched(segment)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        pytest.param((1920, 1080), (320, 180), id="reduced"),
        pytest.param((1080, 1920), (180, 320), id="upright"),
        pytest.param((160, 120), (160, 120), id="small_films_are_not_enlarged"),
        pytest.param((4000, 2), (320, 1), id="a_line"),
    ],
)
def test_the_longer_side_is_320(size, shown):
    width, height = size
    jpeg = thumbnail(np.zeros((height, width, 3), np.uint8))
    picture = Image.open(io.BytesIO(jpeg))
    assert (picture.format, picture.size) == ("JPEG", shown)
    assert jpeg == thumbnail(np.zeros((height, width, 3), np.uint8))
