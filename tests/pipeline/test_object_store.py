"""The same laws and the same job on a local folder and on object stores, which are real servers."""

import json
import multiprocessing
import os
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import latentreel as front_door
from pipeline.create_tables import open_or_create
from pipeline.plan import plan_videos
from pipeline.read import open_dataset
from pipeline.sources import expand_sources
from pipeline.storage_options import checked_options, delta_options, open_filesystem
from pipeline.store import Store
from pipeline.tables import Tables
from schemas.errors import WrongUse
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset
from tests.runs import FAST, Run, assert_equal_datasets
from tests.s3_server import SECRET, S3Server, without_aws


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that leads to no object store."""
    for name in os.environ.keys() | without_aws({}).keys():
        if name.startswith("AWS_"):
            monkeypatch.delenv(name, raising=False)
    for name, value in without_aws({}).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3: S3Server, nowhere: None, request: pytest.FixtureRequest) -> str:
    """Of this test alone."""
    return s3.make_bucket(f"b{abs(hash(request.node.nodeid)):x}")


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server) -> Store:
    if request.param == "s3":
        return Store(request.getfixturevalue("bucket") + "/deep/data", s3.options)
    return Store(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def _again(store: Store) -> Store:
    """Another process's."""
    return Store(store.root, store.storage_options)


def test_what_is_written_is_read(store: Store) -> None:
    assert not store.exists("a/b.bin")
    for content in (b"one", b"two", b""):
        store.write("a/b.bin", content)
        assert (store.read("a/b.bin"), store.size("a/b.bin")) == (content, len(content))
    assert (store.names("a"), store.folders(""), store.names("")) == (["b.bin"], ["a"], [])
    assert (store.exists("a/b.bin"), store.exists("a/c.bin"), store.is_folder("a")) == (True, False, True)


def test_the_first_writer_wins(store: Store) -> None:
    assert store.write_once("x.json", b"first")
    assert not _again(store).write_once("x.json", b"second")
    assert store.read("x.json") == b"first"


def test_what_others_write_and_remove_is_seen_at_once(store: Store) -> None:
    other = _again(store)
    assert (store.names("a"), store.exists("a/x"), store.folders("")) == ([], False, [])
    other.write("a/x", b"1")
    assert (store.names("a"), store.exists("a/x"), store.folders("")) == (["x"], True, ["a"])
    other.remove_folder("a")
    assert (store.names("a"), store.exists("a/x"), store.is_folder("a")) == ([], False, False)


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else(store: Store) -> None:
    for name in ("a/x", "a/deep/y", "ab/z"):
        store.write(name, b"1")
    store.remove_folder("a")
    store.remove_folder("a")
    assert (store.folders(""), store.names("ab")) == (["ab"], ["z"])


def test_a_folder_that_a_console_made_is_empty(s3: S3Server, bucket: str) -> None:
    store = Store(f"{bucket}/data", s3.options)
    store.filesystem.pipe_file(f"{bucket}/data/", b"")  # an object of that name is how consoles keep a folder
    assert (store.names(""), store.folders("")) == ([], [])
    make_dataset(f"{bucket}/data", [], _job(f"{bucket}/data", s3))


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


N_PROCESSES, N_FILMS = 3, 3


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
    from deltalake.exceptions import CommitFailedError

    tables = make_dataset(f"{bucket}/d", [], _job(f"{bucket}/d", s3))
    log = "videos/_delta_log/00000000000000000001.json"
    stale = tables.open("videos")
    commit_film(tables, _job(f"{bucket}/d", s3), KnownFilm(video_id=A, status="quarantined"))
    winner = tables.store.read(log)
    from deltalake import CommitProperties

    with pytest.raises(CommitFailedError):
        stale.create_write_transaction(
            [], "append", stale.schema(), commit_properties=CommitProperties(max_commit_retries=0)
        )
    assert tables.store.read(log) == winner


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
