"""What a generator is called and how large it is, told without loading a network: no torch here.

A generator is named by `puppet-128` (shipped, trained on rendered faces), `random-64` (seeded random weights, narrow),
`random-256-f` (the published widths), by a name of the registry (`ffhq-1024`), or by the path of a file: .safetensors
of ours, NVIDIA's .pkl, rosinality's .pt.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from schemas.errors import WrongUse

RESOLUTIONS = (32, 64, 128, 256, 512, 1024)
FILE_FORMAT = "latentreel-stylegan2-1"  # the number rises when an older reader would misread the file
W_DIM = 512  # of random generators: the published width, so that code for latents meets real sizes

_NEEDED = {"resolution", "z_dim", "w_dim", "mapping_layers", "channels"}
_OPTIONAL = {"label_dim": 0, "clamp": None}  # with what a file has that says nothing of them
_RANDOM_NAME = re.compile(r"random-(\d+)(-f)?")
CURE = "give puppet-128, random-64, a name of `latentreel models list`, or a generator's file (.safetensors, .pkl, .pt)"


@dataclass(frozen=True, kw_only=True)
class GeneratorInfo:
    """Enough to lay out a table of latents and to tell two generators apart."""

    name: str  # as the user gave it
    generator_id: str  # random-64-seed0, or the file's stem and the head of its hash: to be read
    content_id: str  # the same without the stem: equal weights under another name are equal
    resolution: int
    num_ws: int
    w_dim: int


@dataclass(frozen=True, kw_only=True)
class RandomName:
    """`random-256-f` taken apart."""

    resolution: int
    published_widths: bool  # -f: the channel counts of StyleGAN2's config-f; otherwise narrow, for tests and demos


def num_ws(resolution: int) -> int:
    """Style vectors for one picture: one per convolution, and one for the last colour layer."""
    return 2 * (resolution.bit_length() - 1) - 2  # Karras et al. 2020, arXiv:1912.04958: 18 at 1024


def parse_random_name(name: str) -> RandomName | None:
    """The parts of a random generator's name; None when the name is no such name.

    Raises: WrongUse for a resolution that no generator has.
    """
    match = _RANDOM_NAME.fullmatch(name)
    if match is None:
        return None
    resolution = int(match[1])
    if resolution not in RESOLUTIONS:
        raise WrongUse(f"generator {name}: {resolution} px; random generators have {_list(RESOLUTIONS)} px")
    return RandomName(resolution=resolution, published_widths=match[2] is not None)


def read_architecture(path: str) -> dict[str, Any]:
    """The architecture from the header of a .safetensors file, checked; tensors are not read, nothing is executed.

    Gives: as `checked_architecture`.
    Raises: WrongUse.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  # random generators do without it

    try:
        with safe_open(path, framework="np") as file:  # compares the header with the file's length
            metadata, names = file.metadata() or {}, sorted(file.keys())
    except (SafetensorError, OSError) as err:
        raise WrongUse(f"generator {path}: not a whole .safetensors file ({err}); copy it again") from err
    if FILE_FORMAT not in metadata:
        held = f"{len(names)} tensors, {', '.join(names[:3])}, …" if names else "nothing"
        raise WrongUse(
            f"generator {path}: a .safetensors of something else ({held}): its header has no {FILE_FORMAT}; make one "
            "of a generator with `latentreel generator convert`"
        )
    try:
        architecture = json.loads(metadata[FILE_FORMAT])
    except ValueError as err:
        raise WrongUse(f"generator {path}: its architecture is not JSON ({err}); write the file again") from err
    return checked_architecture(path, architecture)


def checked_architecture(path: str, given: Any) -> dict[str, Any]:
    """Sizes are bounded before anything is allocated from them: they may come from anywhere.

    Gives: resolution, z_dim, w_dim, mapping_layers, channels (one number per resolution from 4 up), label_dim, clamp.
    Raises: WrongUse.
    """
    if not isinstance(given, dict) or not _NEEDED <= given.keys() <= _NEEDED | _OPTIONAL.keys():
        raise WrongUse(f"generator {path}: its architecture must give {_list(sorted(_NEEDED))}; write the file again")
    architecture: dict[str, Any] = {**_OPTIONAL, **given}
    resolution, channels = architecture["resolution"], architecture["channels"]
    if resolution not in RESOLUTIONS:
        raise WrongUse(f"generator {path}: {resolution} px; generators have {_list(RESOLUTIONS)} px")
    if not isinstance(channels, list) or len(channels) != num_ws(resolution) // 2:
        raise WrongUse(f"generator {path}: channels {channels}; give {num_ws(resolution) // 2}, one per resolution")
    sizes = [architecture["z_dim"], architecture["w_dim"], architecture["mapping_layers"], *channels]
    if any(type(size) is not int or not 1 <= size <= 4096 for size in sizes):  # bool is an int, so not isinstance
        raise WrongUse(f"generator {path}: its sizes must be whole numbers from 1 to 4096; write the file again")
    label_dim, clamp = architecture["label_dim"], architecture["clamp"]
    if type(label_dim) is not int or not 0 <= label_dim <= 100_000:
        raise WrongUse(f"generator {path}: label_dim {label_dim}; give a whole number of labels; write the file again")
    if clamp is not None and (type(clamp) not in (int, float) or not 0 < clamp < math.inf):
        raise WrongUse(f"generator {path}: clamp {clamp}; give a positive number, or null; write the file again")
    return architecture


def _list(items: Any) -> str:
    return ", ".join(map(str, items))
