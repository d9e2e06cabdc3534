"""compact, vacuum and history as commands, and all of them at once with jobs that write."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.compact import compact_dataset
from jobs.history import print_history
from jobs.status import status
from jobs.vacuum import seconds, vacuum_dataset
from pipeline import finalise
from pipeline.create_tables import open_or_create
from pipeline.history import history
from pipeline.read import open_dataset
from pipeline.rewrite import drop_films
from schemas.errors import WrongUse
from schemas.tables import TABLES
from tests import builders
from tests.datasets import commit_film, make_dataset
from tests.faults import maintenance
from tests.pipeline.test_compact import film, rows_of
from tests.s3_server import S3Server

A, B = "a" * 32, "b" * 32


def test_the_commands_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path)
    tables = make_dataset(path, [film(A, 3), film(B, 4)])
    assert compact_dataset(path) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["frames", "0", "0"],
        ["shots", "2", "1"],
        ["tracks", "2", "1"],
        ["videos", "2", "1"],
    ]
    for dry_run, says in ((True, "would be free"), (False, "are free")):
        assert vacuum_dataset(path, older_than="0s", dry_run=dry_run) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [int(line.split()[1]) for line in lines[1:-1]] == [0, 2, 2, 2, 0, 0, 0]
        assert says in lines[-1]
    assert print_history(path, limit=3) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    version = tables.open("videos").version()
    assert [line.split()[0] for line in lines] == [str(version - i) for i in range(3)]
    assert [" yes " in line for line in lines] == [True, True, False]
    assert "vacuumed 6 files" in lines[0]


def test_status_of_an_old_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = make_dataset(str(tmp_path), [film(A, 3), film(B, 4)])
    drop_films(tables, [A, B], config_id=builders.job(str(tmp_path))[0].config_id, what="test")
    counts = []
    for version in (1, 2, None):
        status(str(tmp_path), version=version)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        fates = {line[0]: int(line[1]) for line in lines if line and line[0] == "committed"}
        n_files = {line[0]: int(line[2]) for line in lines if line and line[0] in TABLES}
        counts.append((fates.get("committed", 0), n_files["frames"]))
    assert counts == [(1, 1), (2, 2), (0, 0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7d", 604_800), ("12h", 43_200), ("90m", 5_400), ("0s", 0), ("1.5h", 5_400)],
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param(lambda path: vacuum_dataset(path, older_than="7"), "--older-than 7: is no time", id="no_unit"),
        pytest.param(lambda path: vacuum_dataset(path, older_than="-1d"), "is no time; write 7d", id="negative"),
        pytest.param(lambda path: vacuum_dataset(f"{path}/x", older_than="7d"), "not a latentreel", id="vacuum"),
        pytest.param(lambda path: compact_dataset(f"{path}/x"), "not a latentreel dataset", id="compact"),
        pytest.param(lambda path: print_history(f"{path}/x", limit=3), "not a latentreel dataset", id="history"),
        pytest.param(lambda path: status(path, version=9), "version 9 of videos cannot be read", id="version"),
    ],
)
def test_wrong_use(tmp_path: Path, call: Callable[[str], Any], says: str) -> None:
    make_dataset(str(tmp_path), [])
    with pytest.raises(WrongUse, match=says) as raised:
        call(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_films_tidy_after_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = make_dataset(str(tmp_path), [film(f"{i:032x}", 3) for i in range(5)])
    before = rows_of(tmp_path)
    monkeypatch.setattr(finalise, "TIDY_EVERY", 5)
    finalise._tidy(tables, 4)
    assert len(tables.files("videos")) == 5
    finalise._tidy(tables, 5)
    assert [len(tables.files(name)) for name in TABLES] == [5, 1, 1, 1]
    assert rows_of(tmp_path) == before


def test_a_film_is_committed_whether_or_not_it_can_be_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tables = make_dataset(str(tmp_path), [film(A, 3), film(B, 4)])

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finalise, "compact", fail)
    finalise._tidy(tables, finalise.TIDY_EVERY)
    assert "No space left" in caplog.text
    assert open_dataset(str(tmp_path)).videos.num_rows == 2


def test_an_object_store_is_kept_in_order_too(s3: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    root, options = s3.make_bucket("maintenance") + "/dataset", s3.options
    job, canonical = builders.job(root)
    job = replace(job, storage_options=options)
    tables, _ = open_or_create(job, canonical, anew=False)
    for known in (film(A, 3), film(B, 4)):
        commit_film(tables, job, known)
    before = open_dataset(root, options).tracks.sort_by("track_id")
    time.sleep(1.1)  # S3 stamps by whole seconds, and what may have been written after its removal stays
    assert compact_dataset(root, storage_options=options) == 0
    assert vacuum_dataset(root, older_than="0s", storage_options=options) == 0
    capsys.readouterr()
    assert print_history(root, limit=1, storage_options=options) == 0
    assert "vacuumed 6 files" in capsys.readouterr().out
    assert open_dataset(root, options).tracks == before
    stored = [file.name for name in TABLES for file in tables.store.stored(name) if "_delta_log" not in file.name]
    assert sorted(stored) == sorted(f"{name}/{file.path}" for name in TABLES for file in tables.files(name))


N_FILMS = 9  # of each writer: three seconds of work on an idle machine


@pytest.mark.faults
def test_nothing_is_lost_while_all_write_tidy_and_clean(tmp_path: Path) -> None:
    """Two processes commit, replace and drop films; two compact; one vacuums without any limit."""
    root = str(tmp_path)
    tables = make_dataset(root, [])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.maintenance"])
    barrier, done = context.Barrier(5), context.Event()
    writers = [
        context.Process(target=maintenance.write_films, args=(root, letter, N_FILMS, barrier)) for letter in "ab"
    ]
    others = [
        context.Process(target=target, args=(root, done, barrier))
        for target in (maintenance.compact_until, maintenance.compact_until, maintenance.vacuum_until)
    ]
    for process in writers + others:
        process.start()
    for process in writers:
        process.join()
    done.set()
    for process in others:
        process.join()
    assert [process.exitcode for process in writers + others] == [0] * 5
    what = {version.what.split(" ")[0] for version in history(tables, limit=1000)}
    assert {"committed", "compacted", "vacuumed"} <= what, "they did not meet"
    rows = rows_of(tmp_path)
    ids = [f"{letter}{i:031d}" for letter in "ab" for i in range(N_FILMS) if i % 3 != 0]  # those not replaced
    videos = {row["video_id"]: row["n_latents"] for row in rows["videos"].to_pylist()}
    assert rows["videos"]["video_id"].to_pylist() == rows["tracks"]["video_id"].to_pylist() == ids
    assert rows["shots"]["video_id"].to_pylist() == ids
    latents = rows["frames"].group_by("video_id").aggregate([("frame_index", "count_distinct"), ("w", "count")])
    found = {row["video_id"]: (row["frame_index_count_distinct"], row["w_count"]) for row in latents.to_pylist()}
    assert found == {video_id: (n, n) for video_id, n in videos.items()}
