"""The projectors that people use today, written down as schedules: what `benchmarks.inversion` compares ours with.

N pictures, L style layers, D style width, R side in pixels.
R1: NVlabs/stylegan2-ada-pytorch, projector.py (W). R2: rosinality/stylegan2-pytorch, projector.py with --w_plus. R3:
the first stage of danielroich/PTI (W, 450 steps). All three share one schedule, written here from its description;
none of their code is here. The loss is the one that ours are given, so that schedules are compared and not losses.
Where they couple the pictures of a batch (R2's noise), they are given one picture at a time. Noise maps are left out:
they are for generators that have some, and puppet-128 has none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.stylegan.generator import Generator

Loss = Callable[[Tensor], Tensor]
"""(N, 3, R, R) -> (N,)."""

_RAMP_UP, _RAMP_DOWN = 0.05, 0.25  # shares of the steps
_NOISE, _NOISE_SHARE = 0.05, 0.75  # of the spread of w added to it at first; none after this share of the steps


@dataclass(frozen=True, kw_only=True)
class Projector:
    """One published schedule."""

    name: str
    steps: int
    learning_rate: float
    every_layer_its_own: bool  # W+ instead of W
    w_samples: int  # of which mean and spread are taken


R1 = Projector(name="R1 NVIDIA, W", steps=1000, learning_rate=0.1, every_layer_its_own=False, w_samples=10_000)
R2 = Projector(name="R2 rosinality, W+", steps=1000, learning_rate=0.1, every_layer_its_own=True, w_samples=10_000)
# Its setting first_inv_lr is overwritten in every step with 0.01 times the ramp.
R3 = Projector(name="R3 PTI stage 1, W", steps=450, learning_rate=0.01, every_layer_its_own=False, w_samples=600)


def project(generator: Generator, loss: Loss, projector: Projector, *, seed: int) -> Tensor:
    """(1, L, D): one picture inverted. Takes: a frozen generator on the CPU."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        w_ND = generator.mapping(torch.randn(projector.w_samples, generator.z_dim, generator=source))[:, 0]
    mean_D = w_ND.mean(dim=0)
    spread = float((w_ND - mean_D).square().sum(dim=1).mean().sqrt())  # a length, not per coordinate
    n_rows = generator.num_ws if projector.every_layer_its_own else 1
    w_1LD = mean_D.expand(1, n_rows, -1).clone().requires_grad_(True)
    adam = torch.optim.Adam([w_1LD], betas=(0.9, 0.999), lr=projector.learning_rate)
    for step in range(projector.steps):
        t = step / projector.steps
        for group in adam.param_groups:
            group["lr"] = projector.learning_rate * _rate(t)
        width = spread * _NOISE * max(0.0, 1 - t / _NOISE_SHARE) ** 2
        shaken_1LD = w_1LD + width * torch.randn(w_1LD.shape, generator=source)
        x_13RR = generator.synthesis(shaken_1LD.expand(-1, generator.num_ws, -1))
        (w_1LD.grad,) = torch.autograd.grad(loss(x_13RR).sum(), w_1LD)
        adam.step()
    found: Tensor = w_1LD.detach().expand(-1, generator.num_ws, -1)
    return found


def _rate(t: float) -> float:
    """Share of the learning rate at t in [0, 1). It is 0 in the first step, as published."""
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / _RAMP_DOWN))
    return fall * min(1.0, t / _RAMP_UP)
