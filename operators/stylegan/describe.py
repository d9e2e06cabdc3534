"""What a generator is called and how large it is, whatever file it comes in. Needs no torch."""

import hashlib
from pathlib import Path

from operators.stylegan.checkpoints.find_generator import find_generator, generator_path
from schemas.errors import WrongUse
from schemas.generators import W_DIM, GeneratorInfo, num_ws, parse_random_name


def describe_generator(name: str, *, seed: int, label: int | None = None) -> GeneratorInfo:
    """Name and sizes of a generator.

    Takes: `seed` of random weights; a file has its weights already, so there the seed changes nothing; `label` of a
    conditional one.
    Raises: WrongUse for an unknown name, for a file that is missing, damaged or no generator, and for a label that is
    missing or not one of the generator's.
    Not promised: that a file's tensors are numbers; `load_generator` checks those.
    """
    if (random := parse_random_name(name)) is not None:
        if label is not None:
            raise WrongUse(f"generator {name}: knows no labels; leave the label out")
        return GeneratorInfo(
            name=name,
            generator_id=f"{name}-seed{seed}",
            content_id=f"{name}-seed{seed}",
            resolution=random.resolution,
            num_ws=num_ws(random.resolution),
            w_dim=W_DIM,
        )
    path = generator_path(name)
    architecture = find_generator(path).architecture
    n_labels = architecture["label_dim"]
    if label is None and n_labels:
        raise WrongUse(f"generator {name}: draws {n_labels} classes; say which with --label, 0 to {n_labels - 1}")
    if label is not None and not 0 <= label < n_labels:
        wanted = f"give one from 0 to {n_labels - 1}" if n_labels else "it knows none: leave it out"
        raise WrongUse(f"generator {name}: no label {label}; {wanted}")
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    content_id = digest[:16] if label is None else f"{digest[:16]}-label{label}"
    return GeneratorInfo(
        name=name,
        generator_id=f"{Path(path).stem}-{content_id}",
        content_id=content_id,
        resolution=architecture["resolution"],
        num_ws=num_ws(architecture["resolution"]),
        w_dim=architecture["w_dim"],
    )
