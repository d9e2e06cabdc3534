"""Decoding under real faults: killed, stopped and orphaned processes, damaged films. Nothing may hang or be made up."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from schemas.errors import BadInput, Interrupted
from tests.operators.video_clips import erase_packet, shown_number, write_clip

pytestmark = pytest.mark.faults
REPO = Path(__file__).resolve().parents[2]
N_FRAMES = 120


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = write_clip(tmp_path_factory.mktemp("faults") / "film.mp4", n_frames=N_FRAMES)
    return path, probe(str(path), uri="film.mp4", video_id="")


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _child(source: FrameSource) -> int:
    assert source.child_pid is not None
    return source.child_pid


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_where_decord_dies_pyav_goes_on_from_that_frame(clip, deadly):
    path, video = clip
    with FrameSource() as source:
        whole = list(source.read(video, str(path)))
        assert not source.taken_over
        reader = source.read(video, str(path))
        seen = [next(reader)]
        killed = _child(source)
        os.kill(killed, deadly)
        seen += reader
        assert source.taken_over and _child(source) != killed and not _is_running(killed)
        assert [frame.frame_index for frame in seen] == list(range(N_FRAMES))
        for frame, same in zip(seen, whole, strict=True):
            np.testing.assert_array_equal(frame.rgb_HWC, same.rgb_HWC)


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_dead_pyav_is_an_interruption_and_the_next_read_starts_a_fresh_one(clip, deadly):
    path, video = clip
    video = replace(video, decoder="pyav")
    with FrameSource() as source:
        reader = source.read(video, str(path))
        next(reader)
        killed = _child(source)
        os.kill(killed, deadly)
        with pytest.raises(Interrupted, match=rf"film.mp4: frame \d+ of 120: the decoder died \({deadly.name}\)"):
            list(reader)
        assert not _is_running(killed)
        assert [shown_number(frame.rgb_HWC) for frame in source.read(video, str(path))] == list(range(N_FRAMES))
        assert _child(source) != killed


def test_a_child_killed_between_two_reads_is_not_missed(clip):
    path, video = clip
    with FrameSource() as source:
        list(source.read(video, str(path)))
        os.kill(_child(source), signal.SIGKILL)
        os.waitid(os.P_PID, _child(source), os.WEXITED | os.WNOWAIT)  # dead, and not yet taken note of
        assert len(list(source.read(video, str(path)))) == N_FRAMES


def test_a_hanging_pyav_is_killed_at_the_deadline(clip):
    path, video = clip
    with FrameSource(deadline_s=1.0) as source:
        reader = source.read(replace(video, decoder="pyav"), str(path))
        next(reader)
        hanging = _child(source)
        os.kill(hanging, signal.SIGSTOP)  # like decord's endless loop, it does not answer SIGTERM
        started = time.monotonic()
        with pytest.raises(
            Interrupted, match=r"film.mp4: frame \d+ of 120: the decoder showed no sign of life for 1 s"
        ):
            list(reader)
        assert time.monotonic() - started < 5
        assert not _is_running(hanging)


@pytest.mark.parametrize("n_taken", [pytest.param(0, id="while_it_opens"), pytest.param(5, id="in_the_middle")])
def test_where_decord_hangs_pyav_goes_on_and_decord_is_not_asked_again(clip, n_taken):
    path, video = clip
    with FrameSource(deadline_s=1.0) as source:
        list(source.read(video, str(path), n_frames=1))
        hanging = _child(source)
        reader = source.read(video, str(path))
        seen = list(islice(reader, n_taken))
        os.kill(hanging, signal.SIGSTOP)
        seen += reader
        assert [shown_number(frame.rgb_HWC) for frame in seen] == list(range(N_FRAMES))
        assert source.taken_over and not _is_running(hanging)
        second = _child(source)
        os.kill(second, signal.SIGSTOP)
        with pytest.raises(Interrupted):  # nobody stands behind PyAV
            list(source.read(video, str(path)))


def _signal(pid: int, *numbers: signal.Signals) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):  # reaped after the first
            os.kill(pid, number)


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSEGV])
def test_a_look_that_kills_its_process_is_an_interruption(clip, deadly):
    path, video = clip
    with FrameSource() as source:
        list(source.read(video, str(path), n_frames=1))
        doomed = _child(source)
        os.kill(doomed, signal.SIGSTOP)  # holds it in the middle, so that the signal comes while it is at work
        killer = threading.Timer(0.3, _signal, args=(doomed, deadly, signal.SIGCONT))
        killer.start()
        with pytest.raises(Interrupted, match=rf"film.mp4: while its index was read, .* died \({deadly.name}\)"):
            source.probe(str(path), uri="film.mp4", video_id="")
        killer.join()
        assert source.probe(str(path), uri="film.mp4", video_id="").n_frames == N_FRAMES


def test_a_look_that_hangs_is_an_interruption(clip):
    path, video = clip
    with FrameSource(deadline_s=0.5) as source:
        list(source.read(video, str(path), n_frames=1))
        hanging = _child(source)
        os.kill(hanging, signal.SIGSTOP)
        with pytest.raises(Interrupted, match=r"film.mp4: while its index was read, .* no sign of life for 0.5 s"):
            source.probe(str(path), uri="film.mp4", video_id="")
        assert not _is_running(hanging)


@pytest.mark.slow
def test_a_long_film_may_take_longer_than_the_deadline(clip, tmp_path):
    """Four hours of packets; the look shows signs of life. Neither requests nor this process grow with the film."""
    path, n = tmp_path / "long.mkv", 345_600
    with av.open(str(clip[0])) as short, av.open(str(path), "w") as long:
        stream = long.add_stream_from_template(short.streams.video[0])
        picture = bytes(next(packet for packet in short.demux(video=0) if packet.is_keyframe))
        for i in range(n):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, i * 40, i * 40, True
            packet.time_base = Fraction(1, 1000)
            long.mux(packet)
    with FrameSource(deadline_s=1.5) as source:
        started = time.monotonic()
        video = source.probe(str(path), uri="long.mkv", video_id="")
        assert time.monotonic() - started > source.deadline_s, "it proves nothing on a machine so fast"
        assert (video.n_frames, video.pts_us[-1]) == (n, (n - 1) * 40_000)
        (frame,) = source.read(video, str(path), first_frame=n - 1)
        assert frame.pts_us == (n - 1) * 40_000


PARENT = """
import sys
from dataclasses import replace
from operators.video.frame_source import FrameSource
from operators.video.probe import probe
video = probe(sys.argv[1], uri="film", video_id="")
source = FrameSource()
reader = source.read(video, sys.argv[1])
next(reader)
print(source.child_pid, flush=True)
list(source.read(replace(video, decoder="decord"), sys.argv[2]))
"""


def _start_parent(film, second_film):
    command = [sys.executable, "-c", PARENT, str(film), str(second_film)]
    return subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE)


def test_a_child_inside_the_decoder_ends_when_its_parent_is_killed(clip, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with _start_parent(clip[0], tmp_path / "pipe.mp4") as parent:
        child_pid = int(parent.stdout.readline())
        writer = _open_when_read(tmp_path / "pipe.mp4")  # from here on decord waits in read() for bytes
        time.sleep(0.2)
        assert _is_running(child_pid)
        parent.kill()
        assert _wait_until(lambda: not _is_running(child_pid), 5), "the orphan still runs"
        os.close(writer)


def _open_when_read(pipe):
    give_up_at = time.monotonic() + 20
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO until the decoder has opened the other end
            assert time.monotonic() < give_up_at, "the decoder never opened the film"
            time.sleep(0.02)


def test_a_child_that_waits_for_its_reader_ends_when_its_parent_is_killed(clip, media):
    with _start_parent(media / "street_multiface.mp4", clip[0]) as parent:
        child_pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGSTOP)  # takes no frames any more: the ring is full, the child waits
        time.sleep(0.5)
        assert _is_running(child_pid)
        parent.kill()
        assert _wait_until(lambda: not _is_running(child_pid), 5), "the orphan still runs"


def test_nothing_is_left_after_kills(clip):
    path, video = clip
    before = [set(Path(folder).iterdir()) for folder in ("/proc/self/fd", "/dev/shm")]
    for _ in range(3):
        with FrameSource() as source:
            next(source.read(video, str(path)))
            os.kill(_child(source), signal.SIGKILL)
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before[0])
    assert set(Path("/dev/shm").iterdir()) <= before[1]


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
@pytest.mark.parametrize("number", [pytest.param(20, id="early"), pytest.param(100, id="late")])
def test_a_damaged_film_gives_its_good_frames_and_then_one_line(tmp_path, decoder, number):
    path = write_clip(tmp_path / "film.mp4", n_frames=N_FRAMES)
    erase_packet(path, number)
    video = replace(probe(str(path), uri="film.mp4", video_id=""), decoder=decoder)
    seen = []
    with FrameSource() as source:
        with pytest.raises(BadInput) as caught:
            for frame in source.read(video, str(path)):
                seen.append(shown_number(frame.rgb_HWC))
        assert seen == list(range(len(seen))) and number - 4 <= len(seen) <= number
        message = str(caught.value)
        assert message.startswith(f"film.mp4: decodes {len(seen)} of {N_FRAMES} frames, then: ")
        assert message.endswith(f"re-encode the film, or cut it before frame {len(seen)}")
        assert len(list(source.read(video, str(path), n_frames=10))) == 10, "the child goes on serving"


def test_a_real_damaged_film_breaks_where_the_oracle_says(media):
    path = media / "broken_corrupted.mp4"
    video = probe(str(path), uri=path.name, video_id="")
    with FrameSource() as source:
        reader = source.read(video, str(path))
        assert [frame.frame_index for frame in islice(reader, 28)] == list(range(28))
        with pytest.raises(BadInput, match="decodes 28 of 50 frames, then: its data is damaged"):
            next(reader)


def test_decoders_are_silent(media, capfd):
    path = media / "broken_corrupted.mp4"
    video = probe(str(path), uri=path.name, video_id="")
    with FrameSource() as source, pytest.raises(BadInput):
        list(source.read(video, str(path)))
    assert capfd.readouterr() == ("", "")


POISON = """
import sys
from pathlib import Path
from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from schemas.errors import BadInput
with FrameSource() as source:
    for path in sorted(Path(sys.argv[1]).iterdir()):
        try:
            video = probe(str(path), uri=path.name, video_id="")
            print(path.name, len(list(source.read(video, str(path)))))
        except BadInput:
            print(path.name, "BadInput")
    for pid in ("self", source.child_pid):
        [peak] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line]
        print(f"peak_KiB_{pid}", peak.split()[1])
"""


def test_no_poison_hangs_or_fills_the_memory(media):
    command = [sys.executable, "-c", POISON, str(media / "poison")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=True)
    fates = dict(line.split() for line in done.stdout.splitlines())
    assert fates.pop("one_frame.mp4") == "1"
    peaks_kib = [int(fates.pop(name)) for name in list(fates) if name.startswith("peak")]
    assert len(fates) == 9 and set(fates.values()) == {"BadInput"}
    assert len(peaks_kib) == 2 and max(peaks_kib) < 300 * 1024, "one frame of the bomb takes 384 MiB"


def test_a_slow_reader_does_not_make_the_child_decode_ahead(media):
    """decord alone decodes all 105 frames (650 MB) while nobody takes them."""
    path = media / "street_multiface.mp4"
    video = probe(str(path), uri=path.name, video_id="")
    with FrameSource() as source:
        reader = source.read(video, str(path))
        next(reader)
        time.sleep(1.0)
        [peak] = [line for line in Path(f"/proc/{_child(source)}/status").read_text().splitlines() if "VmHWM" in line]
        assert int(peak.split()[1]) < 300 * 1024
        assert len(list(reader)) == video.n_frames - 1
