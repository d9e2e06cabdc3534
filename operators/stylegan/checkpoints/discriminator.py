"""The discriminator beside a generator in NVIDIA's pickles: what fine-tuning goes on against.

Layout: NVlabs/stylegan2-ada-pytorch, training/networks.py.
"""

from typing import Any

import numpy as np
import torch

from operators.stylegan.checkpoints.find_generator import read_checkpoint_file
from operators.stylegan.checkpoints.inert import PersistentObject
from operators.stylegan.checkpoints.nvidia import tensors_of
from operators.stylegan.checkpoints.rename import Rule, renamed
from operators.stylegan.training.discriminator import Discriminator
from schemas.errors import WrongUse


def read_discriminator(path: str) -> Discriminator | None:
    """The discriminator of a snapshot, on the CPU, ready to be trained. None: the file has none that ours could be.

    That is one of labels, or of another architecture than resnet, or of other pictures than RGB; and every file that
    is no pickle of NVIDIA's. Clamps of its layers, made for 16-bit features, are left out.
    Raises: WrongUse for damaged files, and for weights that are no numbers.
    """
    if path.endswith(".safetensors"):
        return None
    content: Any = read_checkpoint_file(path, what="generator")
    network = content.get("D") if isinstance(content, dict) else None
    if not isinstance(network, PersistentObject):
        return None
    theirs = tensors_of(network)
    sides = sorted(int(name.split(".")[0][1:]) for name in theirs if name.endswith(".conv0.weight"))
    if not sides or f"b{sides[0]}.skip.weight" not in theirs or theirs["b4.out.weight"].shape[0] != 1:
        return None  # several scores: one per number of an embedded label
    tensors = renamed(theirs, _rules(sides))
    channels = (theirs["b4.conv.weight"].shape[0], *(theirs[f"b{side}.conv0.weight"].shape[0] for side in sides))
    discriminator = Discriminator(channels)
    expected = discriminator.state_dict()
    if {name: stored.shape for name, stored in tensors.items()} != {k: tuple(v.shape) for k, v in expected.items()}:
        return None
    for name, stored in tensors.items():
        values = torch.from_numpy(np.require(stored.read(), np.float32, ("C", "W")))
        if not torch.isfinite(values).all():
            raise WrongUse(f"generator {path}: D.{name} holds NaN or infinity; take an earlier checkpoint")
        expected[name].copy_(values)
    return discriminator


def _rules(sides: list[int]) -> list[Rule]:
    rules: list[Rule] = [
        (rf"b{sides[-1]}\.fromrgb\.(weight|bias)", r"from_rgb.\1", None),
        (r"b4\.conv\.(weight|bias)", r"conv.\1", None),
        (r"b4\.fc\.(weight|bias)", r"dense.\1", None),
        (r"b4\.out\.(weight|bias)", r"out.\1", None),
    ]
    for i, side in enumerate(reversed(sides)):
        rules.append((rf"b{side}\.(conv0|conv1|skip)\.(weight|bias)", rf"blocks.{i}.\1.\2", None))
    return rules
