"""What films do to a face: other colours, blur, compression, grain. Augmentation of pictures on their device.

N pictures, C channels, R side in pixels, K taps of a filter, B = 8 side of a compression block.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_TAPS = 9  # holds a Gaussian of 2 px
_BLOCK = 8  # JPEG's and H.264's


def recolour(x_NCRR: Tensor, source: torch.Generator, *, strength: float) -> Tensor:
    """Gain, contrast and tint, each drawn per picture. Takes: [-1, 1]; `strength` 0.2: gains from 0.8 to 1.2."""
    n, channels = x_NCRR.shape[:2]

    def draw(*shape: int) -> Tensor:
        return (torch.rand(n, *shape, generator=source, device=x_NCRR.device) * 2 - 1) * strength

    mean = x_NCRR.mean(dim=(1, 2, 3), keepdim=True)
    x = (x_NCRR - mean) * (1 + draw(1, 1, 1)) + mean + draw(1, 1, 1) / 2
    return (x * (1 + draw(channels, 1, 1) / 2)).clamp(-1, 1)


def degrade(x_NCRR: Tensor, source: torch.Generator, *, strength: float) -> Tensor:
    """Blur, then block compression, then grain, in the order in which a film gets them but for the grain.

    A third of the pictures passes each step untouched, so that clean faces are seen too.
    Takes: [-1, 1], sides that 8 divides; `strength` 1: up to a blur of 1.5 px, 24 grey levels of quantisation and
    grain of 10 grey levels. 0: nothing.
    """
    if strength == 0:
        return x_NCRR
    n, device = len(x_NCRR), x_NCRR.device
    amounts_3N = (torch.rand(3, n, generator=source, device=device) * 1.5 - 0.5).clamp_min(0) * strength
    x = _blur(x_NCRR, 1.5 * amounts_3N[0])
    x = _compress(x, 24 / 127.5 * amounts_3N[1])
    grain = torch.randn(x.shape, generator=source, device=device)
    return (x + grain * (10 / 127.5 * amounts_3N[2])[:, None, None, None]).clamp(-1, 1)


def _blur(x_NCRR: Tensor, sigma_N: Tensor) -> Tensor:
    """A Gaussian of its own width for each picture; 0 leaves it as it is."""
    n, channels, side, _ = x_NCRR.shape
    place_K = torch.arange(_TAPS, device=x_NCRR.device) - _TAPS // 2
    taps_NK = torch.exp(-(place_K**2) / (2 * sigma_N[:, None].clamp_min(1e-2) ** 2))
    taps_NK = taps_NK / taps_NK.sum(dim=1, keepdim=True)
    taps = taps_NK.repeat_interleave(channels, dim=0)[:, None, None, :]  # one group for each channel of each picture
    x = F.pad(x_NCRR.reshape(1, n * channels, side, side), [_TAPS // 2] * 4, mode="reflect")
    x = F.conv2d(F.conv2d(x, taps, groups=n * channels), taps.mT, groups=n * channels)
    return x.reshape(x_NCRR.shape)


def _compress(x_NCRR: Tensor, step_N: Tensor) -> Tensor:
    """Round the cosine coefficients of each 8x8 block, the finer the coarser, as JPEG does (ITU-T T.81, annex K)."""
    i = torch.arange(_BLOCK, device=x_NCRR.device, dtype=x_NCRR.dtype)
    dct_BB = torch.cos(math.pi / _BLOCK * i[:, None] * (i + 0.5)) * math.sqrt(2 / _BLOCK)
    dct_BB[0] /= math.sqrt(2)
    n, channels, side, _ = x_NCRR.shape
    rows = x_NCRR.reshape(n, channels, side // _BLOCK, _BLOCK, side // _BLOCK, _BLOCK)  # N C R R -> N C y B x B
    waves = torch.einsum("ab,ncybxd,ed->ncyaxe", dct_BB, rows, dct_BB)
    steps = step_N[:, None, None, None, None, None] * (1 + i[:, None, None] + i).clamp_min(1)
    waves = torch.where(steps > 0, (waves / steps.clamp_min(1e-6)).round() * steps, waves)
    return torch.einsum("ab,ncyaxe,ed->ncybxd", dct_BB, waves, dct_BB).reshape(x_NCRR.shape)
