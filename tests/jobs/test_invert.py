"""`latentreel invert`, the whole road on real Ray: what arrives, how often, and what bad input does."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.read import open_dataset
from schemas.tables import TABLES
from tests.runs import FAST, Run, data_files, rows, run_here


def test_the_road_gives_queryable_latents(undisturbed: Path) -> None:
    dataset = open_dataset(str(undisturbed))
    (video,) = dataset.videos.to_pylist()
    assert (video["status"], video["n_shots"], video["n_tracks"]) == ("committed", 3, 2)
    assert video["n_latents"] == dataset.frames.num_rows == sum(dataset.tracks["n_frames"].to_pylist())
    assert dataset.tracks["shot_index"].to_pylist() == [0, 2]  # the shot between shows no face
    assert dataset.tracks["emotion"].null_count == 2  # no network was given
    w_TLD = dataset.track(dataset.tracks["track_id"][0].as_py())
    assert w_TLD.shape == (dataset.tracks["n_frames"][0].as_py(), 8, 512)
    np.testing.assert_array_equal(w_TLD, w_TLD.astype(np.float16).astype(np.float32))
    assert np.ptp(w_TLD, axis=0).max() > 0, "the latent follows the face"
    assert not (undisturbed / "_staging").exists() or not any((undisturbed / "_staging").rglob("*.parquet"))


def test_a_second_run_changes_nothing(movie: Path, undisturbed: Path) -> None:
    tables = open_dataset(str(undisturbed)).tables
    before = [tables.open(name).version() for name in TABLES]
    done = run_here("invert", movie, "-o", undisturbed, *FAST)
    assert done.returncode == 0, done.stderr
    assert "1 films are in" in done.stderr
    assert before == [tables.open(name).version() for name in TABLES]


@pytest.mark.slow  # tests/faults/test_poison.py has every kind of bad film
def test_bad_films_stop_nobody(
    latentreel: Run, movie: Path, undisturbed: Path, ray_address: str, tmp_path: Path
) -> None:
    """One good film among a missing path, an unreadable file, a text file and a copy: exit code 1, each one named.

    With two workers, and its rows and files are those that one process makes of it without Ray.
    """
    (tmp_path / "text.mp4").write_text("this is no film\n")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")  # unreadable, for root too
    (tmp_path / "empty").mkdir()
    shutil.copy(movie, tmp_path / "copy.mp4")
    bad = [tmp_path / name for name in ("gone.mp4", "loop.mp4", "text.mp4", "empty", "*.nope")]
    films = (*bad, movie, tmp_path / "copy.mp4")
    done = latentreel("invert", *films, "-o", tmp_path / "d", "--workers", "2", "--address", ray_address, *FAST)
    assert done.returncode == 1, done.stderr
    for path in bad:
        (line,) = [line for line in done.stderr.splitlines() if str(path) in line]
        assert line.startswith(("failed", "quarantined")), line
    assert "Traceback" not in done.stderr
    assert "same bytes as" in done.stderr
    statuses = open_dataset(str(tmp_path / "d")).sql("select status, count(*) from videos group by 1 order by 1")
    assert statuses.fetchall() == [("committed", 1), ("quarantined", 1)]
    ours, theirs = rows(tmp_path / "d"), rows(undisturbed)
    ours["videos"] = ours["videos"].filter(pc.equal(ours["videos"]["status"], "committed"))
    for name in TABLES:
        assert ours[name].num_rows == theirs[name].num_rows > 0, name
        assert ours[name].equals(theirs[name]), name
    assert data_files(tmp_path / "d") == data_files(undisturbed)

    status = run_here("status", tmp_path / "d")
    assert (status.returncode, "text.mp4" in status.stdout) == (1, True)
    again = run_here("invert", tmp_path / "text.mp4", "-o", tmp_path / "d", *FAST)
    assert again.returncode == 1
    assert "quarantined by an earlier run" in again.stderr
    assert run_here("retry", tmp_path / "d").returncode == 0
    assert run_here("status", tmp_path / "d").returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["gone.mp4"], "no such file or folder", id="missing_path"),
        pytest.param(["empty"], "holds no films", id="empty_folder"),
        pytest.param(["*.mp4"], "no file matches", id="glob_without_a_match"),
        pytest.param(["film.dat", "--generator", "random-65"], "random-65", id="unknown_generator"),
        pytest.param(["film.dat", "--generator", "gone.safetensors"], "gone.safetensors", id="missing_generator"),
        pytest.param(["film.dat", "--method", "magic"], "inversion.method", id="unknown_method"),
        pytest.param(["film.dat", "--set", "faces.speed=3"], "faces.speed", id="unknown_setting"),
        pytest.param(["film.dat", "--emotion", "gone.onnx"], "gone.onnx", id="missing_emotion_network"),
        pytest.param(["film.dat", "--config", "gone.yaml"], "gone.yaml", id="missing_config"),
        pytest.param(["film.dat", "-o", "film.dat"], "is a file", id="dataset_is_a_file"),
        pytest.param(["film.dat", "-o", "foreign"], "holds other files", id="dataset_is_someone_elses"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    """In this process: a new one for each takes three seconds, and test_another_configuration_is_refused has one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.doc").touch()
    (tmp_path / "film.dat").write_text("x")
    words = words if "-o" in words else [*words, "-o", "dataset"]
    done = CliRunner().invoke(app, ["invert", *words])
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("latentreel: ")
    assert says in line


def test_another_configuration_is_refused(latentreel: Run, movie: Path, undisturbed: Path) -> None:
    done = latentreel("invert", movie, "-o", undisturbed, *FAST, "--method", "naive")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("latentreel: ")
    assert "inversion.method: naive, not sequential" in line
