"""Receipts prove completeness in any order; what is lost in silence is named."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.collect import collect
from pipeline.finalise import Fate
from schemas.job import Input
from schemas.outcomes import ErrorRow, Receipt


class _Recorder:
    """Commits at once and remembers the order."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._new: list[Fate] = []

    def start(self, task: Input) -> None:
        self.started.append(task.video_id)
        self._new.append(Fate(video_id=task.video_id, uri=task.uri, status="committed"))

    def finished(self, *, wait: bool) -> list[Fate | ErrorRow]:
        found, self._new = self._new, []
        return list(found)


def _receipts(video_id: str, parts_per_segment: list[int]) -> list[Receipt]:
    found = []
    for segment, n_parts in enumerate(parts_per_segment):
        for part in range(n_parts) or [None]:
            found.append(
                Receipt(
                    video_id=video_id,
                    segment_index=segment,
                    n_segments=len(parts_per_segment),
                    n_parts=n_parts,
                    part=None if part is None else f"part{part}",
                    n_frames=0 if part is None else 10,
                    reused=False,
                )
            )
    return found


def _error(video_id: str) -> ErrorRow:
    return ErrorRow(
        video_id=video_id,
        uri=video_id,
        stage="faces",
        segment_index=0,
        error_type="ValueError",
        message="no",
        permanent=False,
    )


def _todo(*video_ids: str) -> list[Input]:
    return [Input(uri=f"{video_id}.mp4", video_id=video_id, bytes=1) for video_id in video_ids]


def _collect(results: list, todo: list[Input]) -> tuple[list[str], dict[str, ErrorRow]]:
    commits = _Recorder()
    found = collect(iter(results), todo, commits, on_result=lambda _: None)
    fates, errors = found.fates, found.errors
    assert sorted(fate.video_id for fate in fates) == sorted(commits.started)
    assert len(set(commits.started)) == len(commits.started), "a film was committed twice"
    assert {fate.video_id for fate in fates}.isdisjoint(errors)
    assert {fate.video_id for fate in fates} | errors.keys() == {task.video_id for task in todo}
    return commits.started, errors


@settings(deadline=None, max_examples=60)
@given(
    films=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=4),
    drop=st.integers(0, 6),
    repeat=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_exactly_the_complete_films_are_committed(films: list, drop: int, repeat: bool, seed: int) -> None:
    """Whatever the order, whatever is lost, and although a retried worker may hand in the same receipt twice."""
    ids = [f"film{i}" for i in range(len(films))]
    results = list(itertools.chain(*(_receipts(video_id, parts) for video_id, parts in zip(ids, films, strict=True))))
    random.Random(seed).shuffle(results)
    lost, kept = results[:drop], results[drop:]
    if repeat:
        kept += kept
    committed, errors = _collect(kept, _todo(*ids))
    incomplete = {receipt.video_id for receipt in lost}
    assert set(committed) == set(ids) - incomplete
    assert all(error.stage == "engine" for error in errors.values())


def test_an_error_leaves_the_other_films_alone() -> None:
    results = [*_receipts("good", [1, 0]), _error("bad"), *_receipts("bad", [1, 1])[:1]]
    committed, errors = _collect(results, _todo("good", "bad"))
    assert (committed, errors["bad"].message) == (["good"], "no")


def test_a_film_that_vanished_is_named() -> None:
    _, errors = _collect(_receipts("half", [1, 1])[:1], _todo("half", "gone"))
    assert "1 of 2 segments were begun" in errors["half"].message
    assert errors["gone"].error_type == "WorkerDied"
    assert not errors["gone"].permanent
