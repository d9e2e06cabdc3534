"""The head: rings of a smooth skull, its front raised by the relief.

Head coordinates as in curves.py. R rings, S steps round a ring; a ring is |x/a|^n + |z/d|^n = 1 about its axis.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from operators.puppets.curves import Curves
from operators.puppets.parameters import Identity
from operators.puppets.relief import HeightMap

Floats = NDArray[np.float32]

_POWER = 2.25  # of the rings: a little squarer than an ellipse, as faces are
N_RINGS, N_STEPS = 116, 112
# height, half-width, front, back, axis. From the crown to under the chin, of the mean head with a closed mouth.
PROFILE = np.array(
    [
        (-119.0, 3, 4, -20, -8),
        (-116.5, 22, 26, -42, -8),
        (-110.0, 38, 45, -62, -7),
        (-98.0, 52, 61, -80, -5),
        (-80.0, 63, 72.5, -94, -2),
        (-55.0, 71, 79.0, -103, 0),
        (-30.0, 74.5, 81.0, -104, 0),
        (-8.0, 74.5, 79.0, -99, 0),
        (12.0, 73.0, 77.0, -88, 0),
        (35.0, 70.0, 75.5, -72, 0),
        (58.0, 66.0, 74.5, -50, 2),
        (78.0, 60.0, 73.5, -28, 6),
        (92.0, 51.5, 72.5, -8, 14),
        (103.0, 39.5, 71.0, 8, 26),
        (110.0, 28.0, 68.0, 18, 36),
        (114.0, 18.0, 63.0, 26, 42),
        (116.5, 4.0, 50.0, 38, 45),
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Skull:
    """The rings of one head: each value as a function of height."""

    y_K: Floats
    rings_K4: Floats  # half-width, front, back, axis

    def at(self, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Half-width, front, back and axis at heights y."""
        found = self._curve()(np.clip(y, self.y_K[0], self.y_K[-1]))
        half_width, front, back, axis = np.moveaxis(found.astype(np.float32), -1, 0)
        return half_width, front, back, axis

    def _curve(self) -> PchipInterpolator:
        return PchipInterpolator(self.y_K, self.rings_K4)

    def front_z(self, x: Floats, y: Floats) -> Floats:
        """The smooth front's z over (x, y); the ring's axis where x is beyond it."""
        half_width, front, _, axis = self.at(y)
        share = np.minimum(np.abs(x) / np.maximum(half_width, 1e-3), 1)
        return np.asarray(axis + (front - axis) * (1 - share**_POWER) ** (1 / _POWER), np.float32)


def skull_of(who: Identity, curves: Curves) -> Skull:
    """A person's skull, the jaw as far down as the curves say."""
    y = PROFILE[:, 0]
    rings = PROFILE[:, 1:].copy()
    over, face, low, chin = (
        np.clip(v, 0, 1) for v in (-(y + 10) / 60, 1 - np.abs(y) / 60, (y - 25) / 45, (y - 80) / 25)
    )
    rings[:, 0] *= 1 + 0.028 * who.head_width + (0.035 * who.jaw_width - 0.012 * who.head_width) * low
    rings[:, 0] *= 1 + 0.018 * who.cheekbones * face + 0.03 * who.cheek_fullness * low * (1 - chin)
    rings[:, 0] *= 1 + 0.07 * who.chin_width * chin
    rings[:, 1] += 1.8 * who.forehead * over * (y > -100) + 1.2 * who.chin_length * chin
    tall = np.where(y < 0, 1 + 0.03 * who.head_height, 1 + 0.02 * who.chin_length * low)
    drop = curves.jaw_drop * np.clip((y - 58) / 42, 0, 1)  # the hinge is above: the jaw's corner goes half the way
    rings[:, 1] -= 0.25 * drop
    return Skull(y_K=(y * tall + drop).astype(np.float32), rings_K4=rings.astype(np.float32))


def ring_point(ring: tuple[NDArray[Any], ...], y: NDArray[Any], angle: NDArray[Any]) -> Floats:
    """(..., 3) points of rings (half-width, front, back, axis) at heights y and angles; all broadcast together."""
    half_width, front, back, axis = ring
    sin, cos = np.sin(angle), np.cos(angle)
    deep = np.where(cos > 0, front - axis, axis - back)
    across = np.abs(sin) / np.maximum(half_width, 1e-3)
    along = np.abs(cos) / np.maximum(deep, 1e-3)
    radius = (across**_POWER + along**_POWER) ** (-1 / _POWER)
    x = radius * sin
    return np.stack(np.broadcast_arrays(x, y, axis + radius * cos), axis=-1).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadSurface:
    """Skull and relief together."""

    skull: Skull
    relief: HeightMap

    def front_z(self, x: Floats, y: Floats) -> Floats:
        """z of the skin over (x, y) of the face."""
        return self.skull.front_z(x, y) + self.relief.at(x, y)

    def ring_point(self, y: Floats, angle: Floats) -> Floats:
        """(..., 3) points at height y, `angle` in radians round the axis: 0 in front, positive to the right."""
        xyz = ring_point(self.skull.at(y), y, angle)
        forward = np.clip(np.cos(angle) / 0.35, 0, 1)  # the relief belongs to the front, it fades out before the ears
        xyz[..., 2] += forward * forward * (3 - 2 * forward) * self.relief.at(xyz[..., 0], xyz[..., 1])
        return xyz


@cache
def ring_angles() -> Floats:
    """(S,) angles from the back over the left, the front and the right: dense in front, where the face is."""
    u = np.linspace(-1, 1, N_STEPS, endpoint=False)
    u = u + 1.0 / N_STEPS
    front = np.clip(np.abs(u) / 0.74, 0, 1)
    back = np.clip((np.abs(u) - 0.74) / 0.26, 0, 1)
    return (np.sign(u) * np.pi / 2 * (0.55 * front + 0.45 * front**3 + back)).astype(np.float32)


@cache
def _ring_heights() -> Floats:
    """(R,) heights of the rings in the mean head, dense between brows and chin."""
    knots = np.array([-119, -116.5, -110, -98, -80, -55, -30, 60, 92, 110, 116.5])
    counts = np.array([0, 2, 5, 10, 16, 23, 33, 84, 101, 111, 115])
    heights_R: Floats = PchipInterpolator(counts, knots)(np.arange(N_RINGS)).astype(np.float32)
    return heights_R


def head_vertices(surface: HeadSurface) -> Floats:
    """(R, S, 3) vertices of the head."""
    y_R = np.interp(_ring_heights(), PROFILE[:, 0], surface.skull.y_K).astype(np.float32)
    y_RS, angle_RS = np.broadcast_arrays(y_R[:, None], ring_angles()[None, :])
    return surface.ring_point(y_RS, angle_RS)


def grid_normals(xyz_RS3: Floats, *, closed: bool) -> Floats:
    """(R, S, 3) unit normals, outwards for rings that go down and, seen from above, from left to right in front."""
    down = np.gradient(xyz_RS3, axis=0)
    ends = (xyz_RS3[:, -1:], xyz_RS3, xyz_RS3[:, :1]) if closed else (xyz_RS3[:, :1], xyz_RS3, xyz_RS3[:, -1:])
    round_R3 = np.concatenate(ends, axis=1)
    along = round_R3[:, 2:] - round_R3[:, :-2]
    normal = np.cross(along, down)
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6), np.float32)
