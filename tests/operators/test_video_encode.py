"""write_mp4, write_timed_mp4: what goes in comes out, whole or not at all."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from operators.video.encode import write_mp4, write_timed_mp4
from operators.video.probe import probe
from tests.operators.video_clips import numbered, shown_number

REPO = Path(__file__).resolve().parents[2]


def test_frames_and_times_come_back(tmp_path):
    write_mp4(tmp_path / "a.mp4", (numbered(i) for i in range(20)), fps=Fraction(30000, 1001))
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [shown_number(frame.to_ndarray(format="rgb24")) for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([i * 1001 / 30000 for i in range(20)], abs=1e-9)
    assert frames[0].format.name == "yuv420p"


WRITE = """
import sys
from fractions import Fraction
from operators.video.encode import write_mp4, write_timed_mp4
from operators.video.probe import probe
from tests.operators.video_clips import numbered
write_mp4(sys.argv[1], (numbered(i) for i in range(20)), fps=Fraction(25))
"""


def test_same_frames_same_bytes_whatever_the_memory_held_before(tmp_path):
    for fill in ("0", "85", "17"):  # glibc fills fresh memory with this; x264 with AVX-512 writes other bytes then
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        subprocess.run([sys.executable, "-c", WRITE, tmp_path / fill], cwd=REPO, env=environment, check=True)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        pytest.param([], "no frames", id="nothing"),
        pytest.param([(120, 161, 3)], "161x120.*even", id="odd_width"),
        pytest.param([(121, 160, 3)], "160x121.*even", id="odd_height"),
        pytest.param([(120, 160, 3), (120, 162, 3)], "frame 1 is", id="size_changes"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, shapes, says):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=says):
        write_mp4(path, (np.zeros(shape, np.uint8) for shape in shapes), fps=Fraction(25))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    "pts_us",
    [
        pytest.param([0], id="one_frame"),
        pytest.param([0, 41_708, 83_417, 125_125], id="film_rate_in_microseconds"),
        pytest.param([0, 40_000, 240_000, 240_001, 250_000, 1_250_000], id="variable"),
        pytest.param([0, 2_000_000_000, 4_000_000_000, 6_000_000_000], id="hours"),
    ],
)
def test_own_times_come_back_exactly(tmp_path, pts_us):
    path = tmp_path / "a.mp4"
    write_timed_mp4(path, ((t, numbered(i)) for i, t in enumerate(pts_us)), fps=Fraction(25))
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        stream = container.streams.video[0]
        assert (stream.time_base, stream.duration) == (Fraction(1, 10**6), pts_us[-1] + 40_000)
    assert [shown_number(frame.to_ndarray(format="rgb24")) for frame in frames] == list(range(len(pts_us)))
    assert [frame.pts for frame in frames] == pts_us
    assert probe(str(path), uri="a.mp4", video_id="a").pts_us.tolist() == pts_us


@pytest.mark.parametrize(
    ("pts_us", "says"),
    [
        pytest.param([], "no frames", id="nothing"),
        pytest.param([5, 40_000], "first frame is at 5 us", id="starts_late"),
        pytest.param([0, 40_000, 40_000], "40000 us follows one at 40000 us", id="stands_still"),
        pytest.param([0, 40_000, 20_000], "20000 us follows one at 40000 us", id="falls"),
    ],
)
def test_times_that_do_not_rise_leave_the_old_file(tmp_path, pts_us, says):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=says):
        write_timed_mp4(path, ((t, numbered(i)) for i, t in enumerate(pts_us)), fps=Fraction(25))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
