"""A small film made of two photographs that come with scikit-image, for `latentreel demo` and the tests.

Three shots: a face under a camera that zooms, pans and rolls; a cup of coffee; the face again, closer, in warm dim
light. Nothing is fetched: the photographs (Eileen Collins, by NASA, public domain; coffee by Rachel Michetti, CC0)
are files of the package.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from operators.video.encode import write_mp4
from schemas.video import Shot

_FPS = 24
_WIDTH, _HEIGHT = 512, 288
_CRF = 16  # the film is a sample of faces: 0.3 MB buy them without visible blocks


@dataclass(frozen=True, kw_only=True)
class _View:
    """Where the camera looks, in pixels of the photograph."""

    x: float
    y: float
    zoom: float  # pixels of the film for one of the photograph; at least 1, so that nothing is thinned out
    roll_deg: float


@dataclass(frozen=True, kw_only=True)
class _Take:
    photo: Callable[[], NDArray[np.uint8]]
    n_frames: int
    start: _View
    end: _View
    gain_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)


# The zoom keeps the face above 100 px and below half the picture, so that an aligned crop (twice the face) has real
# pixels all round. The views stay inside the photographs; the roll stays below what dlib's upright detector forgives.
_TAKES = (
    _Take(
        photo=data.astronaut,
        n_frames=48,
        start=_View(x=212.0, y=121.0, zoom=1.45, roll_deg=-5.0),
        end=_View(x=231.0, y=129.0, zoom=1.75, roll_deg=6.0),
    ),
    _Take(
        photo=data.coffee,
        n_frames=24,
        start=_View(x=270.0, y=215.0, zoom=1.2, roll_deg=0.0),
        end=_View(x=330.0, y=190.0, zoom=1.3, roll_deg=3.0),
    ),
    _Take(
        photo=data.astronaut,
        n_frames=36,
        start=_View(x=243.0, y=120.0, zoom=1.95, roll_deg=4.0),
        end=_View(x=214.0, y=132.0, zoom=1.7, roll_deg=-3.0),
        gain_rgb=(0.95, 0.78, 0.6),
    ),
)


def write_short_take(path: str | os.PathLike[str], *, first_frame: int) -> None:
    """Half a second of the first shot: as little work as a film with a face can be."""
    write_mp4(path, itertools.islice(_frames(), first_frame, first_frame + _FPS // 2), fps=Fraction(_FPS), crf=_CRF)


def write_astronaut_movie(path: str | os.PathLike[str]) -> tuple[Shot, ...]:
    """Write the film (mp4, 512x288, 24 fps, 4.5 s) and give its true shots. Equal bytes on one machine.

    Raises: OSError when the file cannot be written.
    """
    write_mp4(path, _frames(), fps=Fraction(_FPS), crf=_CRF)
    firsts = np.cumsum([0, *(take.n_frames for take in _TAKES)]).tolist()
    return tuple(
        Shot(
            shot_index=i,
            first_frame=firsts[i],
            n_frames=take.n_frames,
            start_us=round(firsts[i] * 1_000_000 / _FPS),
            end_us=round(firsts[i + 1] * 1_000_000 / _FPS),
        )
        for i, take in enumerate(_TAKES)
    )


def _frames() -> Iterator[NDArray[np.uint8]]:
    for take in _TAKES:
        photo_HWC = take.photo()
        gain = np.array(take.gain_rgb, dtype=np.float32)
        for i in range(take.n_frames):
            # starts and stops softly; no two steps are equal, and none is a whole number of pixels
            eased = 0.5 - 0.5 * np.cos(np.pi * (i + 0.5) / take.n_frames)
            seen_HWC = _look(photo_HWC, _between(take.start, take.end, float(eased)))
            yield np.clip(np.rint(seen_HWC * gain), 0, 255).astype(np.uint8)


def _between(start: _View, end: _View, part: float) -> _View:
    def mix(a: float, b: float) -> float:
        return a + (b - a) * part

    return _View(
        x=mix(start.x, end.x),
        y=mix(start.y, end.y),
        zoom=mix(start.zoom, end.zoom),
        roll_deg=mix(start.roll_deg, end.roll_deg),
    )


def _look(photo_HWC: NDArray[np.uint8], view: _View) -> NDArray[np.uint8]:
    to_film = cv2.getRotationMatrix2D((view.x, view.y), view.roll_deg, view.zoom)
    to_film[:, 2] += (_WIDTH / 2 - view.x, _HEIGHT / 2 - view.y)
    seen_HWC: NDArray[np.uint8] = cv2.warpAffine(photo_HWC, to_film, (_WIDTH, _HEIGHT), flags=cv2.INTER_LANCZOS4)
    return seen_HWC
