"""Light on skin, hair and cloth: one key light with wrap, a sky and a ground, and what a face hides from them.

Linear RGB throughout; display values are linear ** (1 / 2.2). P points, G x X the height map's grid.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.puppets.head_mesh import HeadSurface
from operators.puppets.parameters import Look
from operators.puppets.relief import GRID_X, GRID_Y, STEP, HeightMap

Floats = NDArray[np.float32]

GAMMA = 2.2
_WRAP_RGB = np.array([0.30, 0.17, 0.13], np.float32)  # how far light creeps round: skin lets red through
_BLED_RGB = np.array([0.8, 1.1, 1.2], np.float32)  # exponents: shadows on skin are red at their edge, never grey
_RANGE_MM = np.array([4, 7, 11, 16, 22, 29, 37, 46, 56], np.float32)  # at which a shadow's caster is looked for


@dataclass(frozen=True, kw_only=True, eq=False)
class Light:
    """All light of a scene, in world coordinates."""

    towards_3: Floats  # unit vector to the key light
    key_rgb: Floats
    sky_rgb: Floats
    ground_rgb: Floats


def light_of(look: Look) -> Light:
    """The light that a look asks for."""
    side, height = np.deg2rad(55.0 * look.light_side), np.deg2rad(30.0 + 25.0 * look.light_height)
    towards = np.array([np.sin(side) * np.cos(height), -np.sin(height), np.cos(side) * np.cos(height)], np.float32)
    warm = np.array([1 + 0.06 * look.warmth, 1.0, 1 - 0.09 * look.warmth], np.float32)
    cool = np.array([1 - 0.05 * look.warmth, 1.0, 1 + 0.07 * look.warmth], np.float32)
    key, ambient = 1.05 * 2 ** (0.25 * look.key), 0.42 * 2 ** (0.35 * look.ambient)
    return Light(
        towards_3=towards,
        key_rgb=(key * warm).astype(np.float32),
        sky_rgb=(ambient * cool).astype(np.float32),
        ground_rgb=(0.6 * ambient * warm).astype(np.float32),
    )


def lit(albedo_P3: Floats, normal_P3: Floats, shown_P2: Floats, light: Light, *, gloss: float | Floats) -> Floats:
    """Linear colour of points seen from the front.

    Takes: `shown_P2`, the shares of key light and of sky that reach the point; `gloss`, strength of the highlight.
    """
    facing_P = normal_P3 @ light.towards_3
    key_P3 = np.maximum((facing_P[:, None] + _WRAP_RGB) / (1 + _WRAP_RGB), 0) * shown_P2[:, :1] ** _BLED_RGB
    up_P = 0.5 - 0.5 * normal_P3[:, 1:2]
    around_P3 = (light.sky_rgb * up_P + light.ground_rgb * (1 - up_P)) * shown_P2[:, 1:]
    half_3 = light.towards_3 + np.array([0, 0, 1], np.float32)
    half_3 /= np.linalg.norm(half_3)
    shine_P = np.maximum(normal_P3 @ half_3, 0) ** 18 * shown_P2[:, 0] * gloss
    edge_P = (1 - np.clip(normal_P3[:, 2], 0, 1)) ** 3 * shown_P2[:, 1] * 0.12 * up_P[:, 0]  # the sky, mirrored
    return np.asarray(
        albedo_P3 * (key_P3 * light.key_rgb + around_P3) + (shine_P + edge_P)[:, None] * light.key_rgb, np.float32
    )


def shadow_maps(surface: HeadSurface, towards_3: Floats) -> tuple[HeightMap, HeightMap]:
    """Shares of key light and of sky that reach each (x, y) of the face's front.

    Takes: `towards_3`, unit vector to the light in head coordinates.
    """
    x_GX, y_GX = np.meshgrid(GRID_X, GRID_Y)
    height_GX = (surface.skull.front_z(x_GX, y_GX) + surface.relief.values_GX).astype(np.float32)
    height_GX[(y_GX > surface.skull.y_K[-1]) | (y_GX < surface.skull.y_K[0])] = 0
    open_GX = np.ones_like(height_GX)
    dx, dy, dz = (float(v) for v in towards_3)
    rows, columns = np.indices(height_GX.shape, np.float32)
    for away in _RANGE_MM:
        caster_GX = cv2.remap(
            height_GX,
            columns + away * dx / STEP,
            rows + away * dy / STEP,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        over_GX = caster_GX - (height_GX + away * dz)
        np.minimum(open_GX, 1 - np.clip(over_GX / (0.12 * away + 0.8), 0, 1), out=open_GX)  # softer from farther away
    hollow_GX = np.clip(cv2.GaussianBlur(height_GX, (0, 0), 7 / STEP) - height_GX, 0, 9)
    fine_GX = np.clip(cv2.GaussianBlur(height_GX, (0, 0), 2.5 / STEP) - height_GX, 0, 3)
    sky_GX = (1 - 0.05 * hollow_GX) * (1 - 0.12 * fine_GX)
    key_GX = 0.22 + 0.78 * cv2.GaussianBlur(open_GX, (0, 0), 1.2 / STEP)  # light bleeds through skin into shadows
    return HeightMap(values_GX=key_GX), HeightMap(values_GX=sky_GX.astype(np.float32))
