"""Walk latents downhill until their pictures are the wanted ones, by L-BFGS.

N pictures, L style layers, D style width, S = L rows of a latent, or 1 in W.
Against Adam with its best schedule, from the mean or from an encoder, at 100 and at 300 evaluations: 0.7 to 5 dB nearer
(random-32, random-64, puppet-128), and no rate to choose.
"""

import torch
from torch import Tensor

from operators.inversion.frame_loss import Targets
from operators.inversion.lanes import full_batches
from operators.inversion.lbfgs import Lbfgs
from operators.inversion.tools import InversionTools


def fit_by_lbfgs(
    tools: InversionTools, targets: Targets, start_NSD: Tensor, *, evaluations: int, first_move: float, lanes: int
) -> Tensor:
    """Latents whose pictures are near the targets.

    Takes: latents to start from, with S = 1 one style for all layers; `first_move`: length per coordinate of the first
    move, before anything is known of the curvature.
    Gives: (N, S, D), no worse than the start. The loop never waits for the device.
    Not promised: finite numbers; the caller looks at all frames at once. Equal bits for another `lanes`.
    """
    shape = start_NSD.shape[1:]
    parts = []
    for batch in full_batches(len(targets), lanes, start_NSD.device):
        here = targets.rows(batch)

        def evaluate(x_BK: Tensor, here: Targets = here) -> tuple[Tensor, Tensor]:
            w_BSD = x_BK.reshape(-1, *shape)
            loss_B, slope_BLD = tools.evaluate(w_BSD.expand(-1, tools.generator.num_ws, -1), here)
            slope_BSD = slope_BLD if shape[0] > 1 else slope_BLD.sum(dim=1, keepdim=True)
            return loss_B, slope_BSD.flatten(1)

        rows = Lbfgs(evaluate, start_NSD[batch].flatten(1), first_move=first_move)
        for _ in range(evaluations):
            rows.step()
        parts.append(rows.x_BK.reshape(-1, *shape))
    return torch.cat(parts)[: len(targets)]
