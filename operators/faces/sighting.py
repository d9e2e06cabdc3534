"""A face in a frame, with what only the frame's pixels can tell: when faces are linked, the pixels are gone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.faces.face import Face


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class Sighting:
    """One face in one frame."""

    face: Face
    sharpness: float | None = None  # see operators.faces.sharpness; None: not measured
    identity_128: NDArray[np.float32] | None = None  # None: not sampled in this frame


def landmark_box(landmarks_682: NDArray[np.float32]) -> NDArray[np.float64]:
    """x0, y0, x1, y1 of the landmarks: steadier than the detector's box, which moves in steps of its grid."""
    return np.concatenate([landmarks_682.min(axis=0), landmarks_682.max(axis=0)]).astype(np.float64)


def shorter_side(face: Face) -> float:
    """Of the finder's box, in pixels of the frame."""
    x0, y0, x1, y1 = face.box
    return min(x1 - x0, y1 - y0)
