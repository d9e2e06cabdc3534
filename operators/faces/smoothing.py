"""Gaussian smoothing along one track, in seconds.

T frames; the trailing axes are whatever is smoothed (68 landmarks, 7 probabilities).
"""

import numpy as np
from numpy.typing import NDArray

REACH = 4.0  # sigmas; what lies beyond weighs less than 1 in 10,000 of a pixel


def smooth_along_time(values: NDArray[np.float32], pts_us: NDArray[np.int64], sigma_s: float) -> NDArray[np.float32]:
    """Each value becomes the Gaussian mean of its neighbours in time; the weights are renormalised at the ends.

    Takes: `values` (T, ...), `pts_us` (T,) rising. A frame weighs as much as the time it stands for, so frames
    crowded together by a variable rate do not outvote the others. Gives: (T, ...) float32.
    Not promised: a straight motion without lag at the two ends, where half of the neighbours are missing.
    """
    if sigma_s == 0 or len(pts_us) < 2:
        return values.astype(np.float32)
    lasts_us = np.gradient(pts_us)  # half the way to either neighbour
    flat = values.reshape(len(values), -1).astype(np.float64)
    smooth = np.empty_like(flat)
    reach_us = round(REACH * sigma_s * 1e6)
    first = np.searchsorted(pts_us, pts_us - reach_us)
    end = np.searchsorted(pts_us, pts_us + reach_us, side="right")
    for i, (a, b) in enumerate(zip(first, end, strict=True)):
        weights = lasts_us[a:b] * np.exp(-0.5 * ((pts_us[a:b] - pts_us[i]) / (sigma_s * 1e6)) ** 2)
        smooth[i] = weights @ flat[a:b] / weights.sum()
    return smooth.reshape(values.shape).astype(np.float32)
