"""StyleGAN2's discriminator: residual blocks from full size down to 4 pixels, then one number per picture.

N pictures, I channels in, O channels out, H and W pixels, K kernel side, R resolution.
Source: Karras et al. 2020, arXiv:1912.04958, figure 7c (residual) and appendix B.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.layers import Dense

_SLOPE = 0.2
_GAIN = math.sqrt(2)
_GROUP_MAX = 4  # pictures whose spread is compared: Karras et al. 2018, arXiv:1710.10196, section 3
_BLUR = (0.125, 0.375, 0.375, 0.125)  # before every second pixel is dropped


class EqualConv(nn.Module):
    """A convolution with equalised learning rate; `down` halves the size behind a [1, 3, 3, 1] blur."""

    def __init__(self, n_in: int, n_out: int, *, side: int, down: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in, side, side))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        self.gain = 1 / math.sqrt(n_in * side**2)
        self.side, self.down = side, down

    def forward(self, x_NIHW: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, O, H, W), or half of that."""
        weight_OIKK = self.weight * self.gain
        if not self.down:
            return F.conv2d(x_NIHW, weight_OIKK, self.bias, padding=self.side // 2)
        taps = x_NIHW.new_tensor(_BLUR)
        kernel = torch.outer(taps, taps).expand(x_NIHW.shape[1], 1, 4, 4)
        # Blur and convolution share one border, so that the picture's centre stays where it is.
        x = F.conv2d(x_NIHW, kernel, padding=1 + self.side // 2, groups=x_NIHW.shape[1])
        return F.conv2d(x, weight_OIKK, self.bias, stride=2)


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1x1 shortcut, half the size."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv0 = EqualConv(n_in, n_in, side=3)
        self.conv1 = EqualConv(n_in, n_out, side=3, down=True)
        self.skip = EqualConv(n_in, n_out, side=1, down=True, bias=False)

    def forward(self, x_NIHW: Tensor) -> Tensor:
        """The sum of two unit variances is halved: appendix B."""
        y: Tensor = _activate(self.conv1(_activate(self.conv0(x_NIHW)))) + self.skip(x_NIHW)
        return y * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Takes: `channels` at 4, 8, ..., R pixels, as the generator's."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        from_large = channels[::-1]
        self.from_rgb = EqualConv(3, from_large[0], side=1)
        self.blocks = nn.ModuleList(ResidualBlock(n_in, n_out) for n_in, n_out in pairwise(from_large))
        self.conv = EqualConv(channels[0] + 1, channels[0], side=3)
        self.dense = Dense(channels[0] * 16, channels[0])
        self.out = Dense(channels[0], 1)

    def forward(self, x_N3RR: Tensor) -> Tensor:
        """(N, 3, R, R) -> (N,): large means real. A picture's number depends on its batch."""
        x = _activate(self.from_rgb(x_N3RR))
        for block in self.blocks:
            x = block(x)
        x = _activate(self.conv(_with_spread(x)))
        scores: Tensor = self.out(_activate(self.dense(x.flatten(1))))[:, 0]
        return scores.float()


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE) * _GAIN


def _with_spread(x_NIHW: Tensor) -> Tensor:
    """One more channel: the mean standard deviation within small groups. A generator of few pictures has little."""
    n, _, height, width = x_NIHW.shape
    group = next(size for size in range(_GROUP_MAX, 0, -1) if n % size == 0)
    y = x_NIHW.float().reshape(group, n // group, *x_NIHW.shape[1:])
    spread = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = spread.repeat(group)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x_NIHW, channel.to(x_NIHW.dtype)], dim=1)
