"""What training minimises.

N pictures, L style layers, D style width, R side in pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_COARSEST_PX = 8  # a mean over 16 x 16 pixels of a 128 px crop: hair, skin and background apart
_PATH_MEMORY = 0.01  # share of the newest lengths in their running mean; Karras et al. 2020, arXiv:1912.04958


def fool_loss(score_fake_N: Tensor) -> Tensor:
    """The generator's share, non-saturating logistic: Goodfellow et al. 2014, arXiv:1406.2661."""
    return F.softplus(-score_fake_N).mean()


def tell_loss(score_real_N: Tensor, score_fake_N: Tensor) -> Tensor:
    """The discriminator's share."""
    return F.softplus(-score_real_N).mean() + F.softplus(score_fake_N).mean()


def r1_penalty(score_real_N: Tensor, x_N3RR: Tensor) -> Tensor:
    """Half the mean squared slope of the scores at real pictures: Mescheder et al. 2018, arXiv:1801.04406, eq. 9.

    Not promised: slopes through augmentation. Second derivatives of resampling are not in torch, so `x_N3RR` are the
    pictures as the discriminator sees them, augmented.
    """
    (slope_N3RR,) = torch.autograd.grad(score_real_N.sum(), x_N3RR, create_graph=True)
    return slope_N3RR.square().sum(dim=(1, 2, 3)).mean() / 2


def path_lengths(x_N3RR: Tensor, w_NLD: Tensor, direction_N3RR: Tensor) -> Tensor:
    """How far w moves a picture along random directions, (N,): Karras et al. 2020, arXiv:1912.04958, equation 4.

    Takes: `direction_N3RR`: standard normal.
    """
    along = (x_N3RR * direction_N3RR).sum() / x_N3RR.shape[-1]  # by sqrt(R * R): the same at all sizes
    (slope_NLD,) = torch.autograd.grad(along, w_NLD, create_graph=True)
    return slope_NLD.square().sum(dim=2).mean(dim=1).sqrt()


def moved_mean(mean: Tensor, length_N: Tensor) -> Tensor:
    """The running mean of path lengths, one step on."""
    return mean.lerp(length_N.detach().mean(), _PATH_MEMORY)


def multiscale_loss(x_N3RR: Tensor, target_N3RR: Tensor, *, edge_weight: float) -> Tensor:
    """Mean absolute error of colours and of differences between neighbours, at full size, half, ... 8 pixels.

    In PSNR no better than L1 and mean square error at full size; its coarse levels tell a misplaced face from none.
    """
    difference = x_N3RR - target_N3RR
    loss = difference.new_zeros(())
    while True:
        loss = loss + difference.abs().mean()
        for dim in (2, 3):
            loss = loss + edge_weight / 2 * difference.diff(dim=dim).abs().mean()
        if difference.shape[-1] <= _COARSEST_PX:
            return loss
        difference = F.avg_pool2d(difference, 2)
