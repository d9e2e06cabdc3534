"""Cut one face out of one frame as FFHQ does.

H, W height and width of a frame, C = 3 (RGB), 4 corners TL, BL, BR, TR of 2 coordinates, R crop side in pixels.
Source: NVlabs/ffhq-dataset, download_ffhq.py `recreate_aligned_images`, with its constants. Deviations: the quad is
given (smoothed along its track) instead of made from one picture's landmarks; only the part of the frame that the crop
shows is read; reducing keeps the centres of pixels where they are (there: half a pixel off, so that a face would jump
when it grows past a step of the reduction); a quad wholly outside the frame shows the nearest pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BORDER = 0.1  # of the quad's side: kept around it, so that the feather begins outside
PAD = 0.3  # of the quad's side: at least so much is added on all sides, once anything is missing
BLUR = 0.02  # of the quad's side: sigma of the blur that hides the mirror
SIGMAS = 4.0  # scipy's truncate: as far as the blur looks
LANCZOS_REACH = 3  # pixels of the reduced picture on either side


def align_crop(
    rgb_HWC: NDArray[np.uint8],
    quad_42: NDArray[np.float32],
    *,
    crop_px: int,
    supersample: int,
    soft_border: bool = True,
) -> NDArray[np.uint8]:
    """One aligned crop.

    Takes: (H, W, 3) uint8 RGB; `quad_42` in pixels of that frame, over its border at will; `supersample`: FFHQ samples
    at 4096 for crops of 1024, which is 4; `soft_border`: mirrored pixels where the quad leaves the frame, and a blur
    that begins a tenth of its side before. False is for quads that lie in the frame: all of it stays sharp.
    Gives: (crop_px, crop_px, 3) uint8.
    """
    part, part_quad_42, side = _reduced_part(rgb_HWC, quad_42.astype(np.float64), crop_px)
    picture, picture_quad_42 = _padded(part, part_quad_42, side) if soft_border else (part, part_quad_42)
    wide_px = supersample * crop_px
    corners = [
        float(v) for v in (picture_quad_42 + 0.5).ravel()
    ]  # PIL counts from the corner of a pixel, we from its centre
    sampled = picture.transform((wide_px, wide_px), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    if supersample > 1:
        sampled = sampled.resize((crop_px, crop_px), Image.Resampling.LANCZOS)
    return np.asarray(sampled)


def _border(side: float) -> int:
    return max(round(BORDER * side), 3)


def _reduced_part(
    rgb_HWC: NDArray[np.uint8], quad_42: NDArray[np.float64], crop_px: int
) -> tuple[Image.Image, NDArray[np.float64], float]:
    """The frame around the quad, reduced by a whole number where the quad has pixels to spare: picture, quad, side."""
    side = float(np.linalg.norm(quad_42[3] - quad_42[0]))
    shrink = max(1, int(side / crop_px * 0.5))
    size = np.array(rgb_HWC.shape[1::-1])
    small_size = np.maximum(np.rint(size / shrink).astype(int), 1)
    ratio = size / small_size
    quad_42, side = (quad_42 + 0.5) / ratio - 0.5, side / shrink
    # At least one pixel is kept of a frame that the quad does not touch: there is nothing else to mirror.
    low = np.clip(np.floor(quad_42.min(axis=0)).astype(int) - _border(side), 0, small_size - 1)
    high = np.clip(np.ceil(quad_42.max(axis=0)).astype(int) + _border(side), low + 1, small_size)
    if shrink == 1:
        return Image.fromarray(rgb_HWC[low[1] : high[1], low[0] : high[0]]), quad_42 - low, side
    reach = np.ceil(LANCZOS_REACH * ratio).astype(int) + 1
    full_low = np.maximum(np.floor(low * ratio).astype(int) - reach, 0)
    full_high = np.minimum(np.ceil(high * ratio).astype(int) + reach, size)
    part = Image.fromarray(rgb_HWC[full_low[1] : full_high[1], full_low[0] : full_high[0]])
    left, top, right, bottom = (float(v) for v in (*(low * ratio - full_low), *(high * ratio - full_low)))
    width, height = (int(v) for v in high - low)
    picture = part.resize((width, height), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    return picture, quad_42 - low, side


def _padded(picture: Image.Image, quad_42: NDArray[np.float64], side: float) -> tuple[Image.Image, NDArray[np.float64]]:
    """Where the quad's border is not in the picture: mirrored pixels that fade into a blur and then into one colour."""
    border = _border(side)
    missing_low = np.maximum(border - np.floor(quad_42.min(axis=0)).astype(int), 0)
    missing_high = np.maximum(np.ceil(quad_42.max(axis=0)).astype(int) - np.array(picture.size) + border, 0)
    if max(missing_low.max(), missing_high.max()) <= border - 4:  # 4: the part ends a little inside what is asked for
        return picture, quad_42
    (left, top), (right, bottom) = (np.maximum(missing, round(PAD * side)) for missing in (missing_low, missing_high))
    rgb = np.pad(np.asarray(picture, np.float32), ((top, bottom), (left, right), (0, 0)), "reflect")
    height, width, _ = rgb.shape
    y, x = np.arange(height, dtype=np.float32)[:, None, None], np.arange(width, dtype=np.float32)[None, :, None]
    inside_x = np.minimum(x / left, (width - 1 - x) / right)  # 0 at the outer edge, 1 where the picture begins
    inside_y = np.minimum(y / top, (height - 1 - y) / bottom)
    outside = 1 - np.minimum(inside_x, inside_y)
    rgb += (_blurred(rgb, BLUR * side) - rgb) * np.clip(outside * 3 + 1, 0, 1)
    rgb += (np.median(rgb, axis=(0, 1)) - rgb) * np.clip(outside, 0, 1)
    picture = Image.fromarray(np.clip(np.rint(rgb), 0, 255).astype(np.uint8))
    return picture, quad_42 + np.array([left, top])


def _blurred(rgb_HWC: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """As scipy.ndimage.gaussian_filter with the recipe's reach and border, in a quarter of its time."""
    width = 2 * int(SIGMAS * sigma + 0.5) + 1
    blurred = cv2.GaussianBlur(rgb_HWC, (width, width), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)
