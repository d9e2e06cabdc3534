"""Sources that are no readable file: each has a row, once, until a film that can be read lies there."""

import os
import shutil
from pathlib import Path

import pytest

from jobs.ingest import _with_replaced
from jobs.status import status
from pipeline.changes import changes
from pipeline.create_tables import open_or_create
from pipeline.finalise import quarantine
from pipeline.plan import plan_videos
from pipeline.read import open_dataset
from pipeline.refused import commit_refused
from pipeline.tables import Tables
from schemas.job import Job
from schemas.outcomes import ErrorRow
from tests import builders


@pytest.fixture
def made(tmp_path: Path) -> tuple[Job, Tables]:
    job, canonical = builders.job(str(tmp_path / "dataset"))
    return job, open_or_create(job, canonical, anew=False)[0]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "folder.mp4").mkdir(parents=True)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "good.mp4").write_bytes(b"not opened here")
    return folder


def _rows(job: Job) -> list[tuple[str, str, str, str]]:
    found = open_dataset(job.dataset).sql("select uri, status, stage, reason from videos order by uri").fetchall()
    return [(Path(uri).name, *others) for uri, *others in found]


PIPE = ("pipe.mp4", "quarantined", "source", "is a pipe or a device, not a file; copy what it gives to a file first")
FOLDER = ("folder.mp4", "quarantined", "source", "is a folder, not a film; name the folder itself, or the films in it")


@pytest.mark.parametrize("named", [pytest.param(False, id="in_a_folder"), pytest.param(True, id="named_each")])
def test_what_is_no_file_gets_one_row(made: tuple[Job, Tables], films: Path, named: bool) -> None:
    job, tables = made
    sources = tuple(map(str, sorted(films.iterdir()))) if named else (str(films),)
    for _ in range(2):
        plan = plan_videos(sources, tables)
        assert [Path(task.uri).name for task in plan.todo] == ["good.mp4"]
        commit_refused(plan.problems, job)
        assert _rows(job) == [FOLDER, PIPE]
    assert status(job.dataset) == 1


def test_what_may_pass_gets_none(made: tuple[Job, Tables], tmp_path: Path) -> None:
    job, tables = made
    plan = plan_videos((str(tmp_path / "no-such-film.mp4"),), tables)
    assert len(plan.problems) == 1
    commit_refused(plan.problems, job)
    assert _rows(job) == []


@pytest.mark.parametrize("command", ["invert", "ingest"])
def test_the_row_goes_when_a_film_can_be_read_there(made: tuple[Job, Tables], films: Path, command: str) -> None:
    """Even where that film is a bad one, which takes no good film's place."""
    job, tables = made
    commit_refused(plan_videos((str(films),), tables).problems, job)
    (films / "pipe.mp4").unlink()
    shutil.copy(films / "good.mp4", films / "pipe.mp4")
    with (films / "pipe.mp4").open("ab") as file:
        file.write(b"another film")
    plan = plan_videos((str(films / "pipe.mp4"),), tables)
    (task,) = plan.todo
    if command == "ingest":
        rows = ((video_id, row.uri) for video_id, row in plan.rows.items())
        task = _with_replaced(task, changes(rows, plan.held, plan.listing, lambda uri: Path(uri).exists()))
    error = ErrorRow(
        video_id=task.video_id,
        uri=task.uri,
        stage="probe",
        segment_index=None,
        error_type="BadInput",
        message="is text",
        permanent=True,
    )
    quarantine(task, job, error)
    assert [row[:3] for row in _rows(job)] == [FOLDER[:3], ("pipe.mp4", "quarantined", "probe")]
