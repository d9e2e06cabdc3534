"""Naming killed between any two of its commits. No film is hurt, and the next call ends as if nothing had happened."""

import multiprocessing
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pipeline.people import name_people
from pipeline.read import open_dataset
from schemas.tables import StoredName
from tests import builders
from tests.datasets import commit_film, make_dataset
from tests.faults.dying_namer import name_and_die
from tests.pipeline.test_people import FILMS, names

Undisturbed = dict[str, str | None]

NAMED_ALREADY = 3  # tracks of the first film

# What is committed in turn. Whoever starts over forgets first, and writes the memory of nobody.
WRITTEN: tuple[StoredName, ...] = ("tracks", "_people", "videos")
COMMITS: dict[bool, tuple[StoredName, ...]] = {False: WRITTEN, True: ("tracks", "_people", *WRITTEN)}


@pytest.fixture(scope="module")
def children() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with all imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.dying_namer"])
    return context


def _grown(folder: Path) -> None:
    """A film whose people have names, and two more."""
    tables = make_dataset(str(folder), FILMS[:1])
    name_people(tables)
    for known in FILMS[1:]:
        commit_film(tables, builders.job(str(folder))[0], known)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Undisturbed]:
    @cache
    def make(anew: bool) -> Undisturbed:
        folder = tmp_path_factory.mktemp("undisturbed") / "d"
        _grown(folder)
        name_people(open_dataset(str(folder)).tables, anew=anew)
        return names(folder)

    return make


@pytest.mark.faults
@pytest.mark.parametrize(
    ("anew", "after"),
    [
        pytest.param(anew, k, id=f"{'anew' if anew else 'grown'}/{k}_commits")
        for anew, commits in COMMITS.items()
        for k in range(len(commits) + 1)
    ],
)
def test_naming_killed_after_each_commit(
    tmp_path: Path,
    undisturbed: Callable[[bool], Undisturbed],
    children: multiprocessing.context.ForkServerContext,
    anew: bool,
    after: int,
) -> None:
    _grown(tmp_path)
    tables = open_dataset(str(tmp_path)).tables
    before = {name: tables.open(name).version() for name in WRITTEN}
    child = children.Process(target=name_and_die, args=(str(tmp_path), anew, after))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, "nothing was killed, so this test proved nothing"
    done = COMMITS[anew][:after]
    found = {name: tables.open(name).version() - before[name] for name in WRITTEN}
    assert found == {name: done.count(name) for name in WRITTEN}, "it was killed elsewhere"

    shown = names(tmp_path)
    is_shown = "videos" in done
    assert sum(name is not None for name in shown.values()) == (len(shown) if is_shown else NAMED_ALREADY)
    name_people(tables)
    assert names(tmp_path) == undisturbed(anew and after > 0)
    assert tables.open("tracks").to_pyarrow_table().num_rows == len(shown), "once"
