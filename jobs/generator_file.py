"""latentreel generator info | convert: what a generator's file holds, and the same as a file of ours with a card."""

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import WrongUse
from schemas.generators import RESOLUTIONS, parse_random_name

if TYPE_CHECKING:
    from operators.stylegan.generator import Generator

GRID_SIDE = 4  # 16 pictures: enough to see how good and how alike they are, 16 s at 1024 px on one core
# No file says what its licence is. Who publishes a family does, and that decides what may be done with a copy of it.
_LICENCES = {
    "NVIDIA's pickle": "not said in the file; NVIDIA's published networks are for non-commercial use "
    "(Nvidia Source Code License-NC, those of FFHQ CC BY-NC-SA 4.0), whoever trained this one may say otherwise",
    "pickle of the TensorFlow years": "not said in the file; NVIDIA's published networks are for non-commercial use "
    "(Nvidia Source Code License-NC, those of FFHQ CC BY-NC-SA 4.0), whoever trained this one may say otherwise",
}
_UNKNOWN = "not said in the file; ask who made it"


def info(
    name: str,
    *,
    seed: int = 0,
    label: int | None = None,
    grid: str | None = None,
    truncation_psi: float = 0.7,
    form: str = "table",
) -> int:
    """Prints what a generator is; `grid` names a PNG for pictures of its own. Gives the exit code.

    Raises: WrongUse for what is no generator.
    """
    from operators.stylegan.checkpoint import load_generator
    from operators.stylegan.facts import generator_facts

    if form not in ("table", "json"):
        raise WrongUse(f"--format {form}: there is none of that name; give table or json")
    kind, digest = _origin(name, seed=seed)
    generator = load_generator(name, seed=seed, label=label)
    facts: dict[str, object] = {"generator": name, "kind": kind, **digest, "licence": _licence(name, kind)}
    facts |= generator_facts(generator)
    if grid is not None:
        _draw(generator, Path(grid), seed=seed, truncation_psi=truncation_psi)
        facts["grid"] = grid
    if form == "json":
        print(json.dumps(facts, indent=1))
        return 0
    width = max(map(len, facts))
    for fact, value in facts.items():
        print(f"{fact:{width}}  {value}")
    return 0


def convert(
    source: str,
    *,
    output: str,
    seed: int = 0,
    label: int | None = None,
    licence: str | None = None,
    command: str = "",
) -> int:
    """Writes a generator as .safetensors, its card and a grid of its pictures beside it. Gives the exit code.

    Takes: `label` of a conditional generator, of which the file then knows that class only; `licence`, for the card;
    `command`: as it was typed. Raises: WrongUse.
    """
    from operators.stylegan.checkpoint import load_generator, save_generator
    from operators.stylegan.facts import generator_facts
    from operators.training.write_file import write_file

    path = Path(output)
    if path.suffix != ".safetensors":
        raise WrongUse(f"{output}: the name must end with .safetensors, by which a generator of ours is recognised")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise WrongUse(f"{output} is the source itself; give another name")
    kind, digest = _origin(source, seed=seed)
    generator = load_generator(source, seed=seed, label=label)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_generator(generator, output)
    _draw(generator, path.with_suffix(".png"), seed=seed, truncation_psi=0.7)
    facts = {"made from": f"{Path(source).name}, {kind}", **digest, "label": "none" if label is None else label}
    facts |= {"licence": licence or _licence(source, kind), **generator_facts(generator)}
    lines = [f"# {path.stem}", "", "A StyleGAN2 generator, converted; every weight is that of the source.", ""]
    lines += ["```", command, "```", "", "| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in facts.items()), ""]
    write_file(path.with_suffix(".md"), "\n".join(lines).encode())
    print(output)
    print(f"its card is {path.stem}.md, 16 of its pictures are {path.stem}.png, beside it", file=sys.stderr)
    return 0


def _origin(name: str, *, seed: int) -> tuple[str, dict[str, object]]:
    """What kind of file it is, and the file's hash."""
    from operators.stylegan.checkpoints.find_generator import find_generator, generator_path

    if parse_random_name(name) is not None:
        return f"random weights, seed {seed}", {}
    path = generator_path(name)
    kind = find_generator(path).kind
    with Path(path).open("rb") as file:
        return kind, {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _licence(name: str, kind: str) -> str:
    from operators.models.model_file import meant_by
    from schemas.embedded import EMBEDDED

    if name in EMBEDDED or parse_random_name(name) is not None:
        return "that of latentreel"
    published = meant_by(name)
    return published.licence if published is not None else _LICENCES.get(kind, _UNKNOWN)


def _draw(generator: "Generator", path: Path, *, seed: int, truncation_psi: float) -> None:
    from operators.stylegan.facts import sample_grid
    from operators.stylegan.training.pictures import write_grid

    if path.suffix != ".png":
        raise WrongUse(f"{path}: the grid is a PNG; give a name that ends with .png")
    if generator.resolution == RESOLUTIONS[-1]:
        print("drawing 16 pictures of 1024 px: a quarter of a minute on one core", file=sys.stderr)
    pictures = sample_grid(generator, n=GRID_SIDE**2, seed=seed, truncation_psi=truncation_psi)
    write_grid(pictures, path, columns=GRID_SIDE)
