"""Processes that write to a dataset, tidy it and clean it, all at once. Nothing heavy is imported here."""

import time
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from pipeline import compact as compaction
from pipeline.commit import commit
from pipeline.compact import compact
from pipeline.rewrite import drop_films
from pipeline.staging import Staging
from pipeline.tables import Tables
from pipeline.vacuum import vacuum
from schemas.job import Job
from schemas.tables import TableName
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film


def compact_and_hang(root: str, merged: str) -> None:
    """Compacts all but `videos`, makes the file `merged`, and waits to be killed."""

    def hang(tables: Tables, name: TableName, *args: Any, **kwargs: Any) -> int:
        if name == "videos":
            Path(merged).touch()
            time.sleep(600)
        return commit(tables, name, *args, **kwargs)

    vars(compaction)["commit"] = hang
    compact(Tables(root, {}))


def write_films(root: str, letter: str, n_films: int, all_are_there: Barrier) -> None:
    """Commits films. One of three takes the place of the last one, one is dropped and committed again."""
    job, tables = builders.job(root)[0], Tables(root, {})
    all_are_there.wait()
    last = ""
    for n in range(n_films):
        known = KnownFilm(video_id=f"{letter}{n:031d}", tracks=[KnownTrack(n_frames=3 + n % 5)])
        _work(tables, job, known, replaces=(last,) if n % 3 == 1 else ())
        if n % 3 == 2:
            drop_films(tables, [known.video_id], config_id=job.config_id, what="test")
            _work(tables, job, known)
        last = known.video_id


def _work(tables: Tables, job: Job, known: KnownFilm, replaces: tuple[str, ...] = ()) -> None:
    """A film is staged from before its first file is written until after its row is there."""
    staging = Staging(tables.store, job.config_id, known.video_id)
    tables.store.write(f"{staging.folder}/cut.parquet", b"")
    commit_film(tables, job, known, replaces=replaces)
    staging.clear()


def compact_until(root: str, done: Event, all_are_there: Barrier) -> None:
    """Again and again."""
    all_are_there.wait()
    while not done.is_set():
        compact(Tables(root, {}))


def vacuum_until(root: str, done: Event, all_are_there: Barrier) -> None:
    """Again and again, with no limit at all."""
    all_are_there.wait()
    while not done.is_set():
        vacuum(Tables(root, {}), older_than_s=0)
