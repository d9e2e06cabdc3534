"""The styled convolution and its colours where a layer has more pixels than weights: what costs there is memory.

The same sums as in layers.py, for a frozen generator on the CPU: channels last, which the processor's convolutions
want, every later step in place, and only the layer's input and its result kept for the slopes. Blocks of this size are
pages that the system has to clear each time they are asked for: one block costs as much as ten passes over it.

N pictures, I channels in, O channels out, H and W pixels, K kernel side, P = H W.
Source: Karras et al. 2020, arXiv:1912.04958, section 2.2, equations 1 to 3.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.resample import blur

_SLOPE = 0.2
# Pixels to weights of one channel. Measured at 64 to 1024 px, narrow and published widths, batch 1 to 8: with a quarter
# on these forms are the faster ones, by 5 to 70 %; below it a single picture is slower by 10 %, its weights being many.
_PIXELS_PER_WEIGHT = 0.25
_ROWS = 2**21  # numbers of a product that are summed at once: 8 MB, which the cache holds, in few parallel regions


def is_pixel_bound(x_NIHW: Tensor, weight_OIKK: Tensor, *, n_pixels: int) -> bool:
    """Whether the layer is one for this module; `n_pixels`: of its result."""
    return _is_plain(x_NIHW) and n_pixels >= _PIXELS_PER_WEIGHT * weight_OIKK[:, 0].numel()


def is_channels_last(x_NIHW: Tensor) -> bool:
    """Whether features lie as a layer here leaves them, and can be coloured here too."""
    lies_so = x_NIHW.is_contiguous(memory_format=torch.channels_last) and not x_NIHW.is_contiguous()
    return lies_so and _is_plain(x_NIHW)


def _is_plain(x_NIHW: Tensor) -> bool:
    if torch.compiler.is_compiling():  # it joins the passes of the plain form, and cannot look into this one
        return False
    return x_NIHW.device.type == "cpu" and x_NIHW.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


class PixelBoundConv(torch.autograd.Function):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    Takes: x (N, I, H, W), style (N, I), scale (N, O): the demodulation, times the gain of the activation; bias (O,) and
    noise (H, W) or (N, 1, H, W), times that gain; weight (O, I, K, K); `clamp`, the bound of the result.
    Gives: (N, O, H, W), twice the size with `up`, channels last; slopes to x, style and scale, once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        style_NI: Tensor,
        scale_NO: Tensor,
        bias_O: Tensor,
        noise: Tensor | None,
        weight_OIKK: Tensor,
        up: bool,
        clamp: float | None,
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if len(x) == 1:  # its styles cost least on the weights
            y = _convolved(x, weight_OIKK * (scale_NO[0][:, None] * style_NI[0])[:, :, None, None], up=up)
        else:
            y = _convolved(x * style_NI[:, :, None, None], weight_OIKK, up=up).mul_(scale_NO[:, :, None, None])
        y.add_(bias_O[:, None, None])
        if noise is not None:
            y.add_(noise)
        F.leaky_relu_(y, _SLOPE)
        ctx.clamp = clamp if clamp is not None and _reaches(y, clamp) else None  # rarely, and masks cost a block
        if ctx.clamp is not None:
            y.clamp_(-ctx.clamp, ctx.clamp)
        ctx.save_for_backward(x, style_NI, scale_NO, bias_O, noise, weight_OIKK, y)
        ctx.up = up
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, style_NI, scale_NO, bias_O, noise, weight_OIKK, y = ctx.saved_tensors
        slope = slope.contiguous(memory_format=torch.channels_last)
        if ctx.clamp is not None:
            slope = slope * (y.abs() < ctx.clamp)
        # The convolution itself is not kept. What the scale is owed needs its product with the slope before the bias
        # and the ReLU, which is slope * y less what bias and noise had in it.
        scale_slope_NO = _products(slope, y)
        slope = torch.ops.aten.leaky_relu_backward(slope, y, _SLOPE, True)
        scale_slope_NO -= bias_O * slope.sum((2, 3))
        if noise is not None:
            scale_slope_NO -= _against_noise(slope, noise)
        scale_slope_NO /= scale_NO
        slope.mul_(scale_NO[:, :, None, None])
        x_slope = _slope_of_convolved(slope, weight_OIKK, up=ctx.up)
        style_slope_NI = _products(x_slope, x)
        return x_slope.mul_(style_NI[:, :, None, None]), style_slope_NI, scale_slope_NO, *(None,) * 5


class PixelBoundColours(torch.autograd.Function):
    """x (N, I, H, W), channels last, and weight (N, 3, I) -> (N, 3, H, W), contiguous; slopes to both, once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_N3I: Tensor, bias_3: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight_N3I)
        rgb_N3P = torch.baddbmm(bias_3[:, None], weight_N3I, _rows(x).transpose(1, 2))
        return rgb_N3P.view(len(x), 3, *x.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_N3HW: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_N3I = ctx.saved_tensors
        slope_N3P = slope_N3HW.flatten(2)
        x_slope_NPI = slope_N3P.transpose(1, 2) @ weight_N3I
        x_slope = x_slope_NPI.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)
        return x_slope, slope_N3P @ _rows(x), None


def _convolved(x: Tensor, weight_OIKK: Tensor, *, up: bool) -> Tensor:
    if up:
        turned = weight_OIKK.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        return blur(F.conv_transpose2d(x, turned, stride=2), padding=1)
    return F.conv2d(x, weight_OIKK.contiguous(memory_format=torch.channels_last), padding=1)


def _slope_of_convolved(slope: Tensor, weight_OIKK: Tensor, *, up: bool) -> Tensor:
    turned = weight_OIKK.transpose(0, 1)
    if up:
        return F.conv2d(blur(slope, padding=2), turned.contiguous(memory_format=torch.channels_last), stride=2)
    return F.conv2d(slope, turned.flip(2, 3).contiguous(memory_format=torch.channels_last), padding=1)


def _rows(x_NIHW: Tensor) -> Tensor:
    """(N, P, I), without copying: channels are last in memory."""
    return x_NIHW.permute(0, 2, 3, 1).flatten(1, 2)


def _products(a_NIHW: Tensor, b_NIHW: Tensor) -> Tensor:
    """The sum over the pixels of a * b, (N, I), without a block for the product."""
    sums = a_NIHW.new_zeros(a_NIHW.shape[:2])
    step = max(1, _ROWS // a_NIHW.shape[1])
    for i, (a, b) in enumerate(zip(_rows(a_NIHW), _rows(b_NIHW), strict=True)):
        for some_a, some_b in zip(a.split(step), b.split(step), strict=True):
            sums[i] += (some_a * some_b).sum(0)
    return sums


def _against_noise(slope_NOHW: Tensor, noise: Tensor) -> Tensor:
    noise_N1P = noise.flatten(-2).reshape(-1, 1, noise.shape[-2] * noise.shape[-1])
    return (noise_N1P.expand(len(slope_NOHW), -1, -1) @ _rows(slope_NOHW))[:, 0]


def _reaches(y: Tensor, bound: float) -> bool:
    low, high = torch.aminmax(y)
    return bool(low <= -bound or high >= bound)
