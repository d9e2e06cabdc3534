"""Follow a face from one frame to the next by optical flow.

H, W height and width of a frame, C = 3 (RGB), 68 landmarks of 2 coordinates. Coordinates as in face.py.
Flow: Lucas and Kanade 1981 in pyramids (Bouguet 2000), as in OpenCV; checked there and back (Kalal, Mikolajczyk, Matas
2010, doi:10.1109/ICPR.2010.675).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.faces.sighting import landmark_box

SIDE_PX = 96  # to which a face is reduced for the flow: whatever the film's size, the cost and the reach are the same
AROUND = 0.6  # of the face's side, seen on either side: how far a face may move between two frames
WINDOW_PX = 15
LEVELS = 3  # of the pyramid: with the window, 60 reduced pixels
BACK_PX_MAX = 1.0  # reduced pixels between a point and where the flow back from its new place leads
POINTS_MIN = 24  # of 68: fewer agree when something passes in front
SCALE_MAX = 1.25  # from one frame to the next
PATCH_PX = 32  # side of the pictures whose likeness is measured


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Where a face is: moved along, not found."""

    points_682: NDArray[np.float32]
    box_4: NDArray[np.float64]


def moved_on(place: Place, from_HWC: NDArray[np.uint8], to_HWC: NDArray[np.uint8]) -> Place | None:
    """The place in the next frame; None where too few points agree on how it moved.

    The points move as one, by a similarity (shift, turn, scale): flow on single points drifts apart.
    """
    box_4 = landmark_box(place.points_682)
    side = float((box_4[2:] - box_4[:2]).max())
    height, width, _ = from_HWC.shape
    low = np.clip(np.floor(box_4[:2] - AROUND * side).astype(int), 0, (width - 1, height - 1))
    high = np.clip(np.ceil(box_4[2:] + AROUND * side).astype(int) + 1, 0, (width, height))
    if side < 1 or np.any(high - low < WINDOW_PX):
        return None
    shrink = max(1.0, side / SIDE_PX)
    before, after = (_reduced_grey(frame[low[1] : high[1], low[0] : high[0]], shrink) for frame in (from_HWC, to_HWC))
    per_pixel = (high - low) / np.array(before.shape[::-1])
    points = ((place.points_682 - low + 0.5) / per_pixel - 0.5).astype(np.float32)[:, None]
    there, found = _flow(before, after, points)
    back, found_back = _flow(after, before, there)
    agrees = (np.linalg.norm(back - points, axis=2) < BACK_PX_MAX) & (found == 1) & (found_back == 1)
    sure = agrees[:, 0]
    if sure.sum() < POINTS_MIN:
        return None
    moves_23, inlier = cv2.estimateAffinePartial2D(points[sure], there[sure], ransacReprojThreshold=1.5)
    if moves_23 is None or inlier.sum() < POINTS_MIN:
        return None
    scale = float(np.hypot(moves_23[0, 0], moves_23[1, 0]))
    if not 1 / SCALE_MAX < scale < SCALE_MAX:
        return None

    def moved(points_N2: NDArray[np.floating]) -> NDArray[np.float64]:
        reduced = (points_N2 - low + 0.5) / per_pixel - 0.5
        moved_N2: NDArray[np.float64] = (reduced @ moves_23[:, :2].T + moves_23[:, 2] + 0.5) * per_pixel - 0.5 + low
        return moved_N2

    corners = place.box_4.reshape(2, 2)
    middle, half = moved(corners.mean(axis=0)), (corners[1] - corners[0]) / 2 * scale
    return Place(
        points_682=moved(place.points_682).astype(np.float32), box_4=np.concatenate([middle - half, middle + half])
    )


def _flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points_N12: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points_N12, None, winSize=(WINDOW_PX, WINDOW_PX), maxLevel=LEVELS
    )
    return there, found


def patch_of(rgb_HWC: NDArray[np.uint8], points_682: NDArray[np.float32]) -> NDArray[np.float32]:
    """The face as a small grey picture of mean 0 and length 1: the product of two is their likeness, 1 at most."""
    height, width, _ = rgb_HWC.shape
    x0, y0, x1, y1 = np.rint(landmark_box(points_682)).astype(int).tolist()
    part = rgb_HWC[max(y0, 0) : min(y1 + 1, height), max(x0, 0) : min(x1 + 1, width)]
    if part.size == 0:
        return np.zeros(PATCH_PX * PATCH_PX, np.float32)
    small = cv2.resize(part, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_AREA)
    patch: NDArray[np.float32] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    patch -= patch.mean()
    length = float(np.linalg.norm(patch))
    return patch / length if length > 0 else patch


def _reduced_grey(rgb_HWC: NDArray[np.uint8], shrink: float) -> NDArray[np.uint8]:
    height, width, _ = rgb_HWC.shape
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA) if shrink > 1 else rgb_HWC
    grey: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY)
    return grey
