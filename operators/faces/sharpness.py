"""How sharp a face is, whatever its size and light.

H, W height and width of a frame, C = 3 (RGB), 68 landmarks of 2 coordinates.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.faces.sighting import landmark_box

SIDE_PX = 64  # to which a face is reduced first: grain and blocks of the codec vanish, blur of 2 % of the face shows


def sharpness_of(rgb_HWC: NDArray[np.uint8], landmarks_682: NDArray[np.float32]) -> float:
    """Variance of the Laplacian over the variance of the grey levels, both of the face reduced to 64 px: no unit.

    After Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548 (variance of the Laplacian); divided by the variance,
    it is the same in a dim and in a bright picture. Gives: 0 for a face outside the frame or of one colour.
    Not promised: that a face below 64 px counts as sharp; enlarged, it has no fine detail.
    """
    height, width, _ = rgb_HWC.shape
    x0, y0, x1, y1 = np.rint(landmark_box(landmarks_682)).astype(int).tolist()
    face_HWC = rgb_HWC[max(y0, 0) : min(y1 + 1, height), max(x0, 0) : min(x1 + 1, width)]
    if min(face_HWC.shape[:2]) < 3:
        return 0.0
    scale = SIDE_PX / max(x1 + 1 - x0, y1 + 1 - y0)
    size = (max(3, round(face_HWC.shape[1] * scale)), max(3, round(face_HWC.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grey = cv2.cvtColor(cv2.resize(face_HWC, size, interpolation=interpolation), cv2.COLOR_RGB2GRAY).astype(np.float32)
    spread = float(grey.var())
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) / spread if spread > 0 else 0.0
