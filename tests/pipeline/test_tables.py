"""The four tables: appended to exactly once, by whoever comes, and never mixed with another configuration."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.final_files import write_rows
from pipeline.store import Store
from pipeline.tables import Tables, app_id, open_or_create, open_tables, saved_config
from schemas.config import Config, InversionSettings
from schemas.errors import WrongUse
from schemas.tables import SHOTS, TABLES
from tests import builders


def _made(path: Path, config: Config | None = None, *, anew: bool = False) -> Tables:
    job, canonical = builders.job(str(path), config)
    return open_or_create(job, canonical, anew=anew)[0]


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
    assert tables.append_once("shots", files, "app", 1)
    assert not tables.append_once("shots", files, "app", 1)
    assert tables.open("shots").to_pyarrow_table().num_rows == 3


def test_concurrent_commits_of_one_film_give_one(tmp_path: Path) -> None:
    tables = _made(tmp_path)
    files = _shots(tmp_path, "v1")
    with ThreadPoolExecutor(6) as pool:
        added = list(pool.map(lambda _: tables.append_once("shots", files, "app", 1), range(6)))
    assert sum(added) == 1
    assert tables.open("shots").to_pyarrow_table().num_rows == 3


def test_concurrent_commits_of_many_films_lose_none(tmp_path: Path) -> None:
    tables = _made(tmp_path)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda i: tables.append_once("shots", _shots(tmp_path, f"v{i}"), f"app{i}", 1), range(12)))
    rows = tables.open("shots").to_pyarrow_table()
    assert sorted(rows["video_id"].to_pylist()) == sorted(f"v{i}" for i in range(12) for _ in range(3))


def test_a_forgotten_film_can_be_committed_again(tmp_path: Path) -> None:
    job, canonical = builders.job(str(tmp_path))
    tables, _ = open_or_create(job, canonical, anew=False)
    app = app_id("videos", "v1", job.config_id)
    row = dict.fromkeys(tables.open("videos").to_pyarrow_dataset().schema.names)
    row |= dict(video_id="v1", uri="a", bytes=1, n_tracks=0, n_latents=0, status="quarantined", attempts=3)
    row |= dict(config_id=job.config_id, run_id="r", committed_at=0)
    from schemas.tables import VIDEOS

    files = write_rows(Store(str(tmp_path)), "videos", pa.Table.from_pylist([row], schema=VIDEOS))
    assert tables.append_once("videos", files, app, 1)
    tables.forget_video("v1", job.config_id)
    assert tables.open("videos").to_pyarrow_table().num_rows == 0
    assert tables.append_once("videos", files, app, 1)
    assert not tables.append_once("videos", files, app, 1)
    assert tables.open("videos").to_pyarrow_table().num_rows == 1


NAIVE = Config(inversion=InversionSettings(method="naive"))


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    _made(tmp_path / "d")
    with pytest.raises(WrongUse, match=r"inversion\.method: naive, not sequential"):
        _made(tmp_path / "d", NAIVE)


def test_replace_starts_anew_and_can_return(tmp_path: Path) -> None:
    files = _shots(tmp_path / "d", "v1")
    _made(tmp_path / "d").append_once("shots", files, "app", 1)
    job, canonical = builders.job(str(tmp_path / "d"), NAIVE)
    tables, generation = open_or_create(job, canonical, anew=True)
    assert (generation, tables.open("shots").to_pyarrow_table().num_rows) == (2, 0)
    assert saved_config(tables) == NAIVE
    job, canonical = builders.job(str(tmp_path / "d"))
    tables, generation = open_or_create(job, canonical, anew=True)  # back to the first configuration
    assert tables.append_once("shots", files, "app", generation), "the first generation's commit must not count"


def test_a_dataset_left_half_made_by_other_settings_is_taken_over(tmp_path: Path) -> None:
    job, canonical = builders.job(str(tmp_path), NAIVE)
    Tables(str(tmp_path), {})._create("frames", job, canonical, mode="ignore")  # and then it was killed
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
