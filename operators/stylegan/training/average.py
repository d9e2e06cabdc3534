"""The generator that is kept: a running average of the one that is trained."""

import copy

import torch
from torch import Tensor

from operators.stylegan.generator import Generator


class Average:
    """Exponential moving average of weights. Used as in Karras et al. 2018, arXiv:1710.10196."""

    def __init__(self, generator: Generator) -> None:
        self.generator = copy.deepcopy(generator).requires_grad_(False).eval()
        self._ours: list[Tensor] = list(self.generator.parameters())
        self._theirs: list[Tensor] = list(generator.parameters())

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """One step towards the trained weights."""
        torch._foreach_lerp_(self._ours, self._theirs, 1 - decay)
