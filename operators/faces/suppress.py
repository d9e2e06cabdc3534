"""Which of several boxes are the same face seen twice.

N boxes of x0, y0, x1, y1.
"""

import numpy as np
from numpy.typing import NDArray

IOU_MAX = 0.4  # two people cheek to cheek stay below; the same face in two sizes lies above
INSIDE_MAX = 0.7  # share of the smaller box inside the larger: a nose found inside a large face has a small IoU


def without_doubles(boxes_N4: NDArray[np.float64], scores_N: NDArray[np.float64]) -> list[int]:
    """Indices of the boxes to keep, best score first; among equal scores the earlier box wins."""
    kept: list[int] = []
    left = np.argsort(-scores_N, kind="stable")
    while left.size:
        best = left[0]
        kept.append(int(best))
        iou, inside = overlaps(boxes_N4[best], boxes_N4[left])
        same = (iou > IOU_MAX) | (inside > INSIDE_MAX)
        same[0] = True  # also where the box has no area
        left = left[~same]
    return kept


def overlap(box_a: NDArray[np.float64], box_b: NDArray[np.float64]) -> tuple[float, float]:
    """Intersection of two boxes over their union, and over the smaller of the two."""
    iou, inside = overlaps(box_a, box_b[None])
    return float(iou[0]), float(inside[0])


def overlaps(
    box_4: NDArray[np.float64], boxes_N4: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intersections of a box with N others, each over the union of the two, and over the smaller of the two."""
    sides_N2 = np.minimum(box_4[2:], boxes_N4[:, 2:]) - np.maximum(box_4[:2], boxes_N4[:, :2])
    shared = np.maximum(sides_N2, 0).prod(axis=1)
    area, areas = np.prod(box_4[2:] - box_4[:2]), (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(axis=1)
    least = np.finfo(np.float64).tiny  # of an area: a detector may draw a box of none
    return shared / np.maximum(area + areas - shared, least), shared / np.maximum(np.minimum(area, areas), least)
