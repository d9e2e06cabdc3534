"""How far generated pictures are from real ones as sets: a Fréchet distance on features of a random network.

This is NOT the FID: that takes features of an Inception network which has to be downloaded and must not be shipped.
Random convolutions see colours, edges and textures at five sizes; numbers compare runs on one set of pictures, and
nothing else. Source of the distance: Heusel et al. 2017, arXiv:1706.08500, equation 6.

N pictures, F features, R side in pixels.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_SEED = 20201206  # fixed, so that numbers of different runs can be compared
_WIDTHS = (3, 24, 32, 48, 64, 64)


class RandomFeatures:
    """Pictures to features: mean and deviation of every channel at every size, 464 numbers."""

    def __init__(self, device: torch.device) -> None:
        source = torch.Generator().manual_seed(_SEED)
        self.device = device
        self.kernels = [
            (torch.randn(b, a, 3, 3, generator=source) * math.sqrt(2 / (9 * a))).to(device)
            for a, b in pairwise(_WIDTHS)
        ]

    @torch.no_grad()
    def __call__(self, batches: Iterable[Tensor]) -> Tensor:
        """Batches of (N, 3, R, R) in [-1, 1] -> (all N, F), float64 on the CPU."""
        return torch.cat([self._features(x.to(self.device).clamp(-1, 1)) for x in batches]).double().cpu()

    def _features(self, x: Tensor) -> Tensor:
        found = []
        for kernel in self.kernels:
            x = F.leaky_relu(F.conv2d(x, kernel, padding=1), 0.2)
            found += [x.mean(dim=(2, 3)), x.var(dim=(2, 3), unbiased=False).sqrt()]
            if x.shape[-1] > 2:
                x = F.avg_pool2d(x, 2)
        return torch.cat(found, dim=1)


def frechet_distance(a_NF: Tensor, b_NF: Tensor) -> float:
    """Between two clouds of features taken as normal; 0 for equal ones.

    Not promised: no bias. Small sets look farther apart than they are; compare only equal N.
    """
    mean_a, cov_a = _moments(a_NF)
    mean_b, cov_b = _moments(b_NF)
    root_a = _root(cov_a)
    # Trace of the root of (A B) over the eigenvalues of root(A) B root(A), which is symmetric.
    cross = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(0.0, float(distance))


def _moments(x_NF: Tensor) -> tuple[Tensor, Tensor]:
    mean = x_NF.mean(dim=0)
    centred = x_NF - mean
    return mean, centred.T @ centred / max(1, len(x_NF) - 1)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
