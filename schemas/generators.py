"""What a generator is called and how large it is, told without loading a network: no torch here.

A generator is named by `puppet-128` (shipped, trained on rendered faces), `random-64` (seeded random weights, narrow),
`random-256-f` (the published widths), or by the path of a .safetensors file of ours.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.embedded import weights_path
from schemas.errors import WrongUse

RESOLUTIONS = (32, 64, 128, 256, 512, 1024)
FILE_FORMAT = "latentreel-stylegan2-1"  # the number rises when an older reader would misread the file
W_DIM = 512  # of random generators: the published width, so that code for latents meets real sizes

_RANDOM_NAME = re.compile(r"random-(\d+)(-f)?")
_CURE = "give puppet-128, random-64, random-256-f, ... or the path of a .safetensors generator"


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


def describe_generator(name: str, *, seed: int) -> GeneratorInfo:
    """Name and sizes of a generator.

    Takes: `seed` of random weights; a file has its weights already, so there the seed changes nothing.
    Raises: WrongUse for an unknown name, and for a file that is missing, damaged or not ours.
    Not promised: that a file's tensors are complete; `load_generator` checks those.
    """
    if (random := parse_random_name(name)) is not None:
        return GeneratorInfo(
            name=name,
            generator_id=f"{name}-seed{seed}",
            content_id=f"{name}-seed{seed}",
            resolution=random.resolution,
            num_ws=num_ws(random.resolution),
            w_dim=W_DIM,
        )
    architecture, path = read_architecture(name), weights_path(name)
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return GeneratorInfo(
        name=name,
        generator_id=f"{Path(path).stem}-{digest[:16]}",
        content_id=digest[:16],
        resolution=architecture["resolution"],
        num_ws=num_ws(architecture["resolution"]),
        w_dim=architecture["w_dim"],
    )


def read_architecture(name: str) -> dict[str, Any]:
    """The architecture from a file's header, checked; tensors are not read and nothing is executed.

    Gives: resolution, z_dim, w_dim, mapping_layers, and channels (one number per resolution from 4 up).
    Raises: WrongUse.
    """
    path = weights_path(name)
    if not path.endswith(".safetensors"):
        raise WrongUse(f"generator {path}: no such name; {_CURE}")
    if not Path(path).is_file():
        raise WrongUse(f"generator {path}: no such file; {_CURE}")
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  # random generators do without it

    try:
        with safe_open(path, framework="np") as file:  # compares the header with the file's length
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as err:
        raise WrongUse(f"generator {path}: not a whole .safetensors file ({err}); copy it again") from err
    if FILE_FORMAT not in metadata:
        raise WrongUse(f"generator {path}: its header has no {FILE_FORMAT}; write the file with save_generator")
    return _checked(path, metadata[FILE_FORMAT])


def _checked(path: str, text: str) -> dict[str, Any]:
    """Sizes are bounded before anything is allocated from them: the header may come from anywhere."""
    try:
        architecture = json.loads(text)
    except ValueError as err:
        raise WrongUse(f"generator {path}: its architecture is not JSON ({err}); write the file again") from err
    expected = {"resolution", "z_dim", "w_dim", "mapping_layers", "channels"}
    if not isinstance(architecture, dict) or architecture.keys() != expected:
        raise WrongUse(f"generator {path}: its architecture must give {_list(sorted(expected))}; write the file again")
    resolution, channels = architecture["resolution"], architecture["channels"]
    if resolution not in RESOLUTIONS:
        raise WrongUse(f"generator {path}: {resolution} px; generators have {_list(RESOLUTIONS)} px")
    if not isinstance(channels, list) or len(channels) != num_ws(resolution) // 2:
        raise WrongUse(f"generator {path}: channels {channels}; give {num_ws(resolution) // 2}, one per resolution")
    sizes = [architecture["z_dim"], architecture["w_dim"], architecture["mapping_layers"], *channels]
    if any(type(size) is not int or not 1 <= size <= 4096 for size in sizes):  # bool is an int, so not isinstance
        raise WrongUse(f"generator {path}: its sizes must be whole numbers from 1 to 4096; write the file again")
    return architecture


def _list(items: Any) -> str:
    return ", ".join(map(str, items))
