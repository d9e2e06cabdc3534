"""docs/reading.md: every block of Python on it runs and reads the rows of committed films, and only those."""

import ast
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipeline.read import open_dataset
from schemas.tables import track_id
from tests import builders, datasets
from tests.conftest import REPO
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset

PAGE = (REPO / "docs" / "reading.md").read_text()
RECIPES: dict[str, str] = dict(
    re.findall(r"^##+ ([^\n]+?)\n(?:(?!^##).)*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
)

DIGITS, HALF = "1" * 32, "b" * 32  # an id that readers which guess would take for a number
FILMS = [
    KnownFilm(
        video_id=DIGITS,
        tracks=[
            KnownTrack(n_frames=60, emotion=3, filled=(10,)),
            KnownTrack(n_frames=40, shot_index=1, first_frame=60, psnr=20, emotion=None),
        ],
    ),
    KnownFilm(video_id="a" * 32, tracks=[KnownTrack(n_frames=30)]),
    KnownFilm(video_id="d" * 32, status="quarantined"),
]
FIRST, SECOND, THIRD = (track_id(*of) for of in ((DIGITS, 0, 0), (DIGITS, 1, 0), ("a" * 32, 0, 0)))
SHAPE = (builders.NUM_WS, builders.W_DIM)
Names = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a dataset in it, in which a film is committed but for its row in `videos`."""
    path = tmp_path_factory.mktemp("recipes")
    tables = make_dataset(str(path / "dataset"), FILMS)
    half = KnownFilm(video_id=HALF, tracks=[KnownTrack(n_frames=50)])
    with (
        mock.patch.object(datasets, "commit_video", side_effect=InterruptedError),
        pytest.raises(InterruptedError),
    ):
        commit_film(tables, builders.job(str(path / "dataset"))[0], half)
    commit_film(tables, builders.job(str(path / "dataset"))[0], KnownFilm(video_id="e" * 32))
    return path


def _run(heading: str) -> Names:
    names: Names = {}
    exec(compile(RECIPES[heading], heading, "exec"), names)
    return names


def _python(found: Names) -> None:
    names = found["tracks"]["track_id"].to_pylist()
    assert sorted(names) == sorted([FIRST, SECOND, THIRD])
    assert found["best"].psnr.tolist() == [30, 30, 20]
    n_frames = {FIRST: 60, SECOND: 40, THIRD: 30}[names[0]]
    assert (found["w"].shape, (found["num_ws"], found["w_dim"])) == ((n_frames, *SHAPE), SHAPE)


def _windows(found: Names) -> None:
    # FIRST has a gap at 10: runs of 10 and 49 frames; SECOND is too bad; THIRD has 30
    assert sorted(set(_first_frames(found["loader"]))) == sorted(
        [(FIRST, i) for i in (11, 16, 21, 26, 31)] + [(THIRD, i) for i in (0, 5)]
    )
    assert found["batch"]["w"].shape[1:] == (25, *SHAPE)
    assert found["batch"]["emotion"].shape[1:] == (25,)


def _first_frames(loader: Any) -> Iterator[tuple[str, int]]:
    for batch in loader:
        yield from zip(batch["track_id"], batch["frame_index"][:, 0].tolist(), strict=True)


def _resumed(found: Names) -> None:
    """Five batches, then five more in a run that knows the first by its state alone."""
    again = _run("In the middle of an epoch")
    windows = found["windows"]
    loader = type(found["loader"])(windows, batch_size=2, num_workers=2, collate_fn=found["collate"])
    at_once = [window for window, _ in zip(_first_frames(loader), range(100), strict=False)]
    both = found["seen"] + again["seen"]
    assert len(found["seen"]) > 0 < len(again["seen"])
    assert both == at_once[: len(both)]


def _hugging_face(found: Names) -> None:
    rows = [(row["track_id"], int(row["frame_index"]), float(row["w"][-1])) for row in found["latents"]]
    expected = [(FIRST, i) for i in range(60)] + [(SECOND, i) for i in range(60, 100)] + [(THIRD, i) for i in range(30)]
    assert sorted(rows) == sorted((name, i, float(i)) for name, i in expected)
    assert tuple(found["first"].shape) == SHAPE


def _polars(found: Names) -> None:
    assert found["tracks"].collect()["track_id"].sort().to_list() == sorted([FIRST, SECOND, THIRD])
    latents = found["latents"].sort("frame_index")
    assert latents["video_id"].unique().to_list() == [DIGITS]
    assert latents["w"].list.first().to_list() == list(range(60))
    assert found["frames"].collect().height == 130


def _pyarrow(found: Names) -> None:
    assert (found["rows"], found["w"].shape[1]) == (129, SHAPE[0] * SHAPE[1])
    assert set(found["frames"].to_table(["video_id"])["video_id"].to_pylist()) == {DIGITS, "a" * 32}
    assert sorted(found["tracks"]["track_id"].to_pylist()) == sorted([FIRST, SECOND, THIRD])


def _pandas(found: Names) -> None:
    assert sorted(found["tracks"].track_id) == sorted([FIRST, SECOND, THIRD])
    assert found["screen"].values.tolist() == [[FIRST, 59], [SECOND, 40], [THIRD, 30]]
    assert sorted(zip(found["cuts"].video_id, found["cuts"].shot_index, strict=True)) == [
        (DIGITS, 0),
        (DIGITS, 1),
        ("a" * 32, 0),
    ]


def _spark(found: Names) -> None:
    assert (found["frames"].count(), found["tracks"].count()) == (130, 3)


CHECKS: dict[str, Callable[[Names], None]] = {
    "Python": _python,
    "Windows, for training": _windows,
    "In the middle of an epoch": _resumed,
    "Hugging Face datasets": _hugging_face,
    "Polars": _polars,
    "pyarrow": _pyarrow,
    "pandas and DuckDB": _pandas,
    "Spark": _spark,
}


def _missing(code: str) -> list[str]:
    """Packages that a recipe imports and that are not at hand."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
    return sorted(name for name in {name.split(".")[0] for name in imported} if importlib.util.find_spec(name) is None)


@pytest.mark.parametrize("heading", CHECKS)
def test_a_recipe_reads_committed_films(
    folder: Path, heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := _missing(RECIPES[heading]):
        pytest.skip(f"{heading}: no package {', '.join(missing)} here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # nothing is fetched; without it each start asks the hub
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "dataset").symlink_to(folder / "dataset")
    monkeypatch.chdir(tmp_path)
    CHECKS[heading](_run(heading))


@pytest.mark.slow
def test_the_recipe_for_ray(folder: Path, ray_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    (tmp_path / "dataset").symlink_to(folder / "dataset")
    monkeypatch.chdir(tmp_path)
    ray.init(address=ray_address, log_to_driver=False)
    try:
        found = _run("Ray")
        assert found["rows"] == 60 + 30
        rows = open_dataset("dataset").ray("emotion is null").take_all()
    finally:
        ray.shutdown()
    assert sorted(int(row["frame_index"]) for row in rows) == list(range(60, 100))
    assert {(row["track_id"], row["video_id"]) for row in rows} == {(SECOND, DIGITS)}
    assert all(row["w"].shape == SHAPE and (row["w"] == row["frame_index"]).all() for row in rows)


def test_every_block_is_a_recipe_that_is_tested() -> None:
    assert PAGE.count("```python") == len(RECIPES)
    assert set(RECIPES) == {*CHECKS, "Ray"}
