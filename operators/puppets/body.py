"""Ears, neck, shoulders and glasses: meshes that follow the head or carry it.

Head coordinates as in curves.py; neck and shoulders in the same axes, standing in the world unturned. R x S grids.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from operators.puppets.head_mesh import Skull, ring_point
from operators.puppets.parameters import Identity

Floats = NDArray[np.float32]

EAR_GRID = (16, 18)
TORSO_GRID = (60, 72)
FRAME_GRID = (12, 36)
TEMPLE_GRID = (2, 8)
# height, half-width, front, back, axis
_TORSO = np.array(
    [
        (60, 50, 36, -62, -14), (100, 51, 36, -64, -16), (128, 53, 36, -70, -18), (146, 62, 40, -78, -20),
        (158, 92, 46, -84, -22), (170, 140, 54, -88, -24), (184, 178, 62, -92, -24), (205, 200, 74, -96, -24),
        (250, 214, 92, -100, -22), (330, 212, 104, -104, -20), (420, 200, 100, -104, -20),
    ], np.float64,
)  # fmt: skip


def ear_vertices(who: Identity, skull: Skull, side: int) -> Floats:
    """One ear, `side` -1 left or 1 right in the picture: a shallow bowl that stands off the head."""
    rows, columns = EAR_GRID
    v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    size = 1 + 0.06 * who.ear_size
    radius = np.sqrt(np.maximum(1 - v**2, 0)) * (1 - 0.22 * v)  # broad above, the lobe narrow
    half_width = float(skull.at(np.array([10.0], np.float32))[0][0])
    back = 0.5 + 0.5 * u
    z = -4.0 + 17.0 * size * radius * -u - 6
    y = 10.0 + 31.0 * size * v + 3 * back
    rim = np.exp(-(((1 - np.sqrt(np.minimum(u**2 + v**2, 1))) / 0.22) ** 2))
    bowl = -5.0 * np.exp(-((u + 0.25) ** 2 + (v - 0.05) ** 2) / 0.14)
    x = half_width - 3.5 + (15.0 * back + 2.5 * rim + bowl) * radius
    xyz = np.stack([side * x, y, z], axis=-1).astype(np.float32)
    return xyz if side > 0 else xyz[:, ::-1]


def torso_vertices(who: Identity) -> Floats:
    """Neck and shoulders."""
    rows, columns = TORSO_GRID
    y = np.linspace(_TORSO[0, 0], _TORSO[-1, 0], rows)
    ring = PchipInterpolator(_TORSO[:, 0], _TORSO[:, 1:])(y)
    build = 1 + 0.03 * who.jaw_width + 0.015 * who.head_width
    half_width, front, back, axis = (column[:, None] for column in ring.T)
    angle = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None, :]
    return ring_point((half_width * build, front, back, axis), y[:, None], angle)


def cloth_rgb(who: Identity) -> Floats:
    """(3,) linear albedo."""
    phase = 2 * np.pi * (who.cloth_hue + np.array([0.0, 1 / 3, 2 / 3]))
    return ((0.03 + 0.55 * who.cloth_tone**2) * (1 + 0.6 * np.cos(phase))).astype(np.float32)


def neckline(angle_P: Floats, y_P: Floats, who: Identity) -> Floats:
    """(P,) 1 where the cloth covers the skin. Its depth in front follows the cloth's hue, so that people differ."""
    deep = 26.0 * abs(np.sin(9 * who.cloth_hue))
    edge = 146.0 + 4 * np.cos(angle_P) + deep * np.exp(-((angle_P / 0.45) ** 2))
    return np.asarray(np.clip((y_P - edge) / 2.0, 0, 1).astype(np.float32), np.float32)


def frame_vertices() -> Floats:
    """The glasses' front: a bent plate before the eyes, cut into shape by `frame_cover`."""
    y, x = np.meshgrid(np.linspace(-24, 32, FRAME_GRID[0]), np.linspace(-74, 74, FRAME_GRID[1]), indexing="ij")
    return np.stack([x, y, 89.0 - 0.0042 * x * x - 0.08 * y], axis=-1).astype(np.float32)


def temple_vertices(skull: Skull, side: int) -> Floats:
    """One arm of the glasses, from the plate's side to over the ear."""
    z = np.linspace(66.0, -8.0, TEMPLE_GRID[1])
    wide = float(skull.at(np.array([-4.0], np.float32))[0][0]) + 1.5
    x = np.interp(z, [-8.0, 40.0, 66.0], [wide, wide, 73.0])
    rows = [np.stack([side * x, np.full_like(z, y), z], axis=-1) for y in (-8.0, -4.5)]
    return np.stack(rows).astype(np.float32)


def frame_cover(x_P: Floats, y_P: Floats, pixel_mm: float, who: Identity) -> tuple[Floats, Floats]:
    """(P,) shares of rim and of lens."""
    power = 2.2 + 1.6 * (who.glasses_shape + 1) / 2
    wide, tall = 26.5, 21.0 - 3.0 * who.glasses_shape
    away = ((np.abs(np.abs(x_P) - 35.0) / wide) ** power + (np.abs(y_P - 3.5) / tall) ** power) ** (1 / power)
    mm = (away - 1) * 0.5 * (wide + tall)
    half = 1.1 + 0.5 * abs(who.glasses_shape)
    rim = np.clip((half - np.abs(mm)) / max(pixel_mm, 0.4) + 0.5, 0, 1)
    bridge_y = -3.5 + 0.02 * x_P**2
    bridge = np.clip((half - np.abs(y_P - bridge_y)) / max(pixel_mm, 0.4) + 0.5, 0, 1) * (np.abs(x_P) < 10)
    hinge = (np.abs(x_P) > 60.0) * (np.abs(y_P + 6.2) < 1.9)
    return np.maximum(np.maximum(rim, bridge), hinge).astype(np.float32), (mm < 0).astype(np.float32)
