"""What a straight piece cannot show of a frame: a step off the path, each frame for itself, for a price or for none.

N frames, L style layers, D style width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.inversion.first_start import FIRST_MOVE
from operators.inversion.frame_loss import Targets
from operators.inversion.latent_clip import clip_targets
from operators.inversion.lbfgs import Lbfgs
from operators.inversion.tools import InversionTools
from operators.stylegan.w_statistics import w_statistics
from schemas.clips import TrackClip

_FRAMES_PER_PASS = 8  # fixed: bits must not follow how much memory a worker has
_FIRST_MOVE = FIRST_MOVE / 4  # the path is nearer than the frame before would be; a tenth of what a new path needs


def off_the_path(
    tools: InversionTools,
    clip: TrackClip,
    frames: NDArray[np.intp],
    path_NLD: Tensor,
    *,
    weight: float,
    evaluations: int,
) -> Tensor:
    """(N, L, D): latents of these frames, each moved from its place on the path towards its own frame.

    Takes: `weight`: price of the squared length of the step, in whitened units, mean over layers and coordinates.
    Gives: steps that shrink as the price grows; 0 at an infinite one.
    Not promised: smoothness: what is added follows the noise of each frame, as far as the price lets it.
    """
    shape = path_NLD.shape[1:]
    price_L = torch.full((tools.generator.num_ws,), weight / tools.generator.num_ws, device=tools.device)
    first_move = _FIRST_MOVE * w_statistics(tools.generator).spread
    moved = []
    for first in range(0, len(frames), _FRAMES_PER_PASS):
        here = slice(first, first + _FRAMES_PER_PASS)
        targets, anchor_NLD = clip_targets(clip, frames[here], tools), tools.prior.whiten(path_NLD[here])

        def evaluate(
            x_NK: Tensor, targets: Targets = targets, anchor_NLD: Tensor = anchor_NLD
        ) -> tuple[Tensor, Tensor]:
            w_NLD = x_NK.reshape(-1, *shape)
            loss_N, slope_NLD = tools.evaluate(w_NLD, targets)
            price_N, price_slope_NLD = tools.prior.price_away(w_NLD, anchor_NLD, price_L)
            return loss_N + price_N, (slope_NLD + price_slope_NLD).flatten(1)

        rows = Lbfgs(evaluate, path_NLD[here].flatten(1), first_move=first_move)
        for _ in range(evaluations):
            rows.step()
        moved.append(rows.x_BK.reshape(-1, *shape))
    return torch.cat(moved) if moved else path_NLD
