"""Films that are not whole: what decodes is used, and one line says what is missing and how much there was."""

import random
from pathlib import Path

import pytest

from operators.video.frame_source import FrameSource
from operators.video.look_through import LookThrough
from operators.video.probe import probe
from schemas.errors import BadInput
from tests.operators.video_clips import erase_packet, shown_number, write_clip

N = 120  # frames of 40 ms: 4.8 s


@pytest.fixture(scope="module")
def source():
    with FrameSource() as source:
        yield source


def _look(source, path):
    """The film as it is used, and the numbers that its frames show."""
    film = LookThrough(source, source.probe(str(path), uri=path.name, video_id=str(path)), str(path), longer_side_px=96)
    return [shown_number(frame.rgb_HWC) for frame in film], film.video


# n: of complete packets in the file, less those that a decoder holds back when the packet behind them is torn
@pytest.mark.parametrize(
    ("name", "share", "n", "says"),
    [
        pytest.param("a.mp4", 0.6, 59, "the file ends after 2.4 s of the 4.8 s that its header promises", id="mp4"),
        pytest.param("a.mkv", 0.6, 67, "the file ends after 2.7 s of the 4.8 s that its header promises", id="mkv"),
        pytest.param("a.flv", 0.6, 65, "the file ends after 2.6 s of the 4.9 s that its header promises", id="flv"),
        pytest.param("a.ts", 0.6, 69, None, id="ts_has_no_length"),
        pytest.param("a.mkv", 1.0, N, None, id="whole_mkv"),
        pytest.param("a.mp4", 1.0, N, None, id="whole_mp4"),
    ],
)
def test_a_film_that_ends_early(tmp_path, source, name, share, n, says):
    whole = write_clip(tmp_path / name, n_frames=N, index_first=name.endswith("mp4")).read_bytes()
    path = tmp_path / f"cut-{name}"
    path.write_bytes(whole[: int(share * len(whole))])
    shown, video = _look(source, path)
    assert shown[:-3] == list(range(n - 3)), "the last ones may miss those that were to be decoded between them"
    assert len(shown) == video.n_frames == n
    if says is None:
        assert (video.damage, video.damage_type) == (None, None)
    else:
        assert (video.damage, video.damage_type) == (f"{says}; the first {n} frames were used", "EndsEarly")
        assert video.decoder == "pyav"


def test_a_frame_that_does_not_decode(tmp_path, source):
    path = write_clip(tmp_path / "film.mp4", n_frames=N)
    erase_packet(path, 60)  # the first of a group of pictures: none is held back
    shown, video = _look(source, path)
    assert shown == list(range(video.n_frames)) and 57 <= video.n_frames <= 60
    n = video.n_frames
    assert (
        video.damage
        == f"the film is damaged at frame {n}, after {n / 25:.1f} s of 4.8 s; the first {n} frames were used"
    )
    assert (video.damage_type, video.decoder) == ("DamagedFrame", "pyav")


def test_all_but_the_first_frame_is_gone(tmp_path, source):
    path = write_clip(tmp_path / "film.mp4", n_frames=3, options={"bf": "0"})
    erase_packet(path, 1)
    shown, video = _look(source, path)
    assert (shown, video.n_frames) == ([0], 1)
    assert video.damage == "the film is damaged at frame 1, after 0.040 s of 0.120 s; only the first frame was used"


def test_an_index_that_names_an_absurd_frame(tmp_path, source):
    path = write_clip(tmp_path / "film.mp4", n_frames=N)
    content = bytearray(path.read_bytes())
    entry = content.index(b"stsz") + 16 + 4 * 60  # its size, in ISO/IEC 14496-12, 8.7.3
    content[entry : entry + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(content)
    shown, video = _look(source, path)
    assert shown[:50] == list(range(50)) and video.damage_type == "DamagedIndex"
    assert video.damage is not None and video.damage.startswith("its index is damaged after 2.")


@pytest.mark.parametrize(
    ("name", "n", "decoder", "damage"),
    [
        pytest.param(
            "broken_corrupted.mp4", 28, "pyav",
            "the film is damaged at frame 28, after 2.8 s of 5.0 s; the first 28 frames were used", id="in_the_middle",
        ),
        pytest.param(
            "poison/truncated_mdat.mp4", 5, "pyav",
            "the file ends after 0.2 s of the 1.0 s that its header promises; the first 5 frames were used", id="cut",
        ),
        pytest.param("stage_hamilton.mp4", 275, "decord", None, id="sound_is_longer"),
        pytest.param("noface_pyfeat.mp4", 95, "pyav", None, id="edit_list_hides_3"),
        pytest.param("nocount_pancake.mkv", 310, "decord", None, id="no_count"),
    ],
)  # fmt: skip
def test_real_films(media, source, name, n, decoder, damage):
    _, video = _look(source, media / name)
    assert (video.n_frames, video.decoder, video.damage) == (n, decoder, damage)


def test_a_recording_that_begins_in_the_middle_is_whole(tmp_path, source):
    """Frames that need those before the start are never shown; the others keep their own times."""
    stream = write_clip(tmp_path / "a.ts", n_frames=60).read_bytes()
    tables, packets = stream[: 188 * 3], stream[188 * 3 :]
    path = tmp_path / "late.ts"
    path.write_bytes(tables + packets[len(packets) * 3 // 10 // 188 * 188 :])
    shown, video = _look(source, path)
    assert shown == list(range(60 - len(shown), 60)) and 30 < len(shown) < 50
    assert video.pts_us.tolist() == [i * 40_000 for i in range(len(shown))]
    assert video.damage is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm", "a.flv"])
def test_flipped_bits_never_crash_and_are_told_in_words(tmp_path, source, name):
    options = {"codec": "libvpx-vp9"} if name.endswith("webm") else {"index_first": name.endswith("mp4")}
    whole = write_clip(tmp_path / name, n_frames=24, **options).read_bytes()
    for seed in range(12):
        draw, content = random.Random(seed), bytearray(whole)
        reach = len(content) if seed % 2 else 4000  # every other time all of it hits the headers
        for _ in range(50):
            content[draw.randrange(min(reach, len(content)))] ^= 1 << draw.randrange(8)
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(content)
        try:
            shown, video = _look(source, path)
        except BadInput as err:
            assert_a_person_understands(str(err), path.name)
        else:
            assert len(shown) == video.n_frames >= 1


def assert_a_person_understands(message: str, name: str) -> None:
    """One line: whose fault, what it is, and behind a semicolon what to do."""
    assert message.startswith(f"{name}: ") and message.count(name) == 1
    assert "\n" not in message and "; " in message
    for jargon in ("Traceback", "Error", "Errno", "invalid data found", "<", ">", "None", "b'"):
        assert jargon not in message, message


def _no_index(folder: Path) -> bytes:
    whole = write_clip(folder / "whole.mp4", n_frames=10).read_bytes()
    return whole[: whole.index(b"moov")]


def _unknown_codec(folder: Path) -> bytes:
    return write_clip(folder / "whole.mp4", n_frames=10).read_bytes().replace(b"avc1", b"qqqq")


def _no_good_frame(folder: Path) -> bytes:
    path = write_clip(folder / "whole.mp4", n_frames=1)
    erase_packet(path, 0)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(lambda _: b"", "is empty (0 bytes); fetch it again", id="empty"),
        pytest.param(lambda _: b"dear reader,\n", "is text, not a film", id="text"),
        pytest.param(lambda _: bytes(100_000), "begins with zeros", id="zeros"),
        pytest.param(
            lambda _: random.Random(0).randbytes(100_000), "is no film, or its beginning is damaged", id="noise"
        ),
        pytest.param(_no_index, "has no index (moov box): the recording or the copy was cut off", id="index_cut_off"),
        pytest.param(_unknown_codec, "its pictures are coded in a way that FFmpeg does not know", id="unknown_codec"),
        pytest.param(_no_good_frame, "is damaged before its first frame (its data is damaged)", id="no_frame_decodes"),
    ],
)
def test_what_can_never_work_is_told_in_words(tmp_path, source, content, says):
    path = tmp_path / "film.mp4"
    path.write_bytes(content(tmp_path))
    with pytest.raises(BadInput) as caught:
        source.probe(str(path), uri=path.name, video_id="")
    assert says in str(caught.value)
    assert_a_person_understands(str(caught.value), path.name)


@pytest.mark.parametrize(
    "name", ["audio_only", "bomb_16000", "huge_header", "no_moov", "not_a_video", "truncated_half", "zero_bytes",
             "zero_frames"],
)  # fmt: skip
def test_poison_is_told_in_words(media, name):
    path = media / "poison" / f"{name}.mp4"
    with pytest.raises(BadInput) as caught:
        probe(str(path), uri=path.name, video_id="")
    assert_a_person_understands(str(caught.value), path.name)


def test_a_folder_is_no_film(tmp_path, source):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadInput, match=r"folder.mp4: is a folder, not a film; give the films in it"):
        source.probe(str(tmp_path / "folder.mp4"), uri="folder.mp4", video_id="")
