"""Limited-memory BFGS for a batch of problems that know nothing of each other, one evaluation of all rows at a time.

B rows, K coordinates of a row, M remembered moves.
Source: Nocedal and Wright 2006, Numerical Optimization, algorithm 7.4 (two loops) and 3.1 (backtracking). Next to its
goal it needs a third of Adam's evaluations: 15 of them end where 50 of Adam's do (the next frame of a talking head).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(B, K) -> values (B,) and slopes (B, K); row b of both follows from row b alone."""

# Moves remembered: 50 evaluations from an encoder's guess end at 30.2 dB with 10, 30.5 with 30, 30.6 with 60; 200 of
# them at 31.8, 32.2, 32.4 (puppet-128). Its cost, 50 products of a latent's length, is a thirtieth of an evaluation's.
HISTORY = 50
_ARMIJO = 1e-4  # share of the promised decrease that a move has to bring: the usual one
_SHRINK = (0.1, 0.5)  # a refused move is tried again this much shorter: never a tenth of it, never more than half
_CURVED = 1e-10  # of |y|^2: below, rounding has taken the curvature, and remembering it would divide by noise


class Lbfgs:
    """Rows that walk downhill, each at its own pace, from places that may be set at any time.

    A row that is set anew keeps what it remembers: the next frame's picture bends the loss as the last one's did, and
    8 evaluations with that memory end where 15 without it do.

    Takes: `first_move`: length per coordinate (root mean square) of a row's first move, before anything is remembered.
    Gives: values that never rise from step to step of a row; bits of a row that follow from that row alone while B
    stays the same. Nothing here waits for the device.
    Not promised: that a step moves: one that would rise, or is not finite, is refused and tried shorter.
    """

    def __init__(self, evaluate: Evaluate, start_BK: Tensor, *, first_move: float) -> None:
        n_rows, n_coordinates = start_BK.shape
        self.evaluate = evaluate
        self.x_BK = start_BK.clone()
        self.value_B = start_BK.new_full((n_rows,), torch.inf)
        self._first_length = first_move * n_coordinates**0.5
        self._slope_BK = torch.zeros_like(start_BK)
        self._direction_BK = torch.zeros_like(start_BK)
        self._length_B = start_BK.new_zeros(n_rows)  # of the next move, in directions; 0: look where you are
        self._moves_MBK = start_BK.new_zeros(HISTORY, n_rows, n_coordinates)
        self._turns_MBK = torch.zeros_like(self._moves_MBK)  # how each move changed the slope
        self._weight_MB = start_BK.new_zeros(HISTORY, n_rows)  # 1 / (move . turn); 0: nothing remembered

    def restart(self, rows: Tensor, x_BK: Tensor, *, forget: bool = False) -> None:
        """Sets the rows where the mask (B,) is true to their places in `x_BK`; their values are not known then."""
        self.x_BK = torch.where(rows[:, None], x_BK, self.x_BK)
        self.value_B = torch.where(rows, torch.inf, self.value_B)
        self._length_B = torch.where(rows, 0.0, self._length_B)
        if forget:
            self._weight_MB = torch.where(rows, 0.0, self._weight_MB)

    def step(self) -> None:
        """One evaluation of every row, and what follows from it."""
        is_new_B = self._length_B == 0
        # Not the product alone: a slope that is not finite leaves a direction that is not, and 0 times it is NaN.
        move_BK = torch.where(is_new_B[:, None], 0.0, self._length_B[:, None] * self._direction_BK)
        value_B, slope_BK = self.evaluate(self.x_BK + move_BK)
        # What the move promised; not above 0, which only rounding gives, so that no value ever rises.
        fall_B = (self._length_B * _dot(self._direction_BK, self._slope_BK)).clamp_max(0)
        accepted_B = is_new_B & value_B.isfinite() | (value_B <= self.value_B + _ARMIJO * fall_B)  # NaN: refused

        turn_BK = slope_BK - self._slope_BK
        curvature_B, square_B = _dot(move_BK, turn_BK), _dot(turn_BK, turn_BK)
        self._remember(accepted_B & ~is_new_B & (curvature_B > _CURVED * square_B), move_BK, turn_BK, curvature_B)

        # A refused move: the parabola through both values and the first slope has its least point at this length.
        shorter_B = -fall_B * self._length_B / (2 * (value_B - self.value_B - fall_B))
        shorter_B = shorter_B.nan_to_num(0.0).clamp(_SHRINK[0] * self._length_B, _SHRINK[1] * self._length_B)
        self.x_BK = torch.where(accepted_B[:, None], self.x_BK + move_BK, self.x_BK)
        self.value_B = torch.where(accepted_B, value_B, self.value_B)
        self._slope_BK = torch.where(accepted_B[:, None], slope_BK, self._slope_BK)
        self._direction_BK = torch.where(accepted_B[:, None], self._downhill(), self._direction_BK)
        self._length_B = torch.where(accepted_B, 1.0, shorter_B)

    def _remember(self, rows: Tensor, move_BK: Tensor, turn_BK: Tensor, curvature_B: Tensor) -> None:
        """The newest stands last; rows that learn nothing keep theirs in place."""
        for old_MB, newest in (
            (self._moves_MBK, move_BK),
            (self._turns_MBK, turn_BK),
            (self._weight_MB, 1 / curvature_B),
        ):
            mask = rows.reshape(1, -1, *[1] * (old_MB.dim() - 2))
            old_MB.copy_(torch.where(mask, torch.cat((old_MB[1:], newest[None])), old_MB))

    def _downhill(self) -> Tensor:
        """(B, K): the slope times what is known of the inverse curvature, algorithm 7.4."""
        q_BK, shares = self._slope_BK, []
        for move_BK, turn_BK, weight_B in zip(
            self._moves_MBK.flip(0), self._turns_MBK.flip(0), self._weight_MB.flip(0), strict=True
        ):
            share_B = weight_B * _dot(move_BK, q_BK)
            shares.append(share_B)
            q_BK = q_BK - share_B[:, None] * turn_BK
        newest_B = 1 / (self._weight_MB[-1] * _dot(self._turns_MBK[-1], self._turns_MBK[-1]))  # equation 7.20
        first_B = self._first_length / _dot(self._slope_BK, self._slope_BK).sqrt().clamp_min(1e-30)
        q_BK = q_BK * torch.where(self._weight_MB[-1] > 0, newest_B, first_B)[:, None]
        for move_BK, turn_BK, weight_B, share_B in zip(
            self._moves_MBK, self._turns_MBK, self._weight_MB, reversed(shares), strict=True
        ):
            q_BK = q_BK + (share_B - weight_B * _dot(turn_BK, q_BK))[:, None] * move_BK
        return -q_BK


def _dot(a_BK: Tensor, b_BK: Tensor) -> Tensor:
    return (a_BK * b_BK).sum(dim=1)
