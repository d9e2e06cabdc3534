"""One frame of a track for people to judge: the film's face, its reconstruction, and what differs, side by side.

R side of the crop in pixels, H and W height and width of the picture made, C = 3 (RGB).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from operators.latents.contact_sheet import BACKGROUND, BRIGHT, EMOTION_COLOURS, TEXT
from schemas.emotions import EMOTIONS

PANEL_MIN_PX = 256  # smaller faces are enlarged by whole factors, so that each of their pixels is a square
PANEL_MAX_PX = 512  # larger faces are reduced by whole factors: three of them then fit a screen of 1600
DIFFERENCE_GAIN = 4  # at 25 dB the error is 14 grey levels of 255: dark unless amplified, and 8 times saturates edges


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedFrame:
    """A frame's face, what its latent makes, and what the tables say of it."""

    frame_index: int
    pts_us: int  # in the film
    crop_RRC: NDArray[np.uint8]
    reconstruction_RRC: NDArray[np.uint8]
    psnr: float  # dB
    emotion: str | None  # one of EMOTIONS; None: not read
    emotion_probability: float | None

    def __post_init__(self) -> None:
        sides = self.crop_RRC.shape
        if sides != self.reconstruction_RRC.shape or sides != (sides[0], sides[0], 3):
            raise ValueError(f"frame {self.frame_index}: {sides} and {self.reconstruction_RRC.shape}; give (R, R, 3)")
        if self.crop_RRC.dtype != np.uint8 or self.reconstruction_RRC.dtype != np.uint8:
            kinds = f"{self.crop_RRC.dtype} and {self.reconstruction_RRC.dtype}"
            raise ValueError(f"frame {self.frame_index}: pictures are {kinds}; give uint8")
        if self.emotion is not None and self.emotion not in EMOTIONS:
            raise ValueError(f"frame {self.frame_index}: emotion {self.emotion!r}; give one of {', '.join(EMOTIONS)}")
        if (self.emotion is None) != (self.emotion_probability is None):
            raise ValueError(f"frame {self.frame_index}: give an emotion and its probability, or neither")


class SideBySide:
    """Draws the frames of one track; what does not change is drawn once.

    Takes: `track_id` and `shot_index` for the caption; `crop_px`, the side R of all its frames.
    Gives: (H, W, 3) uint8 of one even size, which H.264 in 4:2:0 takes. Text stands at fixed places: nothing jumps.
    Not promised: that an id longer than the picture is wide is shown to its end.
    """

    def __init__(self, *, track_id: str, shot_index: int, crop_px: int) -> None:
        self.crop_px = crop_px
        self.panel_px = len(_shown(np.zeros((crop_px, crop_px, 3), np.uint8)))
        margin, gap, line = self._scaled(12), self._scaled(8), self._scaled(22)
        self.panels_y = margin + 2 * line
        self.panels_x = tuple(margin + i * (self.panel_px + gap) for i in range(3))
        self._below_y = self.panels_y + self.panel_px + self._scaled(6)
        self._font = ImageFont.load_default(size=self._scaled(13))
        width = self.panels_x[-1] + self.panel_px + margin
        height = self._below_y + line + self._scaled(4)
        self._empty = Image.new("RGB", (width + width % 2, height + height % 2), BACKGROUND)
        draw = ImageDraw.Draw(self._empty)
        title = f"track {track_id}    shot {shot_index}"
        draw.text((margin, margin - self._scaled(4)), title, BRIGHT, ImageFont.load_default(size=self._scaled(15)))
        names = ("film", "reconstruction", f"difference, amplified {DIFFERENCE_GAIN} times")
        for x, name in zip(self.panels_x, names, strict=True):
            draw.text((x, margin + line), name, TEXT, self._font)

    def __call__(self, frame: ComparedFrame) -> NDArray[np.uint8]:
        """Raises: ValueError for a crop of another side."""
        if len(frame.crop_RRC) != self.crop_px:
            raise ValueError(
                f"frame {frame.frame_index}: {len(frame.crop_RRC)} px, the track has {self.crop_px}; give one size"
            )
        picture = self._empty.copy()
        difference_RRC = np.abs(frame.crop_RRC.astype(np.int16) - frame.reconstruction_RRC)
        amplified_RRC = np.minimum(DIFFERENCE_GAIN * difference_RRC, 255).astype(np.uint8)
        for x, face in zip(self.panels_x, (frame.crop_RRC, frame.reconstruction_RRC, amplified_RRC), strict=True):
            picture.paste(Image.fromarray(_shown(face)), (x, self.panels_y))
        draw, (left, middle, right), y = ImageDraw.Draw(picture), self.panels_x, self._below_y
        draw.text((left, y), f"frame {frame.frame_index}", TEXT, self._font)
        draw.text((left + self._scaled(104), y), clock(frame.pts_us), TEXT, self._font)
        draw.text((middle, y), f"PSNR {frame.psnr:.1f} dB", TEXT, self._font)
        if frame.emotion is not None:
            dot = (right, y + self._scaled(4), right + self._scaled(9), y + self._scaled(13))
            draw.ellipse(dot, EMOTION_COLOURS[frame.emotion])
            shown = f"{frame.emotion} {frame.emotion_probability:.0%}"
            draw.text((right + self._scaled(15), y), shown, TEXT, self._font)
        return np.asarray(picture)

    def _scaled(self, px: int) -> int:
        """Pixels of a picture with panels of 256: text grows with the panels, as larger pictures are shown smaller."""
        return round(px * self.panel_px / PANEL_MIN_PX)


def _shown(face_RRC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarged or reduced by a whole factor to a panel's size."""
    side_px = len(face_RRC)
    if side_px > PANEL_MAX_PX:
        return np.asarray(Image.fromarray(face_RRC).reduce(-(-side_px // PANEL_MAX_PX)))
    factor = -(-PANEL_MIN_PX // side_px)
    return face_RRC.repeat(factor, axis=0).repeat(factor, axis=1)


def clock(pts_us: int) -> str:
    """0:05.125, or 1:02:03.125."""
    seconds, rest_us = divmod(pts_us, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{shown}:{seconds:02d}.{rest_us // 1000:03d}"
