"""Put an aligned crop back into the frame that it was cut from.

H, W height and width of a frame, C = 3 (RGB), R crop side in pixels, 4 corners TL, BL, BR, TR and 68 landmarks of 2
coordinates, P pixels that change.
The inverse of align.py, whose coordinates it shares: the quad's sides are the crop's outer edges, and the centres of
pixels have whole coordinates on both sides.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from operators.faces.quad import into_crop
from operators.inversion.face_mask import face_mask

MaskShape = Literal["face", "ellipse", "square"]
# face: hair, ears and background stay the film's, and they are what a generator misses most and a seam shows on.
# ellipse: the head with its hair. square: all of the crop, for subjects that are no face.


class PasteCrop:
    """(frame, crop, quad, landmarks) -> the frame with the crop in the place of the quad, softly.

    Takes: `shape` of what is replaced; `feather`, how wide its soft edge is, as a share of the quad's side. It lies
    inside the crop: at the quad's sides nothing is replaced.
    Gives: a new (H, W, 3) uint8 frame; a pixel where the mask is 0 keeps its bits.
    Raises: ValueError for a face without landmarks, and for a feather outside [0, 0.5].
    """

    def __init__(self, *, shape: MaskShape = "face", feather: float = 0.05):
        if not 0 <= feather <= 0.5:
            raise ValueError(f"feather is {feather:g} of the crop's side; give 0 to 0.5")
        self.shape = shape
        self.feather = feather

    def __call__(
        self,
        rgb_HWC: NDArray[np.uint8],
        crop_RRC: NDArray[np.uint8],
        quad_42: NDArray[np.float32],
        landmarks_682: NDArray[np.float32] | None = None,
    ) -> NDArray[np.uint8]:
        """Takes: `quad_42`, an upright or turned square, over the frame's border at will; landmarks of the frame."""
        picture = rgb_HWC.copy()
        rows, columns = _around(quad_42, *rgb_HWC.shape[:2])
        shares_HW2 = _shares(quad_42, rows, columns)
        mask_HW = self._mask(shares_HW2, quad_42, landmarks_682)
        y_P, x_P = np.nonzero(mask_HW)
        if len(y_P) == 0:
            return picture
        seen_PC = _sampled(crop_RRC, shares_HW2[y_P, x_P], side=float(np.linalg.norm(quad_42[3] - quad_42[0])))
        weight_P1 = mask_HW[y_P, x_P][:, None]
        y_P, x_P = y_P + rows.start, x_P + columns.start
        film_PC = rgb_HWC[y_P, x_P].astype(np.float32)
        picture[y_P, x_P] = np.clip(np.rint(film_PC + weight_P1 * (seen_PC - film_PC)), 0, 255).astype(np.uint8)
        return picture

    def mask(
        self, quad_42: NDArray[np.float32], size: tuple[int, int], landmarks_682: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """(H, W) from 0, the film, to 1, the crop. Takes: `size` (H, W) of the frame."""
        rows, columns = _around(quad_42, *size)
        mask_HW = np.zeros(size, np.float32)
        mask_HW[rows, columns] = self._mask(_shares(quad_42, rows, columns), quad_42, landmarks_682)
        return mask_HW

    def _mask(
        self, shares_HW2: NDArray[np.float64], quad_42: NDArray[np.float32], landmarks_682: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        from_edge_HW = np.minimum(shares_HW2, 1 - shares_HW2).min(axis=-1)  # below 0: outside the quad
        mask_HW = self._soft(from_edge_HW)
        if self.shape == "ellipse":
            mask_HW *= self._soft(0.5 - np.linalg.norm(shares_HW2 - 0.5, axis=-1))
        elif self.shape == "face":
            mask_HW *= self._face(shares_HW2, quad_42, landmarks_682)
        return mask_HW

    def _face(
        self, shares_HW2: NDArray[np.float64], quad_42: NDArray[np.float32], landmarks_682: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        if landmarks_682 is None:
            raise ValueError("a mask of the face is made from landmarks, and there are none; take ellipse or square")
        side_px = max(2, round(float(np.linalg.norm(quad_42[3] - quad_42[0]))))  # as fine as the frame shows it
        points_682 = into_crop(landmarks_682[None], quad_42[None], side_px)[0]
        mask_SS = face_mask(points_682, side_px, soft_px=self.feather * side_px / 2)  # 2 sigma on either side
        at_2P = (shares_HW2.reshape(-1, 2)[:, ::-1] * side_px - 0.5).T
        mask_P = map_coordinates(mask_SS, at_2P, order=1, mode="nearest")
        found: NDArray[np.float32] = mask_P.reshape(shares_HW2.shape[:2]).clip(0, 1)
        return found

    def _soft(self, inside_HW: NDArray[np.float64]) -> NDArray[np.float32]:
        """0 outside, 1 from `feather` inwards, and no corner in between."""
        if self.feather == 0:
            return (inside_HW >= 0).astype(np.float32)
        t = np.clip(inside_HW / self.feather, 0, 1)
        return (t * t * (3 - 2 * t)).astype(np.float32)


def _around(quad_42: NDArray[np.float32], height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of the frame that the quad touches; empty where it lies beside the frame."""
    low = np.ceil(quad_42.min(axis=0)).astype(int)
    high = np.floor(quad_42.max(axis=0)).astype(int) + 1
    (x0, y0), (x1, y1) = np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))
    return slice(int(y0), max(int(y1), int(y0))), slice(int(x0), max(int(x1), int(x0)))


def _shares(quad_42: NDArray[np.float32], rows: slice, columns: slice) -> NDArray[np.float64]:
    """(H, W, 2) where each pixel lies in the quad: 0 to 1 from its left to its right, and from its top to its bottom.

    A square has no more to say than three of its corners do, so this inverts the cutting exactly.
    """
    quad = quad_42.astype(np.float64)
    into = np.linalg.inv(np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1))
    y, x = np.mgrid[rows, columns]
    shares: NDArray[np.float64] = (np.stack([x, y], axis=-1) - quad[0]) @ into.T
    return shares


def _sampled(crop_RRC: NDArray[np.uint8], shares_P2: NDArray[np.float64], *, side: float) -> NDArray[np.float32]:
    """(P, C) of the crop, by cubic splines; first reduced by Lanczos where it is finer than the frame."""
    side_px = max(1, min(len(crop_RRC), round(side)))
    if side_px < len(crop_RRC):
        crop_RRC = np.asarray(Image.fromarray(crop_RRC).resize((side_px, side_px), Image.Resampling.LANCZOS))
    at_2P = (shares_P2[:, ::-1] * side_px - 0.5).T  # y, x
    channels = [map_coordinates(crop_RRC[..., c].astype(np.float32), at_2P, order=3, mode="nearest") for c in range(3)]
    return np.stack(channels, axis=-1)
