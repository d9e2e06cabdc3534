"""Generators from files and to files, and by name. Loading reads numbers and sizes; nothing is executed."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from operators.stylegan.checkpoints.find_generator import find_generator, generator_path
from operators.stylegan.checkpoints.found_generator import FoundGenerator
from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.labels import with_label
from operators.stylegan.random_weights import random_generator
from operators.stylegan.w_statistics import w_statistics
from schemas.errors import WrongUse
from schemas.generators import FILE_FORMAT, parse_random_name

_PUBLISHED_WIDTHS = (32768, 512)  # config-f of Karras et al. 2020: 512 channels up to 64 px, 32 at 1024 px
# 16 channels at full size: at 64 px one step of inversion then takes 10 ms on one core. Twice as many everywhere cost
# 2.2 times that and fit faces 1 dB better.
_NARROW_BASE_PER_PX = 16
_NARROW_MAX = 128
_MEAN_SAMPLES = 10_000  # of w, where a file has no mean; as NVIDIA's projector draws


def load_generator(name: str, *, seed: int = 0, label: int | None = None) -> Generator:
    """A generator by name, frozen, on the CPU.

    Takes: `puppet-128` (shipped), `random-64` (narrow), `random-256-f` (published widths), a name of the registry
    (`ffhq-1024`, fetched at its first use), or the path of a file: .safetensors of ours, a pickle of NVIDIA's
    (stylegan2-ada-pytorch, stylegan3, TensorFlow), rosinality's .pt; `seed` of random weights; `label` of a conditional
    generator, which then is one that knows that class only.
    Raises: WrongUse naming the file and what is wrong with it.
    """
    if (random := parse_random_name(name)) is not None:
        narrow = (_NARROW_BASE_PER_PX * random.resolution, _NARROW_MAX)
        base, largest = _PUBLISHED_WIDTHS if random.published_widths else narrow
        return random_generator(random.resolution, seed=seed, channel_base=base, channel_max=largest)
    path = generator_path(name)
    found = find_generator(path)
    sizes = found.architecture | {"channels": tuple(found.architecture["channels"])}
    generator = Generator(Architecture(**sizes)).requires_grad_(False)
    _fill(generator, path, found)
    if "mapping.w_avg" not in found.tensors:
        generator.mapping.w_avg.copy_(w_statistics(generator, n=_MEAN_SAMPLES).mean_D)
    if label is not None:
        generator = with_label(generator, label, name=name)
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
    metadata = {FILE_FORMAT: json.dumps(generator.architecture.header())}
    save_file(tensors, partial, metadata=metadata)
    with Path(partial).open("rb") as file:
        os.fsync(file.fileno())
    Path(partial).chmod(0o644)  # the library makes files for their owner only
    Path(partial).replace(path)


def _fill(generator: Generator, path: str, found: FoundGenerator) -> None:
    """Copied, not adopted: in a file tensors start anywhere, and kernels round differently for each alignment.

    One tensor at a time, so that a file of 1 GB needs no second one in memory.
    """
    expected = generator.state_dict()
    if missing := expected.keys() - found.tensors.keys() - {"mapping.w_avg"}:
        raise WrongUse(f"generator {path}: {len(missing)} tensors missing, first {min(missing)}; take a whole file")
    if foreign := found.tensors.keys() - expected.keys():
        raise WrongUse(
            f"generator {path}: {len(foreign)} unknown tensors, first {min(foreign)}; take a StyleGAN2's file"
        )
    for key, stored in found.tensors.items():
        if stored.shape != expected[key].shape:
            raise WrongUse(
                f"generator {path}: {key} is {stored.shape}, expected {tuple(expected[key].shape)}; take a whole file"
            )
        np.copyto(expected[key].numpy(), stored.read())
        if not torch.isfinite(expected[key]).all():
            raise WrongUse(f"generator {path}: {key} holds NaN or infinity; take an earlier checkpoint")
