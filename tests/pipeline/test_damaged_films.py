"""Films that are damaged, and decoders that hang or die, on the whole road without Ray: which rows come of them."""

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest

from jobs.status import status
from operators.video.look_through import LookThrough
from operators.video.probe import probe
from pipeline.finalise import finalise
from pipeline.read import open_dataset
from pipeline.rows import pack
from pipeline.stages import CutVideo, _in_one_line
from pipeline.staging import Staging
from pipeline.store import Store
from schemas.job import Input
from schemas.outcomes import ErrorRow
from schemas.video import Frame, Shot, Video
from tests.astronaut import write_astronaut_movie
from tests.operators.video_clips import erase_packet, write_clip
from tests.without_engine import input_of, job_of, work_without_engine


def test_a_damaged_film_is_committed_as_far_as_it_decodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three shots, 0-47 with a face, 48-71 without, 72-107 with: damaged inside the second."""
    path = tmp_path / "astronaut.mp4"
    write_astronaut_movie(path)
    erase_packet(path, 66)
    film, job = input_of(path), job_of(tmp_path / "d", **{"inversion.method": "naive"})
    work_without_engine(film, job)
    fate = finalise(film, job)
    assert (fate.status, fate.n_shots, fate.n_tracks) == ("committed", 2, 1)
    dataset = open_dataset(job.dataset)
    ((status_, decoder, stage, reason, n),) = dataset.sql(
        "select status, decoder, stage, reason, n_frames from videos"
    ).fetchall()
    assert 56 < n <= 66
    assert (status_, decoder, stage) == ("committed", "pyav", "shots")
    assert reason == f"the film is damaged at frame {n}, after {n / 24:.1f} s of 4.5 s; the first {n} frames were used"
    frames = dataset.sql("select frame_index from frames order by 1").fetchall()
    assert [row[0] for row in frames] == list(range(48))
    assert dataset.sql("select sum(n_frames) from shots").fetchall() == [(n,)]
    assert finalise(film, job) == fate, "the second of two drivers reads the same from the dataset"
    assert status(job.dataset) == 0
    assert f"damaged {path}: {reason}" in capsys.readouterr().out


def test_a_film_that_ends_early_and_shows_no_face(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", n_frames=120).read_bytes()
    path = tmp_path / "film.mkv"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    film, job = input_of(path), job_of(tmp_path / "d")
    work_without_engine(film, job)
    fate = finalise(film, job)
    assert (fate.status, fate.stage) == ("no_faces", "probe")
    assert fate.reason == (
        "the file ends after 2.7 s of the 4.8 s that its header promises; the first 67 frames were used"
    )


def test_no_frame_decodes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "film.mp4", n_frames=1)
    erase_packet(path, 0)
    (row,) = work_without_engine(input_of(path), job_of(tmp_path / "d"))
    assert isinstance(row, ErrorRow)
    assert (row.stage, row.permanent) == ("probe", True)


@pytest.mark.faults
@pytest.mark.parametrize("fault", [signal.SIGSEGV, signal.SIGSTOP])
def test_the_decoder_that_took_over_is_recorded(tmp_path: Path, fault: signal.Signals) -> None:
    """decord's process crashes, or hangs, while the film is read for its shots: later reads go to PyAV at once."""
    film = input_of(write_clip(tmp_path / "film.mp4", n_frames=120))
    cuts = []
    for i, deadly in enumerate((None, fault)):
        job = replace(job_of(tmp_path / f"d{i}"), decode_deadline_s=1.0)
        cut = CutVideo(job)
        find_shots = cut.find_shots

        def find(video: Video, frames: LookThrough) -> tuple[Shot, ...]:
            return find_shots(video, _struck(cut, frames, deadly))  # noqa: B023  called inside this round

        cut.find_shots = find  # type: ignore[assignment]
        with cut.frames:
            list(cut(pack(film.video_id, film)))
        cuts.append(Staging(Store(job.dataset), job.config_id, film.video_id).read_cut())
    calm, struck = cuts
    assert calm is not None and struck is not None
    assert (calm.video.decoder, struck.video.decoder) == ("decord", "pyav")
    assert (calm.shots, calm.n_segments) == (struck.shots, struck.n_segments)
    assert struck.video.damage is None and struck.video.n_frames == 120


def test_a_frame_that_is_passed_over_without_a_word(tmp_path: Path) -> None:
    """FFmpeg takes an HEVC packet of filler for no frame and no error; decord gives all behind it too early."""
    options = {"x265-params": "log-level=none:pools=1:open-gop=0"}
    path = write_clip(tmp_path / "film.mp4", n_frames=60, codec="libx265", options=options)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    (packet,) = [packet for packet in packets if packet.pts == times[25]]
    filler = (packet.size - 4).to_bytes(4, "big") + b"\x4c\x01"  # NAL unit type 38 of ITU-T H.265, table 7-1
    content = bytearray(path.read_bytes())
    assert packet.pos is not None
    content[packet.pos : packet.pos + packet.size] = filler + b"\xff" * (packet.size - 7) + b"\x80"
    path.write_bytes(content)
    job = job_of(tmp_path / "d")
    cut = CutVideo(job)
    with cut.frames:
        list(cut(pack("x", input_of(path))))
    found = Staging(Store(job.dataset), job.config_id, input_of(path).video_id).read_cut()
    assert found is not None
    assert (found.video.n_frames, found.video.damage_type, found.video.decoder) == (25, "DamagedFrame", "pyav")
    assert sum(shot.n_frames for shot in found.shots) == 25


def _struck(cut: CutVideo, frames: LookThrough, deadly: signal.Signals | None) -> Iterator[Frame]:
    for frame in frames:
        if frame.frame_index == 3 and deadly is not None and frames.video.decoder == "decord":
            assert cut.frames.child_pid is not None
            os.kill(cut.frames.child_pid, deadly)
        yield frame


def test_a_disk_that_fails_is_told_in_words_and_may_pass(tmp_path: Path) -> None:
    """A real error of the system: a process's memory has nothing at its start. Tests run as root, who may read all."""
    path = tmp_path / "film.mp4"
    path.symlink_to("/proc/self/mem")
    (row,) = work_without_engine(Input(uri=str(path), video_id="0" * 32, bytes=0), job_of(tmp_path / "d"))
    assert isinstance(row, ErrorRow)
    assert (row.stage, row.permanent) == ("probe", False)
    assert row.message == f"{path}: Input/output error; check the disk, and run again"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_film_that_may_not_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o755)
        path = write_clip(Path(folder) / "film.mp4", n_frames=3)
        path.chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError) as caught:
                probe(str(path), uri="film.mp4", video_id="")
        finally:
            os.seteuid(0)
    assert _in_one_line("film.mp4", caught.value) == f"{path}: permission denied; check the path and its permissions"
