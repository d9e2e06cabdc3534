"""The colours of a face's skin, and its beard, by frontal head coordinates. P pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.puppets.curves import Curves
from operators.puppets.noise import noise_at
from operators.puppets.parameters import Identity

Floats = NDArray[np.float32]

# linear albedo from pale to dark
_TONES_K3 = np.array(
    [(0.80, 0.56, 0.45), (0.68, 0.44, 0.32), (0.50, 0.30, 0.20), (0.30, 0.165, 0.10), (0.19, 0.10, 0.065)]
)
_HAIR_K3 = np.array(
    [(0.016, 0.014, 0.013), (0.05, 0.028, 0.018), (0.13, 0.07, 0.04), (0.28, 0.17, 0.08), (0.55, 0.40, 0.21)]
)
_GREY = np.array([0.42, 0.41, 0.40])


def skin_rgb(who: Identity) -> Floats:
    """(3,) linear albedo of a person's forehead."""
    tone = _mixed(_TONES_K3, who.skin_tone)
    return (tone * (1 + 0.05 * who.skin_redness * np.array([1.0, -0.6, -0.4]))).astype(np.float32)


def hair_rgb(who: Identity) -> Floats:
    """(3,) linear albedo of a person's hair and brows; dark skin goes with dark hair, age with grey."""
    tone = _mixed(_HAIR_K3, who.hair_tone * (1 - 0.75 * min(1.0, max(0.0, 2 * who.skin_tone - 0.6))))
    tone = tone * (1 + 0.18 * max(0.0, who.hair_redness) * np.array([1.2, -0.25, -0.9]))
    grey = np.clip((who.age - 0.62) / 0.3, 0, 1) * 0.85
    return np.asarray(tone * (1 - grey) + _GREY * grey, np.float64)


def lip_rgb(who: Identity) -> Floats:
    """(3,) linear albedo: the skin's, redder, and paint over it."""
    red = np.array([0.62, 0.22, 0.20]) + 0.05 * who.lip_colour * np.array([1.0, -0.4, -0.2])
    natural = skin_rgb(who) * (0.45 + 0.55 * red / 0.62)
    paint = np.array([0.45, 0.045, 0.06])
    strength = 0.6 * np.clip(2 * who.makeup - 1, 0, 1)
    return np.asarray(natural * (1 - strength) + paint * strength, np.float32)


def skin_albedo(x: Floats, y: Floats, who: Identity, curves: Curves) -> Floats:
    """(P, 3) bare skin: redder cheeks, nose and chin, darker round the eyes, pores and freckles."""
    side = np.abs(x)
    red = 0.9 * _spot(side - 42, y - 32, 15, 13) + 0.35 * _spot(x, y - curves.nose.tip_y, 10, 9)
    red += 0.35 * _spot(x, y - 100 - curves.jaw_drop, 14, 10)
    eye_x, eye_y = curves.eye.middle
    shade = 0.16 * _spot(side - eye_x + 6, y - eye_y + 2, 14, 8) + (0.08 + 0.12 * who.age) * _spot(
        side - 27, y - 11, 10, 4
    )
    mottled = 0.035 * noise_at(x * 0.18, y * 0.18) + 0.02 * noise_at(x * 0.7, y * 0.7)
    speckled = noise_at(x * 1.1 + 90, y * 1.1) * np.exp(-(((y - 18) / 24) ** 2) - (x / 55) ** 2)
    freckled = 0.3 * max(0.0, 2 * who.freckles - 1) * np.clip((speckled - 0.9) / 0.8, 0, 1)
    strength = 0.11 + 0.05 * who.skin_redness
    value = (1 + mottled - freckled)[:, None] - shade[:, None] * np.array([0.75, 1.0, 0.95], np.float32)
    tint = 1 + (strength * red)[:, None] * np.array([0.35, -1.0, -0.8], np.float32)
    return np.asarray(skin_rgb(who) * value * tint, np.float32)


def beard_cover(x: Floats, y: Floats, who: Identity, curves: Curves) -> Floats:
    """(P,) share of skin that the beard hides."""
    if who.beard <= 0:
        return np.zeros_like(x)
    side, mouth, nose = np.abs(x), curves.mouth, curves.nose
    cheek = np.clip((y - (16 + 1.25 * (68 - side)) - 0.35 * np.maximum(0, 40 - side)) / 9, 0, 1)
    chin = np.clip((y - mouth.lower_outer(x) - 4.5) / 4, 0, 1) * np.clip((mouth.half_width + 9 - side) / 6, 0, 1)
    lip = np.clip((y - nose.base_y - 4) / 4, 0, 1) * np.clip((mouth.half_width + 7 - side) / 5, 0, 1)
    lip = lip * (y < mouth.line(x) + 14)
    bare = np.clip((y - mouth.upper_outer(x) + 1.5) / 1.5, 0, 1) * np.clip((mouth.lower_outer(x) + 2.0 - y) / 1.5, 0, 1)
    bare = bare * (side < mouth.half_width)
    rough = 1 + 0.28 * noise_at(x * 1.3, y * 0.45 + 40)
    thick = 0.25 + 0.75 * min(1.0, 1.6 * who.beard)
    cover = np.maximum(np.maximum(cheek, chin), lip) * (1 - bare)
    return np.asarray(np.clip(cover * rough * thick, 0, 0.97).astype(np.float32), np.float32)


def _spot(dx: NDArray[Any], dy: NDArray[Any], sx: float, sy: float) -> Floats:
    spot: Floats = np.exp(-0.5 * ((dx / sx) ** 2 + (dy / sy) ** 2))
    return spot


def _mixed(table_K3: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    at = min(max(share, 0.0), 1.0) * (len(table_K3) - 1)
    low = min(int(at), len(table_K3) - 2)
    return np.asarray(table_K3[low] * (1 - at + low) + table_K3[low + 1] * (at - low), np.float64)
