"""StyleGAN2's modulated convolution with one set of weights for the whole batch.

N pictures, I channels in, O channels out, H and W pixels, K kernel side.
Source: Karras et al. 2020, arXiv:1912.04958, section 2.2, equations 1 to 3.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.resample import blur

_EPSILON = 1e-8  # equation 3, against division by zero


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Out of autocast, where it is on: for what is small, and shows when it is rounded to 8 bits."""
    if device.type != "meta" and torch.is_autocast_enabled(device.type):  # meta: not a device of autocast
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def weight_energy(weight_OIKK: Tensor) -> Tensor:
    """The sum over the kernel of the squared weights, (O, I): all that demodulation needs to know of them."""
    return weight_OIKK.square().sum(dim=(2, 3))


def demodulation(style_NI: Tensor, energy_OI: Tensor) -> Tensor:
    """Equation 3 as one matrix product: what brings each output to unit length, (N, O)."""
    with in_float32(style_NI.device):
        return torch.rsqrt(F.linear(style_NI.square(), energy_OI, None) + _EPSILON)


def modulated_conv2d(
    x_NIHW: Tensor, weight_OIKK: Tensor, style_NI: Tensor, *, energy_OI: Tensor, up: bool = False
) -> tuple[Tensor, Tensor]:
    """Convolve with weights that each picture's style scales, and with outputs brought back to unit length.

    The published code scales the weights and convolves in N groups. Scaling the input instead is the same sum, lets
    all pictures share one dense convolution, and leaves equation 3 as one matrix product:
        sum_ik (s_i w_oik)^2 = sum_i s_i^2 (sum_k w_oik^2)

    Gives: the convolution (N, O, H, W), twice the size with `up`, and what it is still to be multiplied with, (N, O):
    the caller joins that product with the ones it has to do anyway. Under autocast the convolution is in its type.
    """
    scaled = x_NIHW * style_NI.to(x_NIHW.dtype)[:, :, None, None]
    scale_NO = demodulation(style_NI, energy_OI)
    if up:
        y = blur(F.conv_transpose2d(scaled, weight_OIKK.transpose(0, 1), stride=2), padding=1)
    else:
        y = F.conv2d(scaled, weight_OIKK, padding=weight_OIKK.shape[2] // 2)
    return y, scale_NO
