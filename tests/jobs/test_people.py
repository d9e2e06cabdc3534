"""latentreel people, and what a run says at its end."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobs import people as job
from jobs.people import name_after_run
from pipeline.tables import Tables
from schemas.errors import Interrupted
from tests.datasets import make_dataset
from tests.pipeline.test_people import BEN, FILMS, A, film, names
from tests.runs import run_here


def test_everybody_is_listed_the_longest_seen_first(tmp_path: Path) -> None:
    make_dataset(str(tmp_path), FILMS)
    done = run_here("people", tmp_path)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith("8 tracks named, 3 people new among 3")
    found = names(tmp_path)
    # 20, 21 and 22 frames of 40 ms, from the first to the last: Anna is seen in a0, a2, c1, Ben in a1, b0, b2.
    anna, ben = ([str(found[track]), "3", "3", "2", "2.4"] for track in ("a0", "a1"))
    assert [line[:5] for line in lines[2:]] == [*sorted([anna, ben]), [found["b1"], "2", "2", "2", "1.6"]]
    assert " ".join(lines[4][5:]) == "b.mp4 at 4.0 s"
    assert run_here("people", tmp_path).stdout.startswith("0 tracks named, 0 people new among 3")


def test_nobody_to_tell_apart_is_no_error(tmp_path: Path) -> None:
    make_dataset(str(tmp_path), [film(A, None)])
    done = run_here("people", tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "no track has an identity, so there is nobody to tell apart",
    )


def test_another_threshold_is_wrong_use(tmp_path: Path) -> None:
    make_dataset(str(tmp_path), FILMS)
    run_here("people", tmp_path, "--threshold", "0.4")
    done = run_here("people", tmp_path, "--threshold", "0.5")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "told apart at 0.4, not at 0.5" in done.stderr
    assert run_here("people", tmp_path, "--threshold", "0.5", "--anew").returncode == 0


def said(tables: Tables) -> str:
    out = io.StringIO()
    name_after_run(tables, Console(file=out, width=40))
    return out.getvalue()


def test_a_run_says_who_came(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [film(A, BEN)])
    assert said(tables) == f"1 tracks named, 1 people new among 1 (`latentreel people {tmp_path}`)\n"
    assert said(tables) == ""


@pytest.mark.parametrize("error", [OSError("disk full"), Interrupted("made anew")])
def test_a_run_whose_people_cannot_be_named_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(job, "name_people", fail)
    line = said(make_dataset(str(tmp_path), []))
    assert line == (
        f"people are not told apart ({error}); the films are whole; `latentreel people {tmp_path}` tries again\n"
    )
