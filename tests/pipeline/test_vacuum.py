"""Vacuum: what a kept version needs stays, what nothing needs goes, and nobody's work is taken for rubbish."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rewrite
from pipeline.attempts import Attempts
from pipeline.commit import Change, commit
from pipeline.compact import compact
from pipeline.final_files import write_rows
from pipeline.history import history
from pipeline.pin import pins_due
from pipeline.read import open_dataset
from pipeline.rewrite import drop_films, sweep
from pipeline.tables import Tables, open_tables
from pipeline.vacuum import Vacuumed, vacuum
from schemas.errors import WrongUse
from schemas.job import Job
from schemas.outcomes import ErrorRow
from schemas.tables import TABLES
from tests import builders
from tests.datasets import KnownFilm, commit_film, make_dataset
from tests.pipeline.test_compact import SLOW, film, rows_of

A, B, C = (letter * 32 for letter in "abc")
HOUR = 3600.0


def _age(path: Path, hours: float) -> None:
    """So much time passes."""
    for file in path.rglob("*"):
        if file.is_file():
            os.utime(file, (file.stat().st_mtime - hours * HOUR,) * 2)


def _dataset(path: Path, *films: KnownFilm) -> tuple[Tables, Job]:
    return make_dataset(str(path), list(films)), builders.job(str(path))[0]


def _names(path: Path) -> set[str]:
    """Files that are no log."""
    files = (file for file in path.rglob("*") if file.is_file() and "_delta_log" not in file.parts)
    return {str(file.relative_to(path)) for file in files}


def _listed(done: Vacuumed) -> set[str]:
    return {file.name for files in done.groups.values() for file in files}


@pytest.mark.parametrize(
    ("name", "hours", "limit_s", "goes"),
    [
        pytest.param("frames/video_id={A}/part-{hex}.parquet", 200, 168 * HOUR, True, id="orphan"),
        pytest.param("tracks/{A}-{hex}.parquet", 200, 168 * HOUR, True, id="orphan_of_a_small_table"),
        pytest.param("tracks/{A}-{hex}.parquet", 100, 168 * HOUR, False, id="orphan_within_the_limit"),
        pytest.param("tracks/{A}-{hex}.parquet", 0.9, 0, False, id="orphan_of_this_hour"),
        pytest.param("tracks/{A}-{hex}.parquet", 1.1, 0, True, id="orphan_of_the_last_hour"),
        pytest.param("tracks/{B}-{hex}.parquet", 200, 0, False, id="of_a_film_at_work"),
        pytest.param("frames/video_id={B}/part-{hex}.parquet", 200, 0, False, id="latents_of_a_film_at_work"),
        pytest.param("tracks/part-{hex}.parquet", 200, 0, True, id="orphan_of_a_merge"),
        pytest.param("tracks/.part-{hex}.parquet.{hex}.tmp", 200, 168 * HOUR, True, id="half_written"),
        pytest.param("tracks/.part-{hex}.parquet.{hex}.tmp", 0.5, 0, False, id="being_written"),
        pytest.param("_staging/{config}/{B}/.cut.parquet.{hex}.tmp", 200, 168 * HOUR, True, id="half_staged"),
        pytest.param("_staging/{config}/{B}/cut.parquet", 900, 0, False, id="staged_of_an_unfinished_film"),
        pytest.param("_staging/{config}/{A}/cut.parquet", 200, 168 * HOUR, True, id="staged_of_a_finished_film"),
        pytest.param("_staging/{config}/{A}/cut.parquet", 0.5, 0, False, id="being_cleared"),
        pytest.param("_staging/other/{B}/cut.parquet", 200, 168 * HOUR, True, id="staged_of_another_configuration"),
        pytest.param("_attempts/{config}/{A}/1.json", 200, 168 * HOUR, True, id="attempts_at_a_finished_film"),
        pytest.param("_attempts/{config}/{B}/1.json", 200, 0, False, id="attempts_at_an_unfinished_film"),
        pytest.param("_attempts/{config}/{C}/1.json", 200, 0, False, id="attempts_at_a_quarantined_film"),
        pytest.param("sample.mp4", 900, 0, False, id="not_ours_to_judge"),
        pytest.param("tracks/_delta_log/README.parquet", 900, 0, False, id="in_the_log"),
    ],
)
def test_what_goes(tmp_path: Path, name: str, hours: float, limit_s: float, goes: bool) -> None:
    tables, job = _dataset(tmp_path, film(A, 3), KnownFilm(video_id=C, status="quarantined"))
    _age(tmp_path, 1000)
    there = _names(tmp_path)
    at_work = f"_staging/{job.config_id}/{B}/seg00000.parts.json"
    tables.store.write(at_work, b"[]")
    name = name.format(A=A, B=B, C=C, config=job.config_id, hex="0" * 32)
    tables.store.write(name, b"x" * 7)
    moment = time.time() - hours * HOUR
    os.utime(tmp_path / name, (moment, moment))
    assert _listed(vacuum(tables, older_than_s=limit_s, dry_run=True)) == ({name} if goes else set())
    assert (tmp_path / name).exists()
    vacuum(tables, older_than_s=limit_s)
    assert (tmp_path / name).exists() != goes
    assert _names(tmp_path) - {name} == {*there, at_work}, "something else went, or came"


def test_a_dry_run_says_what_a_run_does(tmp_path: Path) -> None:
    tables, job = _dataset(tmp_path, film(A, 3), film(B, 4), film(C, 5))
    drop_films(tables, [A], config_id=job.config_id, what="test")
    compact(tables)
    Attempts(tables.store, job.config_id, B).add(
        ErrorRow(video_id=B, uri="b", stage="probe", segment_index=None, error_type="x", message="y", permanent=False)
    )
    _age(tmp_path, 10)
    there, version = _names(tmp_path), tables.open("videos").version()
    planned = vacuum(tables, older_than_s=0, dry_run=True)
    assert (_names(tmp_path), tables.open("videos").version()) == (there, version)
    done = vacuum(tables, older_than_s=0)
    assert done.groups == planned.groups
    assert there - _names(tmp_path) == _listed(done)
    assert {name for name in done.data if done.data[name]} == set(TABLES)


def test_versions_within_the_limit_stay(tmp_path: Path) -> None:
    """A is dropped 9 days ago, B 5 days ago: seven days ago the newest version had B and C."""
    tables, job = _dataset(tmp_path, film(A, 3), film(B, 4), film(C, 5))
    full = tables.open("videos").version()
    rows = {full: rows_of(tmp_path)}
    _age(tmp_path, 24)
    drop_films(tables, [A], config_id=job.config_id, what="test")
    rows[full + 1] = rows_of(tmp_path)
    _age(tmp_path, 4 * 24)
    drop_films(tables, [B], config_id=job.config_id, what="test")
    rows[full + 2] = rows_of(tmp_path)
    _age(tmp_path, 5 * 24)
    vacuum(tables, older_than_s=7 * 24 * HOUR)
    with pytest.raises(WrongUse, match=f"version {full} was vacuumed, its files are gone; `latentreel history"):
        open_dataset(str(tmp_path), version=full)
    assert {version: rows_of(tmp_path, version) for version in (full + 1, full + 2)} == {
        version: rows[version] for version in (full + 1, full + 2)
    }
    readable = {v.version: v.n_films for v in history(tables, limit=30)}
    assert (readable[full], readable[full + 1], readable[full + 2]) == (None, 2, 1)
    assert next(history(tables, limit=1)).what.startswith("vacuumed ")


def test_appended_films_cost_no_version(tmp_path: Path) -> None:
    """Nothing was removed since, so all versions stay readable, and no commit says otherwise."""
    tables, _ = _dataset(tmp_path, film(A, 3), film(B, 4))
    _age(tmp_path, 1000)
    version = tables.open("videos").version()
    vacuum(tables, older_than_s=0)
    assert tables.open("videos").version() == version
    assert [v.n_films for v in history(tables, limit=30)] == [2, 1, 0]


def test_a_file_that_is_put_back_is_not_the_one_that_was_removed(tmp_path: Path) -> None:
    """A writer that is about to commit a dropped film again has written it under the same name."""
    tables, job = _dataset(tmp_path, film(A, 3), film(B, 3))
    file = next(file for file in tables.files("frames") if file.partition["video_id"] == A)
    content = (tmp_path / "frames" / file.path).read_bytes()
    drop_films(tables, [A], config_id=job.config_id, what="test")
    time.sleep(0.02)  # file systems stamp by ticks of a few milliseconds
    tables.store.write(f"frames/{file.path}", content)
    vacuum(tables, older_than_s=0)
    assert (tmp_path / "frames" / file.path).exists()
    _age(tmp_path, 2)
    vacuum(tables, older_than_s=0)
    assert not (tmp_path / "frames" / file.path).exists(), "nobody came for it"


@pytest.mark.parametrize("at_work", [False, True], ids=["gone", "at_work"])
def test_rows_of_films_that_are_gone_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_work: bool) -> None:
    tables, job = _dataset(tmp_path, film(A, 3, 2), film(B, 4))
    compact(tables)
    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "sweep", lambda *args, **kwargs: None)  # killed before it
        drop_films(tables, [A], config_id=job.config_id, what="test")
    if at_work:
        tables.store.write(f"_staging/{job.config_id}/{A}/cut.parquet", b"")
    assert vacuum(tables, older_than_s=0, dry_run=True).swept == ([] if at_work else [A])
    vacuum(tables, older_than_s=0)
    left = {name: set(tables.open(name).to_pyarrow_table()["video_id"].to_pylist()) for name in TABLES}
    assert left == {name: {A, B} if at_work and name != "videos" else {B} for name in TABLES}


def test_a_film_that_begins_during_a_sweep_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was dropped; while the sweep rewrites files, somebody works on it and commits it again."""
    tables, job = _dataset(tmp_path, film(A, 3), film(B, 4))
    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "sweep", lambda *args, **kwargs: None)
        drop_films(tables, [A], config_id=job.config_id, what="test")
    compact(tables)
    begun: list[str] = []

    def slowly(*args: Any) -> Any:
        if not begun:
            begun.append(A)
            tables.store.write(f"_staging/{job.config_id}/{A}/cut.parquet", b"")
        return write_rows(*args)

    monkeypatch.setattr(rewrite, "write_rows", slowly)
    sweep(tables, [A], config_id=job.config_id)
    assert begun
    assert {A, B} == set(tables.read("tracks")["video_id"].to_pylist())


def _in_future(tables: Tables, path: Path) -> None:
    newest = path / "videos/_delta_log" / f"{tables.open('videos').version():020d}.json"
    os.utime(newest, (time.time() + 3 * HOUR,) * 2)


def _tear(tables: Tables, path: Path) -> None:
    newest = path / "tracks/_delta_log" / f"{tables.open('tracks').version():020d}.json"
    newest.write_bytes(newest.read_bytes()[:-40])


def _tear_checkpoint(tables: Tables, path: Path) -> None:
    tables.open("tracks").create_checkpoint()
    (checkpoint,) = (path / "tracks/_delta_log").glob("*.checkpoint.parquet")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        pytest.param(_in_future, r"version 1 of videos was written at .*Z, and the clock there says it is", id="clock"),
        pytest.param(_tear, "the log of its table tracks is torn", id="torn_entry"),
        pytest.param(_tear_checkpoint, "the log of its table tracks is torn", id="torn_checkpoint"),
    ],
)
def test_nothing_is_deleted_on_doubt(tmp_path: Path, harm: Callable[[Tables, Path], None], says: str) -> None:
    tables, _ = _dataset(tmp_path, film(A, 3))
    tables.store.write(f"tracks/part-{'0' * 32}.parquet", b"x")
    _age(tmp_path, 900)
    harm(tables, tmp_path)
    there = _names(tmp_path)
    with pytest.raises(WrongUse, match=says) as raised:
        vacuum(open_tables(str(tmp_path)), older_than_s=0)
    assert "\n" not in str(raised.value)
    assert _names(tmp_path) == there


def test_another_programs_deletion_is_not_pinned(tmp_path: Path) -> None:
    tables, _ = _dataset(tmp_path, film(A, 3), film(B, 4))
    tables.open("tracks").delete(f"video_id = '{A}'")
    before = rows_of(tmp_path)
    assert before["tracks"].num_rows == 2, "the newest version of the dataset still relies on both"
    _age(tmp_path, 900)
    vacuum(tables, older_than_s=0)
    assert rows_of(tmp_path) == before


def test_a_log_that_delta_has_cleaned_up(tmp_path: Path) -> None:
    tables, job = _dataset(tmp_path, film(A, 3), film(B, 4))
    for name in TABLES:
        tables.open(name).create_checkpoint()
        for version in range(tables.open(name).version()):
            (tmp_path / name / "_delta_log" / f"{version:020d}.json").unlink()
    drop_films(tables, [A], config_id=job.config_id, what="test")
    _age(tmp_path, 900)
    before = rows_of(tmp_path)
    assert [(v.version, v.n_films) for v in history(tables, limit=30)] == [(3, 1), (2, 2)]
    done = vacuum(tables, older_than_s=0)
    assert len(done.data["frames"]) == 1
    assert rows_of(tmp_path) == before


def test_the_mark_outlives_other_programs_commits(tmp_path: Path) -> None:
    tables, job = _dataset(tmp_path, film(A, 3), film(B, 4))
    drop_films(tables, [A], config_id=job.config_id, what="test")
    vacuum(tables, older_than_s=0)
    tables.open("videos").alter.set_table_properties({"delta.appendOnly": "false"})
    with pytest.raises(WrongUse, match="version 2 was vacuumed"):
        open_dataset(str(tmp_path), version=2)
    assert next(history(tables, limit=1)).what == "SET TBLPROPERTIES, by another program"
    commit(tables, "videos", lambda table: Change(what="test"))
    with pytest.raises(WrongUse, match="version 2 was vacuumed"):
        open_dataset(str(tmp_path), version=2)


def _kept(path: Path, limit_s: float) -> list[int]:
    """Counted here for itself: the newest version, and whose successor was committed within the limit."""
    logs = sorted((path / "videos/_delta_log").glob("*.json"))
    times = [log.stat().st_mtime for log in logs]
    ages = [time.time() - later for later in times[1:]] + [-1.0]
    return [int(log.stem) for log, age in zip(logs, ages, strict=True) if age < limit_s]


@settings(**SLOW | {"max_examples": 5})
@given(data=st.data())
def test_at_any_limit_kept_versions_are_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("d")
    tables, job = _dataset(path)
    there: list[KnownFilm] = []
    gone: list[KnownFilm] = []
    rows: dict[int, dict] = {}
    limits = st.sampled_from([0, 2 * HOUR, 20 * HOUR, 1000 * HOUR])
    for i in range(data.draw(st.integers(4, 8))):
        match data.draw(st.sampled_from(["commit", "replace", "drop", "again", "compact", "vacuum"])):
            case "drop" if there:
                gone.append(there.pop(0))
                drop_films(tables, [gone[-1].video_id], config_id=job.config_id, what="test")
            case "again" if gone:
                there.append(gone.pop())
                commit_film(tables, job, there[-1])
            case "compact":
                compact(tables)
            case "vacuum":
                vacuum(tables, older_than_s=data.draw(limits))
            case how:
                replaces = (there.pop().video_id,) if how == "replace" and there else ()
                there.append(film(f"{i:x}" * 32, *data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2))))
                commit_film(tables, job, there[-1], replaces=replaces)
        version = tables.open("videos").version()
        rows[version] = rows_of(path, version)
        _age(path, data.draw(st.sampled_from([0, 1, 30])))
    limit_s = data.draw(limits)
    newest = rows_of(path)
    kept = set(_kept(path, limit_s)) - {v.version for v in history(tables, limit=1000) if v.n_films is None}
    if limit_s == 0 and pins_due(tables):
        kept = set()  # the newest alone is kept, and vacuum first commits a newer one that relies on the newest files
    vacuum(tables, older_than_s=limit_s)
    assert rows_of(path) == newest
    for version, then in rows.items():
        try:
            found = rows_of(path, version)
        except WrongUse:
            assert version not in kept, "a kept version was refused"
        else:
            assert found == then, "a version that opens is whole"
