"""TrackFrames: where the squares lie, what they show to their edges, and how long shots come in parts."""

import numpy as np
import pytest

from operators.video.frame_tracks import TrackFrames, centre_square
from schemas.clips import SegmentTracks
from schemas.errors import BadInput
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment
from tests import builders


def _segment(n_film, shots, *, size=(48, 32), **piece):
    width, height = size
    whole = dict(first_frame=shots[0].first_frame, n_frames=sum(s.n_frames for s in shots)) | piece
    video = builders.video(n_film, width=width, height=height)
    return Segment(video=video, segment_index=0, n_segments=1, shots=tuple(shots), **whole)


def _tracks(segment: Segment, pictures=None, *, crop_px=32, **settings) -> SegmentTracks:
    video = segment.video
    blank = np.zeros((video.height, video.width, 3), np.uint8)

    def read():
        for i in range(segment.decode_first, segment.decode_first + segment.decode_n):
            yield Frame(frame_index=i, pts_us=int(video.pts_us[i]), rgb_HWC=blank + i if pictures is None else pictures)

    return TrackFrames(FaceSettings(**settings), crop_px=crop_px)(segment, read)


@pytest.mark.parametrize(
    ("size", "low", "high"),
    [
        pytest.param((48, 32), (7.5, -0.5), (39.5, 31.5), id="wide"),
        pytest.param((32, 48), (-0.5, 7.5), (31.5, 39.5), id="tall"),
        pytest.param((32, 32), (-0.5, -0.5), (31.5, 31.5), id="square"),
        pytest.param((45, 32), (5.5, -0.5), (37.5, 31.5), id="odd_margin"),
        pytest.param((1, 1), (-0.5, -0.5), (0.5, 0.5), id="one_pixel"),
    ],
)
def test_the_square_runs_along_the_edges_of_pixels(size, low, high):
    (x0, y0), (x1, y1) = low, high
    assert centre_square(*size).tolist() == [[x0, y0], [x0, y1], [x1, y1], [x1, y0]]  # TL, BL, BR, TR


def test_a_crop_of_its_own_size_is_the_frame_to_its_edges():
    """FFHQ's soft border would blur a tenth of the frame on every side."""
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    (clip,) = _tracks(_segment(1, [builders.shot(0, 1)]), picture, supersample=1).clips
    np.testing.assert_array_equal(clip.crops_TRRC[0], picture[:, 8:40])


@pytest.mark.parametrize("crop_px", [pytest.param(16, id="reduced"), pytest.param(128, id="enlarged")])
def test_what_is_even_stays_even_to_the_edges(crop_px):
    """A letter box is part of the frame: black there, the picture's level beside it."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[16:48] = 200
    (clip,) = _tracks(_segment(1, [builders.shot(0, 1)], size=(96, 64)), picture, crop_px=crop_px).clips
    rows = clip.crops_TRRC[0].astype(int)
    quarter, away = crop_px // 4, max(crop_px // 16, 2)
    black, even = np.concatenate([rows[: quarter - away], rows[-quarter + away :]]), rows[quarter + away :][: 2 * away]
    assert black.max() <= 1 and np.abs(even - 200).max() <= 1  # Lanczos rings a little beside an edge


def test_each_shot_is_one_track_also_of_one_frame():
    segment = _segment(24, [builders.shot(0, 10), builders.shot(10, 1, index=1), builders.shot(11, 13, index=2)])
    clips = _tracks(segment).clips
    assert [str(clip.track.key) for clip in clips] == [f"seg00000-shot0000{i}-track000-part000" for i in range(3)]
    assert [clip.track.frame_index.tolist() for clip in clips] == [[*range(10)], [10], [*range(11, 24)]]
    for clip in clips:
        assert clip.crops_TRRC[:, 0, 0, 0].tolist() == clip.track.frame_index.tolist()  # every frame at its place
        assert (clip.track.landmarks_T682, clip.track.warmup_frames) == (None, 0)
        assert (clip.track.confidence == 1).all()
        assert clip.track.pts_us.tolist() == (clip.track.frame_index * 41_667).tolist()


def test_a_piece_of_a_long_shot_has_its_warm_up_and_parts():
    """62 crops of 75 px fit into a clip; 5 of them are warm-up, so parts are cut at multiples of 57."""
    shot = builders.shot(0, 200)
    segment = _segment(200, [shot], first_frame=100, n_frames=90, warmup_frames=8, lookahead_frames=10)
    crop_px = 75
    settings = dict(clip_bytes_max=2**20, warmup_frames=5, supersample=1)
    assert 2**20 // (3 * crop_px**2) == 62
    clips = _tracks(segment, crop_px=crop_px, **settings).clips
    spans = [(int(t.frame_index[0]), t.warmup_frames, int(t.frame_index[-1])) for t in (c.track for c in clips)]
    assert spans == [(95, 5, 113), (109, 5, 170), (166, 5, 189)]
    for clip in clips:
        assert clip.crops_TRRC[:, 0, 0, 0].tolist() == clip.track.frame_index.tolist()


def test_a_lost_frame_is_an_error():
    segment = _segment(24, [builders.shot(0, 24)])
    with pytest.raises(BadInput, match="segment 0 gave 0 of its 24 frames"):
        TrackFrames(FaceSettings(), crop_px=16)(segment, lambda: iter([]))
