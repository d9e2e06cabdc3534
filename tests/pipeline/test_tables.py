"""The four tables: appended to exactly once, by whoever comes, and never mixed with another configuration."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.commit import append_once
from pipeline.create_tables import _create, open_or_create
from pipeline.final_files import write_rows
from pipeline.read import open_dataset
from pipeline.rewrite import commit_video, drop_films
from pipeline.store import Store
from pipeline.tables import Tables, open_tables, saved_config
from schemas.config import Config, InversionSettings
from schemas.errors import Interrupted, WrongUse
from schemas.tables import SHOTS, TABLES, VIDEOS
from tests import builders


def _made(path: Path, config: Config | None = None, *, anew: bool = False) -> Tables:
    job, canonical = builders.job(str(path), config)
    return open_or_create(job, canonical, anew=anew)[0]


def _append(tables: Tables, files: list, app: str = "app", generation: int = 1) -> int:
    return append_once(tables, "shots", files, app=app, generation=generation, what="test")


def _shots(path: Path, video_id: str, n: int = 3) -> list:
    rows = [{"video_id": video_id, **vars(builders.shot(i * 10, 10, index=i))} for i in range(n)]
    return write_rows(Store(str(path)), "shots", pa.Table.from_pylist(rows, schema=SHOTS))


def test_a_new_dataset_has_four_tables_that_say_what_they_hold(tmp_path: Path) -> None:
    tables = _made(tmp_path / "d")
    assert tables.exist()
    for name in TABLES:
        properties = tables.open(name).metadata().configuration
        assert properties["latentreel.num_ws"] == str(builders.NUM_WS)
        assert properties["latentreel.space"] == "w+"
    assert saved_config(open_tables(str(tmp_path / "d"))) == Config()


def test_a_commit_happens_once(tmp_path: Path) -> None:
    tables = _made(tmp_path)
    files = _shots(tmp_path, "v1")
    assert [_append(tables, files), _append(tables, files)] == [1, 1]
    assert tables.open("shots").to_pyarrow_table().num_rows == 3


def test_concurrent_commits_of_one_film_give_one(tmp_path: Path) -> None:
    tables = _made(tmp_path)
    files = _shots(tmp_path, "v1")
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: _append(tables, files), range(6))) == [1] * 6
    assert tables.open("shots").to_pyarrow_table().num_rows == 3


def test_concurrent_commits_of_many_films_lose_none(tmp_path: Path) -> None:
    tables = _made(tmp_path)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda i: _append(tables, _shots(tmp_path, f"v{i}"), f"app{i}"), range(12)))
    rows = tables.open("shots").to_pyarrow_table()
    assert sorted(rows["video_id"].to_pylist()) == sorted(f"v{i}" for i in range(12) for _ in range(3))


def _video_row(video_id: str, config_id: str, **changes) -> pa.Table:
    row = dict.fromkeys(VIDEOS.names)
    row |= dict(video_id=video_id, uri="a", bytes=1, n_tracks=0, n_latents=0, status="quarantined", attempts=3)
    row |= dict(config_id=config_id, run_id="r", committed_at=0) | changes
    return pa.Table.from_pylist([row], schema=VIDEOS)


def test_a_dropped_film_can_be_committed_again(tmp_path: Path) -> None:
    job, canonical = builders.job(str(tmp_path))
    tables, _ = open_or_create(job, canonical, anew=False)
    how: dict[str, Any] = dict(config_id=job.config_id, generation=1, replaces=(), what="test", pins={})
    row = _video_row("v1", job.config_id)
    n_rows = []
    for change in (
        lambda: commit_video(tables, row, **how),
        lambda: commit_video(tables, row, **how),
        lambda: drop_films(tables, ["v1"], config_id=job.config_id, what="test"),
        lambda: commit_video(tables, row, **how),
    ):
        change()
        n_rows.append(open_dataset(str(tmp_path)).videos.num_rows)
    assert n_rows == [1, 1, 0, 1]


NAIVE = Config(inversion=InversionSettings(method="naive"))


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    _made(tmp_path / "d")
    with pytest.raises(WrongUse, match=r"inversion\.method: naive, not sequential"):
        _made(tmp_path / "d", NAIVE)


def test_replace_starts_anew_and_can_return(tmp_path: Path) -> None:
    files = _shots(tmp_path / "d", "v1")
    _append(_made(tmp_path / "d"), files)
    job, canonical = builders.job(str(tmp_path / "d"), NAIVE)
    tables, generation = open_or_create(job, canonical, anew=True)
    assert (generation, tables.open("shots").to_pyarrow_table().num_rows) == (2, 0)
    assert saved_config(tables) == NAIVE
    job, canonical = builders.job(str(tmp_path / "d"))
    tables, generation = open_or_create(job, canonical, anew=True)  # back to the first configuration
    before = tables.open("shots").version()
    assert _append(tables, files, generation=generation) == before + 1, "the first generation's commit must not count"


def test_a_dataset_left_half_made_by_other_settings_is_taken_over(tmp_path: Path) -> None:
    job, canonical = builders.job(str(tmp_path), NAIVE)
    _create(Tables(str(tmp_path), {}), "frames", job, canonical, mode="ignore")  # and then it was killed
    tables = _made(tmp_path)
    assert {tables.open(name).metadata().configuration["latentreel.config_id"] for name in TABLES} == {
        builders.job(str(tmp_path))[0].config_id
    }


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param(lambda path: path.write_text("x"), "is a file", id="a_file"),
        pytest.param(lambda path: (path.mkdir(), (path / "thesis.doc").touch()), "holds other files", id="foreign"),
    ],
)
def test_nothing_is_written_where_something_else_lives(tmp_path: Path, prepare, says: str) -> None:
    prepare(tmp_path / "d")
    with pytest.raises(WrongUse, match=says):
        _made(tmp_path / "d")


def test_what_is_not_a_dataset_says_so(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="not a latentreel dataset"):
        open_tables(str(tmp_path / "nothing"))


def test_a_run_adds_nothing_to_a_dataset_that_was_made_anew(tmp_path: Path) -> None:
    files = _shots(tmp_path / "d", "v1")
    before = _made(tmp_path / "d")
    _made(tmp_path / "d", NAIVE, anew=True)
    with pytest.raises(Interrupted, match="made the dataset anew"):
        _append(before, files)
    assert before.open("shots").to_pyarrow_table().num_rows == 0
