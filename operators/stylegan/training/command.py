"""From a source and named settings to weights: what both the command line and `python -m` call."""

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from operators.stylegan.training.fit_generator import fit_generator
from operators.stylegan.training.image_sources import ImageSource
from operators.stylegan.training.packed_images import pack
from operators.stylegan.training.ranks import join_ranks
from operators.stylegan.training.settings import FitPace, FitSettings
from schemas.errors import WrongUse

T = TypeVar("T", FitSettings, FitPace)


def fit_pictures(
    source: ImageSource,
    *,
    output: str,
    settings: Mapping[str, Any],
    pace: Mapping[str, Any],
    device: str = "auto",
    command: str = "",
    start_from: str | None = None,
    label: int | None = None,
) -> int:
    """Trains into the folder `output`, or goes on there. Gives the exit code 0; what fails is raised.

    Takes: `start_from`: a generator that training goes on from, in place of random weights; `label` of a conditional
    one. Raises: WrongUse, BadInput, Interrupted.
    """
    if start_from is None and label is not None:
        raise WrongUse(f"--label {label} says which class of a generator --from goes on; give that generator too")
    start = None
    if start_from is not None:
        # Reads files of others, which asks for more libraries than training does.
        from operators.stylegan.training.load_start import load_start  # noqa: PLC0415

        start = load_start(start_from, label=label, settings=settings)
    built, watched = named(FitSettings, settings), named(FitPace, pace)  # before pictures are read for minutes
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{output} is a file; give a folder for the run")
    ranks = join_ranks(device)
    try:
        # Each process reads for itself what the first has packed: they share a disk, as torchrun's do on one machine.
        if ranks.rank == 0:
            pack(source, folder)
        ranks.wait()
        images = pack(source, folder)
        path = fit_generator(images, built, folder=folder, pace=watched, ranks=ranks, command=command, start=start)
    finally:
        if ranks.count > 1:
            dist.destroy_process_group()
    if ranks.rank == 0:
        print(path)
        print(f"inverts with: latentreel invert FILM... -o DATASET --generator {path}", file=sys.stderr)
    return 0


def named(kind: type[T], changes: Mapping[str, Any]) -> T:
    """Settings from their names; None stands for the default.

    Raises: WrongUse for an unknown name or a value of another type.
    """
    known = {field.name: field for field in fields(kind)}
    given = {name: value for name, value in changes.items() if value is not None}
    if unknown := [name for name in given if name not in known]:
        raise WrongUse(f"no setting {unknown[0]}; there are {', '.join(known)}")
    for name, value in given.items():
        wanted = type(known[name].default)
        if not (type(value) is wanted or (wanted is float and type(value) is int)):
            raise WrongUse(f"setting {name} is {value!r}; give a {wanted.__name__}")
    return kind(**given)
