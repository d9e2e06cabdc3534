"""Walk latents downhill until their pictures are the wanted ones. Frozen generator, gradients to the latents only.

N pictures, L style layers, D style width, S = L rows of a latent, or 1 in W, R side in pixels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.inversion.frame_loss import Targets
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
    beta1: float = 0.9  # momentum
    beta2: float = _BETA2
    shake: float = 0.0  # noise added to w at first, per coordinate: it finds what a straight way down walks past
    seed: int = 0  # of that noise


def from_the_mean(*, steps: int, learning_rate: float) -> Descent:
    """A start far from the goal: nothing to spoil, so almost no ramp (that of Karras et al. 2020), full momentum."""
    return Descent(steps=steps, learning_rate=learning_rate, rise=0.05)


def from_an_encoder(*, steps: int, learning_rate: float) -> Descent:
    """A start with the right face and colours: a ramp keeps them, full momentum still has some way to go."""
    return Descent(steps=steps, learning_rate=learning_rate, rise=0.2)


def from_a_neighbour(*, steps: int, learning_rate: float) -> Descent:
    """A start next to the goal: a long ramp keeps what is already right (flicker 1.1 against 2.3 of the film's with a
    short one), little momentum does not overshoot (a quarter less latent jitter at equal error).
    """
    return Descent(steps=steps, learning_rate=learning_rate, rise=0.5, beta1=0.5)


def as_projected(*, steps: int, spread: float, w_dim: int, seed: int) -> Descent:
    """NVIDIA's projector: Karras et al. 2020, arXiv:1912.04958, appendix D. Its rate is absolute, its shaking 0.05 of
    the length of a style's distance from the mean, which is spread times the root of the width.
    """
    return Descent(
        steps=steps, learning_rate=0.1, rise=0.05, fall=0.25, beta2=0.999, shake=0.05 * spread * w_dim**0.5, seed=seed
    )


def fit_latents(
    tools: InversionTools,
    targets: Targets,
    start_NSD: Tensor,
    descent: Descent,
    *,
    lanes: int,
    noise: list[Tensor] | None = None,
) -> Tensor:
    """Latents whose pictures are near the targets.

    Descent is chaotic: two runs that differ in the last bit end 0.1 dB and a whole spread of w apart. Kernels for
    another batch size round differently, so every batch has exactly `lanes` rows, the last one filled up with copies.
    Then a row's bits follow from its own target and start, whoever else is in the batch, and wherever it stands.

    Takes: latents to start from, with S = 1 one style for all layers; `noise`: maps (N, 1, H, W)
    of each convolution, which are optimised too and changed in place; None: the generator's own.
    Gives: (N, S, D). The loop never waits for the device.
    Not promised: finite numbers; the caller looks at all frames at once. Equal bits for another `lanes`.
    """
    n = len(targets)
    rows = torch.arange(-(-n // lanes) * lanes, device=start_NSD.device).clamp_max(n - 1)
    parts = []
    for batch in torch.split(rows, lanes):
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
    adam = torch.optim.Adam(unknowns, lr=descent.learning_rate, betas=(descent.beta1, descent.beta2))
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
