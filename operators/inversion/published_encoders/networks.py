"""The networks of pSp, e4e and ReStyle: two backbones, with or without a feature pyramid, a stack of halvings a style.

N pictures, I channels in, C channels, S side of a level, L style layers, D style width.
Sources: pSp, Richardson et al. 2021, arXiv:2008.00951; e4e, Tov et al. 2021, arXiv:2102.02766; ReStyle, Alaluf et al.
2021, arXiv:2104.02699; IR-SE50: Deng et al. 2019, arXiv:1801.07698, and Hu et al. 2018, arXiv:1709.01507.
Parameters are named and laid out as in the published checkpoints, so that loading one is copying tensors.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.inversion.published_encoders.sizes import PublishedSizes
from operators.stylegan.layers import Dense

_UNITS = {"ir-se50": (3, 4, 14, 3), "resnet34": (3, 4, 6, 3)}  # of each stage; widths double from stage to stage
_SQUEEZE = 16  # times fewer channels in the middle of an attention
_MIDDLE_FROM, _FINE_FROM = 3, 7  # with a pyramid: styles before see 16 px, 32 px, and the rest 64 px
_COARSE_PX = 16


class PublishedNetwork(nn.Module):
    """(N, I, 256, 256) -> (N, L, D): offsets to the mean latent, or to the latent of what is shown beside the target.

    Takes: RGB in [-1, 1], and with six channels the current reconstruction behind it.
    """

    def __init__(self, sizes: PublishedSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width, n_in = sizes.width, sizes.in_channels
        units = _UNITS[sizes.backbone]
        stages = (width, width, 2 * width, 4 * width, 8 * width)
        if sizes.backbone == "ir-se50":
            self.input_layer = nn.Sequential(
                nn.Conv2d(n_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
            )
            body: list[nn.Module] = [_IrSeUnit(*each) for each in _plan(stages, units, first_stride=2)]
        else:
            self.conv1 = nn.Conv2d(n_in, width, 7, stride=2, padding=3, bias=False)
            self.bn1, self.relu = nn.BatchNorm2d(width), nn.PReLU(width)
            body = [_ResNetUnit(*each) for each in _plan(stages, units, first_stride=1)]
        self.body = nn.Sequential(*body)
        self._ends = list(accumulate(units))[1:]  # units after which 64, 32 and 16 px are done
        if sizes.pyramid:
            self.latlayer1 = nn.Conv2d(4 * width, 8 * width, 1)
            self.latlayer2 = nn.Conv2d(2 * width, 8 * width, 1)
        sides = [_COARSE_PX * 2 ** self._level(i) for i in range(sizes.num_ws)]
        self.styles = nn.ModuleList(_ToStyle(8 * width, sizes.w_dim, side) for side in sides)

    def forward(self, x_NI: Tensor) -> Tensor:
        levels = self._levels(x_NI)
        w_NLD = torch.stack([style(levels[self._level(i)]) for i, style in enumerate(self.styles)], dim=1)
        if self.sizes.deltas:  # the first style is every layer's, and the others say how theirs differ
            w_NLD = torch.cat((w_NLD[:, :1], w_NLD[:, :1] + w_NLD[:, 1:]), dim=1)
        return w_NLD

    def _levels(self, x_NI: Tensor) -> list[Tensor]:
        """Coarse first; with no pyramid, the coarse one alone."""
        is_ir = self.sizes.backbone == "ir-se50"
        x = self.input_layer(x_NI) if is_ir else self.relu(self.bn1(self.conv1(x_NI)))
        seen = []
        for i, unit in enumerate(self.body, start=1):
            x = unit(x)
            if i in self._ends:
                seen.append(x)
        fine, middle, coarse = seen
        if not self.sizes.pyramid:
            return [coarse]
        middle = _enlarged(coarse, middle) + self.latlayer1(middle)
        return [coarse, middle, _enlarged(middle, fine) + self.latlayer2(fine)]

    def _level(self, style: int) -> int:
        return (style >= _MIDDLE_FROM) + (style >= _FINE_FROM) if self.sizes.pyramid else 0


def _plan(stages: tuple[int, ...], units: tuple[int, ...], *, first_stride: int) -> Iterator[tuple[int, int, int]]:
    """Channels in, channels out and stride of every unit: the first of a stage widens and halves."""
    for stage, ((n_in, n_out), n) in enumerate(zip(pairwise(stages), units, strict=True)):
        yield n_in, n_out, 2 if stage else first_stride
        yield from ((n_out, n_out, 1) for _ in range(n - 1))


def _enlarged(x_NCSS: Tensor, like: Tensor) -> Tensor:
    # align_corners: it moves features by up to half a pixel of the coarse level, and the published weights expect it.
    return F.interpolate(x_NCSS, size=like.shape[2:], mode="bilinear", align_corners=True)


class _ToStyle(nn.Module):
    """(N, C, S, S) -> (N, D): halved to one pixel, then a dense layer."""

    def __init__(self, n_in: int, w_dim: int, side: int) -> None:
        super().__init__()
        widths = [n_in] + [w_dim] * (side.bit_length() - 1)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = Dense(w_dim, w_dim)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        w_ND: Tensor = self.linear(self.convs(x_NCSS).flatten(1))
        return w_ND


class _IrSeUnit(nn.Module):
    """Normalise, convolve twice, weigh the channels; beside it the input as it is, at the same size."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(n_in),
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.PReLU(n_out),
            nn.Conv2d(n_out, n_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            _Attention(n_out),
        )
        # Where the width stays, every stride-th pixel: pooling over a window of one.
        self.shortcut_layer = nn.MaxPool2d(1, stride) if n_in == n_out else _projection(n_in, n_out, stride)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        y: Tensor = self.shortcut_layer(x_NCSS) + self.res_layer(x_NCSS)
        return y


class _Attention(nn.Module):
    """Each channel times what the means of all channels say of it (squeeze and excitation)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(n, n // _SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(n // _SQUEEZE, n, 1, bias=False)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        mean_NC11 = x_NCSS.mean(dim=(2, 3), keepdim=True)
        return x_NCSS * torch.sigmoid(self.fc2(F.relu(self.fc1(mean_NC11))))


class _ResNetUnit(nn.Module):
    """The basic block of He et al. 2016, arXiv:1512.03385."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Identity() if n_in == n_out and stride == 1 else _projection(n_in, n_out, stride)

    def forward(self, x_NCSS: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x_NCSS)))))
        return F.relu(y + self.downsample(x_NCSS))


def _projection(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))
