"""Walk latents downhill by Adam: NVIDIA's projector, and whoever changes noise maps with the latents.

N pictures, L style layers, D style width, S = L rows of a latent, or 1 in W.
Maps are brought back to mean 0 and variance 1 after each step, which would spoil what L-BFGS remembers.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.inversion.frame_loss import Targets
from operators.inversion.lanes import full_batches
from operators.inversion.noise_maps import noise_regularity, renormalise_noise_maps
from operators.inversion.tools import InversionTools

# Adam: Kingma and Ba 2015, arXiv:1412.6980. Gradients shrink a hundredfold within one run; the usual memory of 0.999
# remembers the large ones and ends 0.7 dB lower after 200 steps.
_BETA2 = 0.9
# Price of maps that look like pictures, against mean squares of pictures in [-1, 1]. At 0 the maps draw the picture and
# the latent alone is 6 dB worse than without maps; at 100 they do not move. The 1e5 of Karras et al. 2020,
# arXiv:1912.04958, appendix D, stands against perceptual distances of pictures in [0, 255].
_NOISE_WEIGHT = 1.0
_SHAKE_SHARE = 0.75  # of the steps, in which the shaking fades: same appendix


@dataclass(frozen=True, kw_only=True)
class Descent:
    """One run of Adam: how many steps, how large, how careful at its start and end."""

    steps: int
    learning_rate: float  # of each coordinate of w
    rise: float  # share of the steps in which the rate rises; Adam's first steps are as large however small the slope
    fall: float = 1.0  # share of the steps in which it falls to 0, along a cosine
    beta2: float = _BETA2
    shake: float = 0.0  # noise added to w at first, per coordinate: it finds what a straight way down walks past
    seed: int = 0  # of that noise


def with_noise_maps(*, steps: int, learning_rate: float) -> Descent:
    """A start far from the goal: almost no ramp, full momentum."""
    return Descent(steps=steps, learning_rate=learning_rate, rise=0.05)


def as_projected(*, steps: int, spread: float, w_dim: int, seed: int) -> Descent:
    """NVIDIA's projector: Karras et al. 2020, arXiv:1912.04958, appendix D. Its rate is absolute, its shaking 0.05 of
    the length of a style's distance from the mean, which is spread times the root of the width.
    """
    return Descent(
        steps=steps, learning_rate=0.1, rise=0.05, fall=0.25, beta2=0.999, shake=0.05 * spread * w_dim**0.5, seed=seed
    )


def fit_by_adam(
    tools: InversionTools,
    targets: Targets,
    start_NSD: Tensor,
    descent: Descent,
    *,
    lanes: int,
    noise: list[Tensor] | None = None,
) -> Tensor:
    """Latents whose pictures are near the targets.

    Takes: latents to start from, with S = 1 one style for all layers; `noise`: maps (N, 1, H, W)
    of each convolution, which are optimised too and changed in place; None: the generator's own.
    Gives: (N, S, D). The loop never waits for the device.
    Not promised: finite numbers; the caller looks at all frames at once. Equal bits for another `lanes`.
    """
    n = len(targets)
    parts = []
    for batch in full_batches(n, lanes, start_NSD.device):
        maps = None if noise is None else [x_N1HW[batch] for x_N1HW in noise]
        parts.append(_descend(tools, targets.rows(batch), start_NSD[batch], descent, maps))
        for whole, part in zip(noise or [], maps or [], strict=True):
            whole[batch] = part  # copies of the last row hold equal numbers, so their order does not count
    return torch.cat(parts)[:n]


def _descend(
    tools: InversionTools, targets: Targets, start_NSD: Tensor, descent: Descent, maps: list[Tensor] | None
) -> Tensor:
    generator = tools.generator
    w_NSD = start_NSD.clone().requires_grad_(True)
    unknowns = [w_NSD, *(x_N1HW.requires_grad_(True) for x_N1HW in maps or [])]
    adam = torch.optim.Adam(unknowns, lr=descent.learning_rate, betas=(0.9, descent.beta2))
    shaking = torch.Generator().manual_seed(descent.seed)
    for step in range(descent.steps):
        shaken_NSD = w_NSD
        if descent.shake and step < _SHAKE_SHARE * descent.steps:
            width = descent.shake * (1 - step / descent.steps / _SHAKE_SHARE) ** 2
            # One draw for all rows: what shakes a picture may not depend on its place in the batch.
            draw_SD = torch.randn(w_NSD.shape[1:], generator=shaking).to(w_NSD.device)
            shaken_NSD = w_NSD + width * draw_SD
        w_NLD = shaken_NSD.expand(-1, generator.num_ws, -1)
        loss_N = tools.loss(generator.synthesis(w_NLD, noise=maps or "const"), targets)
        loss_N = loss_N + tools.price(w_NLD)
        if maps:
            loss_N = loss_N + _NOISE_WEIGHT * noise_regularity(maps)
        slopes = torch.autograd.grad(loss_N.sum(), unknowns)  # a sum: each picture's slope knows only itself
        for unknown, slope in zip(unknowns, slopes, strict=True):
            unknown.grad = slope
        for group in adam.param_groups:
            group["lr"] = descent.learning_rate * _rate(step, descent)
        adam.step()
        renormalise_noise_maps(maps or [])
    for x_N1HW in maps or []:
        x_N1HW.requires_grad_(False)
    return w_NSD.detach()


def _rate(step: int, descent: Descent) -> float:
    """Linear rise, cosine fall to zero. The first step moves already, and the last one too."""
    rise = min(1.0, (step + 1) / max(1.0, descent.rise * descent.steps))
    left = min(1.0, (1 - step / descent.steps) / descent.fall)
    return rise * (0.5 - 0.5 * math.cos(math.pi * left))
