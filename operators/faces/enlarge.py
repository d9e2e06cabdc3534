"""The pictures in which a detector with a window of fixed size looks for faces of many sizes: reduced, enlarged, tiled.

H, W height and width of a frame, C = 3 (RGB), N boxes of x0, y0, x1, y1.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.face_settings import FaceSettings

WINDOW_PX = 80  # of dlib's detector: the smallest face it sees
TILE_PX = 2880  # side of an enlarged tile at most: dlib takes 10 bytes a pixel, so 80 MB for one

_COARSER = 4.0  # a quarter as large: a sixteenth of the time
_OVERLAP_WINDOWS = 1.5  # of tiles, in the smallest faces of the coarser picture: dlib is unsure about its smallest


@dataclass(frozen=True, kw_only=True)
class View:
    """A rectangle of the frame, in whole pixels, and how many times it is enlarged (below 1: reduced)."""

    x0: int
    y0: int
    x1: int
    y1: int
    times: float

    def picture(self, rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the detector is to see."""
        part = rgb_HWC[self.y0 : self.y1, self.x0 : self.x1]
        size = tuple(max(1, round(side * self.times)) for side in (self.x1 - self.x0, self.y1 - self.y0))
        if size != (part.shape[1], part.shape[0]):
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if self.times < 1 else cv2.INTER_LINEAR)
        return np.ascontiguousarray(part)

    def in_frame(self, edges_N4: NDArray[np.float64], picture_shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Boxes of the picture, from outer edge to outer edge, as boxes of the frame."""
        height, width = picture_shape[:2]
        per_pixel = np.array([(self.x1 - self.x0) / width, (self.y1 - self.y0) / height] * 2)
        boxes_N4: NDArray[np.float64] = edges_N4 * per_pixel + (self.x0, self.y0, self.x0, self.y0) - 0.5
        return boxes_N4

    def shows_whole(self, boxes_N4: NDArray[np.float64], frame_shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which boxes do not reach over an edge that cuts through the frame: another view shows those whole."""
        height, width = frame_shape[:2]
        low = np.array([self.x0 if self.x0 else -np.inf, self.y0 if self.y0 else -np.inf])
        high = np.array([self.x1 if self.x1 < width else np.inf, self.y1 if self.y1 < height else np.inf])
        inside_N2 = (boxes_N4[:, :2] >= low - 0.5) & (boxes_N4[:, 2:] <= high - 0.5)
        return np.logical_and(inside_N2[:, 0], inside_N2[:, 1])


def views(height: int, width: int, settings: FaceSettings) -> list[View]:
    """The pictures to look at in a frame. Together they show every face of `smallest_px` or more whole, in 80 px.

    One picture, unless an enlarged one would be larger than a tile: then tiles, and the same for a picture a quarter as
    large, for the faces that no tile shows whole, until one picture is enough.
    """
    reduced = min(1.0, settings.detect_px / max(height, width))
    times = max(reduced, 0 if settings.smallest_px is None else WINDOW_PX / settings.smallest_px)
    found: list[View] = []
    while times > reduced and times * max(height, width) > TILE_PX:
        found += _tiles(height, width, times)
        times /= _COARSER
    return [*found, View(x0=0, y0=0, x1=width, y1=height, times=times)]


def _tiles(height: int, width: int, times: float) -> list[View]:
    tile = math.floor(TILE_PX / times)
    overlap = math.ceil(_OVERLAP_WINDOWS * WINDOW_PX * _COARSER / times)  # as large as what the coarser picture shows
    return [
        View(x0=x0, y0=y0, x1=x1, y1=y1, times=times)
        for y0, y1 in _spans(height, tile, overlap)
        for x0, x1 in _spans(width, tile, overlap)
    ]


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """As few equal spans of at most `tile` as cover 0 to length and share at least `overlap` with their neighbours."""
    n = max(1, math.ceil((length - overlap) / (tile - overlap)))
    side = math.ceil((length + (n - 1) * overlap) / n)
    starts = [round(i * (length - side) / (n - 1)) if n > 1 else 0 for i in range(n)]
    return [(start, min(length, start + side)) for start in starts]
