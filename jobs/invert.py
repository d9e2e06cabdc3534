"""latentreel invert SOURCE... -o DATASET: films in, a dataset of W+ sequences out."""

import os
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from operators.emotion.manifest import emotion_id
from operators.inversion.encoder_header import NO_ENCODER, encoder_id, encoder_of
from operators.inversion.perceptual_weights import PYRAMID, perceptual_id, perceptual_name
from pipeline.create_tables import open_or_create
from pipeline.flow import Pools, engine
from pipeline.plan import Plan, plan_videos
from pipeline.progress import Progress, clock
from pipeline.run import RunSummary, run
from pipeline.staging import clear_leftovers
from pipeline.store import Store
from schemas.config import Config, config_id, load_config
from schemas.errors import WrongUse
from schemas.generators import describe_generator
from schemas.job import Job


@dataclass(frozen=True, kw_only=True)
class InvertOptions:
    """What the command line says."""

    sources: tuple[str, ...]
    dataset: str
    config: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)  # settings by their dotted names; None: not given
    workers: int | None = None
    device: str = "cpu"
    address: str | None = None
    replace: bool = False


def invert(options: InvertOptions, console: Console | None = None) -> int:
    """Gives the exit code: 0 done, 1 some inputs failed and are named. Raises: WrongUse when nothing could start."""
    console = console or Console(stderr=True, highlight=False)
    job, canonical = describe_job(options)
    tables, generation = open_or_create(job, canonical, anew=options.replace)
    job = replace(job, generation=generation)

    with console.status("reading the sources"):
        plan = plan_videos(options.sources, tables)
    _refuse_if_nothing_can_start(plan)
    store = Store(job.dataset, job.storage_options)
    clear_leftovers(store, job.config_id, {task.video_id for task in plan.done})
    _announce(plan, job, console)

    summary, seconds = RunSummary(), 0.0
    if plan.todo:
        with engine(options.address), Progress(plan.todo, console=console).shown() as progress:
            summary = run(plan.todo, job, default_pools(options.workers, options.device), progress)
            seconds = progress.elapsed_s
    return _report(plan, summary, seconds, job, console)


def describe_job(options: InvertOptions) -> tuple[Job, dict[str, Any]]:
    """The job that the options ask for, and its settings in canonical form. Needs neither torch nor Ray."""
    config: Config = load_config(options.config, options.overrides)
    generator = describe_generator(config.generator, seed=config.seed)
    emotion = emotion_id(config.emotion.model) if config.emotion.model else None
    # Chosen here, once: a worker that does not see a file beside the generator must fail, not start from elsewhere.
    start = encoder_of(config.generator, config.inversion.encoder)
    inversion = config.inversion.model_copy(update={"encoder": start or NO_ENCODER})
    perceptual = perceptual_name(config.loss.perceptual)
    loss = config.loss.model_copy(update={"perceptual": perceptual})
    config = config.model_copy(update={"inversion": inversion, "loss": loss})
    encoder = encoder_id(start, generator_id=generator.generator_id) if start else None
    canonical = config.canonical(
        generator_id=generator.content_id,
        emotion_id=emotion,
        encoder_id=encoder,
        perceptual_id=perceptual_id(perceptual),
    )
    job = Job(
        dataset=options.dataset if "://" in options.dataset else str(Path(options.dataset).resolve()),
        config=config,
        config_id=config_id(canonical),
        generator=generator,
        run_id=uuid.uuid4().hex[:12],
        device=options.device,
    )
    return job, canonical


def default_pools(workers: int | None, device: str) -> Pools:
    """How many processes: enough that the stages that wait leave no core idle.

    On a CPU: one inverter a core, and half as many face finders, which take about half of its time; the system shares
    the cores out. With a GPU: one inverter for it, and all cores but one find faces for it.
    """
    cores = os.cpu_count() or 1
    if device == "cpu":
        return Pools(face_workers=workers or max(1, cores // 2), invert_workers=workers or cores)
    return Pools(
        face_workers=workers or max(1, cores - 1),
        invert_workers=workers or 1,
        clips_per_batch=8,  # tracks in lock step: fills the card at 256 px and still fits at 1024
        invert_gpus=1.0,
    )


def _refuse_if_nothing_can_start(plan: Plan) -> None:
    if plan.problems and not (plan.todo or plan.done or plan.quarantined):
        raise WrongUse("; ".join(f"{problem.source}: {problem.message}" for problem in plan.problems))


def _announce(plan: Plan, job: Job, console: Console) -> None:
    for problem in plan.problems:
        _say(console, "[red]failed[/]", f"{problem.source}: {problem.message}")
    for uri, twin in plan.doubles.items():
        _say(console, "[dim]same bytes[/]", f"as {twin}, done once: {uri}")
    for uri, reason in plan.quarantined.items():
        _say(console, "[red]quarantined[/]", f"by an earlier run: {uri}: {reason} (`latentreel retry` clears it)")
    if plan.done:
        _say(console, "", f"{len(plan.done)} films are in {job.dataset} already")
    if plan.todo:
        perceptual = job.config.loss.perceptual
        what = "a pyramid of errors, which is not LPIPS" if perceptual == PYRAMID else perceptual
        _say(console, "", f"pictures are compared by {what}")
    if plan.todo and job.config.emotion.model is None:
        _say(console, "", "no expression network was given (--emotion): the emotion columns stay null")


def _report(plan: Plan, summary: RunSummary, seconds: float, job: Job, console: Console) -> int:
    for fate in summary.of("quarantined"):
        _say(console, "[red]quarantined[/]", f"{fate.uri}: {fate.stage}: {fate.reason}")
    if plan.todo:
        committed, no_faces, bad = (len(summary.of(s)) for s in ("committed", "no_faces", "quarantined"))
        n_tracks, n_latents = summary.total("n_tracks"), summary.total("n_latents")
        _say(
            console,
            "",
            f"{len(plan.todo)} films in {clock(seconds)}: {committed} committed, {no_faces} without a face, "
            f"{bad} quarantined; {n_tracks} tracks, {n_latents} latents in {job.dataset}",
        )
    return 1 if plan.problems or plan.quarantined or summary.of("quarantined") else 0


def _say(console: Console, mark: str, text: str) -> None:
    """One line is one message, also where it is wider than the screen; brackets in a file's name are no markup."""
    console.print(f"{mark} {escape(text)}".lstrip(), soft_wrap=True)
