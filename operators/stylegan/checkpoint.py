"""Generators to and from .safetensors files, and by name. Loading reads numbers and a header; nothing is executed."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.random_weights import random_generator
from schemas.embedded import weights_path
from schemas.errors import WrongUse
from schemas.generators import FILE_FORMAT, parse_random_name, read_architecture

_PUBLISHED_WIDTHS = (32768, 512)  # config-f of Karras et al. 2020: 512 channels up to 64 px, 32 at 1024 px
# 16 channels at full size: at 64 px one step of inversion then takes 10 ms on one core. Twice as many everywhere cost
# 2.2 times that and fit faces 1 dB better.
_NARROW_BASE_PER_PX = 16
_NARROW_MAX = 128


def load_generator(name: str, *, seed: int = 0) -> Generator:
    """A generator by name, frozen, on the CPU.

    Takes: `puppet-128` (shipped), `random-64` (narrow), `random-256-f` (published widths), or the path of a
    .safetensors file of ours; `seed` of random weights.
    Raises: WrongUse naming the file and what is wrong with it.
    """
    if (random := parse_random_name(name)) is not None:
        narrow = (_NARROW_BASE_PER_PX * random.resolution, _NARROW_MAX)
        base, largest = _PUBLISHED_WIDTHS if random.published_widths else narrow
        return random_generator(random.resolution, seed=seed, channel_base=base, channel_max=largest)
    header = read_architecture(name)
    header["channels"] = tuple(header["channels"])
    generator = Generator(Architecture(**header))
    tensors = load_file(weights_path(name))
    _check_tensors(name, tensors, generator.state_dict())
    # Copied, not adopted: in the file tensors start at any 8 bytes, and kernels round differently for each alignment.
    generator.load_state_dict(tensors)
    return generator.freeze()


def save_generator(generator: Generator, path: str) -> None:
    """Write a generator as .safetensors, architecture in the header.

    A kill at any moment leaves either the old file or the whole new one, and at worst a `.partial` beside it.
    """
    if not path.endswith(".safetensors"):
        raise ValueError(f"generator {path}: the name must end with .safetensors, by which it is recognised")
    partial = f"{path}.{os.getpid()}.partial"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    # One entry: the library writes several in an order that changes from run to run, and the bytes are the identity.
    metadata = {FILE_FORMAT: json.dumps(asdict(generator.architecture))}
    save_file(tensors, partial, metadata=metadata)
    with Path(partial).open("rb") as file:
        os.fsync(file.fileno())
    Path(partial).chmod(0o644)  # the library makes files for their owner only
    Path(partial).replace(path)


def _check_tensors(name: str, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    if missing := expected.keys() - tensors.keys():
        raise WrongUse(f"generator {name}: {len(missing)} tensors missing, first {min(missing)}; write the file again")
    if foreign := tensors.keys() - expected.keys():
        raise WrongUse(f"generator {name}: {len(foreign)} unknown tensors, first {min(foreign)}; write the file again")
    for key, tensor in tensors.items():
        want = expected[key]
        if tensor.shape != want.shape or tensor.dtype not in {
            want.dtype,
            torch.float16,
        }:  # half: as small files have it
            raise WrongUse(
                f"generator {name}: {key} is {tensor.dtype} {tuple(tensor.shape)}, expected {want.dtype} "
                f"{tuple(want.shape)}; write the file again"
            )
        if not torch.isfinite(tensor).all():
            raise WrongUse(f"generator {name}: {key} holds NaN or infinity; take an earlier checkpoint")
