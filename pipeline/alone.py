"""Films that have failed before, each through all stages in a process of its own: it can harm nobody but itself."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray

from pipeline.flow import Pools, cpu_share
from pipeline.replay import work_here
from pipeline.rows import pack, unpack
from pipeline.stages import ClipTask, SegmentTask
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Note, Postponed, Receipt

_AT_ONCE = 2  # for each inverter of the flow: films that failed before often do nothing but wait for a deadline


def latents_alone(todo: list[Input], job: Job, pools: Pools) -> Iterator[Receipt | Note | Postponed | ErrorRow]:
    """As `flow.latents`, with the same results. Not promised: a result for a film whose process died."""
    at_once = _AT_ONCE * pools.invert_workers
    work = ray.remote(
        num_cpus=cpu_share(at_once),
        num_gpus=pools.invert_gpus + pools.face_gpus,
        num_returns="streaming",
        max_retries=0,  # whether it gets another attempt is decided by the run
        max_calls=1,  # a fresh process for each film: no leak and no broken library is handed on
    )(_one_film)
    waiting, running = list(todo), list[Any]()
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(work.remote(waiting.pop(0), job))
        (results,), _ = ray.wait(running, num_returns=1)
        try:
            block = ray.get(next(results))
        except (StopIteration, ray.exceptions.RayError):
            running.remove(results)
        else:
            yield from unpack(block)


def _one_film(task: Input, job: Job) -> Iterator[pa.Table]:
    for row in work_here(task, job):
        if not isinstance(row, SegmentTask | ClipTask):
            yield pack(task.video_id, row)
