"""The command as a user runs it, and datasets compared row by row."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from typer.testing import CliRunner

from jobs.cli import app
from jobs.describe_job import describe_job
from jobs.exit_codes import settings
from pipeline.create_tables import open_or_create
from pipeline.finalise import finalise
from pipeline.people import name_people
from pipeline.read import Dataset, open_dataset
from schemas.config import load_config
from schemas.tables import TABLES
from tests.without_engine import input_of, work_without_engine

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# Few steps and small faces: these tests ask whether rows arrive whole and once, not how good they are.
FAST = tuple(
    word
    for setting in (
        "generator=random-32",
        "inversion.first_steps=12",
        "inversion.next_steps=3",
        "inversion.prior_samples=1000",
        "faces.detect_px=512",
        "faces.supersample=1",
    )
    for word in ("--set", setting)
)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "latentreel", *map(str, words)]


def run_command(
    *words: str | Path, environment: Mapping[str, str] = os.environ, **options: Any
) -> "subprocess.CompletedProcess[str]":
    environment = {**environment, "COLUMNS": "200"}
    return subprocess.run(
        command(*words), check=False, capture_output=True, text=True, env=environment, timeout=300, **options
    )


def _opened(dataset: Path | Dataset) -> Dataset:
    return dataset if isinstance(dataset, Dataset) else open_dataset(str(dataset))


def run_here(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """The same in this process: its imports are done. One at a time."""
    done = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def make_undisturbed(films: list[Path], dataset: Path) -> Path:
    """A dataset made in one process, one stage after the other, without Ray: what every other way has to equal."""
    job, canonical = describe_job(load_config(None, settings(list(FAST[1::2]))), str(dataset))
    tables, _ = open_or_create(job, canonical, anew=False)
    for film in map(input_of, films):
        work_without_engine(film, job)
        assert finalise(film, job).status == "committed"
    name_people(tables)
    return dataset


def rows(dataset: Path | Dataset) -> dict[str, pa.Table]:
    """All tables, sorted, without what differs from run to run by its nature."""
    opened = _opened(dataset)
    found: dict[str, pa.Table] = {}
    for name in TABLES:
        table = opened.table(name)
        keys = [(key, "ascending") for key in ("video_id", "shot_index", "track_id", "frame_index")]
        table = table.sort_by([key for key in keys if key[0] in table.column_names])
        by_nature = ("run_id", "committed_at", "person_id")  # a person is named after a track of the first run
        found[name] = table.drop_columns([column for column in by_nature if column in table.column_names])
    return found


def data_files(dataset: Path | Dataset) -> set[str]:
    """The committed files of `frames`: named by their content, so equal names are equal bytes."""
    return {Path(file.path).name for file in _opened(dataset).files("frames")}


def assert_equal_datasets(a: Path | Dataset, b: Path | Dataset, *, but: tuple[str, ...] = ()) -> None:
    """Takes: columns that may differ, as `uri` of the same film in two places."""
    ours, theirs = rows(a), rows(b)
    for name in TABLES:
        ours[name], theirs[name] = (
            table.drop_columns([column for column in but if column in table.column_names])
            for table in (ours[name], theirs[name])
        )
        assert ours[name].num_rows == theirs[name].num_rows, name
        assert ours[name].equals(theirs[name]), name
    assert data_files(a) == data_files(b)
