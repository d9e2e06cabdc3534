"""What a face finder is: a picture in, boxes with 68 landmarks out. Behind it stand dlib and face-alignment.

H, W height and width of a frame, C = 3 (RGB); 68 landmarks of 2 coordinates.

Coordinates, here and in every row: pixels of the frame, x right, y down, and the CENTRE of a pixel has whole-number
coordinates. The frame therefore covers [-0.5, W - 0.5] x [-0.5, H - 0.5]; a picture made smaller by s keeps
x_small = (x + 0.5) / s - 0.5. dlib's points follow it, and so does the FFHQ recipe (`quad + 0.5` in align.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

N_LANDMARKS = 68  # iBUG 300-W order: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class Face:
    """One face in one frame."""

    box: tuple[float, float, float, float]  # x0, y0, x1, y1; may reach over the frame's border
    landmarks_682: NDArray[np.float32]  # (68, 2) x, y
    score: float  # comparable within one finder only: dlib gives a margin, face-alignment a probability

    def __post_init__(self) -> None:
        if self.landmarks_682.shape != (N_LANDMARKS, 2):
            raise ValueError(f"face at {self.box}: landmarks {self.landmarks_682.shape}, expected ({N_LANDMARKS}, 2)")


def faces_of(
    boxes_N4: NDArray[np.floating], scores_N: NDArray[np.floating], landmarks_N682: NDArray[np.float32]
) -> list[Face]:
    """The rows of three arrays as faces, in their order."""
    return [
        Face(box=(float(x0), float(y0), float(x1), float(y1)), landmarks_682=points_682, score=float(score))
        for (x0, y0, x1, y1), score, points_682 in zip(boxes_N4, scores_N, landmarks_N682, strict=True)
    ]


class FaceFinder(Protocol):
    """Finds faces in pictures, and landmarks in places that are known already. The same for every finder.

    Takes: frames of (H, W, 3) uint8 RGB.
    Not promised: that a frame's array may be changed while it is looked at; equal bits on another device.
    """

    frames_per_batch: int  # how many frames are worth giving at once; more take memory and save no time

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[list[Face]]:
        """Takes frames of one size; gives the faces of each, best score first; none is an answer.

        Equal frames give equal faces whatever else is in the batch: in equal bits on a CPU, within 1e-3 px on a GPU,
        whose sums depend on the size of a batch.
        """

    def landmarks(self, rgb_HWC: NDArray[np.uint8], boxes_N4: NDArray[np.floating], /) -> NDArray[np.float32]:
        """(N, 68, 2) of the faces in N boxes of one frame (as `Face.box`): far cheaper than finding them.

        Not promised: that a box holds a face; a box without one has landmarks too.
        """
