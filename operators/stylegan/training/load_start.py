"""The generator that `generator fit --from` names, of any kind of file."""

from collections.abc import Mapping
from typing import Any

from operators.stylegan.checkpoint import load_generator
from operators.stylegan.checkpoints.discriminator import read_discriminator
from operators.stylegan.checkpoints.find_generator import generator_path
from operators.stylegan.describe import describe_generator
from operators.stylegan.training.loaded_start import SIZES, LoadedStart
from schemas.errors import WrongUse
from schemas.generators import parse_random_name

_UNKNOWN = "as of that generator; ask who made it"


def load_start(name: str, *, label: int | None, settings: Mapping[str, Any]) -> LoadedStart:
    """Takes: what load_generator takes; `label` of a conditional generator; the user's settings by name.

    Raises: WrongUse as load_generator, and for settings that say what the generator says.
    """
    if given := [key for key in SIZES if settings.get(key) is not None]:
        raise WrongUse(f"setting {given[0]}: a run that goes on from a generator has that one's; leave it out")
    described = describe_generator(name, seed=0, label=label)
    is_file = parse_random_name(name) is None
    return LoadedStart(
        name=name,
        generator=load_generator(name, label=label),
        discriminator=read_discriminator(generator_path(name)) if is_file and label is None else None,
        content_id=described.content_id,
        licence=_licence(name),
    )


def _licence(name: str) -> str:
    try:
        from operators.models.model_file import meant_by  # noqa: PLC0415  # as find_generator.generator_path
    except ModuleNotFoundError:
        return _UNKNOWN
    published = meant_by(name)
    return _UNKNOWN if published is None else published.licence
