"""What a training run has that goes on from a generator of anywhere: fine-tuning.

N pictures, Z noise width, R side in pixels.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator
from operators.stylegan.training.discriminator import Discriminator
from operators.stylegan.training.packed_images import PackedImages
from schemas.errors import WrongUse

SIZES = ("channel_base", "channel_max", "z_dim", "w_dim", "mapping_layers", "noise")  # settings that a start decides
_POOL = 512  # samples, of which each picture takes the z of the nearest: at 128 px a second and a half
_COMPARED_PX = 16
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedStart:
    """Where a run starts from; networks on the CPU, to be copied."""

    name: str  # as the user gave it
    generator: Generator
    discriminator: Discriminator | None  # of the same snapshot, where the file is one
    content_id: str  # of the weights: a run goes on only from the start that it had
    licence: str

    @property
    def has_noise(self) -> bool:
        """Whether its noise has any strength."""
        return any(bool(conv.noise_strength != 0) for conv in self.generator.synthesis.convs)

    def new_generator(self) -> Generator:
        """A trainable copy; noise that has no strength gets none."""
        generator = copy.deepcopy(self.generator).unfreeze()
        for conv in generator.synthesis.convs:
            conv.noise_strength.requires_grad_(self.has_noise)
        return generator

    @property
    def in_words(self) -> str:
        """For the card."""
        beside = "with the discriminator beside it" if self.discriminator is not None else "without a discriminator"
        return f"{self.name} ({self.content_id}), {beside}; licence: {self.licence}"


def require_same_size(start: LoadedStart, images: PackedImages) -> None:
    """Raises: WrongUse for pictures of another size, or with z of another width."""
    generator = start.generator
    if images.resolution != generator.resolution:
        raise WrongUse(
            f"{images.what}: {images.resolution} px, and {start.name} draws {generator.resolution} px; give pictures "
            "of that size"
        )
    if images.latents_NZ is not None and images.latents_NZ.shape[1] != generator.z_dim:
        raise WrongUse(
            f"{images.what}: latents.npy has {images.latents_NZ.shape[1]} numbers a picture, and {start.name} takes "
            f"{generator.z_dim}; take latents.npy away, and z is learnt"
        )


@torch.no_grad()
def nearest_z(generator: Generator, images: PackedImages, *, seed: int, device: torch.device) -> Tensor:
    """(N, Z): for each picture the z of that sample, of a few hundred, which looks most like it from far away."""
    pool_PZ = torch.randn(_POOL, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    made = torch.cat([_small(generator(z, noise="none")) for z in torch.split(pool_PZ, _AT_ONCE)])
    rows = np.split(np.arange(len(images)), range(_AT_ONCE, len(images), _AT_ONCE))
    nearest = [torch.cdist(_small(images.batch(row, device)), made).argmin(dim=1) for row in rows]
    return pool_PZ[torch.cat(nearest)]


def _small(x_N3RR: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x_N3RR, _COMPARED_PX).flatten(1)
