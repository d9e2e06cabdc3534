"""`latentreel render`: the film shows what the tables say, at their times; what cannot be shown is one line."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from jobs import render as job
from jobs.render import compared_frames, find_track, render
from jobs.track_pictures import TrackPictures, inverted_film
from operators.latents.side_by_side import SideBySide
from operators.video.frame_source import FrameSource
from pipeline.read import Dataset, open_dataset
from schemas.errors import WrongUse
from tests.reference.played import played_psnr
from tests.runs import Run

PX = 32  # of the generator in tests.runs


@pytest.fixture
def dataset(undisturbed: Path) -> Dataset:
    return open_dataset(str(undisturbed))


def _ids(dataset: Dataset) -> list[str]:
    return sorted(dataset.tracks["track_id"].to_pylist())


def _table(dataset: Dataset, track_id: str) -> list[tuple[int, int, float]]:
    sql = f"select frame_index, pts_us, psnr from frames where track_id = '{track_id}' order by 1"
    found: list[tuple[int, int, float]] = dataset.sql(sql).fetchall()
    return found


def test_the_film_shows_the_faces_at_their_times(dataset: Dataset, undisturbed: Path, tmp_path: Path) -> None:
    """The PSNR between the panels as they are played is that of the table, so both are the right pictures."""
    track_id = _ids(dataset)[1]
    assert render(str(undisturbed), track_id, output=str(tmp_path / "t.mp4")) == 0
    with av.open(str(tmp_path / "t.mp4")) as container:
        frames = list(container.decode(video=0))
        time_base, duration = container.streams.video[0].time_base, container.streams.video[0].duration
    rows = _table(dataset, track_id)
    times_us = [pts_us - rows[0][1] for _, pts_us, _ in rows]
    assert time_base == Fraction(1, 10**6)
    assert [frame.pts for frame in frames] == times_us
    assert duration == times_us[-1] + 41_667  # the last one stays as long as any at 24 fps
    draw = SideBySide(track_id=track_id, shot_index=2, crop_px=PX)
    for frame, (_, _, psnr) in zip(frames, rows, strict=True):
        assert played_psnr(frame.to_ndarray(format="rgb24"), draw) == pytest.approx(psnr, abs=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["t.mp4"]


def test_memory_does_not_follow_the_length(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The film is read no further than what is shown, and latents come in pieces of which none is lost."""
    monkeypatch.setattr(job, "ROWS_AT_ONCE", 20)  # neither a multiple of 8 nor a divisor of the track's length
    track = find_track(dataset, _ids(dataset)[0])
    n_read = 0

    def counted(frames):
        nonlocal n_read
        for frame in frames:
            n_read += 1
            yield frame

    row = {"uri": track["uri"], "video_id": track["video_id"], "n_bytes": track["bytes"]}
    with FrameSource() as source, inverted_film(source, **row) as (video, path):
        filmed = counted(source.read(video, path, first_frame=track["first_frame"], n_frames=track["n_frames"]))
        shown = []
        for frame in compared_frames(dataset, track, TrackPictures(dataset), filmed):
            shown.append((frame.frame_index, frame.pts_us, frame.psnr))
            assert n_read == len(shown)
    assert shown == _table(dataset, track["track_id"])


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda track_id: track_id, id="whole"),
        pytest.param(lambda track_id: f"…{track_id[-17:]}", id="as_demo_prints_it"),
        pytest.param(lambda track_id: track_id[-9:], id="shot_and_track"),
    ],
)
def test_a_track_is_found_by_its_end(dataset: Dataset, written) -> None:
    for track_id in _ids(dataset):
        assert find_track(dataset, written(track_id))["track_id"] == track_id


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("000", r"more than one ends so \(\w+-00000-000, \w+-00002-000\); give more of it", id="ambiguous"),
        pytest.param("…", "more than one ends so", id="nothing_but_dots"),
        pytest.param("00002-001", r"nearest are \w+-00002-000, \w+-00000-000", id="no_such_track"),
        pytest.param("00002", r"nearest are \w+-00002-000, ", id="a_shot"),
        pytest.param("it's", "nearest are", id="a_quote"),
        pytest.param("0" * 200, "nearest are", id="longer_than_any"),
    ],
)
def test_other_names_are_told_near_matches(dataset: Dataset, name: str, says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        find_track(dataset, name)


@pytest.mark.parametrize(
    ("track", "output", "says"),
    [
        pytest.param("00002-000", "t.mov", "is an mp4; name it t.mp4", id="another_kind_of_film"),
        pytest.param("00002-000", "sheet.png", "name it sheet.mp4", id="a_picture_of_one_track"),
        pytest.param(None, "t.mp4", "shows one track, so name it", id="a_film_of_no_track"),
        pytest.param("00002-000", "gone/t.mp4", "gone: no such folder; make it first", id="no_such_folder"),
        pytest.param("00002-000", "folder.mp4", "is a folder", id="a_folder"),
        pytest.param("00007-000", "t.mp4", "nearest are", id="no_such_track"),
    ],
)
def test_wrong_words_write_nothing(
    undisturbed: Path, tmp_path: Path, track: str | None, output: str, says: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(WrongUse, match=says):
        render(str(undisturbed), track, output=str(tmp_path / output))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.mp4"]


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="not a latentreel dataset"):
        render(str(tmp_path), "00002-000", output=str(tmp_path / "t.mp4"))


def test_nothing_is_written_into_the_dataset_or_over_the_film(undisturbed: Path, movie: Path) -> None:
    """Where the next `invert` would refuse the folder, or the film would be lost."""
    before = movie.read_bytes()
    with pytest.raises(WrongUse, match="write beside"):
        render(str(undisturbed), "00002-000", output=str(undisturbed / "t.mp4"))
    with pytest.raises(WrongUse, match="is the film itself"):
        render(str(undisturbed), "00002-000", output=str(movie))
    assert movie.read_bytes() == before


@pytest.mark.faults
@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "No such file or directory; put the film back", id="gone"),
        pytest.param(b"another film", "has 12 bytes, the film that was inverted had", id="another_in_its_place"),
    ],
)
@pytest.mark.parametrize(("track", "output"), [("00002-000", "t.mp4"), (None, "sheet.png")], ids=["film", "sheet"])
def test_a_film_that_is_gone_leaves_the_old_output(
    undisturbed: Path, movie: Path, tmp_path: Path, track: str | None, output: str, content: bytes | None, says: str
) -> None:
    (tmp_path / output).write_bytes(b"old")
    away = movie.with_suffix(".away")
    movie.rename(away)
    try:
        if content is not None:
            movie.write_bytes(content)
        with pytest.raises(WrongUse, match=rf"astronaut\.mp4: {says}"):
            render(str(undisturbed), track, output=str(tmp_path / output))
    finally:
        away.replace(movie)
    assert (tmp_path / output).read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [output]


def test_another_generator_in_its_place_is_refused(dataset: Dataset) -> None:
    dataset.properties["generator_id"] = "random-32-seed1"
    with pytest.raises(WrongUse, match="is random-32-seed0 now, the dataset's latents are of random-32-seed1"):
        TrackPictures(dataset)


def test_without_a_track_comes_the_contact_sheet(undisturbed: Path, tmp_path: Path, capsys) -> None:
    assert render(str(undisturbed), None, output=str(tmp_path / "sheet.png")) == 0
    assert "contact sheet; the dataset has 2 tracks" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert np.asarray(sheet).std() > 5
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_the_command_says_one_line(latentreel: Run, undisturbed: Path, tmp_path: Path) -> None:
    done = latentreel("render", undisturbed, "000", "-o", tmp_path / "t.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("latentreel: track 000: more than one ends so")
