"""`latentreel query`: every format, and one line for what cannot be asked."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.read import open_dataset
from schemas.errors import WrongUse
from tests.runs import Run


def test_the_table_on_the_screen(latentreel: Run, undisturbed: Path) -> None:
    n = open_dataset(str(undisturbed)).frames.num_rows
    done = latentreel("query", undisturbed, "select count(*) as n from frames")
    assert (done.returncode, str(n) in done.stdout) == (0, True)


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_files_hold_all_rows(latentreel: Run, undisturbed: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / f"tracks.{form}"
    sql = "select track_id, n_frames from tracks order by track_id"
    assert latentreel("query", undisturbed, sql, "--format", form, "-o", target).returncode == 0
    expected = open_dataset(str(undisturbed)).sql(sql).fetchall()
    if form == "csv":
        found = [tuple(line.split(",")) for line in target.read_text().splitlines()[1:]]
        assert found == [(name, str(n)) for name, n in expected]
    elif form == "json":
        assert [(row["track_id"], row["n_frames"]) for row in json.loads(target.read_text())] == expected
    else:
        assert pq.read_table(target).num_rows == len(expected)


def test_csv_goes_to_standard_output(latentreel: Run, undisturbed: Path) -> None:
    done = latentreel("query", undisturbed, "select shot_index from tracks order by 1", "--format", "csv")
    assert done.stdout.split() == ["shot_index", "0", "2"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["select nothing from frames"], "frames: video_id, track_id", id="wrong_column"),
        pytest.param(["selec 1"], "syntax error", id="wrong_sql"),
        pytest.param(["select 1/0 + 'a'"], "Conversion Error", id="fails_while_running"),
        pytest.param(["select 1", "--format", "xml"], "table, csv, json, parquet", id="unknown_format"),
        pytest.param(["select 1", "--format", "parquet"], "-o", id="parquet_on_a_screen"),
    ],
)
def test_wrong_questions_are_one_line(latentreel: Run, undisturbed: Path, words: list[str], says: str) -> None:
    done = latentreel("query", undisturbed, *words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert says in line


def test_what_is_no_dataset_is_refused(latentreel: Run, tmp_path: Path) -> None:
    done = latentreel("query", tmp_path, "select 1")
    assert (done.returncode, "not a latentreel dataset" in done.stderr) == (2, True)


def test_emotion_names_follow_the_ids(undisturbed: Path) -> None:
    dataset = open_dataset(str(undisturbed))
    assert dataset.sql("select emotion_name(0), emotion_name(6), emotion_name(null)").fetchall() == [
        ("anger", "neutral", None)
    ]


def test_an_unknown_track_says_how_to_list_them(undisturbed: Path) -> None:
    with pytest.raises(WrongUse, match="select track_id from tracks"):
        open_dataset(str(undisturbed)).track("nobody-00000-000")
