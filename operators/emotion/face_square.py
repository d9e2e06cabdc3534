"""The tight square of an aligned crop that an expression network sees, in training and in use.

T frames, R crop side in pixels, S side of the network's input, 68 landmarks.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE_PX = 64  # of our network: a face in a crop of 128 px is about that large; more would be invented by enlarging
FOREHEAD = 0.25  # of the landmarks' height, above the brows: what a detector's box shows and 68 points do not


def face_squares(landmarks_T682: NDArray[np.float32], *, margin: float) -> NDArray[np.float64]:
    """Squares around faces, (T, 4): x0, y0, x1, y1 in the crop's pixels counted from its corner; may leave the crop.

    Takes: landmarks in crop pixels, centres whole; `margin`: the side is (1 + margin) times the face's longer side.
    """
    low, high = landmarks_T682.min(axis=1) + 0.5, landmarks_T682.max(axis=1) + 0.5
    low = low - np.array([0.0, FOREHEAD]) * (high - low)
    centre, half = (low + high) / 2, (high - low).max(axis=1, keepdims=True) * (1 + margin) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float64)


def cut_square(crop_RRC: NDArray[np.uint8], box_4: NDArray[np.float64], *, side_px: int) -> Image.Image:
    """The square of the crop at (S, S), RGB; beyond the crop its border pixels are repeated."""
    over = int(max(0, np.ceil(-box_4.min()), np.ceil(box_4.max() - len(crop_RRC))))
    picture = Image.fromarray(np.pad(crop_RRC, ((over, over), (over, over), (0, 0)), "edge"))
    x0, y0, x1, y1 = (float(v) + over for v in box_4)
    return picture.resize((side_px, side_px), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
