"""A small convolutional network that reads one of the seven expressions from a face.

N faces, C channels (1 grey, 3 RGB), S side of a level.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from schemas.emotions import N_EMOTIONS

# Channels at 32, 16, 8 and 4 px, and of the head. 0.23 M weights, 0.93 MB as float32.
WIDTHS = (32, 48, 64, 64)
HIDDEN = 48
_GRID_PX = 4


class ConvNorm(nn.Module):
    """3x3 convolution, batch normalisation, ReLU. Once trained, the normalisation is part of the convolution."""

    def __init__(self, n_in: int, n_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x_NCSS)))

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that this layer is in evaluation."""
        mean_C, var_C = self.norm.running_mean, self.norm.running_var
        assert mean_C is not None
        assert var_C is not None
        scale_C = self.norm.weight / torch.sqrt(var_C + self.norm.eps)
        return self.conv.weight * scale_C[:, None, None, None], self.norm.bias - mean_C * scale_C


class ExpressionNet(nn.Module):
    """(N, C, 64, 64) in [-1, 1] -> (N, 7) logits in EmoPy order."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        n_ins = (channels, *WIDTHS[:-1])
        self.down = [ConvNorm(a, b, stride=2) for a, b in zip(n_ins, WIDTHS, strict=True)]
        self.mix = [ConvNorm(n, n) for n in WIDTHS]
        for i, (down, mix) in enumerate(zip(self.down, self.mix, strict=True)):
            self.add_module(f"down{i}", down)
            self.add_module(f"mix{i}", mix)
        # Dense over places, not their mean: where a line is tells a brow from a mouth.
        self.fc0 = nn.Linear(WIDTHS[-1] * _GRID_PX**2, HIDDEN)
        self.fc1 = nn.Linear(HIDDEN, N_EMOTIONS)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        x = x_NCSS
        for down, mix in zip(self.down, self.mix, strict=True):
            x = down(x)
            x = x + mix(x)
        logits: Tensor = self.fc1(F.relu(self.fc0(x.flatten(1))))
        return logits
