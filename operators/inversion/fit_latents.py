"""Walk latents downhill until their pictures are the wanted ones. Frozen generator, gradients to the latents only.

N pictures, L style layers, D style width, R side in pixels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.inversion.reconstruction_loss import reconstruction_loss
from operators.stylegan.generator import Generator

# Adam: Kingma and Ba 2015, arXiv:1412.6980. Gradients shrink a hundredfold within one run; the usual memory of 0.999
# remembers the large ones and ends 0.7 dB lower after 200 steps.
_BETA2 = 0.9


@dataclass(frozen=True, kw_only=True)
class Descent:
    """One run of Adam: how many steps, how large, how careful at its start."""

    steps: int
    learning_rate: float  # of each coordinate of w
    ramp: float  # share of the steps in which the rate rises; Adam's first steps are as large however small the slope
    beta1: float  # momentum


def from_the_mean(*, steps: int, learning_rate: float) -> Descent:
    """A start far from the goal: nothing to spoil, so almost no ramp (that of Karras et al. 2020), full momentum."""
    return Descent(steps=steps, learning_rate=learning_rate, ramp=0.05, beta1=0.9)


def from_an_encoder(*, steps: int, learning_rate: float) -> Descent:
    """A start with the right face and colours: a ramp keeps them, full momentum still has some way to go."""
    return Descent(steps=steps, learning_rate=learning_rate, ramp=0.2, beta1=0.9)


def from_a_neighbour(*, steps: int, learning_rate: float) -> Descent:
    """A start next to the goal: a long ramp keeps what is already right (flicker 1.1 against 2.3 of the film's with a
    short one), little momentum does not overshoot (a quarter less latent jitter at equal error).
    """
    return Descent(steps=steps, learning_rate=learning_rate, ramp=0.5, beta1=0.5)


def fit_latents(
    generator: Generator,
    target_N3RR: Tensor,
    start_NLD: Tensor,
    descent: Descent,
    *,
    lanes: int,
    pyramid_weight: float,
    distance_weight: float = 0.0,
) -> Tensor:
    """Latents whose pictures are near the targets.

    Descent is chaotic: two runs that differ in the last bit end 0.1 dB and a whole spread of w apart. Kernels for
    another batch size round differently, so every batch has exactly `lanes` rows, the last one filled up with copies.
    Then a row's bits follow from its own target and start, whoever else is in the batch, and wherever it stands.

    Adam begins anew in every call. Carried over from frame to frame, its state remembers slopes near zero, and its
    first steps throw away what is right (3 dB lost); it would also have to be compacted with the rows.

    Takes: a frozen generator; targets in [-1, 1]; `distance_weight`: price of the mean squared distance to the start.
    Gives: (N, L, D). The loop never waits for the device.
    Not promised: finite numbers; the caller looks at all frames at once. Equal bits for another `lanes`.
    """
    n = len(target_N3RR)
    rows = torch.arange(-(-n // lanes) * lanes, device=target_N3RR.device).clamp_max(n - 1)
    parts = [
        _descend(generator, target_N3RR[batch], start_NLD[batch], descent, pyramid_weight, distance_weight)
        for batch in torch.split(rows, lanes)
    ]
    return torch.cat(parts)[:n]


def _descend(
    generator: Generator,
    target_N3RR: Tensor,
    start_NLD: Tensor,
    descent: Descent,
    pyramid_weight: float,
    distance_weight: float,
) -> Tensor:
    w_NLD = start_NLD.clone().requires_grad_(True)
    adam = torch.optim.Adam([w_NLD], lr=descent.learning_rate, betas=(descent.beta1, _BETA2))
    for step in range(descent.steps):
        x_N3RR = generator.synthesis(w_NLD)
        loss_N = reconstruction_loss(x_N3RR, target_N3RR, pyramid_weight=pyramid_weight)
        if distance_weight > 0:
            loss_N = loss_N + distance_weight * (w_NLD - start_NLD).square().mean(dim=(1, 2))
        (w_NLD.grad,) = torch.autograd.grad(loss_N.sum(), w_NLD)  # a sum: each picture's slope knows only itself
        for group in adam.param_groups:
            group["lr"] = descent.learning_rate * _rate(step, descent)
        adam.step()
    return w_NLD.detach()


def _rate(step: int, descent: Descent) -> float:
    """Linear rise, cosine fall to zero. The first step moves already, and the last one too."""
    rise = min(1.0, (step + 1) / max(1.0, descent.ramp * descent.steps))
    return rise * (0.5 + 0.5 * math.cos(math.pi * step / descent.steps))
