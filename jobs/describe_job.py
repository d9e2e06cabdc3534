"""What a dataset's settings come to: the job that workers are told, and the settings in canonical form."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from operators.emotion.manifest import emotion_id
from operators.inversion.encoder_header import NO_ENCODER, encoder_id, encoder_of
from operators.inversion.perceptual_weights import perceptual_id, perceptual_name
from operators.models.model_file import meant_by
from operators.stylegan.describe import describe_generator
from pipeline.storage_options import checked_options
from pipeline.tables import Tables, saved_config
from schemas.config import Config, config_id, differences
from schemas.embedded import EMBEDDED
from schemas.errors import WrongUse
from schemas.job import Job


def describe_job(
    config: Config, dataset: str, *, device: str = "cpu", storage_options: Mapping[str, str] | None = None
) -> tuple[Job, dict[str, Any]]:
    """Needs neither torch nor Ray. Raises: WrongUse for networks that are missing or not what they should be."""
    config = _with_whole_paths(config)
    generator = describe_generator(config.generator, seed=config.seed, label=config.label)
    emotion = emotion_id(config.emotion.model) if config.emotion.model else None
    # Chosen here, once: a worker that does not see a file beside the generator must fail, not start from elsewhere.
    start = encoder_of(config.generator, config.inversion.encoder, config.inversion.init)
    inversion = config.inversion.model_copy(update={"encoder": start or NO_ENCODER})
    perceptual = perceptual_name(config.loss.perceptual)
    loss = config.loss.model_copy(update={"perceptual": perceptual})
    config = config.model_copy(update={"inversion": inversion, "loss": loss})
    encoder = encoder_id(start, generator) if start else None
    canonical = config.canonical(
        generator_id=generator.content_id,
        emotion_id=emotion,
        encoder_id=encoder,
        perceptual_id=perceptual_id(perceptual),
    )
    job = Job(
        dataset=dataset if "://" in dataset else str(Path(dataset).resolve()),
        dataset_as_given=dataset,
        storage_options=checked_options(storage_options),
        config=config,
        config_id=config_id(canonical),
        generator=generator,
        run_id=uuid.uuid4().hex[:12],
        device=device,
    )
    return job, canonical


def job_of_dataset(tables: Tables, dataset: str, *, device: str = "cpu") -> Job:
    """The dataset's own settings, as far as they still mean the same. Raises: WrongUse where they do not."""
    job, canonical = describe_job(saved_config(tables), dataset, device=device, storage_options=tables.storage_options)
    properties = tables.properties()
    if properties["latentreel.config_id"] != job.config_id:
        changed = "; ".join(differences(canonical, json.loads(properties["latentreel.config"])))
        raise WrongUse(
            f"{dataset}: its settings no longer mean what they meant ({changed}); put the former files back, or make "
            "another dataset with `latentreel invert`"
        )
    return replace(job, generation=int(properties["latentreel.generation"]))


def _with_whole_paths(config: Config) -> Config:
    """Files by their whole paths: `latentreel ingest` reads the same settings later, from another folder."""
    emotion = config.emotion.model_copy(update={"model": _whole(config.emotion.model)})
    inversion = config.inversion.model_copy(update={"encoder": _whole(config.inversion.encoder)})
    return config.model_copy(update={"generator": _whole(config.generator), "emotion": emotion, "inversion": inversion})


def _whole(name: str | None) -> str | None:
    if not name or name in EMBEDDED or meant_by(name) is not None:
        return name
    return str(Path(name).resolve()) if Path(name).is_file() else name
