"""How probable a latent is: a space in which the mapping network's styles are nearly a standard normal cloud.

N pictures, L style layers, D style width.
Source: Wulff and Torralba 2020, arXiv:2009.06529. Undo the mapping network's last leaky ReLU; what is left is nearly
Gaussian, so its mean and covariance say all. Distances between latents are measured here: in w itself, a step in a
direction that hardly any style takes looks as small as one that changes the face.
"""

from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator
from operators.stylegan.w_statistics import style_samples
from schemas.errors import WrongUse

# The inverse of slope 0.2. The mapping's gain of sqrt(2) stays in: mean and covariance absorb it.
_UNDO_SLOPE = 5.0

# Least variance along a direction, as a share of the mean variance. Eigenvalues fall to 1e-7 of their mean, with random
# weights and in puppet-128 (early in its training). Whitened to the full, distances would see little but the noise of
# inversion in directions that no picture shows: without a floor, latents of random-32 that render at 44 dB lie 360
# standard deviations out, with this one 15; on the straight line between two samples it is 8 and 1.1.
# At 1e-2, one unit along a floored direction moves a picture by 0.20 to 0.26 grey levels (random-32; puppet-128 0.06 to
# 0.10): less than the 0.29 that rounding to 8 bits leaves. 104 of 512 directions are floored, and 71 of 256.
# Rounding stored latents to float16 then moves them by 0.002 units per coordinate; without a floor, by 0.06.
_FLOOR = 1e-2


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentPrior:
    """W+ <-> whitened latents, whose coordinates have mean 0 and variance 1 over the mapping's samples.

    Coordinates are ordered, the one of most variance first. Directions that the mapping hardly takes have a variance
    below 1: there the unit is `scale_D[-1]`, see `latent_prior`. Every layer of W+ has the same law.

    Gives: gradients to the latents; each row from its own latent only. Calls follow the latent's leading dimensions,
    so (D,), (L, D) and (N, L, D) all do.
    """

    mean_D: Tensor
    directions_DD: Tensor  # orthonormal columns
    scale_D: Tensor  # one whitened unit along each direction: its standard deviation, or the floor's

    def whiten(self, w_NLD: Tensor) -> Tensor:
        """W+ -> whitened, same shape."""
        return (F.leaky_relu(w_NLD, _UNDO_SLOPE) - self.mean_D) @ self.directions_DD / self.scale_D

    def unwhiten(self, p_NLD: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return F.leaky_relu((p_NLD * self.scale_D) @ self.directions_DD.T + self.mean_D, 1 / _UNDO_SLOPE)

    def mahalanobis(self, w_NLD: Tensor) -> Tensor:
        """(N, L): squared Mahalanobis distance from the mean over D, so that a price means the same for every width.

        A sample of the mapping has about 1, a little less for the floored directions (0.86 on random-32); the mean
        style has 0. The paper sums over coordinates and layers instead.
        """
        return self.whiten(w_NLD).square().mean(dim=-1)

    def price_away(self, w_NLD: Tensor, anchor_NLD: Tensor, price_L: Tensor) -> tuple[Tensor, Tensor]:
        """What latents pay for being away from whitened anchors, and its slope: (N,) and (N, L, D).

        The mean over D of squared whitened distances, times a price for each layer, summed over the layers.
        """
        w_NLD = w_NLD.detach().requires_grad_(True)
        away_NL = (self.whiten(w_NLD) - anchor_NLD).square().mean(dim=2)
        price_N = (away_NL * price_L).sum(dim=1)
        (slope_NLD,) = torch.autograd.grad(price_N.sum(), w_NLD)
        return price_N.detach(), slope_NLD

    def to(self, device: str | torch.device) -> Self:
        """The same numbers on another device."""
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def latent_prior(generator: Generator, *, n_samples: int = 100_000, seed: int = 0) -> LatentPrior:
    """Mean and covariance of the mapping network's pre-activations, ready for use.

    Takes: a generator anywhere; `n_samples`, for a sampling error of the variances of sqrt(2 / n), 0.4 % at the
    default. Everything is sampled and summed on the CPU, so that a GPU has the prior that a laptop has.
    Gives: a prior on the generator's device; equal bits for equal arguments on one machine with one number of threads.
    Raises: WrongUse when the mapping gives no cloud: one style for every z, or numbers that are not finite.
    Not promised: a quick answer: keep what comes back; nothing is remembered here.
    """
    mapping = deepcopy(generator.mapping).cpu()
    sum_D = torch.zeros(generator.w_dim, dtype=torch.float64)  # float32 would lose the eigenvalues near the floor
    products_DD = torch.zeros(generator.w_dim, generator.w_dim, dtype=torch.float64)
    for w_ND in style_samples(mapping, n=n_samples, seed=seed):
        v_ND = F.leaky_relu(w_ND, _UNDO_SLOPE).double()
        sum_D += v_ND.sum(dim=0)
        products_DD.addmm_(v_ND.T, v_ND)
    mean_D = sum_D / n_samples
    covariance_DD = products_DD / n_samples - torch.outer(mean_D, mean_D)
    mean_variance = float(covariance_DD.diagonal().mean())
    if not 0 < mean_variance < float("inf"):
        raise WrongUse(
            f"generator {generator.resolution} px: the variance of its styles is {mean_variance:g}, but a prior needs "
            "styles that differ and are finite; check the weights of its mapping network, or train it first"
        )
    variance_D, directions_DD = torch.linalg.eigh(covariance_DD)  # ascending
    variance_D, directions_DD = variance_D.flip(0), directions_DD.flip(1)
    # An eigenvector's sign is the library's whim: let its largest entry be positive.
    largest_1D = directions_DD.abs().argmax(dim=0, keepdim=True)
    directions_DD = directions_DD * directions_DD.gather(0, largest_1D).sign()
    prior = LatentPrior(
        mean_D=mean_D.float(),
        directions_DD=directions_DD.float().contiguous(),
        scale_D=variance_D.clamp_min(_FLOOR * mean_variance).sqrt().float(),
    )
    return prior.to(generator.mapping.w_avg.device)
