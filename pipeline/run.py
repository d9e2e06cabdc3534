"""One bulk run: the flow, the commits, further attempts, and the proof that every film is accounted for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import ray

from pipeline.alone import latents_alone
from pipeline.attempts import ATTEMPTS_MAX, Attempts
from pipeline.collect import collect
from pipeline.deaths import alive, deaths
from pipeline.finalise import Fate, finalise, quarantine
from pipeline.flow import Pools, latents
from pipeline.progress import Progress
from pipeline.stop import StopRequest
from pipeline.store import Store
from schemas.errors import Interrupted
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Note, Postponed, Receipt

Results = Iterator[Receipt | Note | Postponed | ErrorRow]


@dataclass
class RunSummary:
    """The fates of a run's films."""

    fates: list[Fate] = field(default_factory=list)
    postponed: list[Input] = field(default_factory=list)  # not done, because the run was asked to stop

    def of(self, status: str) -> list[Fate]:
        return [fate for fate in self.fates if fate.status == status]

    def total(self, count: str) -> int:
        """Sum of n_shots, n_tracks or n_latents."""
        return sum(getattr(fate, count) for fate in self.fates)

    def checked_against(self, todo: list[Input]) -> "RunSummary":
        """committed + no_faces + quarantined + postponed = todo, film by film."""
        got = sorted([fate.video_id for fate in self.fates] + [task.video_id for task in self.postponed])
        assert got == sorted(task.video_id for task in todo), f"{len(todo)} films were to be done, {len(got)} were"
        return self


def run(todo: list[Input], job: Job, pools: Pools, progress: Progress, stop: StopRequest | None = None) -> RunSummary:
    """Works on all films, then up to twice more on those that failed for a reason that may pass, each by itself.

    Films that an earlier run failed or died on come when all others are done, so that no film can keep others from
    being committed, however it goes wrong. Asked to stop, it finishes the films that it has begun.
    """
    summary = RunSummary()
    with alive(job):
        fresh, suspected, pending = _by_history(todo, job, progress, summary)
        for films in (fresh, suspected):
            if stop and stop.asked:
                summary.postponed += films
            elif films:
                pending += _round(films, latents(films, job, pools), job, progress, summary)
        while pending and not (stop and stop.asked):
            pending = _round(pending, latents_alone(pending, job, pools), job, progress, summary)
        summary.postponed += pending
    return summary.checked_against(todo)


def _by_history(
    todo: list[Input], job: Job, progress: Progress, summary: RunSummary
) -> tuple[list[Input], list[Input], list[Input]]:
    """Films that nothing speaks against, that one run died on, and that failed or that two runs died on.

    What three runs died on is quarantined.
    """
    died = deaths(job, todo)
    failed = set(Store(job.dataset, job.storage_options).folders(f"_attempts/{job.config_id}"))
    fresh: list[Input] = []
    suspected: list[Input] = []
    alone: list[Input] = []
    for task in todo:
        n = died.get(task.video_id, 0)
        if n >= ATTEMPTS_MAX:
            error = _deadly(task, n)
            for _ in range(n):
                Attempts(Store(job.dataset, job.storage_options), job.config_id, task.video_id).add(error)
            fate = quarantine(task, job, error)
            progress.add(fate)
            summary.fates.append(fate)
        elif n > 1 or task.video_id in failed:
            alone.append(task)
        elif n == 1:
            suspected.append(task)
        else:
            fresh.append(task)
    return fresh, suspected, alone


def _deadly(task: Input, n_runs: int) -> ErrorRow:
    return ErrorRow(
        video_id=task.video_id,
        uri=task.uri,
        stage="engine",
        segment_index=None,
        error_type="RunDied",
        message=f"{n_runs} runs died while they worked on it; look for lack of memory, or re-encode the file",
        permanent=True,
    )


def _round(todo: list[Input], results: Results, job: Job, progress: Progress, summary: RunSummary) -> list[Input]:
    """Gives the films that deserve another attempt."""
    collected = collect(results, todo, RayCommits(job), on_result=progress.add)
    summary.fates += collected.fates
    summary.postponed += [task for task in todo if task.video_id in collected.postponed]
    for error in collected.errors.values():
        if error.stage in {"staging", "commit"}:  # the dataset's fault, not the film's: no attempt is counted
            raise Interrupted(
                f"{job.dataset} cannot be written ({error.message}); {len(summary.of('committed'))} films are done; "
                "mend it and run the same command again: what is staged is kept"
            )
    again: list[Input] = []
    for task in todo:
        if task.video_id in collected.errors:
            fate = _after_failure(task, job, collected.errors[task.video_id])
            if fate is None:
                again.append(task)
            else:
                progress.add(fate)
                summary.fates.append(fate)
    return again


def _after_failure(task: Input, job: Job, error: ErrorRow) -> Fate | None:
    """The quarantine, or None when another attempt is due."""
    failures = Attempts(Store(job.dataset, job.storage_options), job.config_id, task.video_id).add(error)
    if error.permanent or failures >= ATTEMPTS_MAX:
        return quarantine(task, job, error)
    return None


class RayCommits:
    """Commits as Ray tasks beside the flow, so that the driver's memory and time do not follow a film's size."""

    def __init__(self, job: Job) -> None:
        self._job = job
        # Restarting is harmless: every step of a commit may be repeated.
        self._finalise = ray.remote(num_cpus=0.05, max_retries=2)(finalise)
        self._running: dict[ray.ObjectRef, Input] = {}

    def start(self, task: Input) -> None:
        """Returns at once."""
        self._running[self._finalise.remote(task, self._job)] = task

    def finished(self, *, wait: bool) -> list[Fate | ErrorRow]:
        """In the order in which they end."""
        refs = list(self._running)
        if not refs:
            return []
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=None if wait else 0)
        return [self._outcome(ref, self._running.pop(ref)) for ref in done]

    def _outcome(self, ref: ray.ObjectRef, task: Input) -> Fate | ErrorRow:
        try:
            fate: Fate = ray.get(ref)
        except ray.exceptions.RayError as err:
            cause = err.cause if isinstance(err, ray.exceptions.RayTaskError) else err
            return ErrorRow(
                video_id=task.video_id,
                uri=task.uri,
                stage="commit",
                segment_index=None,
                error_type=type(cause).__name__,
                message=" ".join(str(cause).split()),
                permanent=False,
            )
        return fate
