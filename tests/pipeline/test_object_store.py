"""The same job on object stores, which are real servers spoken to over HTTP. The laws of a store: test_store.py."""

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError

import latentreel as front_door
from pipeline.create_tables import open_or_create
from pipeline.read import open_dataset
from pipeline.store import Store
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset
from tests.runs import FAST, Run, assert_equal_datasets
from tests.s3_server import SECRET, S3Server, without_aws


def _job(url: str, s3: S3Server) -> Any:
    return replace(builders.job(url)[0], storage_options=s3.options)


A, B = "a" * 32, "b" * 32


def _film(video_id: str) -> KnownFilm:
    tracks = [KnownTrack(n_frames=10), KnownTrack(n_frames=5, shot_index=1, first_frame=100)]
    return KnownFilm(video_id=video_id, tracks=tracks)


@pytest.mark.parametrize("folder", ["plain", "with [brackets], 'quotes' and x=1"])
def test_sql_and_latents_from_an_object_store(s3: S3Server, bucket: str, folder: str) -> None:
    """`frames` lies in partitions: the film's id is in the path alone."""
    url = f"{bucket}/{folder}"
    make_dataset(url, [_film(A), _film(B)], _job(url, s3))
    dataset = front_door.open(url, storage_options=s3.options)
    counts = dataset.sql("select video_id, count(*), max(w[1]) from frames group by 1 order by 1").fetchall()
    assert counts == [(A, 15, 104.0), (B, 15, 104.0)]
    assert dataset.track(f"{A}-00001-000")[:, 0, 0].tolist() == [100, 101, 102, 103, 104]


def test_a_folder_that_a_console_made_takes_a_dataset(s3: S3Server, bucket: str) -> None:
    Store(bucket, s3.options).filesystem.pipe_file(f"{bucket}/data/", b"")
    assert make_dataset(f"{bucket}/data", [], _job(f"{bucket}/data", s3)).exist()


N_PROCESSES, N_FILMS = 2, 5


def _commit_films(url: str, options: dict[str, str], process: int, gate: Any) -> None:
    """Films of its own, and one that all processes want."""
    job, canonical = builders.job(url)
    job = replace(job, storage_options=options)
    gate.wait()
    tables, _ = open_or_create(job, canonical, anew=False)
    for name in (*(f"{process:016x}{i:016x}" for i in range(N_FILMS)), "f" * 32):
        commit_film(tables, job, KnownFilm(video_id=name, status="quarantined"))


def test_processes_that_commit_at_once_lose_nothing_and_double_nothing(s3: S3Server, bucket: str) -> None:
    """They make the dataset at the same moment, too."""
    context = multiprocessing.get_context("spawn")
    gate, url = context.Barrier(N_PROCESSES), f"{bucket}/data"
    processes = [context.Process(target=_commit_films, args=(url, s3.options, i, gate)) for i in range(N_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * N_PROCESSES
    dataset = open_dataset(url, s3.options)
    found = [name for (name,) in dataset.sql("select video_id from videos order by 1").fetchall()]
    assert found == [*(f"{p:016x}{i:016x}" for p in range(N_PROCESSES) for i in range(N_FILMS)), "f" * 32]
    assert dataset.version == len(found), "each film is one version, and so is the making of the dataset"


def test_of_two_commits_to_one_version_one_wins(s3: S3Server, bucket: str) -> None:
    """Both processes have looked at the same version; on S3 as on a disk the later put is refused."""
    tables = make_dataset(f"{bucket}/d", [], _job(f"{bucket}/d", s3))
    log = "videos/_delta_log/00000000000000000001.json"
    stale = tables.open("videos")
    commit_film(tables, _job(f"{bucket}/d", s3), KnownFilm(video_id=A, status="quarantined"))
    winner = tables.store.read(log)
    with pytest.raises(CommitFailedError):
        stale.create_write_transaction(
            [], "append", stale.schema(), commit_properties=CommitProperties(max_commit_retries=0)
        )
    assert tables.store.read(log) == winner


@pytest.mark.slow
def test_a_job_on_an_object_store_equals_a_job_on_a_disk(
    latentreel: Run, movie: Path, undisturbed: Path, s3: S3Server, nowhere: None
) -> None:
    """Film and dataset in two buckets, credentials in the environment alone."""
    films, url = s3.make_bucket("films"), s3.make_bucket("data") + "/dataset"
    Store(films, s3.options).write("new/astronaut.mp4", movie.read_bytes())
    environment = s3.environment()
    done = latentreel("invert", f"{films}/new", "-o", url, "--workers", "1", *FAST, environment=environment)
    assert done.returncode == 0, done.stderr
    dataset = front_door.open(url, storage_options=s3.options)  # this process has no credentials of its own
    assert_equal_datasets(dataset, undisturbed, but=("uri",))
    assert dataset.videos["uri"].to_pylist() == [f"{films}/new/astronaut.mp4"]

    asked = latentreel("query", url, "select count(*) as n from frames", "--format", "csv", environment=environment)
    assert (asked.returncode, asked.stdout.split()) == (0, ["n", str(dataset.frames.num_rows)])
    given = [word for name, value in s3.options.items() for word in ("--storage-option", f"{name}={value}")]
    said = latentreel("status", url, *given, environment=without_aws(os.environ))
    assert (said.returncode, "committed" in said.stdout) == (0, True), said.stderr

    assert SECRET not in done.stdout + done.stderr + asked.stdout + asked.stderr + said.stdout + said.stderr
    files = dataset.tables.store.filesystem.find(url)
    assert files
    assert not [name for name in files if SECRET.encode() in dataset.tables.store.filesystem.cat_file(name)]
