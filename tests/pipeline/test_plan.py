"""What needs work: every source ends in exactly one list."""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.create_tables import open_or_create
from pipeline.plan import plan_videos
from pipeline.tables import Tables
from tests import builders

NOBODY = 65534


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    job, canonical = builders.job(str(tmp_path / "dataset"))
    return open_or_create(job, canonical, anew=False)[0]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"one")
    (folder / "b.mp4").write_bytes(b"two")
    (folder / "twin-of-a.mp4").write_bytes(b"one")
    return folder


def test_a_film_is_its_content(films: Path, tables: Tables) -> None:
    plan = plan_videos((str(films),), tables)
    assert [Path(task.uri).name for task in plan.todo] == ["a.mp4", "b.mp4"]
    assert {Path(a).name: Path(b).name for a, b in plan.doubles.items()} == {"twin-of-a.mp4": "a.mp4"}
    assert [task.bytes for task in plan.todo] == [3, 3]
    (films / "a.mp4").rename(films / "c.mp4")
    again = plan_videos((str(films),), tables)
    assert {task.video_id for task in again.todo} == {task.video_id for task in plan.todo}


def test_a_pipe_and_a_loop_are_named_and_do_not_hang(films: Path, tables: Tables) -> None:
    os.mkfifo(films / "pipe.mp4")
    (films / "loop.mp4").symlink_to(films / "loop.mp4")
    plan = plan_videos((str(films / "pipe.mp4"), str(films / "loop.mp4"), str(films / "a.mp4")), tables)
    assert len(plan.todo) == 1
    assert sorted(Path(problem.source).name for problem in plan.problems) == ["loop.mp4", "pipe.mp4"]
    assert all("\n" not in problem.message for problem in plan.problems)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own may not be."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_file_without_permission_is_named(open_folder: Path) -> None:
    secret = open_folder / "secret.mp4"
    secret.write_bytes(b"x")
    secret.chmod(0)
    context = multiprocessing.get_context("fork")  # the child keeps what is imported: it may not read it any more
    queue = context.SimpleQueue()
    child = context.Process(target=_identify_as_nobody, args=(str(secret), queue))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    message, is_lasting = queue.get()
    assert "permission denied" in message.lower()
    assert is_lasting


def _identify_as_nobody(path: str, queue: "multiprocessing.SimpleQueue[tuple[str, bool]]") -> None:
    from pipeline.plan import _identify
    from pipeline.sources import Problem

    os.setuid(NOBODY)
    outcome = _identify(path)
    assert isinstance(outcome, Problem), f"read it all the same: {outcome}"
    queue.put((outcome.message, outcome.is_lasting))
