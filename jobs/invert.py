"""latentreel invert SOURCE... -o DATASET: films in, a dataset of W+ sequences out."""

from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from jobs.bulk_run import announce_encoder, announce_loss, default_pools, say, stop_request, work
from jobs.describe_job import describe_job
from jobs.people import name_after_run
from pipeline.create_tables import open_or_create
from pipeline.flow import engine
from pipeline.plan import Plan, plan_videos
from pipeline.refused import commit_refused
from pipeline.staging import clear_leftovers
from schemas.config import load_config
from schemas.errors import WrongUse
from schemas.job import Job


@dataclass(frozen=True, kw_only=True)
class InvertOptions:
    """What the command line says."""

    sources: tuple[str, ...]
    dataset: str
    config: tuple[str, ...] = ()  # YAML files of settings, later over earlier
    overrides: dict[str, Any] = field(default_factory=dict)  # settings by their dotted names; None: not given
    workers: int | None = None
    decode_deadline_s: float = 60.0  # without a sign of life from a decoder
    device: str = "cpu"
    address: str | None = None
    replace: bool = False
    people_threshold: float | None = None  # None: the dataset's own; not on the command line, see `latentreel people`
    storage_options: dict[str, str] = field(default_factory=dict, repr=False)  # of the dataset and of the films


def invert(options: InvertOptions, console: Console | None = None) -> int:
    """Gives the exit code: 0 done, 1 some inputs failed and are named. Raises: WrongUse when nothing could start."""
    console = console or Console(stderr=True, highlight=False)
    config = load_config(options.config, options.overrides)
    job, canonical = describe_job(
        config, options.dataset, device=options.device, storage_options=options.storage_options
    )
    tables, generation = open_or_create(job, canonical, anew=options.replace)
    job = replace(job, generation=generation, decode_deadline_s=options.decode_deadline_s)

    with console.status("reading the sources"):
        plan = plan_videos(options.sources, tables)
    _refuse_if_nothing_can_start(plan)
    clear_leftovers(tables.store, job.config_id, plan.done)
    commit_refused(plan.problems, job)
    _announce(plan, job, console)
    pools = default_pools(options.workers, options.device, finder=job.config.faces.finder)
    if plan.todo:
        announce_loss(job, console)
        announce_encoder(job, console)
    stop = stop_request(job, console)
    summary = work(plan.todo, job, pools, console, lambda: engine(options.address), stop)
    name_after_run(tables, console, threshold=options.people_threshold)
    return 1 if plan.problems or plan.quarantined or summary.of("quarantined") else 0


def _refuse_if_nothing_can_start(plan: Plan) -> None:
    accounted = plan.todo or plan.done or plan.quarantined or any(problem.is_lasting for problem in plan.problems)
    if plan.problems and not accounted:
        raise WrongUse("; ".join(f"{problem.source}: {problem.message}" for problem in plan.problems))


def _announce(plan: Plan, job: Job, console: Console) -> None:
    for problem in plan.problems:
        say(console, "[red]failed[/]", f"{problem.source}: {problem.message}")
    for uri, twin in plan.doubles.items():
        say(console, "[dim]same bytes[/]", f"as {twin}, done once: {uri}")
    for uri, reason in plan.quarantined.items():
        say(console, "[red]quarantined[/]", f"by an earlier run: {uri}: {reason} (`latentreel retry` clears it)")
    if plan.done:
        say(console, "", f"{len(plan.done)} films are in {job.dataset} already")
