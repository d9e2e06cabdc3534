"""Where a generator's styles lie: samples of them, their mean and how far they spread around it.

N samples, Z noise width, D style width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator, Mapping

_SAMPLES_PER_PASS = 512  # 1 MB of styles at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class WStatistics:
    """The cloud of styles that the mapping network makes."""

    mean_D: Tensor
    spread: float  # root mean square distance of one coordinate from its mean, over samples and coordinates


def style_samples(mapping: Mapping, *, n: int, seed: int) -> Iterator[Tensor]:
    """`n` styles in passes of (512, D), the last one shorter, on the mapping's device, without gradients.

    Gives: equal bits for equal arguments on one machine, with one number of threads. Of a conditional generator: all
    its labels in turn.
    """
    source, device = torch.Generator().manual_seed(seed), mapping.w_avg.device
    for first in range(0, n, _SAMPLES_PER_PASS):
        z_NZ = torch.randn(min(_SAMPLES_PER_PASS, n - first), mapping.z_dim, generator=source)
        label_NK = None
        if mapping.label_dim:
            index_N = torch.arange(first, first + len(z_NZ)) % mapping.label_dim
            label_NK = F.one_hot(index_N, mapping.label_dim).float().to(device)
        with torch.no_grad():
            w_ND = mapping(z_NZ.to(device), label_NK)[:, 0]
        yield w_ND


def w_statistics(generator: Generator, *, n: int = 2048, seed: int = 0) -> WStatistics:
    """Sample the mapping network.

    Takes: `n` samples; the mean is then off by spread / sqrt(n), 2 % of the spread at the default.
    Gives: equal bits for equal arguments on one machine.
    """
    w_ND = torch.cat(list(style_samples(generator.mapping, n=n, seed=seed)))
    mean_D = w_ND.mean(dim=0)
    return WStatistics(mean_D=mean_D, spread=float((w_ND - mean_D).square().mean().sqrt()))
