"""68 landmarks by 2DFAN-4 (Bulat & Tzimiropoulos 2017, arXiv:1703.07332), in the library's network, finer than pixels.

N faces, H, W height and width of a frame, C = 3 (RGB), 68 heat maps of 64 x 64 cells from windows of 256 x 256 px.

The network and the windows are the library's. Its own decoding is not used: it takes the brightest cell, moves it by a
quarter towards its brighter neighbour, and rounds the point to a whole pixel of the frame. A cell is 6 px of the frame
where a face is 200 px wide, so a still face would jump.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from face_alignment.models import FAN
from face_alignment.utils import (
    CENTER_Y_OFFSET,
    CROP_RESOLUTION,
    HEATMAP_RESOLUTION,
    crop,
    flip,
    transform,
)
from numpy.typing import NDArray

from operators.faces.face import N_LANDMARKS

FAN_MODULES = 4  # 2DFAN-4: the number of stacked hourglasses
_REACH = 2  # cells to each side that a peak is measured by
_LEAST = 1e-4  # of a heat map's peak: what its logarithm is taken of is never less


class FanLandmarks:
    """Windows around boxes -> landmarks.

    Takes: `path`, a state dict, read without executing anything in it; `box_scale` of the detector that drew the boxes;
    `faces_per_pass`, how many windows the network sees at once.
    """

    def __init__(self, path: Path, *, box_scale: int, faces_per_pass: int, device: str) -> None:
        net = FAN(FAN_MODULES)
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.net = net.to(device).eval()
        self.box_scale = box_scale
        self.faces_per_pass = faces_per_pass
        self.device = device

    def __call__(
        self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating]], /
    ) -> list[NDArray[np.float32]]:
        """Takes boxes (N, 4) of each frame; gives (N, 68, 2) of each, in pixels of the frame."""
        windows = [
            self._window(rgb_HWC, box_4) for rgb_HWC, boxes_N4 in zip(frames, boxes, strict=True) for box_4 in boxes_N4
        ]
        points_N682 = np.empty((len(windows), N_LANDMARKS, 2), np.float32)
        for start in range(0, len(windows), self.faces_per_pass):
            some = windows[start : start + self.faces_per_pass]
            cells_N682 = peaks(self._heat_maps(some))
            sides_N12 = np.array([window.side_2 for window in some])[:, None]
            corners_N12 = np.array([window.corner_2 for window in some])[:, None]
            points_N682[start : start + len(some)] = corners_N12 + (cells_N682 + 0.5) * sides_N12 / HEATMAP_RESOLUTION
        ends = np.cumsum([len(boxes_N4) for boxes_N4 in boxes])
        return [points_N682[end - len(boxes_N4) : end] for boxes_N4, end in zip(boxes, ends, strict=True)]

    @torch.inference_mode()
    def _heat_maps(self, windows: Sequence["_Window"]) -> NDArray[np.float32]:
        """(N, 68, 64, 64): the sum for the picture and for its mirror image, as the library has it."""
        rgb_NHWC = torch.from_numpy(np.stack([window.rgb_RRC for window in windows])).to(self.device)
        x_NCHW = rgb_NHWC.permute(0, 3, 1, 2).float() / 255
        heat: torch.Tensor = self.net(x_NCHW)[-1] + flip(self.net(flip(x_NCHW))[-1], is_label=True)
        return heat.cpu().numpy()

    def _window(self, rgb_HWC: NDArray[np.uint8], box_4: NDArray[np.floating]) -> "_Window":
        x0, y0, x1, y1 = map(float, box_4)
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - CENTER_Y_OFFSET * (y1 - y0)])
        scale = (x1 - x0 + y1 - y0) / self.box_scale
        first, end = (transform([at] * 2, centre, scale, CROP_RESOLUTION, True).numpy() for at in (1, CROP_RESOLUTION))
        height, width, _ = rgb_HWC.shape
        if (end - first).min() < 1 or (end <= 0).any() or (first >= (width, height)).any():  # the library would raise
            picture = np.zeros((CROP_RESOLUTION, CROP_RESOLUTION, 3), np.uint8)
        else:
            picture = crop(rgb_HWC, centre, scale, CROP_RESOLUTION)
        # The library cuts out 255 of 256 parts of its window, from the second on, and the network was trained so.
        side_2 = (end - first) * (CROP_RESOLUTION / (CROP_RESOLUTION - 1))
        return _Window(rgb_RRC=picture, corner_2=first - side_2 / CROP_RESOLUTION, side_2=side_2)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Window:
    """What the network sees of one face, and where that lies in the frame: rounded once, by the library, and known."""

    rgb_RRC: NDArray[np.uint8]
    corner_2: NDArray[np.float64]
    side_2: NDArray[np.float64]


def peaks(heat_NPHW: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, P, 2) x, y of each map's peak in cells; the centre of a cell has whole-number coordinates.

    Through the logarithms at the brightest cell and two to each side goes a parabola, and its top is the peak: exact
    for a Gaussian, which is what the network was trained to draw (after Zhang et al. 2020, arXiv:1910.06278, who take
    the neighbours at one cell; at two, noise moves the top by a quarter as much).
    """
    n, p, height, width = heat_NPHW.shape
    flat = heat_NPHW.reshape(n * p, height, width)
    rows = np.arange(n * p)
    y, x = np.divmod(flat.reshape(n * p, -1).argmax(axis=1), width)
    least = np.maximum(flat[rows, y, x] * _LEAST, np.finfo(np.float32).tiny)

    def tops(at: NDArray[np.int64], size: int, *, across: bool) -> NDArray[np.float64]:
        inside = np.clip(at, _REACH, size - 1 - _REACH)
        lows, mids, highs = (
            np.log(np.maximum(flat[rows, y, i] if across else flat[rows, i, x], least).astype(np.float64))
            for i in (inside - _REACH, inside, inside + _REACH)
        )
        bend = lows - 2 * mids + highs
        curved = (bend < 0) & (inside == at)  # at the border there is no telling, nor where all is flat
        moved = np.divide(_REACH / 2 * (lows - highs), bend, out=np.zeros(n * p), where=curved)
        top: NDArray[np.float64] = at + np.clip(moved, -0.5, 0.5)
        return top

    return np.stack([tops(x, width, across=True), tops(y, height, across=False)], axis=1).reshape(n, p, 2)
