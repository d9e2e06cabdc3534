"""How fast latents move, and how evenly: per frame, in sums, so that the parts of a track add up.

T frames, L style layers, D style width. Lengths are root mean squares over the D coordinates of a layer, then means
over the layers: in the whitened space of a prior, 1 is as far as one standard deviation in every coordinate.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.clips import Motion


def motion(p_TLD: Tensor, pts_us: NDArray[np.int64]) -> Motion:
    """The motion of a track's latents, or of a part's with its warm-up.

    Velocity and acceleration are divided differences, first and second, so any pts will do:
        velocity at frame t:      v_t = (p_t - p_t-1) / (s_t - s_t-1)
        acceleration:             a_t = (v_t - v_t-1) / ((s_t - s_t-2) / 2)
    Frame t knows the frames before it only, so a part that begins with two warm-up frames has what the whole track has.

    Takes: (T, L, D) whitened latents (`LatentPrior.whiten`), any T; pts that rise.
    Gives: one number per frame; rows of parts may be summed in any order.
    Raises: ValueError when the lengths differ.
    Not promised: zero acceleration of a straight line in w: the space bends where a coordinate of w changes its sign.
    """
    if len(p_TLD) != len(pts_us):
        raise ValueError(f"{len(p_TLD)} latents but {len(pts_us)} pts; give one latent per frame")
    way_s = np.diff(pts_us) / 1e6
    turn_s = (way_s[1:] + way_s[:-1]) / 2
    way_TLD = p_TLD.detach().diff(dim=0).double()
    velocity_TLD = way_TLD / torch.from_numpy(way_s).to(way_TLD.device)[:, None, None]
    return Motion(
        step=_per_frame(_length(way_TLD), len(pts_us)),
        step_s=_per_frame(way_s, len(pts_us)),
        turn=_per_frame(_length(velocity_TLD.diff(dim=0)), len(pts_us)),
        turn_s=_per_frame(turn_s, len(pts_us)),
    )


def _length(x_TLD: Tensor) -> NDArray[np.float64]:
    length_T: NDArray[np.float64] = x_TLD.square().mean(dim=2).sqrt().mean(dim=1).cpu().numpy()
    return length_T


def _per_frame(values: NDArray[np.float64], n_frames: int) -> NDArray[np.float32]:
    """Values of the last frames, zeros before them."""
    return np.concatenate((np.zeros(n_frames - len(values)), values)).astype(np.float32)
