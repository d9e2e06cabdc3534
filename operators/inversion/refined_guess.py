"""An encoder's guess, and what becomes of it when the encoder sees what the guess shows: Alaluf et al. 2021,
arXiv:2104.02699, algorithm of section 3.

N pictures, L style layers, D style width.
"""

import torch
from torch import Tensor

from operators.inversion.frame_loss import Targets
from operators.inversion.picture_encoder import PictureEncoder, first_guess
from operators.inversion.tools import InversionTools


@torch.no_grad()
def refined_guess(tools: InversionTools, encoder: PictureEncoder, targets: Targets, *, refinements: int) -> Tensor:
    """(N, L, D): of all latents on the way, for each picture those of the least loss.

    Each picture by itself: what it gets does not depend on its company.
    Not promised: a gain; encoders that know the target alone may move away from it, and are then not followed.
    """
    if refinements == 0:
        return first_guess(encoder, targets.picture_N3RR)
    alone = (targets.rows(slice(i, i + 1)) for i in range(len(targets)))
    return torch.cat([_refined(tools, encoder, target, refinements) for target in alone])


def _refined(tools: InversionTools, encoder: PictureEncoder, target: Targets, refinements: int) -> Tensor:
    w_1LD = best_1LD = encoder.first(target.picture_N3RR)
    shown, least_1 = tools.look(w_1LD, target)
    for _ in range(refinements):
        w_1LD = encoder.again(target.picture_N3RR, shown, w_1LD)
        shown, loss_1 = tools.look(w_1LD, target)
        best_1LD = torch.where((loss_1 < least_1)[:, None, None], w_1LD, best_1LD)
        least_1 = torch.fmin(loss_1, least_1)
    return best_1LD
