"""What `invert` and `ingest` share: how many processes work, what is said before and after, and the run between."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

from rich.console import Console
from rich.markup import escape

from operators.inversion.encoder_header import NO_ENCODER, encoder_path, is_published
from operators.inversion.perceptual_weights import PYRAMID
from operators.inversion.published_encoders.checkpoint import is_of_another, read_published
from pipeline.flow import Pools
from pipeline.progress import Progress, clock
from pipeline.run import RunSummary, run
from pipeline.stop import StopRequest
from schemas.job import Input, Job


def work(
    todo: list[Input],
    job: Job,
    pools: Pools,
    console: Console,
    engine: Callable[[], AbstractContextManager[None]],
    stop: StopRequest,
) -> RunSummary:
    """Inverts films, and says what became of them. Asked to stop, it finishes what it has begun."""
    if not todo:
        return RunSummary()
    with engine(), stop.caught(), Progress(todo, console=console).shown() as progress:
        summary = run(todo, job, pools, progress, stop)
    report(len(todo), summary, progress.elapsed_s, job, console, stopped=stop.asked)
    return summary


def stop_request(job: Job, console: Console) -> StopRequest:
    """One that says so when it is made."""
    return StopRequest(job, say=lambda text: say(console, "[bold]stopping[/]", text))


def default_pools(workers: int | None, device: str, *, finder: str = "dlib") -> Pools:
    """How many processes: enough that the stages that wait leave no core idle.

    On a CPU: one inverter a core, and half as many face finders, which take about half of its time; the system shares
    the cores out. With a GPU: one inverter for it, and all cores but one find faces for it; face-alignment finds them
    on the same card, where two finders leave the inverter three fifths.
    """
    cores = os.cpu_count() or 1
    if device == "cpu":
        return Pools(face_workers=workers or max(1, cores // 2), invert_workers=workers or cores)
    shares = finder == "face-alignment"
    return Pools(
        face_workers=workers or (min(2, cores) if shares else max(1, cores - 1)),
        invert_workers=workers or 1,
        clips_per_batch=8,  # tracks in lock step: fills the card at 256 px and still fits at 1024
        invert_gpus=0.6 if shares else 1.0,  # less than the whole card, or the finders would wait for one of their own
        face_gpus=0.2 if shares else 0.0,
    )


def announce_loss(job: Job, console: Console) -> None:
    """What the dataset's settings mean for its columns."""
    perceptual = job.config.loss.perceptual
    what = "a pyramid of errors, which is not LPIPS" if perceptual == PYRAMID else perceptual
    say(console, "", f"pictures are compared by {what}")
    if job.config.emotion.model is None:
        say(console, "", "no expression network was given (--emotion): the emotion columns stay null")


def announce_encoder(job: Job, console: Console) -> None:
    """What the first frame of a track starts from, and whether it was made for another generator."""
    encoder = job.config.inversion.encoder
    if encoder in (None, NO_ENCODER):
        say(console, "", "the first frame of a track starts from the mean latent")
        return
    say(console, "", f"the first frame of a track starts from encoder {encoder}")
    if is_published(encoder) and is_of_another(read_published(encoder_path(encoder)), job.generator):
        says = f"its file carries another generator than {job.generator.name}, so its guesses may show other things"
        say(console, "[yellow]encoder[/]", f"{encoder}: {says}; --init mean does without it")


def report(n_todo: int, summary: RunSummary, seconds: float, job: Job, console: Console, *, stopped: bool) -> None:
    """The fates of a run."""
    for fate in (*summary.of("committed"), *summary.of("no_faces")):
        if fate.reason is not None:
            say(console, "[yellow]damaged[/]", f"{fate.uri}: {fate.reason}")
    for fate in summary.of("quarantined"):
        say(console, "[red]quarantined[/]", f"{fate.uri}: {fate.stage}: {fate.reason}")
    committed, no_faces, bad = (len(summary.of(s)) for s in ("committed", "no_faces", "quarantined"))
    n_tracks, n_latents = summary.total("n_tracks"), summary.total("n_latents")
    say(
        console,
        "",
        f"{n_todo} films in {clock(seconds)}: {committed} committed, {no_faces} without a face, "
        f"{bad} quarantined; {n_tracks} tracks, {n_latents} latents in {job.dataset}",
    )
    if summary.postponed:
        left = len(summary.postponed)
        why = "what was at work is finished" if stopped else "written to while they were read"
        say(console, "[bold]left[/]", f"{left} films are left for the next run: {why}")


def say(console: Console, mark: str, text: str) -> None:
    """One line is one message, also where it is wider than the screen; brackets in a file's name are no markup."""
    console.print(f"{mark} {escape(text)}".lstrip(), soft_wrap=True)
