"""SQL over a dataset: the functions, what is refused, what a query may not do, and rows as files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.export import FORMS
from pipeline.read import Dataset, open_dataset
from pipeline.sql_functions import FUNCTIONS
from pipeline.views import explained
from schemas.errors import WrongUse
from schemas.tables import SCHEMAS, TABLES, TableName
from tests.builders import NUM_WS, W_DIM
from tests.datasets import KnownFilm, KnownTrack, make_dataset

A = "a" * 32
N_FRAMES = 5
# Exact in float16; different in every layer and number.
W_TLD = np.arange(N_FRAMES * NUM_WS * W_DIM, dtype=np.float32).reshape(N_FRAMES, NUM_WS, W_DIM)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = str(tmp_path_factory.mktemp("views"))
    make_dataset(path, [KnownFilm(video_id=A, tracks=[KnownTrack(n_frames=N_FRAMES, w_TLD=W_TLD, face_px=30)])])
    return open_dataset(path)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = str(tmp_path_factory.mktemp("empty"))
    make_dataset(path, [])
    return open_dataset(path)


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        ("emotion_name(3)", "happiness", "VARCHAR"),
        ("emotion_name(7)", None, "VARCHAR"),
        ("emotion_name(-2)", None, "VARCHAR"),
        ("emotion_name(null)", None, "VARCHAR"),
        ("emotion_id('happiness')", 3, "TINYINT"),
        ("emotion_id('Anger')", 0, "TINYINT"),
        ("emotion_id('joy')", None, "TINYINT"),
        ("emotion_id(null)", None, "TINYINT"),
        ("quad_px([10, 20, 40, 60, 80, 30, 50, -10]::float[])", 50.0, "DOUBLE"),
        ("seconds(1500000)", 1.5, "DOUBLE"),
        ("w_tensor(null)", None, f"FLOAT[{W_DIM}][{NUM_WS}]"),
        ("w_layer(null, 1)", None, f"FLOAT[{W_DIM}]"),
        ("w_layer(range(32), null)", None, f"FLOAT[{W_DIM}]"),
        ("w_layer(range(32), 1)", tuple(range(8, 16)), f"FLOAT[{W_DIM}]"),
        ("w_tensor(range(32))[4][8]", 31.0, "FLOAT"),
    ],
    ids=lambda word: word if isinstance(word, str) and "(" in word else "",
)
def test_functions(empty: Dataset, expression: str, value: Any, kind: str) -> None:
    relation = empty.sql(f"select {expression} as x")
    assert (relation.fetchall(), str(relation.types[0])) == ([(value,)], kind)


def test_latents_as_tensors(dataset: Dataset) -> None:
    rows = dataset.sql(
        "select w_tensor(w), w_layer(w, 2), w_layer(w, frame_index % 4) from frames order by frame_index"
    )
    tensor_TLD, layer_TD, own_TD = (np.array(column) for column in zip(*rows.fetchall(), strict=True))
    np.testing.assert_array_equal(tensor_TLD, W_TLD)
    np.testing.assert_array_equal(layer_TD, W_TLD[:, 2])
    np.testing.assert_array_equal(own_TD, W_TLD[np.arange(N_FRAMES), np.arange(N_FRAMES) % 4])


def test_array_functions_take_them(dataset: Dataset) -> None:
    sql = "select array_distance(w_layer(w, 0), w_layer(w, 1)), array_inner_product(w_layer(w, 0), w_tensor(w)[1])"
    (found,) = dataset.sql(f"{sql} from frames where frame_index = 1").fetchall()
    assert found == pytest.approx((8 * 8**0.5, float((W_TLD[1, 0] ** 2).sum())))


WRONG = [
    pytest.param("select nothing from frames", 'column "nothing" not found', id="column"),
    pytest.param("select * from track", "Table with name track does not exist", id="table"),
    pytest.param("select * from query", "Table with name query does not exist", id="name_of_a_python_variable"),
    pytest.param("selec 1", "syntax error", id="syntax"),
    pytest.param("select w_row(w) from frames", "w_row does not exist", id="function"),
    pytest.param("select psnr from tracks join frames using (track_id)", "Ambiguous", id="column_of_two_tables"),
]
WRONG_LATER = [
    pytest.param("select track_id::int from frames", "Could not convert", id="cast"),
    pytest.param("select w_layer(w, 4) from frames", "there is no layer 4 of 4; count from 0", id="layer"),
    pytest.param("select w_layer(w, -1) from frames", "there is no layer -1 of 4", id="negative_layer"),
    pytest.param("select w_tensor(quad) from frames", "w_tensor takes w, 4 x 8 numbers; this has 8", id="not_a_latent"),
]


def _assert_says_what_there_is(message: str) -> None:
    assert "\n" not in message
    for name in TABLES:
        assert f"{name}: {', '.join(SCHEMAS[name].names)}" in message
    assert all(function.signature in message for function in FUNCTIONS)


@pytest.mark.parametrize(("sql", "says"), [*WRONG, *WRONG_LATER])
def test_wrong_sql_is_answered_with_what_there_is(dataset: Dataset, sql: str, says: str) -> None:
    with pytest.raises(WrongUse, match=says) as caught, explained():
        dataset.sql(sql).fetchall()
    _assert_says_what_there_is(str(caught.value))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("sql", "says"), WRONG_LATER)
def test_what_goes_wrong_later_leaves_the_old_file(
    dataset: Dataset, tmp_path: Path, form: Any, sql: str, says: str
) -> None:
    target = tmp_path / "rows"
    target.write_text("of yesterday")
    with pytest.raises(WrongUse, match=says) as caught:
        dataset.write(sql, str(target), form=form)
    _assert_says_what_there_is(str(caught.value))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"rows": "of yesterday"}


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("copy (select 1) to '{file}'", id="copy"),
        pytest.param("with x as (copy (select 1) to '{file}') select 1", id="copy_inside_with"),
        pytest.param(
            "select * from (with x as (copy (select 1) to '{file}') select 1)", id="copy_inside_with_of_a_subquery"
        ),
        pytest.param("select 1; copy (select 1) to '{file}'", id="copy_as_second_statement"),
        pytest.param("explain analyze copy (select 1) to '{file}'", id="copy_explained"),
        pytest.param("from query('with x as (copy (select 1) to ''{file}'') select 1')", id="copy_as_text"),
        pytest.param(
            "from json_execute_serialized_sql(json_serialize_sql('with x as (copy (select 1) to ''{file}'') from x'))",
            id="copy_as_parsed_text",
        ),
        pytest.param("attach '{file}' as other", id="attach"),
        pytest.param("drop view tracks", id="drop"),
        pytest.param("insert into tracks select * from tracks", id="insert"),
        pytest.param("with x as (insert into tracks select * from tracks returning *) from x", id="insert_inside_with"),
        pytest.param("update tracks set psnr = 0", id="update"),
        pytest.param("set threads = 1", id="set"),
        pytest.param("pivot tracks on method", id="pivot_that_makes_a_type"),
        pytest.param("", id="nothing"),
        pytest.param("select 1; select 2", id="two"),
    ],
)
def test_a_query_only_reads(dataset: Dataset, tmp_path: Path, sql: str) -> None:
    with pytest.raises(WrongUse), explained():
        dataset.sql(sql.format(file=tmp_path / "written")).fetchall()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        pytest.param("SELECT COUNT(*) FROM Tracks JOIN FRAMES USING (Track_ID)", [(N_FRAMES,)], id="upper_case"),
        pytest.param("with tracks as (select 7 as x) from tracks", [(7,)], id="shadowed"),
        pytest.param("with t as (from tracks) select count(*) from t;", [(1,)], id="with_and_semicolon"),
        pytest.param("select 'frames' as tracks -- videos", [("frames",)], id="words_that_are_no_tables"),
        pytest.param("show tables", [("frames",), ("shots",), ("tracks",), ("videos",)], id="show_tables"),
        pytest.param("select count(*) from (describe frames)", [(16,)], id="describe"),
        pytest.param(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) select sum(i) from n",
            [(6,)],
            id="recursive",
        ),
        pytest.param("select 1 union select 1 intersect select 1", [(1,)], id="sets"),
        pytest.param(
            "from (pivot tracks on method in ('sequential', 'scene') using count(*) group by gaps)",
            [(0, 1, 0)],
            id="pivot",
        ),
    ],
)
def test_what_may_be_asked(dataset: Dataset, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert dataset.sql(sql).fetchall() == rows


@pytest.mark.parametrize("name", TABLES)
def test_a_dataset_without_films_has_no_rows(empty: Dataset, name: TableName) -> None:
    relation = empty.sql(f"select * from {name}")
    assert (relation.fetchall(), relation.columns) == ([], SCHEMAS[name].names)


TENSORS = "select frame_index, emotion_name(emotion) as feels, w_tensor(w) as w from frames order by 1"


def test_parquet_keeps_the_shape(dataset: Dataset, tmp_path: Path) -> None:
    target = str(tmp_path / "w.parquet")
    dataset.write(TENSORS, target, form="parquet")
    table = pq.read_table(target)
    assert (table["frame_index"].to_pylist(), set(table["feels"].to_pylist())) == (list(range(N_FRAMES)), {"neutral"})
    np.testing.assert_array_equal(np.array(table["w"].to_pylist()), W_TLD)
    assert pl.read_parquet(target).schema["w"] == pl.Array(pl.Float32, (NUM_WS, W_DIM))
    leaf = pq.read_metadata(target).row_group(0).column(2)
    assert ("BYTE_STREAM_SPLIT" in leaf.encodings, leaf.compression) == (True, "ZSTD")


def test_csv_and_json_write_arrays_too(dataset: Dataset, tmp_path: Path) -> None:
    dataset.write(TENSORS, str(tmp_path / "w.json"), form="json")
    np.testing.assert_array_equal([row["w"] for row in json.loads((tmp_path / "w.json").read_text())], W_TLD)
    dataset.write(TENSORS, str(tmp_path / "w.csv"), form="csv")
    found = pl.read_csv(tmp_path / "w.csv")
    np.testing.assert_array_equal([json.loads(cell) for cell in found["w"]], W_TLD)


@pytest.mark.parametrize("form", FORMS)
def test_no_rows_are_a_file_too(empty: Dataset, tmp_path: Path, form: Any) -> None:
    target = tmp_path / "rows"
    empty.write(TENSORS, str(target), form=form)
    assert target.stat().st_size > 0


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_that_is_not_there_is_named(dataset: Dataset, tmp_path: Path, form: Any) -> None:
    with pytest.raises(WrongUse, match="nowhere") as caught:
        dataset.write("select 1", str(tmp_path / "nowhere" / "rows"), form=form)
    assert "frames:" not in str(caught.value)
