"""Whether two boxes can be the same face a moment later."""

import numpy as np
from numpy.typing import NDArray

from operators.faces.suppress import overlap

DISTANCE_MAX = 0.6  # of the face's side, from where it is expected; a head crosses no more between two frames
SIDES_MAX = 1.8  # ratio of the sides; the detector's own steps are 1.2, so two of them are allowed
FORBIDDEN = 1e6  # a pair that may not be linked; finite, because an assignment needs every cost


def nearness(
    expected_4: NDArray[np.float64], box_4: NDArray[np.float64], *, distance_max: float = DISTANCE_MAX
) -> float:
    """0 for the same box, 1 + distance_max at the most, FORBIDDEN beyond. Boxes are x0, y0, x1, y1."""
    side_a, side_b = (float((b[2:] - b[:2]).mean()) for b in (expected_4, box_4))
    apart = np.linalg.norm(centre(expected_4) - centre(box_4))
    distance = float(apart) / ((side_a + side_b) / 2)
    if distance > distance_max or max(side_a, side_b) > SIDES_MAX * min(side_a, side_b):
        return FORBIDDEN
    return 1 - overlap(expected_4, box_4)[0] + distance


def centre(box_4: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y of its middle."""
    return (box_4[:2] + box_4[2:]) / 2
