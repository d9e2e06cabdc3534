"""A picture's latents in one pass: offsets to the generator's mean latent, read from a small feature pyramid.

N pictures, R side of the picture in pixels, S side of a level, C channels, L style layers, D style width.
Source: pSp, Richardson et al. 2021, arXiv:2008.00951: a pyramid of three levels, of which the coarse one makes styles
0 to 2, the middle one 3 to 6, the fine one the rest. Theirs is a ResNet-50 with a stack of convolutions per style; ours
has a hundredth of the weights and one dense head per level.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator

INPUT_MAX_PX = 256  # pSp's own input: larger pictures are halved first, since styles of 1024 px show at 256 too
LEVEL_PX = (4, 8, 16)  # coarse, middle, fine
GRID_PX = 4  # what a head sees of its level, so that it knows where things are
_GROUP = 8  # channels normalised together; each picture by itself, so that it does not matter in whose company it is
_SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """All sizes of an encoder, and the scale of its answer: what a file's header says."""

    resolution: int
    num_ws: int
    w_dim: int
    width: int  # channels after the first halving; they double up to four times that
    hidden: int  # of each head
    spread: float  # of the generator's w: heads answer in spreads, so that they learn alike for every generator


class Encoder(nn.Module):
    """(N, 3, R, R), RGB in [-1, 1] -> (N, L, D), latents in W+.

    Gives: exactly the mean latent before any training.
    Not promised: the same bits for a picture in a batch as for the same picture alone; `first_guess` gives those.
    """

    mean_D: Tensor
    refinements = 0  # trained to know the target alone

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        side = min(shape.resolution, INPUT_MAX_PX)
        n_levels = side.bit_length() - LEVEL_PX[0].bit_length()
        channels = [3] + [shape.width * min(2**level, 4) for level in range(n_levels)]
        self.down = nn.ModuleList(_Halve(a, b) for a, b in pairwise(channels))
        self.lateral = nn.ModuleList(nn.Conv2d(n, shape.width, 1) for n in channels[: -len(LEVEL_PX) - 1 : -1])
        ends = (3, 7, shape.num_ws)
        n_styles = [end - first for first, end in pairwise((0, *ends))]
        self.heads = nn.ModuleList(_head(shape.width, shape.hidden, n * shape.w_dim) for n in n_styles)
        self.register_buffer("mean_D", torch.zeros(shape.w_dim))

    def forward(self, x_N3RR: Tensor) -> Tensor:
        x = x_N3RR
        while x.shape[-1] > INPUT_MAX_PX:
            x = F.avg_pool2d(x, 2)
        levels = []
        for halve in self.down:
            x = halve(x)
            levels.append(x)
        offsets, above_NCSS = [], None
        for level, lateral, head in zip(reversed(levels), self.lateral, self.heads, strict=False):
            here_NCSS = lateral(level)
            if above_NCSS is not None:
                here_NCSS = here_NCSS + F.interpolate(above_NCSS, scale_factor=2.0)
            grid = F.avg_pool2d(here_NCSS, here_NCSS.shape[-1] // GRID_PX)
            offsets.append(head(grid).unflatten(1, (-1, self.shape.w_dim)))
            above_NCSS = here_NCSS
        return self.mean_D + self.shape.spread * torch.cat(offsets, dim=1)

    def first(self, target_N3RR: Tensor) -> Tensor:
        """As the call: see PictureEncoder."""
        w_NLD: Tensor = self(target_N3RR)
        return w_NLD

    def again(self, target_N3RR: Tensor, shown_N3RR: Tensor, w_NLD: Tensor) -> Tensor:
        """What it sees of both is compared: it was never shown two pictures at once."""
        moved_NLD: Tensor = w_NLD + self(target_N3RR) - self(shown_N3RR.clamp(-1, 1))
        return moved_NLD


class _Halve(nn.Module):
    """Half the size, then one residual convolution."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1)
        self.norm0 = _norm(n_out)
        self.conv1 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.norm1 = _norm(n_out)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm0(self.conv0(x_NCSS)), _SLOPE)
        return x + F.leaky_relu(self.norm1(self.conv1(x)), _SLOPE)


def _norm(n: int) -> nn.GroupNorm:
    return nn.GroupNorm(n // _GROUP if n % _GROUP == 0 else 1, n)


def _head(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    last = nn.Linear(hidden, n_out)
    nn.init.zeros_(last.weight)  # the first answer is the mean latent, from which any direction is open
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Flatten(), nn.Linear(n_in * GRID_PX**2, hidden), nn.LeakyReLU(_SLOPE), last)


def new_encoder(generator: Generator, *, spread: float, width: int, hidden: int, seed: int) -> Encoder:
    """An untrained encoder for a generator. Gives: equal bits for equal arguments, whatever the global random state."""
    shape = EncoderShape(
        resolution=generator.resolution,
        num_ws=generator.num_ws,
        w_dim=generator.w_dim,
        width=width,
        hidden=hidden,
        spread=spread,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(shape)
    encoder.mean_D.copy_(generator.mapping.w_avg)
    return encoder
