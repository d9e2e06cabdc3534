"""StyleGAN2's synthesis the way published PyTorch code runs it without its CUDA extensions: the benchmark's reference.

Weights modulated and demodulated per picture, one convolution of N groups, the filter over inserted zeros, noise, bias,
slope and gain each a pass over the features. Nothing is shared with operators.stylegan but the weights.

N pictures, L style layers, D style width, I channels in, O channels out, H and W pixels.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator
from operators.stylegan.layers import StyledConv, ToRGB

_EPSILON = 1e-8


def grouped_synthesis(generator: Generator, w_NLD: Tensor) -> Tensor:
    """(N, L, D) -> (N, 3, R, R), with the stored noise."""
    first = generator.synthesis.b4
    x = first.const[None].repeat(len(w_NLD), 1, 1, 1)
    x = _styled(first.conv1, x, w_NLD[:, 0])
    rgb = _to_rgb(first.torgb, x, w_NLD[:, 1])
    for i, block in enumerate(generator.synthesis.later):
        x = _styled(block.conv0, x, w_NLD[:, 2 * i + 1])
        x = _styled(block.conv1, x, w_NLD[:, 2 * i + 2])
        rgb = _filtered(_with_zeros(rgb), pad=(2, 1)) + _to_rgb(block.torgb, x, w_NLD[:, 2 * i + 3])
    return rgb


def _styled(layer: StyledConv, x_NIHW: Tensor, w_ND: Tensor) -> Tensor:
    y = _modulated(x_NIHW, layer.weight, _style(layer, w_ND), demodulate=True, up=layer.up)
    y = y.add_(layer.noise_const * layer.noise_strength)
    return F.leaky_relu(y + layer.bias[:, None, None], 0.2) * math.sqrt(2)


def _to_rgb(layer: ToRGB, x_NIHW: Tensor, w_ND: Tensor) -> Tensor:
    style_NI = _style(layer, w_ND) * (1 / math.sqrt(x_NIHW.shape[1]))
    return _modulated(x_NIHW, layer.weight, style_NI, demodulate=False, up=False) + layer.bias[:, None, None]


def _style(layer: StyledConv | ToRGB, w_ND: Tensor) -> Tensor:
    return torch.addmm(layer.affine.bias[None], w_ND, (layer.affine.weight * layer.affine.weight_gain).t())


def _modulated(x_NIHW: Tensor, weight_OIKK: Tensor, style_NI: Tensor, *, demodulate: bool, up: bool) -> Tensor:
    n, i, height, width = x_NIHW.shape
    o, _, k, _ = weight_OIKK.shape
    weight_NOIKK = weight_OIKK[None] * style_NI.reshape(n, 1, i, 1, 1)
    if demodulate:
        weight_NOIKK = weight_NOIKK * torch.rsqrt(weight_NOIKK.square().sum(dim=(2, 3, 4), keepdim=True) + _EPSILON)
    x = x_NIHW.reshape(1, n * i, height, width)
    if up:
        turned = weight_NOIKK.transpose(1, 2).reshape(n * i, o, k, k)
        y = F.conv_transpose2d(x, turned, stride=2, groups=n)
        return _filtered(y, pad=(1, 1)).reshape(n, o, 2 * height, 2 * width)
    y = F.conv2d(x, weight_NOIKK.reshape(n * o, i, k, k), padding=k // 2, groups=n)
    return y.reshape(n, o, height, width)


def _with_zeros(x_NCHW: Tensor) -> Tensor:
    n, c, height, width = x_NCHW.shape
    return F.pad(x_NCHW.reshape(n, c, height, 1, width, 1), (0, 1, 0, 0, 0, 1)).reshape(n, c, 2 * height, 2 * width)


def _filtered(x_NCHW: Tensor, *, pad: tuple[int, int]) -> Tensor:
    taps = x_NCHW.new_tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / taps.sum() ** 2 * 4
    channels = x_NCHW.shape[1]
    return F.conv2d(F.pad(x_NCHW, (*pad, *pad)), kernel.repeat(channels, 1, 1, 1), groups=channels)
