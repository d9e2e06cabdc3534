"""Reading at a version: all four tables as they were together."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.create_tables import open_or_create
from pipeline.read import open_dataset
from pipeline.rewrite import drop_films
from schemas.config import Config, InversionSettings
from schemas.errors import WrongUse
from schemas.tables import SCHEMAS
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset

A, B = "a" * 32, "b" * 32


def _film(video_id: str, *lengths: int) -> KnownFilm:
    tracks = [KnownTrack(n_frames=n, first_frame=100 * i, shot_index=i) for i, n in enumerate(lengths)]
    return KnownFilm(video_id=video_id, tracks=tracks)


def _frames_of(path: Path, version: int | None = None) -> dict[str, int]:
    rows = open_dataset(str(path), version=version).sql("select video_id, count(*) from frames group by 1").fetchall()
    return dict(rows)


def test_an_old_version_is_what_it_was(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [_film(A, 10, 5)])
    job = builders.job(str(tmp_path))[0]
    first = open_dataset(str(tmp_path)).version
    commit_film(tables, job, _film(B, 7), replaces=(A,))
    assert _frames_of(tmp_path) == {B: 7}
    drop_films(tables, [B], config_id=job.config_id, what="test")
    assert [_frames_of(tmp_path, version) for version in (first, first + 1, first + 2)] == [{A: 15}, {B: 7}, {}]
    assert open_dataset(str(tmp_path), version=first).track(f"{A}-00001-000").shape == (
        5,
        builders.NUM_WS,
        builders.W_DIM,
    )


def test_a_reader_is_not_moved_by_what_comes_later(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [_film(A, 10)])
    job = builders.job(str(tmp_path))[0]
    before = open_dataset(str(tmp_path))
    commit_film(tables, job, _film(B, 7), replaces=(A,))
    assert before.frames.num_rows == 10
    np.testing.assert_array_equal(before.track(f"{A}-00000-000")[:, 0, 0], np.arange(10))


def test_a_film_is_hidden_until_its_row_is_there(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [_film(A, 10)])
    job = builders.job(str(tmp_path))[0]
    commit_film(tables, job, KnownFilm(video_id=B, status="quarantined"))
    opened = open_dataset(str(tmp_path))
    assert (opened.videos.num_rows, opened.frames.num_rows, len(opened.uris("frames"))) == (2, 10, 1)


@pytest.mark.parametrize("folder", ["with [brackets] and 'quotes'", "x=1", "what?*"])
def test_any_folder_name_will_do(tmp_path: Path, folder: str) -> None:
    make_dataset(str(tmp_path / folder), [_film(A, 10)])
    opened = open_dataset(str(tmp_path / folder))
    assert (opened.frames.num_rows, opened.track(f"{A}-00000-000").shape[0]) == (10, 10)


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    make_dataset(str(tmp_path), [])
    with pytest.raises(WrongUse, match="version 7 of videos cannot be read; `latentreel history"):
        open_dataset(str(tmp_path), version=7)


def test_a_table_of_another_dataset_is_refused(tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "ours"), [_film(A, 10)])
    naive, canonical = builders.job(str(tmp_path / "theirs"), Config(inversion=InversionSettings(method="naive")))
    tables, _ = open_or_create(naive, canonical, anew=False)
    commit_film(tables, naive, _film(A, 10))
    shutil.rmtree(tmp_path / "ours" / "frames")
    shutil.copytree(tmp_path / "theirs" / "frames", tmp_path / "ours" / "frames")
    with pytest.raises(
        WrongUse, match=rf"its table frames belongs to another dataset \(config_id {naive.config_id}, not "
    ):
        _frames_of(tmp_path / "ours")


def test_a_table_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = pa.schema([field for field in SCHEMAS["tracks"] if field.name != "knots"])
    monkeypatch.setitem(SCHEMAS, "tracks", older)
    make_dataset(str(tmp_path), [])
    monkeypatch.undo()
    with pytest.raises(WrongUse, match=r"made by another version of latentreel \(its table tracks has no column knots"):
        open_dataset(str(tmp_path)).sql("from tracks")
