"""What an inversion asks of an encoder, whoever made it.

N pictures, R side in pixels, L style layers, D style width.
"""

from typing import Protocol, Self

import torch
from torch import Tensor


class PictureEncoder(Protocol):
    """Pictures -> latents in W+ of one generator.

    Takes: pictures of the generator's size, RGB; targets in [-1, 1], what is shown not clamped.
    Not promised: the same bits for a picture in a batch as for the same picture alone.
    """

    refinements: int  # looks at what its latents show that it was made to take; 0: it knows the target alone

    def first(self, target_N3RR: Tensor) -> Tensor:
        """(N, L, D), before anything was shown."""
        ...

    def again(self, target_N3RR: Tensor, shown_N3RR: Tensor, w_NLD: Tensor) -> Tensor:
        """(N, L, D): better ones, with luck, than those that showed what is shown."""
        ...

    def to(self, device: str) -> Self: ...


@torch.no_grad()
def first_guess(encoder: PictureEncoder, target_N3RR: Tensor) -> Tensor:
    """(N, L, D). One picture at a time: kernels round differently for each batch size, and a descent would tell."""
    return torch.cat([encoder.first(x[None]) for x in target_N3RR])
