"""Networks at the start of their training: seeded, at unit variance, as equalised learning rates want them."""

import hashlib

import torch
from torch import nn

from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.training.discriminator import Discriminator


def new_generator(architecture: Architecture, *, seed: int, noise: bool) -> Generator:
    """Trainable. Without `noise` the strengths stay at zero, and the maps of the file are zero too."""
    generator = Generator(architecture).unfreeze()
    source = _source("generator", seed)
    _draw(generator, source)
    with torch.no_grad():
        for layer in generator.mapping.layers:
            layer.weight.div_(layer.bias_gain)  # equalised learning rate: stored weights times lr_mul have sd 1
        for conv in generator.synthesis.convs:
            conv.noise_strength.requires_grad_(noise)
            if noise:
                conv.noise_const.normal_(generator=source)
    return generator


def new_discriminator(channels: tuple[int, ...], *, seed: int) -> Discriminator:
    """Trainable; `channels` as the generator's."""
    discriminator = Discriminator(channels)
    _draw(discriminator, _source("discriminator", seed))
    return discriminator


def _draw(network: nn.Module, source: torch.Generator) -> None:
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("weight", "const")):
                parameter.normal_(generator=source)


def _source(what: str, seed: int) -> torch.Generator:
    digest = hashlib.sha256(f"training {what} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))
