"""Smoothing along one track, in seconds and Hertz, never in frames.

T frames; the trailing axes are whatever is smoothed (68 landmarks, 7 probabilities), N points of 2 coordinates.
"""

from typing import Any

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


SPEED_HZ = 1.0  # cut-off of the speed that sets the filter's own: the paper's, and its code's


def one_euro(
    points_TN2: NDArray[np.float32], pts_us: NDArray[np.int64], *, rest_hz: float, slope: float, unit_px: float
) -> NDArray[np.float32]:
    """The One Euro filter, forwards and then backwards: slow points are held still, fast ones are let go.

    Casiez, Roussel, Vogel 2012, doi:10.1145/2207676.2208639: a first-order low pass of cut-off `rest_hz` + `slope` *
    speed, here of each point in units of `unit_px` a second, with the time that really passed between two frames.
    Deviation: it is run twice, the second time from the end, since the film is known; what the first run is late, the
    second is early. Gives: (T, N, 2) float32. Not promised: an even motion without any error, as the Gaussian has it,
    nor a memory that ends: of what lay 3 / (2 pi rest_hz) seconds away, a twentieth is left.
    """
    if len(pts_us) < 2:
        return points_TN2.astype(np.float32)
    steps_s = np.diff(pts_us) / 1e6
    once = _low_passed(points_TN2.astype(np.float64) / unit_px, steps_s, rest_hz, slope)
    twice = _low_passed(once[::-1], steps_s[::-1], rest_hz, slope)[::-1]
    return (twice * unit_px).astype(np.float32)


def _low_passed(
    points_TN2: NDArray[np.float64], steps_s: NDArray[np.float64], rest_hz: float, slope: float
) -> NDArray[np.float64]:
    smooth = points_TN2.copy()
    speed_N2 = np.zeros_like(points_TN2[0])
    for i, step_s in enumerate(steps_s.tolist(), start=1):
        raw_N2 = (points_TN2[i] - points_TN2[i - 1]) / step_s
        speed_N2 += _share(SPEED_HZ, step_s) * (raw_N2 - speed_N2)
        cutoff_hz = rest_hz + slope * np.linalg.norm(speed_N2, axis=-1, keepdims=True)
        smooth[i] = smooth[i - 1] + _share(cutoff_hz, step_s) * (points_TN2[i] - smooth[i - 1])
    return smooth


def _share(cutoff_hz: Any, step_s: float) -> Any:
    """Of the new value in the mean, equation 4 of the paper."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * step_s))
