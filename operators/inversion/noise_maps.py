"""Noise maps as something to optimise: a start, the price that keeps them noise, and their renormalisation.

N pictures, H and W pixels of a map, P pixels of all maps of a picture together.
Source: Karras et al. 2020, arXiv:1912.04958, appendix D. There one picture is projected; here each of N has maps,
prices and means of its own. Taken over the batch, as some do, they would couple pictures that have nothing in common.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator

_COARSEST_PX = 8  # appendix D
_EPSILON = 1e-8  # a map of zeros stays one; lost in rounding for a map of rms 1


def start_noise_maps(generator: Generator, n: int) -> list[Tensor]:
    """The generator's own maps for each of `n` pictures, in the order of its convolutions: (N, 1, H, W).

    The paper starts from fresh noise. The generator's own is a draw of the same law, the one that an encoder's guess
    was trained with, and the same for a picture in whatever batch.

    Gives: for `Synthesis.forward(noise=...)`; 43,664 numbers per picture at 128 px, 2.8 million at 1024 px.
    Raises: ValueError when the generator adds no noise anywhere, so that no map could change a picture.
    """
    convs = generator.synthesis.convs
    if not any(bool(conv.noise_strength != 0) for conv in convs):
        raise ValueError(
            f"generator {generator.resolution} px: all its noise strengths are 0, so noise maps change nothing; "
            "invert without them"
        )
    return [conv.noise_const.repeat(n, 1, 1, 1) for conv in convs]


def noise_regularity(maps: list[Tensor]) -> Tensor:
    """How much the maps look like pictures instead of noise: (N,), 0 for white noise of endless size.

    The squared correlation of each pixel with its neighbour, left and above, at the map's size and at each half down
    to 8 pixels, summed over the maps. The paper weights it with 1e5 against the perceptual distance of pictures in
    [0, 255]. Against a mean square in [-1, 1] that holds the maps still: fresh noise of strength 0.1 in 32-px targets
    ends at 29 dB with weights of 100 to 1e5 or without maps, at 38 dB with 1, at 45 dB with 0. Thrown away afterwards,
    the maps of weight 1 leave 25 dB.
    """
    return torch.stack([_map_regularity(x_N1HW) for x_N1HW in maps]).sum(dim=0)


def _map_regularity(x_N1HW: Tensor) -> Tensor:
    total_N = x_N1HW.new_zeros(len(x_N1HW))
    while True:
        for dim in (2, 3):
            total_N = total_N + (x_N1HW * x_N1HW.roll(1, dim)).mean(dim=(1, 2, 3)).square()
        if x_N1HW.shape[-1] <= _COARSEST_PX:
            return total_N
        x_N1HW = F.avg_pool2d(x_N1HW, 2)  # as in the published code: coarse levels fade, their variance is a quarter


@torch.no_grad()
def renormalise_noise_maps(maps: list[Tensor]) -> None:
    """Bring each map of each picture back to mean 0 and root mean square 1, in place: after every step."""
    for x_N1HW in maps:
        x_N1HW.sub_(x_N1HW.mean(dim=(2, 3), keepdim=True))
        x_N1HW.mul_(torch.rsqrt(x_N1HW.square().mean(dim=(2, 3), keepdim=True) + _EPSILON))


def pack_noise_maps(maps: list[Tensor]) -> Tensor:
    """One row per picture, (N, P), to be stored beside its latent: without its maps a latent shows another picture."""
    return torch.cat([x_N1HW.flatten(1) for x_N1HW in maps], dim=1)


def unpack_noise_maps(generator: Generator, noise_NP: Tensor) -> list[Tensor]:
    """The inverse of `pack_noise_maps`.

    Raises: ValueError when the rows are of another generator's length.
    """
    shapes = [conv.noise_const.shape for conv in generator.synthesis.convs]
    sizes = [shape.numel() for shape in shapes]
    if noise_NP.shape[1] != sum(sizes):
        raise ValueError(
            f"noise maps of {noise_NP.shape[1]} numbers per picture, but a generator of {generator.resolution} px "
            f"takes {sum(sizes)}; give maps that were optimised with it"
        )
    parts = torch.split(noise_NP, sizes, dim=1)
    return [part.reshape(-1, 1, *shape) for part, shape in zip(parts, shapes, strict=True)]
