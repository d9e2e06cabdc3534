"""What a face finder is: a picture in, boxes with 68 landmarks out. Behind it stand dlib and face-alignment.

H, W height and width of a frame, C = 3 (RGB); 68 landmarks of 2 coordinates.

Coordinates, here and in every row: pixels of the frame, x right, y down, and the CENTRE of a pixel has whole-number
coordinates. The frame therefore covers [-0.5, W - 0.5] x [-0.5, H - 0.5]; a picture made smaller by s keeps
x_small = (x + 0.5) / s - 0.5. dlib's points follow it, and so does the FFHQ recipe (`quad + 0.5` in align.py).
"""

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


class FaceFinder(Protocol):
    """(H, W, 3) uint8 RGB -> faces, best score first; none is an answer. Equal frames give equal faces."""

    def __call__(self, rgb_HWC: NDArray[np.uint8], /) -> list[Face]:
        """Not promised: that the frame's array may be changed while the faces are found."""
