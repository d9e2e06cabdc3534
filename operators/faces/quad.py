"""The FFHQ quad: which square of a frame an aligned crop shows.

T frames, 68 landmarks of 2 coordinates, 4 corners TL, BL, BR, TR of 2 coordinates, R crop side in pixels.
Source: Karras, Laine, Aila 2019, arXiv:1812.04948, as computed by NVlabs/ffhq-dataset, download_ffhq.py
`recreate_aligned_images`; first described for CelebA-HQ in Karras et al. 2018, arXiv:1710.10196, appendix C.
"""

import numpy as np
from numpy.typing import NDArray

from operators.faces.smoothing import smooth_along_time


def quads_from_landmarks(landmarks_T682: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, 68, 2) landmarks in iBUG order -> (T, 4, 2) corners TL, BL, BR, TR, both in pixels of the frame.

    Only the eyes and the two mouth corners count, so chin and brows may be wrong. The quad is an exact square, and a
    shift, turn or scale of the landmarks moves it in the same way.
    """
    points = landmarks_T682.astype(np.float64)
    eye_left, eye_right = points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)  # left in the picture
    mouth = (points[:, 48] + points[:, 54]) / 2
    eyes = (eye_left + eye_right) / 2
    eye_to_eye, eye_to_mouth = eye_right - eye_left, mouth - eyes

    # Half of the crop's upper side. Its direction is the mean of two cues: along the eyes, and across the nose.
    x = eye_to_eye + _turned(eye_to_mouth, clockwise=False)
    # side = max(4.0 |eye to eye|, 3.6 |eye to mouth|): appendix C; x is half a side
    half = np.maximum(2.0 * _length(eye_to_eye), 1.8 * _length(eye_to_mouth))
    x *= half / _length(x)
    return _squares(eyes + 0.1 * eye_to_mouth, x)  # a little below the eyes: as much hair as chin


def steady_quads(quad_T42: NDArray[np.float32], pts_us: NDArray[np.int64], sigma_s: float) -> NDArray[np.float32]:
    """The quads of a track with size and direction smoothed by a Gaussian; their centres stay.

    A head moves faster than it grows or tilts, and an error of either is largest in the corners. After STIT (Tzaban et
    al. 2022, arXiv:2201.08361, utils/alignment.py: 1 frame for the centre, 3 for the sides), in seconds.
    """
    centre_T2 = quad_T42.mean(axis=1, dtype=np.float64)
    half_T2 = ((quad_T42[:, 3] - quad_T42[:, 0]) / 2).astype(np.float32)
    x_T2 = smooth_along_time(half_T2, pts_us, sigma_s)
    return _squares(centre_T2, x_T2.astype(np.float64))


def into_crop(points_T2: NDArray[np.float32], quad_T42: NDArray[np.float32], crop_px: int) -> NDArray[np.float32]:
    """Points of the frame in pixels of the aligned crop.

    Takes: `points_T2` (T, ..., 2). Gives: the same shape. The crop's outer edges are the quad's sides; the centre of
    a pixel has whole-number coordinates on both sides.
    """
    middle_axes = (1,) * (points_T2.ndim - 2)
    corner = quad_T42[:, 0].reshape(-1, *middle_axes, 2).astype(np.float64)
    right = (quad_T42[:, 3] - quad_T42[:, 0]).reshape(-1, *middle_axes, 2).astype(np.float64)
    down = (quad_T42[:, 1] - quad_T42[:, 0]).reshape(-1, *middle_axes, 2).astype(np.float64)
    away = points_T2 - corner
    shares = np.stack([(away * side).sum(-1) / (side * side).sum(-1) for side in (right, down)], axis=-1)
    return (shares * crop_px - 0.5).astype(np.float32)


def _squares(centre: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
    """From their centres and half of their upper sides, both (T, 2)."""
    y = _turned(x, clockwise=True)
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y], axis=1).astype(np.float32)


def _turned(vectors_T2: NDArray[np.float64], *, clockwise: bool) -> NDArray[np.float64]:
    """By 90 degrees as seen on the screen, where y points down: right becomes down."""
    sign = 1.0 if clockwise else -1.0
    return np.stack([-sign * vectors_T2[:, 1], sign * vectors_T2[:, 0]], axis=1)


def _length(vectors_T2: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hypot(vectors_T2[:, :1], vectors_T2[:, 1:])
