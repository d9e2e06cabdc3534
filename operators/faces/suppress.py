"""Which of several boxes are the same face seen twice.

N boxes of x0, y0, x1, y1.
"""

import numpy as np
from numpy.typing import NDArray

IOU_MAX = 0.4  # two people cheek to cheek stay below; the same face in two sizes lies above
INSIDE_MAX = 0.7  # share of the smaller box inside the larger: a nose found inside a large face has a small IoU


def overlap(box_a: NDArray[np.float64], box_b: NDArray[np.float64]) -> tuple[float, float]:
    """Intersection of two boxes over their union, and over the smaller of the two."""
    sides = np.minimum(box_a[2:], box_b[2:]) - np.maximum(box_a[:2], box_b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    area_a, area_b = float(np.prod(box_a[2:] - box_a[:2])), float(np.prod(box_b[2:] - box_b[:2]))
    return shared / (area_a + area_b - shared), shared / min(area_a, area_b)


def without_doubles(boxes_N4: NDArray[np.float64], scores_N: NDArray[np.float64]) -> list[int]:
    """Indices of the boxes to keep, best score first; among equal scores the earlier box wins."""
    kept: list[int] = []
    for i in np.argsort(-scores_N, kind="stable"):
        overlaps = (overlap(boxes_N4[i], boxes_N4[j]) for j in kept)
        if all(iou <= IOU_MAX and inside <= INSIDE_MAX for iou, inside in overlaps):
            kept.append(int(i))
    return kept
