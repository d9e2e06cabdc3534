"""Batches with a fixed number of rows, so that a row's bits do not depend on its company.

Descent is chaotic: two runs that differ in the last bit end 0.1 dB and a whole spread of w apart. Kernels for another
batch size round differently, so every batch has exactly `lanes` rows, the last one filled up with copies. Then a row's
bits follow from its own frame and start, whoever else is in the batch, and wherever it stands.
"""

import torch
from torch import Tensor


def full_batches(n: int, lanes: int, device: torch.device) -> list[Tensor]:
    """Row numbers 0 to n - 1 in batches of `lanes`; what the last one lacks is the last row again.

    Gives: results that, put one after the other, have to be cut to the first `n`.
    """
    rows = torch.arange(-(-n // lanes) * lanes, device=device).clamp_max(n - 1)
    return list(torch.split(rows, lanes))
