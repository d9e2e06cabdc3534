"""A latent that moves in straight lines between knots: what the scene method finds; it can be sampled at any time.

T times, K knots, L style layers, D style width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.inversion.knots import hat_weights


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class ScenePath:
    """Knots in time, and the latent at each.

    Takes: rising times; latents rounded as they are stored, so that whoever samples the stored knots has these bits.
    """

    pts_us: NDArray[np.int64]  # (K,) of frames of the clip, its first and last among them; one where there is one frame
    w_KLD: NDArray[np.float32]  # (K, L, D) W+

    def __post_init__(self) -> None:
        if len(self.pts_us) != len(self.w_KLD) or len(self.pts_us) == 0:
            raise ValueError(f"path: {len(self.pts_us)} times for {len(self.w_KLD)} latents; give one of each per knot")
        if np.any(np.diff(self.pts_us) <= 0):
            raise ValueError("path: the times of knots must rise; sort the knots by pts_us first")

    def at(self, pts_us: NDArray[np.int64]) -> NDArray[np.float32]:
        """(T, L, D) at any times, frames or not.

        Not promised: motion outside the knots; before the first and after the last, the latent stands still, because a
        face that is not seen is not known to go on.
        """
        w_TLD: NDArray[np.float32] = np.einsum("tk,kld->tld", hat_weights(pts_us, self.pts_us), self.w_KLD)
        return w_TLD.astype(np.float32)
