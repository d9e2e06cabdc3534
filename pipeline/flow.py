"""The whole flow on one screen: films in, receipts of staged latents out, as Ray Data stages with their pools."""

import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.rows import pack, unpack
from pipeline.stages import CutVideo, FindFaces, InvertAndStage
from schemas.errors import WrongUse
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Note, Postponed, Receipt


@dataclass(frozen=True, kw_only=True)
class Pools:
    """How many processes work at what. None of it changes a result."""

    cut_workers: int = 1  # decoding small frames is ten times faster than what follows
    face_workers: int = 1
    invert_workers: int = 1  # one per GPU: two on one GPU only share its memory
    clips_per_batch: int = 1  # on a CPU a batch is no faster than its clips one by one, and alone their bits are exact
    invert_gpus: float = 0.0
    face_gpus: float = 0.0  # of the inverter's card, for the networks of face-alignment

    @property
    def n_actors(self) -> int:
        return self.cut_workers + self.face_workers + self.invert_workers


def latents(todo: list[Input], job: Job, pools: Pools) -> Iterator[Receipt | Note | Postponed | ErrorRow]:
    """Results in the order in which they come to be. Not promised: a result for every input; a lost block is silent."""
    import ray.data

    cutters = _pool(job, pools, pools.cut_workers)
    finders = _pool(job, pools, pools.face_workers, gpus=pools.face_gpus)
    inverters = _pool(job, pools, pools.invert_workers, gpus=pools.invert_gpus, clips=pools.clips_per_batch)
    # fmt: off
    ds = ray.data.from_blocks([pack(task.video_id, task) for task in todo])   # one row per film
    ds = ds.map_batches(CutVideo, **cutters)                                  # 1:N  segments
    ds = ds.map_batches(FindFaces, **finders)                                 # 1:N  clips; 0 counts
    ds = ds.map_batches(InvertAndStage, **inverters)                          # 1:1
    # fmt: on
    for block in ds.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from unpack(block)


def _pool(job: Job, pools: Pools, workers: int, *, gpus: float = 0.0, clips: int = 1) -> dict[str, Any]:
    from ray.data import ActorPoolStrategy

    return {
        "fn_constructor_args": (job,),
        "compute": ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),  # one at work, one waiting
        "batch_size": clips,
        "batch_format": "pyarrow",
        "num_cpus": cpu_share(pools.n_actors),
        "num_gpus": gpus,
        # Ray Data's own default retries a film that kills its process for ever. Here it gets three tries, since a
        # worker that dies takes its neighbours' rows along; together they are the film's first attempt.
        "max_restarts": -1,
        "max_task_retries": 2,
    }


def cpu_share(n_workers: int) -> float:
    """All workers have to stand at once, also on two cores, and one tenth of the cores stays for the final commits."""
    import ray

    cpus = float(ray.cluster_resources().get("CPU", 1))
    return math.floor(min(1.0, 0.9 * cpus / n_workers) * 100) / 100


@contextmanager
def engine(address: str | None, *, cpus: int | None = None) -> Iterator[None]:
    """Ray, started here or joined at `address`, quiet and with the settings that the flow relies on.

    Raises: WrongUse when no cluster answers at the address, or it wants a token.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ half warns about what is handled here …
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # new behaviour; the old one only warns
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody, by no process for it
    # The retry options have no other way in until Ray 2.64, which pyproject.toml excludes for that reason.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
    import ray
    from ray.data import DataContext

    with _silent_stderr():  # … and then says that it was told not to
        try:
            ray.init(
                address=address or "local",  # None would join whatever Ray was last started on this machine
                num_cpus=None if address else cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except ConnectionError as err:
            raise WrongUse(_no_cluster(address, err)) from err
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False  # ours counts films and faces, not blocks
    context.target_max_block_size = 1  # each row travels on its own, at once; the default waits for 128 MB
    context.max_errored_blocks = -1  # a lost block costs one attempt at one film, not the job
    context.execution_options.preserve_order = False  # the order is in the rows
    try:
        yield
    finally:
        ray.shutdown()


def _no_cluster(address: str | None, err: ConnectionError) -> str:
    if "AuthenticationError" in str(err):  # Ray names the cause in the text alone
        return (
            f"the Ray cluster at {address} asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to its token"
        )
    return f"no Ray cluster answers at {address}; start one with `ray start --head`, or leave --address out"


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """For what is written past Python. What goes wrong in the block is an exception all the same."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
