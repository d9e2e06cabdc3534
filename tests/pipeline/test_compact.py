"""Compaction: no row is lost, doubled or moved to another version, whoever else is writing."""

import multiprocessing
import os
import signal
import time
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline import compact as compaction
from pipeline import final_files
from pipeline.commit import append_once
from pipeline.compact import compact, sorted_rows
from pipeline.final_files import write_rows
from pipeline.read import open_dataset
from pipeline.rewrite import drop_films
from pipeline.tables import Tables
from schemas.tables import SHOTS, SORT_BY, TABLES, TableName
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset
from tests.faults import maintenance

A, B, C, D = (letter * 32 for letter in "abcd")
# An example takes a second: none is made smaller.
SLOW: dict[str, Any] = dict(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

_COUNTED = ("first_frame", "n_frames", "start_us", "end_us")


def film(video_id: str, *lengths: int) -> KnownFilm:
    tracks = [KnownTrack(n_frames=n, first_frame=100 * i, shot_index=i) for i, n in enumerate(lengths)]
    return KnownFilm(video_id=video_id, tracks=tracks)


def rows_of(path: str | Path, version: int | None = None) -> dict[TableName, pa.Table]:
    """Every row of a version, in the tables' order."""
    opened = open_dataset(str(path), version=version)
    keys = {name: [(column, "ascending") for column in ["video_id", *SORT_BY[name]]] for name in TABLES}
    return {name: opened.table(name).sort_by(list(dict.fromkeys(keys[name]))) for name in TABLES}


def _n_files(tables: Tables) -> dict[TableName, int]:
    return {name: len(tables.files(name)) for name in TABLES}


def test_small_files_become_one_and_stay_so(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [film(A, 10, 5), film(B, 7), film(C, 3)])
    before = rows_of(tmp_path)
    done = compact(tables)
    assert (done["tracks"].n_before, done["tracks"].n_after) == (3, 1)
    assert done["tracks"].bytes_before > done["tracks"].bytes_after > 0
    assert _n_files(tables) == {"frames": 3, "shots": 1, "tracks": 1, "videos": 1}
    assert rows_of(tmp_path) == before
    version = tables.open("videos").version()
    assert tables.pins(version)["tracks"] == tables.open("tracks").version(), "readers must see the large file"
    compact(tables)
    assert tables.open("videos").version() == version, "there was nothing left to do"


@settings(max_examples=4, **SLOW)
@given(data=st.data())
def test_no_version_changes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = str(tmp_path_factory.mktemp("d"))
    tables, job = make_dataset(path, []), builders.job(path)[0]
    there: list[str] = []
    rows = {}
    for i in range(data.draw(st.integers(3, 6))):
        match data.draw(st.sampled_from(["commit", "commit", "replace", "compact", "drop"])):
            case "drop" if there:
                drop_films(tables, [there.pop(0)], config_id=job.config_id, what="test")
            case "compact":
                compact(tables)
            case how:
                replaces = (there.pop(),) if how == "replace" and there else ()
                there.append(data.draw(st.sampled_from("0123456789abcdef")) * 31 + f"{i}")
                lengths = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=3))
                commit_film(tables, job, film(there[-1], *lengths), replaces=replaces)
        version = tables.open("videos").version()
        rows[version] = rows_of(path, version)
    compact(tables)
    assert rows_of(path) == rows[max(rows)]
    assert all(rows_of(path, version) == then for version, then in rows.items())


@settings(max_examples=15, **SLOW)
@given(
    films=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True), min_size=1, max_size=6),
    n_group=st.integers(1, 5),
    n_shots=st.integers(1, 4),
)
def test_a_merge_is_the_file_that_all_rows_in_order_give(
    tmp_path_factory: pytest.TempPathFactory, films: list[list[str]], n_group: int, n_shots: int
) -> None:
    """Files of several films whose ranges overlap in every way, read in row groups of a few rows."""
    tables = make_dataset(str(tmp_path_factory.mktemp("d")), [])
    store = tables.store
    parts = [  # a film's rows in one file: no row twice
        [{"video_id": letter, "shot_index": 10 * i + k, **dict.fromkeys(_COUNTED, k)} for k in range(n_shots)]
        for i, letters in enumerate(films)
        for letter in sorted(letters)
    ]
    with pytest.MonkeyPatch.context() as patch:
        for module in (compaction, final_files):
            patch.setattr(module, "SMALL_ROWS_PER_GROUP", n_group)
        at = 0
        for i, letters in enumerate(films):
            rows = pa.Table.from_pylist(list(chain(*parts[at : at + len(letters)])), schema=SHOTS)
            append_once(tables, "shots", write_rows(store, "shots", rows), app=f"{i}", generation=1, what="test")
            at += len(letters)
        everything = pa.concat_tables(sorted_rows(tables, "shots", tables.files("shots")))
        all_rows = pa.Table.from_pylist(list(chain(*parts)), schema=SHOTS)
        assert everything == all_rows.sort_by([("video_id", "ascending"), ("shot_index", "ascending")])
        compact(tables)
        (file,) = tables.files("shots")
        assert file.path == write_rows(store, "shots", everything)[0].path
        assert file.n_rows == len(everything)


def test_the_order_of_commits_leaves_no_trace(tmp_path: Path) -> None:
    films, paths = [film(A, 10), film(B, 7, 2), film(C, 3)], []
    for order in ([0, 1, 2], [2, 0, 1]):
        tables = make_dataset(str(tmp_path / str(order[0])), [films[i] for i in order])
        compact(tables)
        names: list[TableName] = ["frames", "shots", "tracks"]  # rows of `videos` say when they were committed
        paths.append([file.path for name in names for file in tables.files(name)])
    assert paths[0] == paths[1]


def _in_small_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Tables, KnownFilm]:
    """A film whose tracks lie in three files of `frames`."""
    known = film(A, 260, 300, 270, 290, 20)
    with monkeypatch.context() as patch:
        patch.setattr(final_files, "FILE_BYTES_MAX", 1)
        return make_dataset(str(path), [known]), known


def test_files_of_a_film_are_joined_as_if_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, known = _in_small_files(tmp_path / "small", monkeypatch)
    before = rows_of(tmp_path / "small")
    assert len(tables.files("frames")) > 3
    compact(tables)
    whole = make_dataset(str(tmp_path / "whole"), [known])
    assert [f.path for f in tables.files("frames")] == [f.path for f in whole.files("frames")]
    assert rows_of(tmp_path / "small") == before


def test_tracks_keep_their_order_around_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, _ = _in_small_files(tmp_path, monkeypatch)
    tracks = _tracks_by_file(tmp_path, tables)
    sizes = sorted((file.size, file.path) for file in tables.files("frames"))
    monkeypatch.setattr(compaction, "SMALL_BYTES_MAX", sizes[-1][0])  # the largest is large, the others are not
    compact(tables)
    after = _tracks_by_file(tmp_path, tables)
    assert len(after) < len(tracks)
    assert all(a[-1] < b[0] for a, b in pairwise(after)), "a file's tracks must not lie on both sides of another's"


def _tracks_by_file(path: Path, tables: Tables) -> list[list[str]]:
    files = [pq.read_table(path / "frames" / file.path, columns=["track_id"]) for file in tables.files("frames")]
    return sorted(sorted(set(rows["track_id"].to_pylist())) for rows in files)


def test_the_encoding_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, _ = _in_small_files(tmp_path, monkeypatch)
    commit_film(tables, builders.job(str(tmp_path))[0], film(B, 5))
    compact(tables)
    split: dict[TableName, list[str]] = {
        "frames": ["w.list.element", "quad.list.element", "psnr"],
        "tracks": ["psnr", "flicker"],
    }
    for name, columns in split.items():
        for file in tables.files(name):
            group = pq.read_metadata(tmp_path / name / file.path).row_group(0)
            found = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
            for column in columns:
                assert "BYTE_STREAM_SPLIT" in found[column].encodings, column
                assert (found[column].compression, "PLAIN" in found[column].encodings) == ("ZSTD", False)


@pytest.mark.parametrize("meanwhile", ["drop", "compact", "commit"])
def test_what_changes_during_a_merge_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    tables, job = make_dataset(str(tmp_path), [film(A, 4), film(B, 5), film(C, 6)]), builders.job(str(tmp_path))[0]
    write = final_files.write_merged
    happened: list[TableName] = []

    def slowly(store: Any, name: TableName, rows: Any) -> Any:
        written = write(store, name, rows)
        if not happened:
            happened.append(name)
            match meanwhile:
                case "drop":
                    drop_films(tables, [B], config_id=job.config_id, what="test")
                case "compact":
                    compact(tables)
                case "commit":
                    commit_film(tables, job, film(D, 7))
        return written

    monkeypatch.setattr(compaction, "write_merged", slowly)
    compact(tables)
    films = {"drop": [A, C], "compact": [A, B, C], "commit": [A, B, C, D]}[meanwhile]
    rows = rows_of(tmp_path)
    assert happened
    assert all(sorted(set(rows[name]["video_id"].to_pylist())) == films for name in TABLES)
    assert rows["videos"].num_rows == rows["tracks"].num_rows == len(films)
    assert all(tables.open(name).to_pyarrow_table().num_rows == rows[name].num_rows for name in TABLES)


@pytest.mark.faults
def test_a_kill_between_its_commits_loses_nothing(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path / "d"), [film(A, 4, 2), film(B, 5)])
    before, merged = rows_of(tmp_path / "d"), tmp_path / "merged"
    process = multiprocessing.get_context("forkserver").Process(
        target=maintenance.compact_and_hang, args=(str(tmp_path / "d"), str(merged))
    )
    process.start()
    while not merged.exists():
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert _n_files(tables) == {"frames": 2, "shots": 1, "tracks": 1, "videos": 2}, "it was killed elsewhere"
    assert rows_of(tmp_path / "d") == before
    compact(tables)
    assert _n_files(tables)["videos"] == 1
    assert rows_of(tmp_path / "d") == before


def test_rows_leave_as_soon_as_nothing_can_come_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = make_dataset(str(tmp_path), [film(letter * 32, *[3] * 4) for letter in "abcdef"])
    monkeypatch.setattr(compaction, "SMALL_ROWS_PER_GROUP", 4)
    assert [len(rows) for rows in sorted_rows(tables, "tracks", tables.files("tracks"))] == [4] * 6
