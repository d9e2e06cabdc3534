"""From a frame's latent to the next frame's: few evaluations, a price on moving, as many tracks as there are lanes.

B lanes, L style layers, D style width, K = L D.
"""

from dataclasses import fields

import torch
from torch import Tensor

from operators.inversion.first_start import FIRST_MOVE
from operators.inversion.frame_loss import Targets
from operators.inversion.lbfgs import Lbfgs
from operators.inversion.tools import InversionTools
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings

# Evaluations between two looks at the values, the only moments at which the device is waited for. A frame takes a
# multiple of it.
LOOK = 3
_COARSE, _MIDDLE = 4, 8  # layers up to 8 px and up to 32 px: Karras et al. 2019, arXiv:1812.04948, section 3.1


class FollowFrames:
    """Lanes of a batch, each with a latent that follows its own track at its own pace.

    A lane that is done waits for `load` while the others go on; what the generator does for it meanwhile counts for
    nothing. The price of moving is measured in the whitened space of prior.py, for each group of layers: at equal PSNR
    latents then move a third as far as with a price in w.

    Gives: `w_BLD`, the latents of the frames that were done last; bits of a lane that do not depend on the others.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, *, lanes: int) -> None:
        self.tools, self.lanes = tools, lanes
        generator, self.prior = tools.generator, tools.prior
        self.budget, self.plateau = settings.next_steps, settings.plateau
        mean_D = generator.mapping.w_avg
        weights = (settings.coarse_weight, settings.middle_weight, settings.fine_weight)
        ends = (_COARSE, _MIDDLE, generator.num_ws)
        weight_L = [
            weight for weight, n in zip(weights, _lengths(ends, generator.num_ws), strict=True) for _ in range(n)
        ]
        self.price_L = torch.tensor(weight_L, device=mean_D.device) / generator.num_ws
        self.w_BLD = mean_D.repeat(lanes, generator.num_ws, 1)
        self.anchor_BLD = self.prior.whiten(self.w_BLD)
        self.targets: Targets | None = None
        self.busy = [False] * lanes
        self.evaluations = [0] * lanes  # for the frame that a lane is at
        self._last = [torch.inf] * lanes
        self._is_new = [True] * lanes
        first_move = FIRST_MOVE * w_statistics(generator).spread
        self.rows = Lbfgs(self._evaluate, self.w_BLD.flatten(1), first_move=first_move)

    def begin(self, lane: int, w_LD: Tensor) -> None:
        """Another track: its first frame's latent is known, and nothing else of it."""
        self.w_BLD[lane] = w_LD
        self.busy[lane], self._is_new[lane] = False, True

    def load(self, lane: int, targets: Targets, *, row: int = 0) -> None:
        """The next frame of a lane's track: one row of the targets."""
        if self.targets is None:  # lanes that never get a track show the first one's frame
            self.targets = targets.rows(torch.full((self.lanes,), row, device=self.w_BLD.device))
        _copy_row(self.targets, lane, targets, row)
        self.anchor_BLD[lane] = self.prior.whiten(self.w_BLD[lane])
        this_B = torch.arange(self.lanes, device=self.w_BLD.device) == lane
        self.rows.restart(this_B, self.w_BLD.flatten(1), forget=self._is_new[lane])
        self.busy[lane], self._is_new[lane] = True, False
        self.evaluations[lane], self._last[lane] = 0, torch.inf

    def advance(self) -> None:
        """A few evaluations of all lanes. A lane is done when its value has stopped falling or its budget is spent."""
        for _ in range(LOOK):
            self.rows.step()
        values = self.rows.value_B.tolist()
        found_BLD = self.rows.x_BK.reshape(self.w_BLD.shape)
        for lane, value in enumerate(values):
            if not self.busy[lane]:
                continue
            self.evaluations[lane] += LOOK
            # False where the value is infinite: nothing was found yet, and the budget ends it.
            has_settled = self._last[lane] - value <= self.plateau * value < torch.inf
            self._last[lane] = value
            if has_settled or self.evaluations[lane] + LOOK > self.budget:
                self.busy[lane] = False
                self.w_BLD[lane] = found_BLD[lane]

    def _evaluate(self, x_BK: Tensor) -> tuple[Tensor, Tensor]:
        assert self.targets is not None
        w_BLD = x_BK.reshape(self.w_BLD.shape)
        loss_B, slope_BLD = self.tools.evaluate(w_BLD, self.targets)
        price_B, price_slope_BLD = self.prior.price_away(w_BLD, self.anchor_BLD, self.price_L)
        return loss_B + price_B, (slope_BLD + price_slope_BLD).flatten(1)


def _lengths(ends: tuple[int, ...], n: int) -> list[int]:
    """How many of `n` layers lie in each group, whose last layers are given; small generators have fewer groups."""
    inside = [min(end, n) for end in ends]
    return [end - first for first, end in zip([0, *inside], inside, strict=False)]


def _copy_row(into: Targets, lane: int, source: Targets, row: int) -> None:
    for field in fields(into):
        ours, theirs = getattr(into, field.name), getattr(source, field.name)
        for a, b in zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]:
            if a is not None:
                a[lane] = b[row]
