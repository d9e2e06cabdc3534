"""The finaliser killed between any two of its commits. No reader sees half a film, and a second try makes it whole."""

import multiprocessing
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pipeline.create_tables import open_or_create
from pipeline.finalise import finalise
from pipeline.read import open_dataset
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from schemas.job import Input, Job
from schemas.tables import TABLES, TableName
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film
from tests.faults.dying_finaliser import finalise_and_die
from tests.runs import assert_equal_datasets

OLD, OTHER, NEW = (letter * 32 for letter in "abc")
LENGTHS = (20, 30)  # of the new film's tracks

# What has rows of the new film after that many commits.
COMMITS: tuple[tuple[TableName, ...], ...] = (
    (),
    ("frames",),
    ("frames", "tracks"),
    ("frames", "tracks", "shots"),
    ("frames", "tracks", "shots", "videos"),
)
N_COMMITS = 4
SWEPT = 3  # commits more, where the film takes the place of another


@pytest.fixture(scope="module")
def children() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with all imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.dying_finaliser"])
    return context


def _staged(folder: Path, *, replaces: bool) -> tuple[Input, Job]:
    """Two films in the dataset, and a third with everything staged. It may replace the first."""
    job, canonical = builders.job(str(folder))
    tables, _ = open_or_create(job, canonical, anew=False)
    for name in (OLD, OTHER):
        commit_film(tables, job, KnownFilm(video_id=name, tracks=[KnownTrack(n_frames=8)]))
    keys = [builders.part_key(NEW, track=i) for i in range(len(LENGTHS))]
    staging = Staging(Store(job.dataset), job.config_id, NEW)
    video = builders.video(max(LENGTHS), video_id=NEW)
    staging.write_cut(Cut(video=video, shots=(builders.shot(0, max(LENGTHS)),), n_segments=1))
    staging.write_parts(0, keys)
    for key, n in zip(keys, LENGTHS, strict=True):
        staging.write_part(builders.latent_clip(builders.face_track(0, n, key=key)))
    return Input(uri="film.mp4", video_id=NEW, bytes=1, replaces=(OLD,) if replaces else ()), job


def _committed_to(folder: Path, video_id: str) -> set[TableName]:
    """The tables whose files have rows of a film, whether or not a view shows them."""
    tables = open_dataset(str(folder)).tables
    return {
        name
        for name in TABLES
        if video_id in tables.open(name).to_pyarrow_dataset().to_table(columns=["video_id"])["video_id"].to_pylist()
    }


def _shown(folder: Path) -> set[str]:
    """The films that readers see; in all four tables, or the test ends here."""
    dataset = open_dataset(str(folder))
    films = [set(dataset.table(name)["video_id"].to_pylist()) for name in TABLES]
    assert all(found == films[0] for found in films), films
    return films[0]


@pytest.fixture(scope="module")
def finalised(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """The same, finalised by nobody who died."""

    @cache
    def make(replaces: bool) -> Path:
        folder = tmp_path_factory.mktemp("finalised") / "d"
        finalise(*_staged(folder, replaces=replaces))
        return folder

    return make


@pytest.mark.faults
@pytest.mark.parametrize(
    ("replaces", "after"),
    [pytest.param(False, k, id=f"new_film/{k}_commits") for k in range(N_COMMITS + 1)]
    + [pytest.param(True, k, id=f"in_place_of_another/{k}_commits") for k in range(N_COMMITS + SWEPT + 1)],
)
def test_a_finaliser_killed_after_each_commit(
    tmp_path: Path,
    finalised: Callable[[bool], Path],
    children: multiprocessing.context.ForkServerContext,
    replaces: bool,
    after: int,
) -> None:
    folder = tmp_path / "d"
    task, job = _staged(folder, replaces=replaces)
    child = children.Process(target=finalise_and_die, args=(task, job, after))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, "nothing was killed, so this test proved nothing"

    committed = set(COMMITS[min(after, N_COMMITS)])
    assert _committed_to(folder, NEW) == committed
    of_old = TABLES if after < N_COMMITS or not replaces else {"frames", "shots", "tracks"}
    assert len(_committed_to(folder, OLD)) == len(of_old) - max(0, after - N_COMMITS)
    new_is_in = "videos" in committed
    assert _shown(folder) == {OTHER} | ({OLD} if not (replaces and new_is_in) else set()) | (
        {NEW} if new_is_in else set()
    )
    staging = Staging(Store(job.dataset), job.config_id, NEW)
    assert staging.read_cut() is not None, "what is staged is cleared last"

    fate = finalise(task, job)
    assert (fate.status, fate.n_tracks, fate.n_latents) == ("committed", len(LENGTHS), sum(LENGTHS))
    assert staging.read_cut() is None
    assert_equal_datasets(folder, finalised(replaces))
    n_rows = sum(file.n_rows for file in open_dataset(str(folder)).files("frames") if file.partition["video_id"] == NEW)
    assert n_rows == sum(LENGTHS), "once"
    assert _committed_to(folder, OLD) == (set() if replaces else set(TABLES))
