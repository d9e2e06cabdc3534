"""What the two objectives share: their door, their optimiser, their arithmetic's precision.

N pictures, Z noise width, D style width, C = 3 (RGB), R side in pixels.
"""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from operators.stylegan.generator import Generator
from operators.stylegan.training.average import Average
from operators.stylegan.training.settings import FitSettings, Precision

_MANY = 10**15  # pictures
GRID = 8  # an 8 x 8 grid: enough faces to see both how good and how alike they are


class Objective(Protocol):
    """One way of training a generator. All its randomness comes from torch's state, which the loop seeds per step."""

    average: Average
    columns: tuple[str, ...]  # what steps report
    z_meaning: str  # for the card

    def step(self, step: int) -> dict[str, Tensor]:
        """Trains once; gives the losses by name, still on the device."""

    def state(self) -> dict[str, Any]:
        """All that a later step depends on: tensors and numbers."""

    def load(self, state: dict[str, Any]) -> None:
        """The inverse."""

    def sample_z(self, n: int, source: torch.Generator) -> Tensor:
        """(n, Z) as new pictures are made from."""

    def grids(self) -> dict[str, Tensor]:
        """Pictures to look at, (GRID * GRID, 3, R, R), by name."""

    def figures(self) -> dict[str, float]:
        """Measures of the averaged generator that cost more than a step."""

    def finish(self) -> float:
        """Sets w_avg of the averaged generator; gives the spread of w around it."""


def adam(generator: Generator, settings: FitSettings, *, beta1: float, beta2: float, share: float) -> torch.optim.Adam:
    """For both networks of a generator.

    Takes: `share` c of steps without a penalty of their own: rate and memories are lr c and beta^c then, which keeps
    Adam as it was (Karras et al. 2020, arXiv:1912.04958, appendix B, lazy regularisation).
    """
    rate = settings.learning_rate * share
    # The layers of the mapping network multiply their weights by bias_gain, and so do they what Adam does to them.
    mapping_rate = rate * settings.mapping_rate / generator.mapping.layers[0].bias_gain
    synthesis = [p for p in generator.synthesis.parameters() if p.requires_grad]
    groups = [{"params": list(generator.mapping.parameters()), "lr": mapping_rate}, {"params": synthesis, "lr": rate}]
    return torch.optim.Adam(groups, betas=(beta1**share, beta2**share), eps=1e-8, fused=True)


def images_seen(settings: FitSettings, step: int, *, fresh: bool) -> int:
    """For `average_decay`. A run that starts from a trained generator has an average that is worth keeping."""
    return (step + 1) * settings.batch if fresh else _MANY


def resolved(precision: Precision, device: torch.device) -> Precision:
    """What `auto` is on this machine."""
    if precision != "auto":
        return precision
    # Processors without these instructions convert in software, slower than fp32.
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "fp32"


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Convolutions and matrix products in bf16, sums and weights in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolved(precision, device) == "bf16")


@torch.no_grad()
def pictures(generator: Generator, z_NZ: Tensor, *, noise: bool) -> Tensor:
    """(N, 3, R, R) without gradients, a few at a time."""
    mode = "const" if noise else "none"
    return torch.cat([generator(z, noise=mode) for z in torch.split(z_NZ, 16)])
