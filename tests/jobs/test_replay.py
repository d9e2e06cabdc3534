"""`latentreel replay`: what was quarantined fails again in the same words, and what was committed comes out again."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.describe_job import describe_job
from pipeline.create_tables import open_or_create
from pipeline.finalise import quarantine
from pipeline.read import open_dataset
from schemas.config import load_config
from schemas.outcomes import ErrorRow
from tests import astronaut
from tests.operators.video_clips import numbered, write_clip
from tests.runs import run_here
from tests.without_engine import QUICK, input_of, work_without_engine


def _quarantined(film: Path, dataset: str, **settings: Any) -> tuple[list[ErrorRow], str]:
    """Its errors, and the command that the first one's reason names."""
    job, canonical = describe_job(load_config(None, {**QUICK, **settings}), dataset)
    open_or_create(job, canonical, anew=False)
    task = input_of(film)
    errors = [row for row in work_without_engine(task, job) if isinstance(row, ErrorRow)]
    quarantine(task, job, errors[0])
    ((reason,),) = open_dataset(dataset).sql("select reason from videos").fetchall()
    assert reason.startswith(errors[0].message)  # the human sentence comes first
    (command,) = re.findall(r"`(latentreel replay [^`]+)`$", reason)
    return errors, command


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_poison_file_fails_again_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The dataset is named as it was given, with a blank in its name, and nothing in it changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp4").write_text("no film\n")
    (error,), command = _quarantined(tmp_path / "text.mp4", "my dataset")
    assert command == f"latentreel replay 'my dataset' {error.video_id}"
    before = _files(tmp_path / "my dataset")
    done = run_here(*shlex.split(command)[1:])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"latentreel: probe: {error.message}\n"
    assert _files(tmp_path / "my dataset") == before
    assert run_here("replay", "my dataset", tmp_path / "text.mp4").stderr == done.stderr  # by its uri
    caplog.clear()
    assert run_here("replay", "my dataset", tmp_path / "text.mp4", "--debug").returncode == 1
    assert "Traceback" in caplog.text and "in probe" in caplog.text


def test_an_error_in_the_middle_is_repeated_there_alone(noisy_32: str, tmp_path: Path) -> None:
    """A face between two shots without one, three segments, and steps so large that its latents overflow."""
    before, behind = ([numbered(number, 512, 288)] * 12 for number in (85, 170))
    face = itertools.islice(astronaut._frames(), 12)
    film = write_clip(tmp_path / "f.mp4", size=(512, 288), frames=[*before, *face, *behind])
    wild = {"inversion.method": "naive", "inversion.noise": True, "inversion.learning_rate": 1e30}
    wild |= {"generator": noisy_32, "shots.segment_s": 0.4, "faces.detect_px": 512}
    (error,), command = _quarantined(film, str(tmp_path / "d"), **wild)
    assert command == f"latentreel replay {tmp_path}/d {error.video_id} 1"
    done = run_here(*shlex.split(command)[1:])
    assert done.returncode == 1
    assert done.stderr == f"latentreel: inversion, segment 1: {error.message}\n"
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["film", "shots", "segment", "track"]
    assert "3 in 3 segments" in done.stdout and "frames 12 to 23" in done.stdout


def test_a_good_film_comes_out_bit_for_bit(undisturbed: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(undisturbed))
    ((video_id, uri),) = dataset.sql("select video_id, uri from videos").fetchall()
    before = _files(undisturbed)
    done = run_here("replay", undisturbed, uri, "-o", tmp_path / "seen")
    assert (done.returncode, done.stderr) == (0, "")
    for shot_index in (0, 2):
        name = f"seg00000-shot{shot_index:05d}-track000-part000"
        w_TLD = np.load(tmp_path / "seen" / f"{name}.npy")
        np.testing.assert_array_equal(w_TLD, dataset.track(f"{video_id}-{shot_index:05d}-000"))
        assert (tmp_path / "seen" / f"{name}.png").exists()
        assert f"{name}: {len(w_TLD)}, PSNR" in done.stdout
    assert _files(undisturbed) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["{d}", "other.mp4"], "other.mp4 is not in", id="unknown_film"),
        pytest.param(["{d}", "{uri}", "7"], "has no segment 7; give one of 0 to 0", id="no_such_segment"),
        pytest.param(["{d}", "{uri}", "-o", "{d}/seen"], "a dataset takes no other files", id="into_the_dataset"),
        pytest.param(["{uri}", "{uri}"], "not a latentreel dataset", id="no_dataset"),
    ],
)
def test_wrong_words(undisturbed: Path, movie: Path, words: list[str], says: str) -> None:
    done = run_here("replay", *(word.format(d=undisturbed, uri=movie) for word in words))
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_film_that_changed_since_is_said(tmp_path: Path) -> None:
    film = tmp_path / "text.mp4"
    film.write_text("no film\n")
    _, command = _quarantined(film, str(tmp_path / "d"))
    film.write_text("nor this\n")
    done = run_here(*shlex.split(command)[1:])
    assert (done.returncode, "holds another film by now" in done.stderr) == (2, True), done.stderr
    film.unlink()
    done = run_here(*shlex.split(command)[1:])
    assert (done.returncode, "put the film back" in done.stderr) == (2, True), done.stderr
