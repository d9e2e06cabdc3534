"""Train a generator, through any number of kills, into one folder.

The folder afterwards: generator.safetensors, model-card.md, log.csv and figures.csv with curves.png, grid-*.png,
checkpoint.pt. Until then there is no generator.safetensors.
"""

import copy
import hashlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.stylegan.generator import Generator
from operators.stylegan.training.adversarial import Adversarial
from operators.stylegan.training.card import write_card
from operators.stylegan.training.checkpointing import Checkpoint, read_checkpoint
from operators.stylegan.training.fit_log import Means, Table, draw_curves, read_table
from operators.stylegan.training.frechet import RandomFeatures, frechet_distance
from operators.stylegan.training.loaded_start import SIZES, LoadedStart, require_same_size
from operators.stylegan.training.objective import GRID, Objective, pictures, resolved
from operators.stylegan.training.packed_images import PackedImages
from operators.stylegan.training.pictures import write_grid
from operators.stylegan.training.ranks import Ranks
from operators.stylegan.training.reconstruction import Reconstruction
from operators.stylegan.training.settings import FitPace, FitSettings
from schemas.errors import Interrupted, WrongUse

WEIGHTS, CARD = "generator.safetensors", "model-card.md"
_OBJECTIVES: dict[str, Callable[[PackedImages, FitSettings, Ranks, LoadedStart | None], Objective]] = {
    "adversarial": Adversarial,
    "reconstruction": Reconstruction,
}
_MEASURED_AT_ONCE = 32  # pictures of the Fréchet distance


@dataclass(kw_only=True, eq=False)
class _Run:
    """One attempt at a run: what it trains, and where it stands."""

    images: PackedImages
    settings: FitSettings
    pace: FitPace
    folder: Path
    ranks: Ranks
    objective: Objective
    identity: dict[str, Any]
    start: LoadedStart | None = None
    step: int = 0
    seconds_before: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def save(self) -> None:
        if self.ranks.rank == 0:
            state = self.objective.state()
            Checkpoint(identity=self.identity, step=self.step, seconds=self.seconds, state=state).write(self.folder)

    def place(self) -> dict[str, float]:
        return {"step": self.step, "images": self.step * self.settings.batch, "seconds": round(self.seconds, 1)}


def fit_generator(
    images: PackedImages,
    settings: FitSettings,
    *,
    folder: Path,
    pace: FitPace | None = None,
    ranks: Ranks | None = None,
    command: str = "",
    start: LoadedStart | None = None,
) -> Path:
    """Trains, or goes on where a killed run left off, and writes the weights.

    Takes: `command`: how it was called, for the card; `start`: what a new run goes on from, in the place of random
    weights; a killed one needs it again. Gives: the path of the weights.
    Raises: WrongUse for settings that differ from the run in the folder (named), that do not fit into memory, or
    whose losses leave the numbers; Interrupted at SIGTERM, after a checkpoint.
    Not promised: after a resume on another machine, or with another number of threads, the same bits.
    """
    ranks, pace = ranks or Ranks(), pace or FitPace()
    _check(images, settings, ranks)
    if start is not None:
        require_same_size(start, images)
        settings = replace(settings, noise=start.has_noise)
    folder.mkdir(parents=True, exist_ok=True)
    with _enough_memory(images, settings):
        identity = _identity(images, settings, ranks, start)
        found = read_checkpoint(folder, identity, ranks.device)
        objective = _OBJECTIVES[settings.objective](images, settings, ranks, start)
        run = _Run(
            images=images,
            settings=settings,
            pace=pace,
            folder=folder,
            ranks=ranks,
            objective=objective,
            identity=identity,
            start=start,
        )
        if found is not None:
            objective.load(found.state)
            run.step, run.seconds_before = found.step, found.seconds
            _say(run, f"goes on after step {found.step} of {settings.steps}")
        _train(run)
        return _finish(run, command)


def _check(images: PackedImages, settings: FitSettings, ranks: Ranks) -> None:
    if settings.batch % ranks.count:
        raise WrongUse(f"batch {settings.batch} over {ranks.count} processes; give a multiple of {ranks.count}")
    if len(images) < 2:
        raise WrongUse(f"{images.what}: one picture is no set; give at least two, better thousands")


def _identity(images: PackedImages, settings: FitSettings, ranks: Ranks, start: LoadedStart | None) -> dict[str, Any]:
    """What a checkpoint may be continued with, and nothing else."""
    precision = resolved(settings.precision, ranks.device)
    found = asdict(settings) | {"precision": precision, "pictures": images.digest(), "processes": ranks.count}
    if start is None:
        del found["discriminator_first"]  # it has no say, and runs that were begun before it was there go on
        return found
    return found | {"from": start.content_id}


def _train(run: _Run) -> None:
    log = Table(run.folder / "log.csv", run.objective.columns, steps_kept=run.step) if run.ranks.rank == 0 else None
    figures = Table(run.folder / "figures.csv", _figure_names(run), steps_kept=run.step) if log else None
    means, saved = Means(), time.monotonic()
    with _stop_asked() as stop:
        while run.step < run.settings.steps:
            torch.manual_seed(_seed(run.settings.seed, run.step, run.ranks.rank))
            means.add(run.objective.step(run.step))
            run.step += 1
            last = run.step == run.settings.steps
            stopping = run.ranks.any(bool(stop))
            due = stopping or last or time.monotonic() - saved >= run.pace.checkpoint_s
            if log and (due or run.step % run.pace.log_steps == 0):
                row = _finite(means.take(), run)  # before a checkpoint: one with NaN could not be mended
                log.add(run.place() | row)
                _say(run, "  ".join(f"{name} {value:.4g}" for name, value in row.items()))
            if figures and (last or run.step % run.pace.picture_steps == 0):
                figures.add(run.place() | _look(run))
                _draw(run)
            if due:
                run.save()
                saved = time.monotonic()
            if stopping and not last:
                raise Interrupted(f"{run.folder}: stopped after step {run.step}; the same command goes on from there")


def _seed(seed: int, step: int, rank: int) -> int:
    """Hashed, so that neighbouring seeds and steps share nothing."""
    return int.from_bytes(hashlib.sha256(f"step {seed} {step} {rank}".encode()).digest()[:7])


def _figure_names(run: _Run) -> tuple[str, ...]:
    return (
        ("random_features_frechet", "psnr_held_out")
        if run.images.latents_NZ is not None
        else ("random_features_frechet",)
    )


def _finite(row: dict[str, float], run: _Run) -> dict[str, float]:
    if wrong := [name for name, value in row.items() if not math.isfinite(value)]:
        raise WrongUse(
            f"{run.folder}: {wrong[0]} is no number any more near step {run.step}; give a smaller --learning-rate than "
            f"{run.settings.learning_rate}, or --precision fp32, and another output folder"
        )
    return row


def _look(run: _Run) -> dict[str, float]:
    """Grids as files; measures as numbers. Draws nothing from the randomness of training."""
    for name, x_N3RR in run.objective.grids().items():
        write_grid(x_N3RR, run.folder / f"grid-{name}-{run.step:07d}.png", columns=GRID)
    features = RandomFeatures(run.ranks.device)
    n = min(len(run.images), run.pace.distance_images)
    index_N = np.linspace(0, len(run.images) - 1, n).astype(np.int64)
    parts = np.split(index_N, range(_MEASURED_AT_ONCE, n, _MEASURED_AT_ONCE))
    real_NF = features(run.images.batch(part, run.ranks.device) for part in parts)
    made_NF = features(_made(run, n))
    return {"random_features_frechet": frechet_distance(real_NF, made_NF)} | run.objective.figures()


def _made(run: _Run, n: int) -> Iterator[Tensor]:
    z_NZ = run.objective.sample_z(n, torch.Generator().manual_seed(run.settings.seed + 1))
    for z in torch.split(z_NZ, _MEASURED_AT_ONCE):
        yield pictures(run.objective.average.generator, z, noise=run.settings.noise)


def _draw(run: _Run) -> None:
    if find_spec("PIL") is None:
        _say(run, "no curves.png: Pillow is not installed; log.csv has the numbers")
        return
    draw_curves([read_table(run.folder / "log.csv"), read_table(run.folder / "figures.csv")], run.folder / "curves.png")


def _finish(run: _Run, command: str) -> Path:
    from operators.stylegan.checkpoint import save_generator  # noqa: PLC0415  safetensors is wanted only here

    path = run.folder / WEIGHTS
    if run.ranks.rank:
        return path
    spread = run.objective.finish()
    generator = copy.deepcopy(run.objective.average.generator).cpu().to(memory_format=torch.contiguous_format)
    save_generator(generator.half() if run.settings.weights == "fp16" else generator, str(path))
    figures = read_table(run.folder / "figures.csv")
    write_card(
        run.folder / CARD,
        name=run.folder.resolve().name,
        settings=_settings_shown(run, generator),
        start="random weights" if run.start is None else run.start.in_words,
        sizes={
            "resolution": generator.resolution,
            "num_ws": generator.num_ws,
            "z_dim": generator.z_dim,
            "parameters": sum(p.numel() for p in generator.parameters()),
            "bytes": path.stat().st_size,
            "w_spread": spread,
        },
        data=f"{run.images.what}, {run.images.resolution} px (digest {run.images.digest()})",
        z=run.objective.z_meaning,
        command=command,
        seconds=run.seconds,
        device=run.ranks.device,
        log=read_table(run.folder / "log.csv"),
        figures={k: v for k, v in figures[-1].items() if k not in ("step", "images", "seconds")},
    )
    _say(run, f"weights: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


def _settings_shown(run: _Run, generator: Generator) -> dict[str, Any]:
    shown = asdict(run.settings) | {"precision": run.identity["precision"], "z_dim": generator.z_dim}
    return shown if run.start is None else {name: value for name, value in shown.items() if name not in SIZES}


def _say(run: _Run, text: str) -> None:
    if run.ranks.rank == 0:
        rate = run.step * run.settings.batch / max(run.seconds, 1e-9)
        print(f"step {run.step}/{run.settings.steps}  {run.seconds:.0f} s  {rate:.0f} img/s  {text}", file=sys.stderr)


@contextmanager
def _stop_asked() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGTERM came."""
    asked: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = signal.signal(signal.SIGTERM, remember)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _enough_memory(images: PackedImages, settings: FitSettings) -> Iterator[None]:
    cure = f"give a smaller --batch than {settings.batch} or --channel-base than {settings.channel_base}"
    told = f"batch {settings.batch} at {images.resolution} px does not fit into memory; {cure}"
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as err:
        raise WrongUse(told) from err
    except RuntimeError as err:
        if "can't allocate memory" in str(err):  # torch has no class of its own for this on the CPU
            raise WrongUse(told) from err
        raise
