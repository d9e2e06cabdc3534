"""Settings of the shots: which detector, its thresholds, and how a film is dealt out as work.

The detectors are PySceneDetect's; numbers without a measurement are its defaults, under which the cuts of
tests/operators/test_shots.py were found.
"""

from typing import Literal

from pydantic import Field

from schemas.frozen_settings import FrozenSettings


class ChangeWeights(FrozenSettings):
    """What counts as a change from frame to frame, for `adaptive` and `content`: shares of a mean."""

    hue: float = Field(1.0, ge=0)
    saturation: float = Field(1.0, ge=0)
    lightness: float = Field(1.0, ge=0)  # alone: for films in black and white, whose hue is noise
    edges: float = Field(0.0, ge=0)  # PySceneDetect's own; text that moves would be a change


class AdaptiveSettings(FrozenSettings):
    """A cut is a change that stands out from those around it."""

    threshold: float = Field(3.0, gt=0)  # times the mean of its neighbours; lower: a fast pan is cut
    window: int = Field(2, ge=1)  # neighbours on either side; a cut nearer than that to another hides both
    min_content: float = Field(15.0, ge=0)  # of change, in grey levels: below it nothing is cut, however still the rest


class ContentSettings(FrozenSettings):
    """A cut is a large change."""

    threshold: float = Field(27.0, gt=0)  # grey levels; higher: cuts between dark shots are missed


class HashSettings(FrozenSettings):
    """A cut is another coarse picture: insensitive to light and flicker."""

    threshold: float = Field(0.35, gt=0, le=1)  # share of bits that differ
    size: int = Field(8, ge=2)  # bits of a side
    lowpass: int = Field(2, ge=1)  # how much finer than that the picture is looked at


class HistogramSettings(FrozenSettings):
    """A cut is another distribution of lightness: insensitive to motion."""

    threshold: float = Field(0.2, gt=0, le=1)  # 1 - correlation of the two
    bins: int = Field(128, ge=2, le=256)


class FadeSettings(FrozenSettings):
    """A fade is a way into black and out of it."""

    # Mean grey level of a frame that is black. A fade ends in black, 0 to 1; a dark scene in a letter box has 4 and
    # more, and PySceneDetect's own 12 cuts it wherever its light flickers.
    black: float = Field(3.0, ge=0, le=255)
    # Where in the black the new shot starts: -1 at its first frame, 1 where the picture comes back. In the middle, as
    # is PySceneDetect's default, a cut to black followed by a fade makes two black shots.
    bias: float = Field(1.0, ge=-1, le=1)


class ShotSettings(FrozenSettings):
    """Where the film is cut, and how it is dealt out as work."""

    # adaptive: fast camera moves are not taken for cuts. All four find the hard cuts of the clips that tests look at;
    # hash also cuts a talking head three times, and histogram misses six of ten where much is dark.
    detector: Literal["adaptive", "content", "hash", "histogram"] = "adaptive"
    weights: ChangeWeights = ChangeWeights()
    adaptive: AdaptiveSettings = AdaptiveSettings()
    content: ContentSettings = ContentSettings()
    hash: HashSettings = HashSettings()
    histogram: HistogramSettings = HistogramSettings()
    fades: bool = True  # trailers fade through black between almost all scenes
    fade: FadeSettings = FadeSettings()
    detect_px: int = Field(128, ge=16, le=1024)  # longer side; cuts show at any size, and detectors take 1 ms a frame
    min_shot_s: float = Field(0.4, ge=0)  # shorter: flashes and muzzle fire count as shots
    segment_s: float = Field(10.0, gt=0)  # what one kill costs; long enough that most shots stay whole
    overlap_frames: int = Field(
        12, ge=0
    )  # seen beyond a long shot's piece, both sides: the memory of smoothing and gaps
