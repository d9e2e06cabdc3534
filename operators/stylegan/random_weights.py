"""StyleGAN2 generators with seeded random weights: tests, demos and benchmarks without a download."""

import hashlib

import torch
from torch import Tensor

from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.w_statistics import w_statistics
from schemas.generators import W_DIM, num_ws

# At unit variance, as published, colours reach +-4 and clip. 0.3 from each resolution spans [-1, 1] and clips few
# per cent; weighting resolutions alike inverts faces 1 dB better than favouring the coarse ones.
_COLOUR_SD = 0.3


def random_generator(resolution: int, *, seed: int, channel_base: int, channel_max: int) -> Generator:
    """A generator with random weights, frozen.

    Weights are drawn as at the published start of training, but for the colours; biases and noise strengths are zero
    there, and stay so: constant noise costs inversion 1 to 3 dB, because styles cannot undo it.

    Takes: `channel_base`, `channel_max`: features have min(base / r, max) channels at r pixels.
    Gives: equal bits for equal arguments on one machine, whatever the global random state.
    """
    sides = [4 * 2**level for level in range(num_ws(resolution) // 2)]
    channels = tuple(min(channel_base // side, channel_max) for side in sides)
    generator = Generator(Architecture(resolution=resolution, channels=channels, z_dim=W_DIM, w_dim=W_DIM))
    # Hashed: with the plain seed, whoever draws z with an equal seed feeds the first layer its own rows.
    digest = hashlib.sha256(f"stylegan2 weights {seed}".encode()).digest()
    source = torch.Generator().manual_seed(int.from_bytes(digest[:7]))

    def draw(tensor: Tensor, sd: float = 1.0) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=source) * sd)

    with torch.no_grad():
        for layer in generator.mapping.layers:
            draw(layer.weight, 1 / layer.bias_gain)  # equalised learning rate: stored weights times lr_mul have sd 1
        draw(generator.synthesis.b4.const)
        for conv in generator.synthesis.convs:
            draw(conv.affine.weight)
            draw(conv.weight)
            draw(conv.noise_const)
        for torgb in (generator.synthesis.b4.torgb, *(block.torgb for block in generator.synthesis.later)):
            draw(torgb.affine.weight)
            draw(torgb.weight, _COLOUR_SD)
    generator.mapping.w_avg.copy_(w_statistics(generator).mean_D)
    return generator.freeze()
