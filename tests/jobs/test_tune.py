"""latentreel generator tune, and what it makes drawn by `render`."""

from pathlib import Path

import numpy as np
import pytest

from jobs.render import compared_frames, find_track, render
from jobs.track_pictures import TrackPictures, inverted_film
from jobs.tune import tune
from operators.stylegan.checkpoint import load_generator
from operators.video.frame_source import FrameSource
from pipeline.read import open_dataset
from schemas.errors import WrongUse
from tests.runs import run_here

SETTINGS = {"steps": 150, "learning_rate": 5e-3, "perceptual": "pyramid", "every": 50}


@pytest.fixture(scope="module")
def track(undisturbed: Path) -> str:
    return str(sorted(open_dataset(str(undisturbed)).tracks["track_id"].to_pylist())[0])


@pytest.fixture(scope="module")
def tuned(undisturbed: Path, track: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    assert tune(str(undisturbed), track, output=str(folder), settings=SETTINGS, command="the command") == 0
    return folder / "generator.safetensors"


def _psnr(dataset: str, track_id: str, generator: str | None) -> tuple[list[float], list[float]]:
    """Of each frame, as the film shows it and as the table has it."""
    opened = open_dataset(dataset)
    row = find_track(opened, track_id)
    place = {"uri": row["uri"], "video_id": row["video_id"], "n_bytes": row["bytes"]}
    with FrameSource() as source, inverted_film(source, **place) as (video, path):
        filmed = source.read(video, path, first_frame=row["first_frame"], n_frames=row["n_frames"])
        shown = [frame.psnr for frame in compared_frames(opened, row, TrackPictures(opened, generator), filmed)]
    sql = f"select psnr from frames where track_id = '{track_id}' order by frame_index"
    return shown, [value for (value,) in opened.sql(sql).fetchall()]


def test_the_track_is_drawn_better_by_the_tuned_generator(undisturbed: Path, track: str, tuned: Path) -> None:
    shown, stored = _psnr(str(undisturbed), track, str(tuned))
    assert len(shown) == len(stored)
    assert np.mean(shown) > np.mean(stored) + 1


def test_the_datasets_own_generator_as_another_one_shows_what_the_table_says(undisturbed: Path, track: str) -> None:
    """So that the figures of another one are measured as those in the table are."""
    shown, stored = _psnr(str(undisturbed), track, "random-32")
    assert shown == pytest.approx(stored, abs=0.05)


def test_the_card_says_what_it_was_tuned_from_and_to(tuned: Path, track: str) -> None:
    card = (tuned.parent / "generator.md").read_text()
    for words in ("| tuned from | random-32-seed0 (random-32) |", f"| track | {track}, ", "the command", "not LPIPS"):
        assert words in card
    assert load_generator(str(tuned)).resolution == 32


@pytest.mark.parametrize("paste", [pytest.param([], id="beside"), pytest.param(["--paste"], id="pasted")])
def test_render_takes_it(undisturbed: Path, track: str, tuned: Path, tmp_path: Path, paste: list[str]) -> None:
    films = []
    for name, words in (("own", []), ("tuned", ["--generator", str(tuned)])):
        done = run_here("render", undisturbed, track, "-o", tmp_path / f"{name}.mp4", *paste, *words)
        assert done.returncode == 0, done.stderr
        films.append((tmp_path / f"{name}.mp4").read_bytes())
    assert films[0] != films[1]


def test_the_command_tunes_and_goes_on(undisturbed: Path, track: str, tmp_path: Path) -> None:
    words = ("generator", "tune", "--on", undisturbed, "--track", track[-9:], "-o", tmp_path / "t")
    quick = ("--set", "steps=2", "--set", "perceptual=pyramid")
    done = run_here(*words, *quick)
    assert done.returncode == 0, done.stderr
    assert "dB before" in done.stdout
    assert {path.name for path in (tmp_path / "t").iterdir()} >= {"generator.safetensors", "generator.md", "strip.png"}
    again = run_here(*words, *quick)
    assert again.returncode == 0
    other = run_here(*words, "--set", "steps=3", "--set", "perceptual=pyramid")
    assert other.returncode == 2
    assert "holds a run with other settings (steps: 3, not 2)" in other.stderr


@pytest.mark.parametrize(
    ("case", "words"),
    [
        pytest.param("track", "track nobody: none ends so; the nearest are", id="unknown_track"),
        pytest.param("inside", "a dataset takes no other files", id="into_the_dataset"),
        pytest.param("file", "is a file; give a folder for the run", id="a_file"),
        pytest.param("setting", "setting pace: unknown; give steps, ", id="unknown_setting"),
    ],
)
def test_wrong_use_is_one_line(undisturbed: Path, track: str, tmp_path: Path, case: str, words: str) -> None:
    output, settings, name = str(tmp_path / "t"), dict(SETTINGS), track
    if case == "track":
        name = "nobody"
    elif case == "inside":
        output = str(undisturbed / "tuned")
    elif case == "file":
        (tmp_path / "t").write_text("")
    else:
        settings["pace"] = 3
    with pytest.raises(WrongUse, match=words) as caught:
        tune(str(undisturbed), name, output=output, settings=settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("generator", "track_named", "words"),
    [
        pytest.param("random-64", True, "takes 10 styles of 512, and the dataset's latents are 8 of 512", id="sizes"),
        pytest.param("puppet-128", True, "takes 12 styles of 256", id="widths"),
        pytest.param("random-32", False, "--generator: a sheet shows what the dataset's own draws", id="sheet"),
    ],
)
def test_render_refuses_a_generator_of_other_latents(
    undisturbed: Path, track: str, tmp_path: Path, generator: str, track_named: bool, words: str
) -> None:
    name = "x.mp4" if track_named else "x.png"
    with pytest.raises(WrongUse, match=words):
        render(str(undisturbed), track if track_named else None, output=str(tmp_path / name), generator=generator)
    assert list(tmp_path.iterdir()) == []
