"""probe: exact times and upright sizes of real and made films, and one clear line for what is no film."""

import hashlib
import os
import socket
from fractions import Fraction

import av
import numpy as np
import pytest

from operators.video.probe import probe
from operators.video.video_id import video_id_of
from schemas.errors import BadInput
from tests.operators.video_clips import write_clip


def _probe(path):
    return probe(str(path), uri=path.name, video_id="0" * 32)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


# n_frames as counted by decoding to the end (shared/media/README.md); sizes as shown
@pytest.mark.parametrize(
    ("name", "n_frames", "size", "codec", "decoder"),
    [
        pytest.param("talk_d0.mp4", 78, (512, 512), "h264", "decord", id="plain"),
        pytest.param("talk_d9.mp4", 587, (480, 480), "h264", "pyav", id="sample_aspect_15_16"),
        pytest.param("talk_s13.mp4", 103, (720, 1080), "h264", "decord", id="portrait"),
        pytest.param("stage_hamilton.mp4", 275, (640, 360), "h264", "decord", id="starts_late"),
        pytest.param("face_then_none.mov", 169, (960, 540), "hevc", "decord", id="hevc_variable_rate"),
        pytest.param("noface_pyfeat.mp4", 95, (960, 540), "h264", "pyav", id="edit_list_hides_3"),
        pytest.param("unordered_pts.mov", 4, (50, 50), "h264", "decord", id="packets_out_of_order"),
        pytest.param("rotated_0.mov", 3, (568, 320), "h264", "decord", id="rotated_0"),
        pytest.param("rotated_90.mov", 3, (320, 568), "h264", "pyav", id="rotated_90"),
        pytest.param("rotated_180.mov", 3, (568, 320), "h264", "pyav", id="rotated_180"),
        pytest.param("rotated_270.mov", 3, (320, 568), "h264", "pyav", id="rotated_270"),
        pytest.param("nocount_pancake.mkv", 310, (426, 240), "h264", "decord", id="no_frame_count"),
        pytest.param("vfr_goldeneye.mp4", 160, (1280, 544), "h264", "decord", id="variable_rate"),
        pytest.param("hevc_10bit.mp4", 30, (200, 200), "hevc", "pyav", id="ten_bit"),
        pytest.param("av1_sample.mkv", 125, (640, 360), "av1", "pyav", id="av1"),
        pytest.param("audio2_nasa.mp4", 325, (320, 180), "h264", "pyav", id="two_video_streams"),
        pytest.param("poison/one_frame.mp4", 1, (160, 160), "h264", "decord", id="one_frame"),
    ],
)
def test_real_films(media, name, n_frames, size, codec, decoder):
    video = _probe(media / name)
    assert (video.n_frames, (video.width, video.height), video.codec, video.decoder) == (n_frames, size, codec, decoder)
    assert video.pts_us[0] == 0


# Every clip of the folder that decodes to its end, so every one whose times can be known for sure
WHOLE = (
    "audio2_nasa.mp4", "av1_sample.mkv", "counter_numbers.mp4", "cuts_cosmos30s.mp4", "cuts_testvideo.mp4",
    "face_then_none.mov", "hevc_10bit.mp4", "nocount_pancake.mkv", "noface_pyfeat.mp4", "poison/one_frame.mp4",
    "rotated_0.mov", "rotated_180.mov", "rotated_270.mov", "rotated_90.mov", "stage_hamilton.mp4",
    "street_multiface.mp4", "talk_d0.mp4", "talk_d10.mp4", "talk_d12.mp4", "talk_d3.mp4", "talk_d9.mp4",
    "talk_s13.mp4", "talk_s18.mp4", "trailer_cuts.mp4", "trailer_two_people.mp4", "unordered_pts.mov",
    "vfr_goldeneye.mp4",
)  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_times_are_those_of_the_decoded_frames(media, name):
    with av.open(str(media / name)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        ticks = sorted(frame.pts for frame in container.decode(stream) if frame.pts is not None)
        expected = [round((tick - ticks[0]) * stream.time_base * 1_000_000) for tick in ticks]
    video = _probe(media / name)
    assert video.pts_us.tolist() == expected
    assert (video.damage, video.damage_type) == (None, None)


def test_no_clip_is_left_out(media):
    films = {path.relative_to(media).as_posix() for path in media.rglob("*") if path.suffix in {".mp4", ".mov", ".mkv"}}
    left_out = films - set(WHOLE)
    assert {name for name in left_out if not name.startswith("poison/")} == {"broken_corrupted.mp4"}


def test_times_are_rounded_once_from_exact_fractions(media):
    ntsc = _probe(media / "cuts_testvideo.mp4").pts_us
    assert ntsc.tolist() == [round(Fraction(i * 1001, 30000) * 1_000_000) for i in range(720)]
    steps_us = np.diff(_probe(media / "vfr_goldeneye.mp4").pts_us)
    assert set(np.rint(steps_us * 24000 / 1e6).tolist()) == {1001, 2002}


def test_muxed_times_come_back_exactly(tmp_path):
    pts_ms = np.cumsum([0, *([40, 7, 80, 33] * 10)]).tolist()[:40]
    video = _probe(write_clip(tmp_path / "vfr.mp4", pts=pts_ms))
    assert video.pts_us.tolist() == [ms * 1000 for ms in pts_ms]
    assert video.fps == pytest.approx(39 / (pts_ms[-1] / 1000))


def test_avi_has_no_presentation_times_but_a_grid(tmp_path):
    video = _probe(write_clip(tmp_path / "film.avi"))
    assert video.pts_us.tolist() == [i * 40_000 for i in range(40)]


@pytest.mark.parametrize(
    ("turned_deg", "aspect", "size"),
    [
        pytest.param(0, None, (160, 120), id="upright"),
        pytest.param(90, None, (120, 160), id="quarter_turn"),
        pytest.param(0, Fraction(4, 3), (213, 120), id="wide_samples"),
        pytest.param(90, Fraction(4, 3), (120, 213), id="wide_samples_turned"),
    ],
)
def test_size_is_that_of_the_upright_picture(tmp_path, turned_deg, aspect, size):
    video = _probe(write_clip(tmp_path / "film.mp4", n_frames=2, turned_deg=turned_deg, aspect=aspect))
    assert (video.width, video.height) == size


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("zero_bytes.mp4", "is empty", id="empty"),
        pytest.param("not_a_video.mp4", "is text", id="text"),
        pytest.param("no_moov.mp4", "has no index", id="no_moov"),
        pytest.param("truncated_half.mp4", "has no index", id="first_half"),
        pytest.param("audio_only.mp4", "no video stream", id="audio_only"),
        pytest.param("zero_frames.mp4", "has no frames", id="zero_frames"),
        pytest.param("huge_header.mp4", "absurd size", id="absurd_header"),
        pytest.param("bomb_16000.mp4", "16000x16000", id="decompression_bomb"),
    ],
)
def test_poison_is_refused_in_one_line_that_names_it(media, name, says):
    with pytest.raises(BadInput, match=says) as caught:
        _probe(media / "poison" / name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ") and "\n" not in message
    assert "; " in message, "an error tells the cure"


def test_a_playlist_cannot_make_us_read_another_file(tmp_path):
    film = write_clip(tmp_path / "secret.ts", n_frames=5)
    playlist = tmp_path / "innocent.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadInput, match="is text"):
        _probe(playlist)


@pytest.mark.parametrize("make", [pytest.param(os.mkfifo, id="pipe"), pytest.param(_socket, id="socket")])
def test_what_is_no_file_does_not_hang(tmp_path, make):
    make(str(tmp_path / "film.mp4"))
    with pytest.raises(BadInput, match="is a pipe or a device, not a file"):
        _probe(tmp_path / "film.mp4")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        _probe(tmp_path / "gone.mp4")


def test_a_name_like_a_protocol_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "data:film.mp4", n_frames=3)
    assert probe("data:film.mp4", uri="film", video_id="").n_frames == 3


def test_video_id_follows_the_bytes_and_not_the_name(tmp_path):
    (tmp_path / "a").write_bytes(b"film" * 100_000)
    (tmp_path / "b").write_bytes(b"film" * 100_000)
    (tmp_path / "c").write_bytes(b"film" * 100_000 + b".")
    a, b, c = (video_id_of((tmp_path / name).open("rb")) for name in "abc")
    assert a == b == hashlib.sha256(b"film" * 100_000).hexdigest()[:32]
    assert a != c
