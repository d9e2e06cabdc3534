"""How far a picture is from the face it should show, one number per picture.

N pictures, R side in pixels.
"""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_COARSEST_PX = 8  # below, a band holds no more than the generator's 4x4 layer
_SOFT = 1 / 127.5  # one grey level: where the absolute value turns into a square, so that a match has a slope of 0


def reconstruction_loss(x_N3RR: Tensor, target_N3RR: Tensor, *, pyramid_weight: float) -> Tensor:
    """Mean square error, plus the mean absolute error of each band of a Laplacian pyramid. This is not LPIPS.

    The square alone is content with the right colours; the bands ask for edges at every size.
    Pyramid: Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851, here with 2x2 means in place of their 5x5 filter: a
    filtered pyramid takes half as long as the generator at 64 px, and inverts no better. As a loss: Bojanowski et al.
    2018, arXiv:1707.05776, without its weights per level, which leave fine edges almost free.

    Takes: pictures in [-1, 1].
    Gives: (N,), each from its own picture only; the sum over N is what to differentiate.
    """
    difference = x_N3RR - target_N3RR
    loss_N = difference.square().mean(dim=(1, 2, 3))
    if pyramid_weight == 0:
        return loss_N
    # The pyramid is linear: the bands of the difference are the differences of the bands, at half the work.
    while difference.shape[-1] > _COARSEST_PX:
        coarse = F.avg_pool2d(difference, 2)
        loss_N = loss_N + pyramid_weight * _soft_distance(difference, F.interpolate(coarse, scale_factor=2.0))
        difference = coarse
    return loss_N + pyramid_weight * _soft_distance(difference, difference.new_zeros(()).expand_as(difference))


def _soft_distance(a_N3HW: Tensor, b_N3HW: Tensor) -> Tensor:
    return F.smooth_l1_loss(a_N3HW, b_N3HW, reduction="none", beta=_SOFT).mean(dim=(1, 2, 3))
