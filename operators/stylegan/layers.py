"""The layers of StyleGAN2's synthesis network and its dense layer with equalised learning rate.

N pictures, D style width, I channels in, O channels out, H and W pixels, K kernel side.
Sources: Karras et al. 2020, arXiv:1912.04958, appendix B; equalised learning rate: Karras 2018, arXiv:1710.10196.
Parameters are named and laid out as in the published PyTorch networks, so that converting one is copying tensors.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.modulated_conv import demodulation, in_float32, modulated_conv2d, weight_energy
from operators.stylegan.pixel_bound import PixelBoundColours, PixelBoundConv, is_channels_last, is_pixel_bound

NoiseMode = Literal["const", "none", "random"]

_SLOPE = 0.2
_OUTPUTS_AT_ONCE = 64  # 1 MB of squares at the published widths
_GAIN = math.sqrt(2)  # keeps the second moment through a leaky ReLU of this slope, nearly


class Dense(nn.Module):
    """A dense layer whose weights are stored at unit variance and scaled when used (equalised learning rate)."""

    def __init__(self, n_in: int, n_out: int, *, lr_mul: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in))
        self.bias = nn.Parameter(torch.full((n_out,), bias))
        self.weight_gain = lr_mul / math.sqrt(n_in)
        self.bias_gain = lr_mul

    def forward(self, x_NI: Tensor) -> Tensor:
        """(N, I) -> (N, O), no activation."""
        # The gain goes on the product: scaling the matrix would touch every weight in every call.
        return torch.addmm(self.bias * self.bias_gain, x_NI, self.weight.T, alpha=self.weight_gain)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    noise_const: Tensor
    energy_OI: Tensor | None

    def __init__(
        self, n_in: int, n_out: int, *, w_dim: int, resolution: int, up: bool = False, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = Dense(w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(torch.zeros(n_out, n_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.zeros(resolution, resolution))
        self.register_buffer("energy_OI", None, persistent=False)
        self.is_silent = False

    def freeze(self) -> None:
        """Compute once what follows from the weights alone."""
        # In parts: squares of all weights at once are blocks that the C library keeps, up to half a generator's size.
        self.energy_OI = torch.cat(
            [weight_energy(part_OIKK) for part_OIKK in torch.split(self.weight, _OUTPUTS_AT_ONCE)]
        )
        self.is_silent = bool(self.noise_strength == 0)  # then adding it would only cost a pass over all features

    def unfreeze(self) -> None:
        """Undo `freeze`."""
        self.energy_OI, self.is_silent = None, False

    def forward(self, x_NIHW: Tensor, w_ND: Tensor, noise: NoiseMode | Tensor) -> Tensor:
        """`noise`: a mode, or the maps themselves as (H, W) or (N, 1, H, W)."""
        energy_OI = weight_energy(self.weight) if self.energy_OI is None else self.energy_OI
        with in_float32(w_ND.device):
            style_NI = self.affine(w_ND.to(self.affine.weight.dtype))
        # lrelu(g a) = g lrelu(a) for g > 0, so the gain rides on factors that are small: no pass over pixels for it.
        bias_O, maps = self.bias * _GAIN, self._noise(noise, x_NIHW)
        if self._is_pixel_bound(x_NIHW, maps):
            scale_NO = demodulation(style_NI, energy_OI) * _GAIN
            y: Tensor = PixelBoundConv.apply(x_NIHW, style_NI, scale_NO, bias_O, maps, self.weight, self.up, self.clamp)
            return y
        y, scale_NO = modulated_conv2d(x_NIHW, self.weight, style_NI, energy_OI=energy_OI, up=self.up)
        offset = bias_O[:, None, None] if maps is None else bias_O[:, None, None] + maps
        # Under autocast y is bf16: one factor of fp32 would widen everything from here to the next convolution.
        scale_NO11 = (scale_NO * _GAIN).to(y.dtype)[:, :, None, None]
        x = F.leaky_relu(torch.addcmul(offset.to(y.dtype), y, scale_NO11), _SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _noise(self, noise: NoiseMode | Tensor, x_NIHW: Tensor) -> Tensor | None:
        """(H, W) or (N, 1, H, W), times strength and gain; None: none."""
        if isinstance(noise, Tensor):
            maps = noise
        elif noise == "random":
            height, width = (side * 2 if self.up else side for side in x_NIHW.shape[2:])
            maps = torch.randn(len(x_NIHW), 1, height, width, device=x_NIHW.device, dtype=x_NIHW.dtype)
        elif noise == "none" or self.is_silent:
            return None
        else:
            maps = self.noise_const
        return maps * (self.noise_strength * _GAIN)

    def _is_pixel_bound(self, x_NIHW: Tensor, maps: Tensor | None) -> bool:
        n_pixels = math.prod(x_NIHW.shape[2:]) * (4 if self.up else 1)
        learns = self.weight.requires_grad or self.bias.requires_grad or (maps is not None and maps.requires_grad)
        return self.energy_OI is not None and not learns and is_pixel_bound(x_NIHW, self.weight, n_pixels=n_pixels)


class ToRGB(nn.Module):
    """Features to colours: modulated 1x1 convolution without demodulation or activation."""

    def __init__(self, n_in: int, *, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Dense(w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(torch.zeros(3, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain = 1 / math.sqrt(n_in)

    def forward(self, x_NIHW: Tensor, w_ND: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, 3, H, W). Three outputs per pixel: scaling 3 I weights beats scaling I H W features.

        Gives: float32 whatever the features are: 8 bits of colour end at 45 dB.
        """
        with in_float32(w_ND.device):
            style_NI = self.affine(w_ND.to(self.affine.weight.dtype)) * self.weight_gain
            weight_N3I = self.weight[:, :, 0, 0] * style_NI[:, None, :]
            if is_channels_last(x_NIHW) and not self.bias.requires_grad:
                rgb: Tensor = PixelBoundColours.apply(x_NIHW, weight_N3I, self.bias)
            else:
                flat_N3P = torch.baddbmm(self.bias[:, None], weight_N3I, x_NIHW.flatten(2).to(weight_N3I.dtype))
                rgb = flat_N3P.view(len(x_NIHW), 3, *x_NIHW.shape[2:])
            if self.clamp is not None:
                rgb = rgb.clamp(-self.clamp, self.clamp)
        return rgb
