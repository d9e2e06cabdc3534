"""How far a picture is from the face it should show, one number per picture.

N pictures, R side in pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.resample import upsample_2x

_COARSEST_PX = 8  # below, a band holds less than the 4x4 layer can change anyway
_SOFT = 1 / 127.5  # one grey level: where the absolute value turns into a square, so that a match has a gradient of 0


def reconstruction_loss(x_N3RR: Tensor, target_N3RR: Tensor, *, pyramid_weight: float) -> Tensor:
    """Mean square error, plus the mean absolute error of each band of a Laplacian pyramid. This is not LPIPS.

    The square alone is content with the right colours; the bands ask for edges at every size.
    Pyramid: Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851. As a loss: Ling and Okada 2006, via Bojanowski et
    al. 2018, arXiv:1707.05776; without their weights per level, which would leave fine edges almost free.

    Takes: pictures in [-1, 1].
    Gives: (N,), each from its own picture only; the sum over N is what to differentiate.
    """
    difference = x_N3RR - target_N3RR
    loss_N = difference.square().mean(dim=(1, 2, 3))
    if pyramid_weight == 0:
        return loss_N
    # The pyramid is linear: the bands of the difference are the differences of the bands, at half the work.
    while difference.shape[-1] > _COARSEST_PX:
        coarse = _halve(difference)
        loss_N = loss_N + pyramid_weight * _soft_abs(difference - upsample_2x(coarse))
        difference = coarse
    return loss_N + pyramid_weight * _soft_abs(difference)


def _soft_abs(band_N3HW: Tensor) -> Tensor:
    return (band_N3HW.square() + _SOFT**2).sqrt().mean(dim=(1, 2, 3)) - _SOFT


def _halve(x_N3HW: Tensor) -> Tensor:
    """The generator's own filter, the transpose of its doubling."""
    taps = torch.tensor((0.125, 0.375, 0.375, 0.125), dtype=x_N3HW.dtype, device=x_N3HW.device)
    return F.conv2d(x_N3HW, torch.outer(taps, taps).expand(3, 1, 4, 4), stride=2, padding=1, groups=3)
