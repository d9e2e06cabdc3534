"""Which pixels of a crop show the face, from its landmarks.

68 landmarks of 2 coordinates in iBUG order, R crop side in pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_FEATHER = 0.1  # of the distance between the eyes: sigma of the soft edge; landmarks of the jaw are off by as much
_SUBPIXEL_BITS = 4  # of OpenCV's coordinates: a slowly moving face moves its mask in steps of 1/16 px, not of 1


def face_mask(landmarks_682: NDArray[np.float32], crop_px: int, *, soft_px: float | None = None) -> NDArray[np.float32]:
    """(R, R) from 0 to 1: the convex hull of the landmarks and the forehead, with a soft edge.

    The landmarks end at the brows. The forehead reaches as far above them as the base of the nose lies below: the
    thirds of a face, as painters measure it.

    Takes: landmarks in pixels of the crop; `soft_px`, sigma of the edge, None: as far as landmarks of the jaw are off.
    Not promised: hair, ears, and what hides the face.
    """
    brows, nose_base = landmarks_682[17:27], landmarks_682[33]
    forehead = brows + (brows.mean(axis=0) - nose_base)
    hull = cv2.convexHull(np.concatenate([landmarks_682, forehead]))
    mask = np.zeros((crop_px, crop_px), np.float32)
    corners = np.rint(hull * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(mask, corners, 1.0, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    apart = float(np.linalg.norm(landmarks_682[36:42].mean(axis=0) - landmarks_682[42:48].mean(axis=0)))
    sigma_px = _FEATHER * apart if soft_px is None else soft_px
    # The smallest sigma keeps OpenCV from reading 0 as "choose one yourself" when both eyes are one point.
    soft: NDArray[np.float32] = cv2.GaussianBlur(mask, (0, 0), max(sigma_px, 0.3)).astype(np.float32)
    return soft
