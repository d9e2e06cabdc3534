"""FrameSource: the right frame, with the right time, whichever decoder reads it and wherever reading starts."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import av
import numpy as np
import pytest

from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from schemas.errors import BadInput
from tests.operators.video_clips import numbered, shown_number, write_clip

X264_OPEN = {"x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=12:min-keyint=12:scenecut=0"}
X265 = {"x265-params": "log-level=none:pools=1"}
X265_CLOSED = {"x265-params": "log-level=none:pools=1:open-gop=0"}
LYING = [np.rot90(numbered(i, 120, 160)) for i in range(40)]
VFR_MS = np.cumsum([0, *([40, 7, 80, 33] * 10)]).tolist()[:40]


@pytest.fixture(scope="module")
def source() -> Iterator[FrameSource]:
    with FrameSource() as source:
        yield source


def _video(path):
    return probe(str(path), uri=path.name, video_id="0" * 32)


def _oracle(path, first, n):
    """PyAV's frames by counting from the start: no seek, no scaling, no rotation of ours."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), first, first + n)]


@pytest.mark.parametrize(
    ("name", "made", "decoder"),
    [
        pytest.param("a.mp4", {}, "decord", id="h264_b_frames"),
        pytest.param("a.mp4", {"pts": VFR_MS}, "decord", id="variable_rate"),
        pytest.param("a.mp4", {"size": (162, 122)}, "decord", id="not_a_multiple_of_16"),
        pytest.param("a.mp4", {"pix_fmt": "yuvj420p"}, "decord", id="full_range"),
        pytest.param("a.mkv", {}, "decord", id="matroska"),
        pytest.param("a.mp4", {"codec": "libx265", "options": X265_CLOSED}, "decord", id="hevc_closed_gop"),
        pytest.param("a.mp4", {"codec": "libx265", "options": X265}, "pyav", id="hevc_open_gop"),
        pytest.param("a.mp4", {"options": X264_OPEN}, "pyav", id="h264_open_gop"),
        pytest.param("a.mp4", {"options": {"x264-params": "interlaced=1"}}, "pyav", id="interlaced"),
        pytest.param("a.mp4", {"pix_fmt": "yuv444p", "size": (161, 121)}, "pyav", id="odd_size_444"),
        pytest.param("a.mp4", {"pix_fmt": "yuv420p10le"}, "pyav", id="ten_bit"),
        pytest.param("a.avi", {}, "pyav", id="avi"),
        pytest.param("a.ts", {}, "pyav", id="mpeg_ts"),
        pytest.param("a.mp4", {"codec": "mpeg4"}, "pyav", id="mpeg4"),
        pytest.param("a.webm", {"codec": "libvpx-vp9", "n_frames": 20}, "pyav", id="vp9"),
        pytest.param("a.mp4", {"frames": LYING, "size": (160, 120), "turned_deg": -90}, "pyav", id="turned"),
    ],
)
def test_every_frame_is_the_one_asked_for(tmp_path, source, name, made, decoder):
    path = write_clip(tmp_path / name, **made)
    video = _video(path)
    assert video.decoder == decoder
    n = video.n_frames
    frames = list(source.read(video, str(path)))
    assert [shown_number(frame.rgb_HWC) for frame in frames] == list(range(n))
    assert [frame.frame_index for frame in frames] == list(range(n))
    assert [frame.pts_us for frame in frames] == video.pts_us.tolist()
    for first in (1, 9, 11, 12, 13, n - 1):  # around a key frame, where seeks go wrong
        got = list(source.read(video, str(path), first_frame=first, n_frames=min(3, n - first)))
        for frame in got:
            assert shown_number(frame.rgb_HWC) == frame.frame_index
            np.testing.assert_array_equal(frame.rgb_HWC, frames[frame.frame_index].rgb_HWC)


# Quarter turns checked by eye: the keys of the keyboard are upright.
@pytest.mark.parametrize(
    ("name", "turns", "first", "mean_error_max"),
    [
        pytest.param("talk_d0.mp4", 0, 60, 0, id="talk_d0"),
        pytest.param("counter_numbers.mp4", 0, 17, 0, id="counter"),
        pytest.param("face_then_none.mov", 0, 70, 0, id="hevc_variable_rate"),
        pytest.param("vfr_goldeneye.mp4", 0, 139, 0, id="variable_rate"),
        pytest.param("stage_hamilton.mp4", 0, 119, 0, id="starts_late"),
        pytest.param("noface_pyfeat.mp4", 0, 50, 0, id="edit_list"),
        pytest.param("nocount_pancake.mkv", 0, 149, 0, id="matroska"),
        pytest.param("unordered_pts.mov", 0, 2, 0, id="packets_out_of_order"),
        pytest.param("av1_sample.mkv", 0, 60, 0, id="av1"),
        pytest.param("audio2_nasa.mp4", 0, 200, 0, id="two_video_streams"),
        pytest.param("hevc_10bit.mp4", 0, 20, 4, id="ten_bit"),  # chroma is spread to the pixels in another order
        pytest.param("rotated_90.mov", -1, 1, 0, id="rotated_90"),
        pytest.param("rotated_180.mov", 2, 1, 0, id="rotated_180"),
        pytest.param("rotated_270.mov", 1, 1, 0, id="rotated_270"),
    ],
)
def test_real_films_equal_the_oracle(media, source, name, turns, first, mean_error_max):
    path = media / name
    video = _video(path)
    n = min(4, video.n_frames - first)
    for start in (0, first):
        got = list(source.read(video, str(path), first_frame=start, n_frames=n))
        for frame, oracle_HWC in zip(got, _oracle(path, start, n), strict=True):
            error = np.abs(frame.rgb_HWC.astype(int) - np.rot90(oracle_HWC, turns))
            assert error.mean() <= mean_error_max
        assert [frame.pts_us for frame in got] == video.pts_us[start : start + n].tolist()


def test_anamorphic_samples_become_square(media, source):
    video = _video(media / "talk_d9.mp4")
    [frame] = source.read(video, str(media / "talk_d9.mp4"), n_frames=1)
    assert frame.rgb_HWC.shape == (480, 480, 3)


@pytest.mark.parametrize("longer_side_px", [pytest.param(None, id="full"), pytest.param(96, id="reduced")])
@pytest.mark.parametrize(
    "made",
    [
        pytest.param({}, id="h264"),
        pytest.param({"codec": "libx265", "options": X265_CLOSED}, id="hevc"),
        pytest.param({"pix_fmt": "yuvj420p"}, id="full_range"),
    ],
)
def test_both_decoders_give_the_same_bits(tmp_path, source, made, longer_side_px):
    path = write_clip(tmp_path / "a.mp4", **made)
    decord, pyav = (replace(_video(path), decoder=decoder) for decoder in ("decord", "pyav"))
    ours = list(source.read(decord, str(path), longer_side_px=longer_side_px))
    for frame, other in zip(ours, source.read(pyav, str(path), longer_side_px=longer_side_px), strict=True):
        np.testing.assert_array_equal(frame.rgb_HWC, other.rgb_HWC)


@pytest.mark.parametrize(
    ("longer_side_px", "size"),
    [
        pytest.param(None, (160, 120), id="as_it_is"),
        pytest.param(400, (160, 120), id="never_enlarged"),
        pytest.param(160, (160, 120), id="equal"),
        pytest.param(128, (128, 96), id="smaller"),
        pytest.param(1, (1, 1), id="one_pixel"),
    ],
)
def test_longer_side(tmp_path, source, longer_side_px, size):
    path = write_clip(tmp_path / "a.mp4", n_frames=3)
    frames = list(source.read(_video(path), str(path), longer_side_px=longer_side_px))
    assert {frame.rgb_HWC.shape for frame in frames} == {(size[1], size[0], 3)}
    assert len(frames) == 3


def test_frames_belong_to_the_receiver(tmp_path, source):
    path = write_clip(tmp_path / "a.mp4")
    frames = list(source.read(_video(path), str(path)))  # five times as many as the ring has slots
    frames[0].rgb_HWC[:] = 0
    assert [shown_number(frame.rgb_HWC) for frame in frames[1:]] == list(range(1, 40))


def test_a_reader_may_stop_early(tmp_path, source):
    path = write_clip(tmp_path / "a.mp4")
    video = _video(path)
    pid = source.child_pid
    for n_taken in (1, 2, 15):
        reader = source.read(video, str(path))
        assert [frame.frame_index for frame in islice(reader, n_taken)] == list(range(n_taken))
        reader.close()
        frames = list(source.read(video, str(path), first_frame=5, longer_side_px=80))
        assert [shown_number(frame.rgb_HWC) for frame in frames] == list(range(5, 40))
    assert pid is None or source.child_pid == pid, "the same child serves all of them"


def test_a_second_read_ends_the_first(tmp_path, source):
    path = write_clip(tmp_path / "a.mp4")
    first, second = source.read(_video(path), str(path)), source.read(_video(path), str(path))
    next(first)
    next(second)
    with pytest.raises(ValueError, match="one source per reader"):
        next(first)
    assert next(second).frame_index == 1


def test_a_closed_source_starts_again(tmp_path):
    path = write_clip(tmp_path / "a.mp4", n_frames=3)
    source = FrameSource()
    held = source.read(_video(path), str(path))
    next(held)
    source.close()
    with pytest.raises(ValueError, match="was closed"):
        next(held)
    assert len(list(source.read(_video(path), str(path)))) == 3
    source.close()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"first_frame": -1}, id="before_the_start"),
        pytest.param({"first_frame": 4}, id="behind_the_end"),
        pytest.param({"first_frame": 2, "n_frames": 2}, id="over_the_end"),
        pytest.param({"n_frames": -1}, id="negative_count"),
        pytest.param({"longer_side_px": 0}, id="no_pixels"),
    ],
)
def test_a_wrong_range_is_the_callers_fault_and_told_at_once(tmp_path, source, wrong):
    path = write_clip(tmp_path / "a.mp4", n_frames=3)
    with pytest.raises(ValueError):
        source.read(_video(path), str(path), **wrong)


def test_no_frames_are_no_frames(tmp_path, source):
    path = write_clip(tmp_path / "a.mp4", n_frames=3)
    assert list(source.read(_video(path), str(path), first_frame=3)) == []


def test_a_missing_file_is_an_os_error(tmp_path, source):
    path = write_clip(tmp_path / "a.mp4", n_frames=3)
    video = _video(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        source.read(video, str(path))


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_a_film_with_fewer_frames_than_probed_ends_early(tmp_path, source, decoder):
    video = replace(_video(write_clip(tmp_path / "long.mp4")), decoder=decoder)
    short = write_clip(tmp_path / "short.mp4", n_frames=30)
    reader = source.read(video, str(short))
    assert [frame.frame_index for frame in islice(reader, 30)] == list(range(30))
    with pytest.raises(BadInput, match=r"decodes 30 of 40 frames, then: the file ends"):
        next(reader)
