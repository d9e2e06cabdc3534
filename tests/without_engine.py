"""The stages called one after the other in this process: what a job does, without Ray."""

from pathlib import Path
from typing import Any

from operators.stylegan.describe import describe_generator
from operators.video.video_id import video_id_of
from pipeline.create_tables import open_or_create
from pipeline.replay import work_here
from schemas.config import config_id, load_config
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Postponed, Receipt

QUICK = {
    "inversion.first_steps": 2,
    "inversion.next_steps": 3,
    "inversion.prior_samples": 1000,
    "faces.supersample": 1,
    "generator": "random-32",
}


def job_of(dataset: Path, **settings: Any) -> Job:
    config = load_config(None, {**QUICK, **settings})
    generator = describe_generator(config.generator, seed=0)
    canonical = config.canonical(generator_id=generator.generator_id, emotion_id=None)
    job = Job(dataset=str(dataset), config=config, config_id=config_id(canonical), generator=generator, run_id="stages")
    open_or_create(job, canonical, anew=False)
    return job


def input_of(path: Path) -> Input:
    with path.open("rb") as file:
        return Input(uri=str(path), video_id=video_id_of(file), bytes=path.stat().st_size)


def work_without_engine(film: Input, job: Job) -> list[Receipt | Postponed | ErrorRow]:
    return [row for row in work_here(film, job) if isinstance(row, Receipt | Postponed | ErrorRow)]
