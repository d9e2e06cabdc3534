"""The command as a user runs it, on the movie that the project makes itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from operators.puppets.astronaut import write_astronaut_movie
from pipeline.read import open_dataset
from schemas.tables import TABLES

Run = Callable[..., subprocess.CompletedProcess[str]]

# Few steps: these tests ask whether rows arrive whole and once, not how good they are.
FAST = ("--set", "inversion.first_steps=12", "--set", "inversion.next_steps=3", "--set", "faces.supersample=1")


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "latentreel", *map(str, words)]


@pytest.fixture(scope="session")
def latentreel() -> Run:
    def run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(
            command(*words), check=False, capture_output=True, text=True, env=environment, timeout=300, **options
        )

    return run


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "astronaut.mp4"
    write_astronaut_movie(path)
    return path


@pytest.fixture(scope="session")
def undisturbed(latentreel: Run, movie: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made by one worker in one go: what every other way of making it has to equal."""
    dataset = tmp_path_factory.mktemp("undisturbed") / "dataset"
    done = latentreel("invert", movie, "-o", dataset, "--workers", "1", *FAST)
    assert done.returncode == 0, done.stderr
    return dataset


def rows(dataset: Path) -> dict[str, pa.Table]:
    """All tables, sorted, without what differs from run to run by its nature."""
    opened = open_dataset(str(dataset))
    found: dict[str, pa.Table] = {}
    for name in TABLES:
        table = opened.table(name)
        keys = [(key, "ascending") for key in ("video_id", "shot_index", "track_id", "frame_index")]
        table = table.sort_by([key for key in keys if key[0] in table.column_names])
        found[name] = table.drop_columns([c for c in ("run_id", "committed_at") if c in table.column_names])
    return found


def data_files(dataset: Path) -> set[str]:
    """The committed files of `frames`: named by their content, so equal names are equal bytes."""
    uris = open_dataset(str(dataset)).tables.open("frames").file_uris()
    return {Path(uri).name for uri in uris}


def assert_equal_datasets(a: Path, b: Path) -> None:
    ours, theirs = rows(a), rows(b)
    for name in TABLES:
        assert ours[name].num_rows == theirs[name].num_rows, name
        assert ours[name].equals(theirs[name]), name
    assert data_files(a) == data_files(b)
