"""StyleGAN2 as its paper writes it, in float64 and one picture's weights at a time: slow, literal, independent.

Nothing here is shared with operators.stylegan; only the names of the tensors are. Weights are modulated and demodulated
per picture and convolved in groups; upsampling inserts zeros and convolves with the whole filter.

N pictures, D style width, I channels in, O channels out, H and W pixels, K kernel side.
Source: Karras et al. 2020, arXiv:1912.04958, equations 1 and 3, figure 2; Karras et al. 2019, arXiv:1812.04948, for the
mapping network and truncation; Karras et al. 2020, arXiv:2006.06676, and its code for labels and for the clamp.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Weights = dict[str, Tensor]


def _leaky(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, 0.2 * x) * math.sqrt(2)


def _normalised(x_NI: Tensor) -> Tensor:
    return x_NI / (x_NI.pow(2).mean(dim=1, keepdim=True) + 1e-8).sqrt()


def mapping(weights: Weights, z_NZ: Tensor, label_NK: Tensor | None = None, *, n_layers: int, psi: float) -> Tensor:
    """One w per z, truncated: (N, D). A label's embedding, normalised as z is, stands beside it."""
    x = _normalised(z_NZ)
    if label_NK is not None:
        weight, bias = weights["mapping.embed.weight"], weights["mapping.embed.bias"]
        embedded_ND = label_NK @ (weight / math.sqrt(weight.shape[1])).T + bias
        x = torch.cat([x, _normalised(embedded_ND)], dim=1)
    for i in range(n_layers):
        weight, bias = weights[f"mapping.fc{i}.weight"], weights[f"mapping.fc{i}.bias"]
        x = _leaky(x @ (weight * (0.01 / math.sqrt(weight.shape[1]))).T + bias * 0.01)
    mean = weights["mapping.w_avg"]
    return mean + psi * (x - mean)


def _styles(weights: Weights, layer: str, w_ND: Tensor) -> Tensor:
    weight = weights[f"{layer}.affine.weight"]
    return w_ND @ (weight / math.sqrt(weight.shape[1])).T + weights[f"{layer}.affine.bias"]


def _fir(x_NCHW: Tensor, *, pad: tuple[int, int]) -> Tensor:
    """Convolve each channel with the outer product of [1, 3, 3, 1], of sum 4 because 3 of 4 samples are zeros."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x_NCHW.dtype)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2 * 4
    channels = x_NCHW.shape[1]
    return F.conv2d(F.pad(x_NCHW, (*pad, *pad)), kernel.expand(channels, 1, 4, 4), groups=channels)


def _insert_zeros(x_NCHW: Tensor) -> Tensor:
    n, c, h, w = x_NCHW.shape
    spread = x_NCHW.new_zeros(n, c, 2 * h, 2 * w)
    spread[:, :, ::2, ::2] = x_NCHW
    return spread


def modulated_conv(x_NIHW: Tensor, weight_OIKK: Tensor, s_NI: Tensor, *, demodulate: bool, up: bool) -> Tensor:
    """Equations 1 and 3 in weight space, then one group per picture."""
    n, i, h, w = x_NIHW.shape
    o, _, k, _ = weight_OIKK.shape
    modulated = weight_OIKK[None] * s_NI[:, None, :, None, None]
    if demodulate:
        modulated = modulated / (modulated.pow(2).sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    x = x_NIHW.reshape(1, n * i, h, w)
    if up:
        # A transposed convolution is zero insertion, then convolution with the turned kernel: 2H + 1 pixels with the
        # full overlap, of which the last inserted zero is no part.
        x = F.pad(_insert_zeros(x)[:, :, : 2 * h - 1, : 2 * w - 1], (k - 1,) * 4)
        y = F.conv2d(x, modulated.flip(3, 4).reshape(n * o, i, k, k), groups=n)
        return _fir(y, pad=(1, 1)).reshape(n, o, 2 * h, 2 * w)
    y = F.conv2d(x, modulated.reshape(n * o, i, k, k), padding=k // 2, groups=n)
    return y.reshape(n, o, h, w)


def synthesis(weights: Weights, w_NLD: Tensor, *, resolution: int, noise: bool, clamp: float = math.inf) -> Tensor:
    """(N, L, D) -> (N, 3, R, R) with the stored noise maps, or with none; each layer's output within the clamp."""

    def conv(x: Tensor, layer: str, w_ND: Tensor, up: bool) -> Tensor:
        styles = _styles(weights, layer, w_ND)
        y = modulated_conv(x, weights[f"{layer}.weight"], styles, demodulate=True, up=up)
        if noise:
            y = y + weights[f"{layer}.noise_const"] * weights[f"{layer}.noise_strength"]
        return _leaky(y + weights[f"{layer}.bias"][:, None, None]).clamp(-clamp, clamp)

    def to_rgb(x: Tensor, layer: str, w_ND: Tensor) -> Tensor:
        weight = weights[f"{layer}.weight"]
        styles = _styles(weights, layer, w_ND) / math.sqrt(weight.shape[1])
        colours = modulated_conv(x, weight, styles, demodulate=False, up=False)
        return (colours + weights[f"{layer}.bias"][:, None, None]).clamp(-clamp, clamp)

    x = weights["synthesis.b4.const"].repeat(len(w_NLD), 1, 1, 1)
    x = conv(x, "synthesis.b4.conv1", w_NLD[:, 0], up=False)
    rgb = to_rgb(x, "synthesis.b4.torgb", w_NLD[:, 1])
    side, row = 8, 1
    while side <= resolution:
        x = conv(x, f"synthesis.b{side}.conv0", w_NLD[:, row], up=True)
        x = conv(x, f"synthesis.b{side}.conv1", w_NLD[:, row + 1], up=False)
        rgb = _fir(_insert_zeros(rgb), pad=(2, 1)) + to_rgb(x, f"synthesis.b{side}.torgb", w_NLD[:, row + 2])
        side, row = side * 2, row + 2
    return rgb
