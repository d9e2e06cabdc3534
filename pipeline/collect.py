"""Receipts in, committed films out. Proves from the receipts alone that a film is complete, then commits it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.finalise import Fate
from schemas.job import Input
from schemas.outcomes import ErrorRow, Note, Postponed, Receipt


class Commits(Protocol):
    """Commits films beside the flow."""

    def start(self, task: Input) -> None:
        """Begins to commit a complete film; returns at once."""

    def finished(self, *, wait: bool) -> list[Fate | ErrorRow]:
        """What commits have come to since this was last asked; with `wait`, what all of them come to."""


@dataclass
class Collected:
    """What a flow came to. Every film is in exactly one of these."""

    fates: list[Fate] = field(default_factory=list)
    errors: dict[str, ErrorRow] = field(default_factory=dict)  # by video_id
    postponed: set[str] = field(default_factory=set)


@dataclass
class _Received:
    """What has come in for one film."""

    n_segments: int | None = None
    n_parts: dict[int, int] = field(default_factory=dict)  # by segment
    parts: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, receipt: Receipt) -> None:
        self.n_segments = receipt.n_segments
        self.n_parts[receipt.segment_index] = receipt.n_parts
        if receipt.part is not None:
            self.parts[receipt.segment_index].add(receipt.part)

    @property
    def is_complete(self) -> bool:
        return len(self.n_parts) == self.n_segments and all(
            len(self.parts[segment]) == n for segment, n in self.n_parts.items()
        )


def collect(
    results: Iterator[Receipt | Note | Postponed | ErrorRow],
    todo: list[Input],
    commits: Commits,
    *,
    on_result: Callable[[Receipt | Note | ErrorRow | Fate], None],
) -> Collected:
    """The fates of the films that were completed, one error for each that was not, and those that were not begun.

    A film that vanished without a word (a worker was killed on it, again and again) gets an error row here: nothing is
    ever lost in silence.
    """
    inputs = {task.video_id: task for task in todo}
    received: dict[str, _Received] = defaultdict(_Received)
    found = Collected()
    committing: set[str] = set()

    def keep(outcomes: list[Fate | ErrorRow]) -> None:
        for outcome in outcomes:
            on_result(outcome)
            if isinstance(outcome, ErrorRow):
                found.errors.setdefault(outcome.video_id, outcome)
            else:
                found.fates.append(outcome)

    for result in results:
        if isinstance(result, ErrorRow):
            keep([result])
        elif isinstance(result, Note):
            on_result(result)
        elif isinstance(result, Postponed):
            found.postponed.add(result.video_id)
        elif result.video_id not in committing:  # a worker that was restarted may say the same twice
            on_result(result)
            received[result.video_id].add(result)
            if received[result.video_id].is_complete:
                committing.add(result.video_id)
                commits.start(inputs[result.video_id])
        keep(commits.finished(wait=False))
    keep(commits.finished(wait=True))
    settled = found.errors.keys() | {fate.video_id for fate in found.fates}
    found.postponed -= settled  # begun after all, by a worker that died and was restarted
    for video_id in inputs.keys() - settled - found.postponed:
        keep([_lost(inputs[video_id], received[video_id])])
    return found


def _lost(task: Input, received: _Received) -> ErrorRow:
    of = f" of {received.n_segments}" if received.n_segments else ""
    return ErrorRow(
        video_id=task.video_id,
        uri=task.uri,
        stage="engine",
        segment_index=None,
        error_type="WorkerDied",
        message=f"the worker process died on it each time it was tried ({len(received.n_parts)}{of} segments were "
        "begun); look for lack of memory, or re-encode the file",
        permanent=False,
    )
