"""`latentreel ingest`: what is read, what is done, what is said. Real films, stages and commits; Ray in the last."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import jobs.ingest
import pipeline.plan
from jobs.describe_job import describe_job
from jobs.exit_codes import settings
from jobs.ingest import IngestOptions, ingest
from operators.video.video_id import video_id_of
from pipeline.create_tables import open_or_create
from pipeline.finalise import finalise, quarantine
from pipeline.read import Dataset, open_dataset
from pipeline.rows import pack, unpack
from pipeline.run import RunSummary
from pipeline.stages import CutVideo, FindFaces
from pipeline.stop import StopRequest
from schemas.config import load_config
from schemas.errors import WrongUse
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow
from tests.operators.video_clips import numbered, write_clip
from tests.runs import FAST, command, rows
from tests.without_engine import QUICK


def _film(path: Path, number: int) -> Path:
    """A still picture for half a second; films of other numbers differ."""
    path.parent.mkdir(exist_ok=True)
    return write_clip(path, frames=[numbered(number)] * 12)


class Ingest:
    """One dataset and the folder that feeds it."""

    def __init__(self, root: Path) -> None:
        self.dataset, self.films = root / "dataset", root / "films"
        job, canonical = describe_job(load_config(None, QUICK), str(self.dataset))
        open_or_create(job, canonical, anew=False)
        self.read: list[str] = []  # by hashing, in the last run
        self.worked: list[str] = []

    def __call__(self, *sources: Path, prune: bool = False) -> str:
        """Gives what was said. The exit code is kept."""
        self.read, self.worked = [], []
        said = StringIO()
        named = tuple(map(str, sources or (self.films,)))
        chosen = IngestOptions(dataset=str(self.dataset), sources=named, prune=prune)
        self.code = ingest(chosen, Console(file=said, width=1000, highlight=False))
        return said.getvalue()

    @property
    def opened(self) -> Dataset:
        return open_dataset(str(self.dataset))

    @property
    def uris(self) -> list[str]:
        return [Path(uri).name for (uri,) in self.opened.sql("select uri from videos order by uri").fetchall()]


@pytest.fixture(scope="module")
def work_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Input, Job], list]]:
    """The stages up to faces, as one process keeps them: these films have none, so there is nothing to invert."""
    job, _ = describe_job(load_config(None, QUICK), str(tmp_path_factory.mktemp("stages")))
    cut, find = CutVideo(job), FindFaces(job)

    def work(task: Input, job: Job) -> list:
        cut.job = find.job = job
        blocks = [found for segment in cut(pack(task.video_id, task)) for found in find(segment)]
        return [row for block in blocks for row in unpack(block)]

    with cut.frames, find.frames:
        yield work


@pytest.fixture
def ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work_on: Callable[[Input, Job], list]) -> Ingest:
    found = Ingest(tmp_path)
    identify = pipeline.plan._identify

    def seen_to_read(uri: str, *options):
        found.read.append(Path(uri).name)
        return identify(uri, *options)

    def work(todo: list[Input], job: Job, _pools, _console, _engine, stop: StopRequest) -> RunSummary:
        summary = RunSummary()
        for task in todo:
            found.worked.append(Path(task.uri).name)
            errors = [row for row in work_on(task, job) if isinstance(row, ErrorRow)]
            summary.fates.append(quarantine(task, job, errors[0]) if errors else finalise(task, job))
        return summary

    monkeypatch.setattr(pipeline.plan, "_identify", seen_to_read)
    monkeypatch.setattr(pipeline.plan, "STEP_S", 0.0)  # the films of a test are always just written
    monkeypatch.setattr(jobs.ingest, "work", work)
    return found


def test_only_what_is_new_is_read_and_done(ingested: Ingest) -> None:
    _film(ingested.films / "a.mp4", 1)
    ingested()
    assert (ingested.read, ingested.worked, ingested.code) == (["a.mp4"], ["a.mp4"], 0)
    _film(ingested.films / "b.mp4", 2)
    ingested()
    assert (ingested.read, ingested.worked) == (["b.mp4"], ["b.mp4"])
    said = ingested()
    assert (ingested.read, ingested.worked) == ([], [])
    assert "2 films are in" in said
    assert "0 are new" in said


def test_a_renamed_film_is_not_done_twice(ingested: Ingest) -> None:
    old = _film(ingested.films / "old.mp4", 1)
    ingested()
    old.rename(ingested.films / "new.mp4")
    said = ingested()
    assert "renamed" in said
    assert (ingested.worked, ingested.uris, ingested.code) == ([], ["new.mp4"], 0)
    ingested()
    assert ingested.read == [], "the new name is remembered"


def test_a_changed_film_takes_the_place_of_its_rows_in_one_commit(ingested: Ingest) -> None:
    film = _film(ingested.films / "a.mp4", 1)
    ingested()
    before = ingested.opened
    _film(film, 2)
    said = ingested()
    after = ingested.opened
    assert "changed" in said
    assert after.version == before.version + 1, "old out and new in are one version"
    assert (before.videos.num_rows, after.videos.num_rows, after.shots.num_rows) == (1, 1, 1)
    assert before.videos["video_id"] != after.videos["video_id"]
    leftovers = after.tables.read("shots")["video_id"].to_pylist()
    assert leftovers == after.videos["video_id"].to_pylist(), "nothing of the old film is left in other tables"


def test_a_changed_film_that_fails_keeps_its_former_rows(ingested: Ingest) -> None:
    film = _film(ingested.films / "a.mp4", 1)
    ingested()
    film.write_bytes(b"no film any more")
    ingested()
    assert ingested.code == 1
    fates = ingested.opened.sql("select status from videos order by status").fetchall()
    assert fates == [("no_faces",), ("quarantined",)]


def test_a_kill_before_the_old_rows_went_is_mended_later(ingested: Ingest) -> None:
    film = _film(ingested.films / "a.mp4", 1)
    ingested()
    _film(film, 2)
    _film(ingested.films / "copy.mp4", 2)  # the new content is done under another name …
    ingested(ingested.films / "copy.mp4")
    assert ingested.uris == ["a.mp4", "copy.mp4"]
    ingested()  # … so nothing is left to do but to drop the old rows
    assert (ingested.worked, ingested.uris) == ([], ["copy.mp4"])


def test_a_gone_film_is_kept_unless_pruned(ingested: Ingest) -> None:
    _film(ingested.films / "stays.mp4", 1)
    gone = _film(ingested.films / "gone.mp4", 2)
    ingested()
    content = gone.read_bytes()
    gone.unlink()
    said = ingested()
    assert f"gone {gone}: its rows are kept; --prune drops them" in said
    assert (ingested.uris, ingested.code) == (["gone.mp4", "stays.mp4"], 0)
    ingested(prune=True)
    assert (ingested.uris, ingested.opened.shots.num_rows) == (["stays.mp4"], 1)
    gone.write_bytes(content)
    ingested()
    assert (ingested.worked, ingested.uris) == (["gone.mp4"], ["gone.mp4", "stays.mp4"]), "it may come again"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda films: [film.unlink() for film in films.iterdir()], id="a_disk_that_is_not_mounted"),
        pytest.param(lambda films: films.rename(films.with_name("elsewhere")), id="a_folder_that_is_not_there"),
    ],
)
def test_an_empty_source_is_a_fault_and_prunes_nothing(ingested: Ingest, damage: Callable[[Path], object]) -> None:
    _film(ingested.films / "a.mp4", 1)
    ingested()
    damage(ingested.films)
    with pytest.raises(WrongUse, match=r"holds no films|no such file"):
        ingested(prune=True)
    assert ingested.uris == ["a.mp4"]


def test_a_film_that_is_named_and_gone_is_no_fault(ingested: Ingest) -> None:
    film = _film(ingested.films / "a.mp4", 1)
    ingested(film)
    film.unlink()
    assert "gone" in ingested(film)
    assert ingested.code == 0
    ingested(film, prune=True)
    assert ingested.uris == []


def test_another_source_says_nothing_of_this_one(ingested: Ingest, tmp_path: Path) -> None:
    _film(ingested.films / "a.mp4", 1)
    ingested()
    other = _film(tmp_path / "other" / "b.mp4", 2)
    said = ingested(other.parent, prune=True)
    assert "gone" not in said
    assert ingested.uris == ["a.mp4", "b.mp4"]


def test_a_link_is_known_by_what_it_points_to(ingested: Ingest, tmp_path: Path) -> None:
    target = _film(tmp_path / "archive" / "film.bin.mp4", 1)
    ingested.films.mkdir()
    (ingested.films / "link.mp4").symlink_to(target)
    ingested()
    _film(target, 2)
    ingested()
    assert ingested.worked == ["link.mp4"]


def test_a_film_that_changes_while_it_is_read_waits(ingested: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    film = _film(ingested.films / "a.mp4", 1)
    hash_of = video_id_of

    def slow(stream):
        with film.open("ab") as end:
            end.write(b"more")
        return hash_of(stream)

    monkeypatch.setattr(pipeline.plan, "video_id_of", slow)
    with pytest.raises(WrongUse, match="changed while it was read"):
        ingested()
    assert ingested.uris == []


def test_a_dataset_whose_generator_changed_is_refused(ingested: Ingest, tmp_path: Path) -> None:
    from operators.stylegan.checkpoint import load_generator, save_generator

    path = tmp_path / "g.safetensors"
    save_generator(load_generator("random-32", seed=0), str(path))
    job, canonical = describe_job(load_config(None, QUICK | {"generator": str(path)}), str(tmp_path / "other"))
    open_or_create(job, canonical, anew=False)
    save_generator(load_generator("random-32", seed=1), str(path))
    ingested.dataset = tmp_path / "other"
    _film(ingested.films / "a.mp4", 1)
    with pytest.raises(WrongUse, match=r"settings no longer mean what they meant \(generator: "):
        ingested()


@pytest.mark.faults
def test_watching_until_sigterm(movie: Path, undisturbed: Path, tmp_path: Path) -> None:
    """A film comes while it watches, then SIGTERM while the film is at work: it is finished, and the end is said."""
    films, dataset = tmp_path / "films", tmp_path / "dataset"
    films.mkdir()
    job, canonical = describe_job(load_config(None, settings(list(FAST[1::2]))), str(dataset))
    open_or_create(job, canonical, anew=False)
    words = command("ingest", dataset, films, "--watch", "--every", "0.2", "--workers", "1")
    with (tmp_path / "said").open("w") as said:
        watching = subprocess.Popen(words, stdout=said, stderr=said, env=os.environ | {"COLUMNS": "300"})
        copy = films / "astronaut.mp4"
        copy.write_bytes(movie.read_bytes())
        old = time.time() - 60
        os.utime(copy, (old, old))  # it was whole a minute ago
        deadline = time.monotonic() + 120
        while not any((dataset / "_staging").rglob("cut.parquet")):
            assert watching.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline, "the film was never begun"
            time.sleep(0.05)
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(timeout=180) == 0, (tmp_path / "said").read_text()
    text = (tmp_path / "said").read_text()
    assert "stopping what is at work is finished first" in text
    assert "1 films in " in text
    assert "stopped watching" in text
    ours, theirs = rows(dataset), rows(undisturbed)
    assert ours["frames"].equals(theirs["frames"])
    assert not list((dataset / "_staging").glob("_stop/*"))
