"""`latentreel query`: every format, and one line for what cannot be asked. test_views.py has what SQL can do."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.query import query
from pipeline.read import open_dataset
from schemas.errors import WrongUse
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset
from tests.runs import Run, command

A, B = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query") / "dataset"
    tables = make_dataset(str(path), [KnownFilm(video_id=A, tracks=[KnownTrack(n_frames=10)])])
    film = KnownFilm(video_id=B, tracks=[KnownTrack(n_frames=4), KnownTrack(n_frames=7, shot_index=2)])
    commit_film(tables, builders.job(str(path))[0], film)
    return path


@pytest.mark.parametrize(("version", "n"), [(None, "21"), (1, "10")], ids=["newest", "older"])
def test_the_table_on_the_screen(
    dataset: Path, capsys: pytest.CaptureFixture[str], version: int | None, n: str
) -> None:
    assert query(str(dataset), "select count(*) as n from frames", version=version) == 0
    assert re.findall(r"\w+", capsys.readouterr().out) == ["n", n]


def test_files_hold_all_rows(latentreel: Run, dataset: Path, tmp_path: Path) -> None:
    sql, target = "select n_frames from tracks order by 1", tmp_path / "rows"
    done = latentreel("query", dataset, sql, "--version", "1", "--format", "parquet", "-o", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pq.read_table(target).to_pylist() == [{"n_frames": 10}]
    assert query(str(dataset), sql, form="csv", output=str(target)) == 0
    assert target.read_text().split() == ["n_frames", "4", "7", "10"]
    assert query(str(dataset), sql, form="json", output=str(target)) == 0
    assert json.loads(target.read_text()) == [{"n_frames": 4}, {"n_frames": 7}, {"n_frames": 10}]


def test_csv_goes_to_standard_output_behind_what_is_there(dataset: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as file:
        sql = "select n_frames from tracks order by 1"
        subprocess.run(command("query", dataset, sql, "--format", "csv"), check=True, stdout=file)
    assert log.read_text().split() == ["before", "n_frames", "4", "7", "10"]


def test_a_reader_that_has_seen_enough_is_no_error(dataset: Path) -> None:
    words = command("query", dataset, "select * from range(100000)", "--format", "csv")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        pytest.param("select nothing from frames", "frames: video_id, track_id", id="wrong_column"),
        pytest.param("select track_id::int from tracks", "w_layer(w, i)", id="fails_while_running"),
    ],
)
def test_wrong_questions_are_one_line(latentreel: Run, dataset: Path, sql: str, says: str) -> None:
    done = latentreel("query", dataset, sql)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"version": 9}, "latentreel history", id="no_such_version"),
        pytest.param({"form": "xml"}, "table, csv, json, parquet", id="unknown_format"),
        pytest.param({"form": "parquet"}, "-o", id="parquet_on_a_screen"),
        pytest.param({"output": "x"}, "--format csv", id="table_in_a_file"),
    ],
)
def test_wrong_options_are_named(dataset: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        query(str(dataset), "select 1", **options)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="not a latentreel dataset"):
        query(str(tmp_path), "select 1")


def test_an_unknown_track_says_how_to_list_them(dataset: Path) -> None:
    with pytest.raises(WrongUse, match="select track_id from tracks"):
        open_dataset(str(dataset)).track("nobody-00000-000")
