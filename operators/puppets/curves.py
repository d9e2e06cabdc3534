"""The drawn lines of a face in frontal head coordinates: lids, brows, lips, nose. Mouth and jaw move here.

Head coordinates, here and in all modules of puppets: millimetres, x right in the picture, y down, z towards the camera,
y = 0 on the line of the eyes, x = 0 in the middle, z = 0 above the ears. The face is symmetric: curves take |x|.
The same curves shape the relief, colour the pixels and give the landmarks, so that truth holds by construction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.puppets.expression import Actions
from operators.puppets.parameters import Identity

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Eye:
    """One eye's opening; the other is its mirror image."""

    inner_x: float
    width: float
    inner_y: float
    outer_y: float
    above: float  # of the corners, at the highest point
    below: float

    def upper(self, x: Floats) -> Floats:
        """Height of the upper lid's edge at |x|."""
        t = np.clip((x - self.inner_x) / self.width, 0, 1)
        return np.asarray(self._chord(t) - self.above * (4 * t**0.93 * (1 - t**0.93)) ** 0.72, np.float32)

    def lower(self, x: Floats) -> Floats:
        t = np.clip((x - self.inner_x) / self.width, 0, 1)
        return np.asarray(self._chord(t) + self.below * (4 * t**1.1 * (1 - t**1.1)) ** 0.8, np.float32)

    def _chord(self, t: Floats) -> Floats:
        return self.inner_y + (self.outer_y - self.inner_y) * t

    @property
    def outer_x(self) -> float:
        return self.inner_x + self.width

    @property
    def middle(self) -> tuple[float, float]:
        return self.inner_x + 0.5 * self.width, 0.5 * (self.inner_y + self.outer_y) - 0.8


@dataclass(frozen=True, kw_only=True)
class Brow:
    """One brow: a line of hair from the nose outwards."""

    inner_x: float
    outer_x: float
    inner_y: float
    outer_y: float
    arch: float
    outer_lift: float
    thickness: float

    def share(self, x: Floats) -> Floats:
        return (x - self.inner_x) / (self.outer_x - self.inner_x)

    def height(self, x: Floats) -> Floats:
        """Middle of the brow at |x|."""
        s = np.clip(self.share(x), 0, 1)
        bend = s**1.25
        y = self.inner_y + (self.outer_y - self.inner_y) * s**1.6 - self.arch * 4 * bend * (1 - bend)
        return np.asarray(y - self.outer_lift * np.exp(-(((s - 0.75) / 0.35) ** 2)), np.float32)

    def half_thickness(self, x: Floats) -> Floats:
        s = np.clip(self.share(x), 0, 1)
        return np.asarray(self.thickness * (1 - 0.75 * s**1.8) * np.minimum(1, 0.55 + 4 * s), np.float32)


@dataclass(frozen=True, kw_only=True)
class Mouth:
    """Both lips and what opens between them. `s` is |x| over half the width."""

    half_width: float
    middle_y: float
    corner_y: float
    rise: float  # of the upper lip's inner edge over the closed line
    drop: float  # of the lower lip's inner edge
    upper: float  # thickness of the lips
    lower: float

    def line(self, x: Floats) -> Floats:
        """Where the closed lips meet."""
        return self.middle_y + (self.corner_y - self.middle_y) * self._s(x) ** 1.7

    def upper_inner(self, x: Floats) -> Floats:
        return self.line(x) - self.rise * (1 - self._s(x) ** 2) ** 0.75

    def lower_inner(self, x: Floats) -> Floats:
        return self.line(x) + self.drop * (1 - self._s(x) ** 2) ** 0.75

    def upper_outer(self, x: Floats) -> Floats:
        s = self._s(x)
        return np.asarray(
            self.upper_inner(x) - self.upper * (1 - s**2.3) * (1 - 0.2 * np.exp(-((s / 0.13) ** 2))), np.float32
        )

    def lower_outer(self, x: Floats) -> Floats:
        return self.lower_inner(x) + self.lower * (1 - self._s(x) ** 2.4) ** 0.9

    def _s(self, x: Floats) -> Floats:
        return np.minimum(np.abs(x) / self.half_width, 1)


@dataclass(frozen=True, kw_only=True)
class Nose:
    """Where the nose begins, ends and how far it stands out."""

    tip_y: float
    base_y: float
    wing_x: float
    wing_y: float
    height: float
    hump: float


@dataclass(frozen=True, kw_only=True)
class Curves:
    """All lines of one face in one moment."""

    eye: Eye
    brow: Brow
    mouth: Mouth
    nose: Nose
    jaw_drop: float  # mm that the chin goes down


def curves_of(who: Identity, do: Actions) -> Curves:
    """The lines of a person's face while it does something. The proportions are those of a mean adult face."""
    return Curves(eye=_eye(who, do), brow=_brow(who, do), mouth=_mouth(who, do), nose=_nose(who, do),
                  jaw_drop=22.0 * do.jaw_down)  # fmt: skip


def _eye(who: Identity, do: Actions) -> Eye:
    above = (6.8 + 0.55 * who.eye_size) * (1 + 0.42 * do.lid_up - 0.25 * do.lid_tight - 0.12 * do.gaze_y)
    below = (3.3 + 0.2 * who.eye_size) * (1 - 0.45 * do.cheek_up - 0.3 * do.lid_tight + 0.15 * do.lid_up)
    closed = min(max(do.blink, 0.0), 1.0)
    return Eye(
        inner_x=17.8 + 1.1 * who.eye_spacing - 0.3 * who.eye_size,
        width=26.5 + 0.8 * who.eye_size,
        inner_y=1.3,
        outer_y=-0.4 - 0.9 * who.eye_tilt,
        above=above * (1 - closed) - 0.93 * below * closed,  # the upper lid comes down to the lower one
        below=below,
    )


def _brow(who: Identity, do: Actions) -> Brow:
    y = -19.0 - 1.4 * who.brow_height - 0.4 * who.eye_size + 4.2 * do.brow_down + 2.5 * do.nose_wrinkle
    return Brow(
        inner_x=12.0 + 1.0 * who.eye_spacing - 3.2 * do.brow_down - 0.8 * do.nose_wrinkle,
        outer_x=56.5 + 0.8 * who.eye_spacing,
        inner_y=y - 7.5 * do.inner_brow_up + 1.2 * do.brow_down,
        outer_y=y + 3.2 - 2.0 * do.outer_brow_up - 2.5 * do.brow_down - 1.2 * do.nose_wrinkle,
        arch=4.6 + 1.3 * who.brow_arch - 1.2 * do.brow_down + 0.6 * do.inner_brow_up,
        outer_lift=5.0 * do.outer_brow_up,
        thickness=3.0 + 0.6 * who.brow_thickness,
    )


def _mouth(who: Identity, do: Actions) -> Mouth:
    thin = (1 - 0.6 * do.lip_tight) * (1 - 0.18 * do.corner_up) * (1 - 0.2 * do.stretch) * (1 + 0.25 * do.pucker)
    middle = 66.0 + 1.3 * who.mouth_height - 1.8 * do.chin_up + 1.2 * do.corner_up - 0.8 * do.upper_lip_up
    jaw = 22.0 * do.jaw_down
    return Mouth(
        half_width=26.5 + 1.5 * who.mouth_width + 5.5 * do.corner_up + 5.0 * do.stretch - 8.5 * do.pucker
        - 1.5 * do.lip_tight - 0.13 * jaw,
        middle_y=middle,
        corner_y=middle - 0.3 - 8.5 * do.corner_up + 6.5 * do.corner_down + 1.0 * do.stretch + 0.3 * jaw,
        rise=2.2 * do.lips_apart + 3.2 * do.upper_lip_up + 0.02 * jaw,
        drop=3.0 * do.lips_apart + 0.5 * do.pucker + 0.85 * jaw,
        upper=(7.6 + 1.3 * who.upper_lip) * thin * (1 - 0.15 * do.upper_lip_up),
        lower=(10.0 + 1.5 * who.lower_lip) * thin,
    )  # fmt: skip


def _nose(who: Identity, do: Actions) -> Nose:
    tip = 29.0 + 1.7 * who.nose_length
    return Nose(
        tip_y=tip - 0.8 * do.nose_wrinkle,
        base_y=tip + 12.5 - 1.0 * do.nose_wrinkle,
        wing_x=14.2 + 1.2 * who.nose_width + 1.3 * do.corner_up + 1.0 * do.nose_wrinkle,
        wing_y=tip + 5.5 - 2.8 * do.nose_wrinkle - 0.8 * do.corner_up,
        height=23.0 + 2.0 * who.nose_projection,
        hump=1.4 * who.nose_bridge,
    )
