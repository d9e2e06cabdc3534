"""Bands and gradients of a pyramid: how far two pictures are apart at every size of detail. This is not LPIPS.

N pictures, C channels, R side in pixels.
Pyramid: Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851, here with 2x2 means in place of their 5x5 filter: a
filtered pyramid takes half as long as the generator at 64 px, and inverts no better. As a loss: Bojanowski et al. 2018,
arXiv:1707.05776, without its weights per level, which leave fine edges almost free.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_COARSEST_PX = 8  # below, a band holds no more than the generator's 4x4 layer
_SOFT = 1 / 127.5  # one grey level: where the absolute value turns into a square, so that a match has a slope of 0


def pyramid_levels(x_NCRR: Tensor) -> tuple[Tensor, ...]:
    """Pictures at every size, largest first, each the mean of 2x2 pixels of the one before.

    Takes: the difference of two pictures: the pyramid is linear, so what is found in it is the difference of what is
    found in both, at half the work. Also weights of pixels, whose mean stays the same.
    """
    levels = [x_NCRR]
    while levels[-1].shape[-1] > _COARSEST_PX:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return tuple(levels)


def band_errors(levels: tuple[Tensor, ...], weights: tuple[Tensor, ...] = ()) -> Iterator[Tensor]:
    """The mean absolute error of each band, (N,) each, finest first.

    Takes: `levels` of a difference; `weights` of pixels at the same sizes, of mean 1; none: all count alike.
    """
    coarser = [F.interpolate(level, scale_factor=2.0) for level in levels[1:]]
    nothing = levels[-1].new_zeros(()).expand_as(levels[-1])
    for i, (fine, coarse) in enumerate(zip(levels, [*coarser, nothing], strict=True)):
        yield _soft_mean(fine, coarse, weights[i] if weights else None)


def gradient_errors(levels: tuple[Tensor, ...], weights: tuple[Tensor, ...] = ()) -> Iterator[Tensor]:
    """The mean absolute error of the steps to the right and downwards at each size, (N,) each, finest first.

    Source: the gradient difference of Mathieu et al. 2016, arXiv:1511.05440, eq. 6, but between steps, not their
    lengths, so that a light edge on a dark one is no match; and at every size.

    Takes: as `band_errors`.
    """
    for i, level in enumerate(levels):
        weight = weights[i] if weights else None
        right = None if weight is None else weight[..., :, 1:]
        below = None if weight is None else weight[..., 1:, :]
        across = _soft_mean(level[..., :, 1:], level[..., :, :-1], right)
        yield across + _soft_mean(level[..., 1:, :], level[..., :-1, :], below)


def _soft_mean(a_N3HW: Tensor, b_N3HW: Tensor, weight_N1HW: Tensor | None) -> Tensor:
    distance = F.smooth_l1_loss(a_N3HW, b_N3HW, reduction="none", beta=_SOFT)
    if weight_N1HW is not None:
        distance = distance * weight_N1HW
    return distance.mean(dim=(1, 2, 3))
