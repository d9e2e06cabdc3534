"""What is drawn on a face, pixel by pixel: eyes, lashes, brows, lips, teeth, nostrils. P pixels.

Each function changes (P, 3) albedos in place, given the pixels' frontal head coordinates and their size in mm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.puppets.curves import Curves
from operators.puppets.expression import Actions
from operators.puppets.noise import noise_at
from operators.puppets.parameters import Identity
from operators.puppets.skin import beard_cover, hair_rgb, lip_rgb, skin_albedo, skin_rgb

Floats = NDArray[np.float32]

_IRIS_K3 = np.array(
    [(0.06, 0.025, 0.012), (0.15, 0.085, 0.03), (0.12, 0.15, 0.06), (0.20, 0.22, 0.22), (0.12, 0.24, 0.40)]
)
_IRIS_MM, _PUPIL_MM = 6.2, 2.4
_GAZE_MM = 4.8  # of the iris at 25 degrees, on a ball of 11.5 mm


@dataclass(frozen=True, kw_only=True, eq=False)
class Painted:
    """Colours before light, and what shines."""

    albedo_P3: Floats
    gloss_P: Floats
    glint_P: Floats  # white that no shadow reaches: the light mirrored in the eye


def paint_face(x: Floats, y: Floats, pixel_mm: float, who: Identity, do: Actions, curves: Curves) -> Painted:
    """All of a face's front."""
    albedo_P3 = skin_albedo(x, y, who, curves)
    gloss_P = np.full(len(x), 0.11, np.float32)
    glint_P = np.zeros(len(x), np.float32)
    soft = max(pixel_mm, 0.35)
    _nostrils(albedo_P3, x, y, curves)
    _mouth(albedo_P3, gloss_P, x, y, soft, who, curves)
    _eyes(albedo_P3, gloss_P, glint_P, x, y, soft, who, do, curves)
    _brows(albedo_P3, x, y, soft, who, curves)
    if who.beard > 0:
        low = np.flatnonzero((y > 10) & (np.abs(x) < 90))
        cover = beard_cover(x[low], y[low], who, curves)[:, None]
        albedo_P3[low] = albedo_P3[low] * (1 - cover) + 1.1 * hair_rgb(who) * cover
        gloss_P[low] *= 1 - cover[:, 0]
    return Painted(albedo_P3=albedo_P3, gloss_P=gloss_P, glint_P=glint_P)


def _over(albedo_P3: Floats, at: NDArray[np.int64], cover: Floats, rgb: Floats) -> None:
    albedo_P3[at] += cover[:, None] * (rgb - albedo_P3[at])


def _nostrils(albedo_P3: Floats, x: Floats, y: Floats, curves: Curves) -> None:
    nose = curves.nose
    at = np.flatnonzero((np.abs(y - nose.base_y) < 9) & (np.abs(x) < nose.wing_x + 6))
    side, dy = np.abs(x[at]) - 0.48 * nose.wing_x, y[at] - nose.base_y + 1.0
    turned = dy + 0.25 * side
    hole = np.clip(1.5 - 1.2 * ((side / (0.27 * nose.wing_x)) ** 2 + (turned / 1.9) ** 2), 0, 1)
    rim = np.exp(-(((np.abs(x[at]) - nose.wing_x - 0.6) / 1.5) ** 2) - ((y[at] - nose.wing_y) / 5) ** 2)
    below = np.exp(-(((y[at] - nose.base_y - 1.5) / 2.0) ** 2)) * (np.abs(x[at]) < nose.wing_x)
    red = np.array([0.72, 0.88, 0.90], np.float32)  # what little light comes out of a nostril is red
    albedo_P3[at] *= (1 - hole[:, None] * red) * (1 - 0.22 * rim - 0.06 * below)[:, None]


def _mouth(
    albedo_P3: Floats, gloss_P: Floats, x: Floats, y: Floats, soft: float, who: Identity, curves: Curves
) -> None:
    mouth = curves.mouth
    lowest = mouth.middle_y + mouth.drop + mouth.lower + 22
    at = np.flatnonzero((y > mouth.middle_y - 30) & (y < lowest) & (np.abs(x) < mouth.half_width + 5))
    mx, my = x[at], y[at]
    inside = np.clip((mouth.half_width - np.abs(mx)) / 2.0, 0, 1)
    upper_in, lower_in = mouth.upper_inner(mx), mouth.lower_inner(mx)
    edge = 0.9 + soft
    lips = np.clip((my - mouth.upper_outer(mx)) / edge + 0.5, 0, 1) * np.clip(
        (mouth.lower_outer(mx) - my) / edge + 0.5, 0, 1
    )
    lips *= inside
    rgb = lip_rgb(who) * (1 - 0.1 * np.clip((upper_in - my) / 4, 0, 1) + 0.05 * noise_at(mx * 1.4, my * 0.3))[:, None]
    _over(albedo_P3, at, 0.9 * lips, rgb)
    gloss_P[at] += lips * (0.10 + 0.12 * who.makeup)
    opening = np.clip((my - upper_in) / soft + 0.5, 0, 1) * np.clip((lower_in - my) / soft + 0.5, 0, 1) * inside
    opening *= np.clip((lower_in - upper_in) / 1.2, 0, 1)
    _over(albedo_P3, at, opening, _inside_mouth(mx, my, upper_in, who, curves))
    gloss_P[at] *= 1 - opening
    middle = 0.5 * (upper_in + lower_in)
    closed = np.exp(-(((my - middle) / (0.75 + 0.5 * soft)) ** 2)) * np.clip(1.6 - (lower_in - upper_in), 0.0, 1)
    corner = np.exp(-(((np.abs(mx) - mouth.half_width) / 2.6) ** 2) - ((my - mouth.corner_y) / 1.7) ** 2)
    albedo_P3[at] *= (1 - 0.72 * closed * inside)[:, None] * (1 - 0.5 * corner)[:, None]


def _inside_mouth(x: Floats, y: Floats, upper_in: Floats, who: Identity, curves: Curves) -> Floats:
    mouth = curves.mouth
    teeth_y = 66.0 + 1.3 * who.mouth_height + 3.0  # the upper teeth belong to the skull, they do not move
    flank = np.clip((0.82 * mouth.half_width - np.abs(x)) / 4, 0, 1)
    upper = np.clip((teeth_y - 0.012 * x * x - y) / 0.7, 0, 1) * flank
    lower = np.clip((y - teeth_y - 0.93 * curves.jaw_drop + 0.5) / 0.8, 0, 1) * flank
    gap = np.clip(np.abs(np.mod(x, 7.4) - 3.7) / 0.45 - 7.2, 0, 1)
    shade = (0.55 + 0.45 * np.clip((y - upper_in) / 3, 0, 1)) * (1 - 0.3 * gap)
    dark = np.array([0.05, 0.014, 0.013], np.float32)
    tongue = np.clip((y - mouth.middle_y - 0.5 * mouth.drop) / 6, 0, 1) * np.clip(1 - (x / 15) ** 2, 0, 1)
    rgb = dark + tongue[:, None] * np.array([0.26, 0.075, 0.07], np.float32)
    tooth = np.array([0.74, 0.70, 0.62], np.float32) * shade[:, None]
    rgb += upper[:, None] * (tooth - rgb)
    rgb += 0.5 * lower[:, None] * (tooth - rgb)
    return rgb.astype(np.float32)


def _eyes(
    albedo_P3: Floats, gloss_P: Floats, glint_P: Floats, x: Floats, y: Floats, soft: float, who: Identity, do: Actions,
    curves: Curves,
) -> None:  # fmt: skip
    eye = curves.eye
    side = np.abs(x)
    at = np.flatnonzero((np.abs(y) < 17) & (side > eye.inner_x - 6) & (side < eye.outer_x + 7))
    ex, ey, left = side[at], y[at], x[at] < 0
    upper, lower = eye.upper(ex), eye.lower(ex)
    within = np.clip((ex - eye.inner_x + 0.3) / 0.8, 0, 1) * np.clip((eye.outer_x + 0.3 - ex) / 0.8, 0, 1)
    opening = np.clip((ey - upper) / soft + 0.5, 0, 1) * np.clip((lower - ey) / soft + 0.5, 0, 1) * within
    opening *= np.clip((lower - upper) / 1.0, 0, 1)
    middle_x, middle_y = eye.middle
    iris_x = middle_x + np.where(left, -1, 1) * _GAZE_MM * do.gaze_x
    iris_y = middle_y - 0.4 + 0.7 * _GAZE_MM * do.gaze_y
    away = np.hypot(ex - iris_x, ey - iris_y)
    ball = _ball(ex, ey, away, iris_y, soft, who, curves)
    ball *= (1 - 0.45 * np.exp(-np.maximum(ey - upper, 0) / 1.6))[:, None]  # the lid's shadow
    _over(albedo_P3, at, opening, ball)
    gloss_P[at] *= 1 - opening
    glint = np.hypot(x[at] - np.where(left, -1, 1) * iris_x - 1.9, ey - iris_y + 2.1)
    glint_P[at] = np.clip((1.25 - glint) / soft + 0.5, 0, 1) * opening * 0.9
    dark = hair_rgb(who) * 0.25 + 0.006
    thick = 0.75 + 0.7 * who.makeup
    tail = np.clip((eye.outer_x + 2.5 - ex) / 2.0, 0, 1) * np.clip((ex - eye.inner_x - 1) / 3, 0, 1)
    lash = np.clip((upper + 0.4 - ey) / soft + 0.5, 0, 1) * np.clip(
        (ey - upper + thick * 1.5) / (0.6 * soft + 0.4), 0, 1
    )
    _over(albedo_P3, at, lash * tail * (0.72 + 0.25 * who.makeup), dark)
    rim = np.exp(-(((ey - lower - 0.4) / (0.5 + 0.5 * soft)) ** 2)) * within * np.clip((ex - eye.inner_x) / 8, 0, 1)
    _over(albedo_P3, at, (0.3 + 0.35 * who.makeup) * rim, dark + 0.3 * skin_rgb(who))
    fold_y = np.minimum(upper, eye.inner_y + 1) - 3.4 - 0.9 * max(0.0, do.lid_up) - 1.5 * max(0.0, -eye.above / 6)
    fold = np.exp(-(((ey - fold_y) / 0.9) ** 2)) * tail
    lid = np.clip((upper - ey) / 1.0, 0, 1) * np.clip((ey - fold_y) / 1.0, 0, 1) * tail
    albedo_P3[at] *= (1 - 0.3 * fold)[:, None] * (1 - (0.08 + 0.3 * max(0.0, who.makeup - 0.5)) * lid)[:, None]


def _ball(ex: Floats, ey: Floats, away: Floats, iris_y: float, soft: float, who: Identity, curves: Curves) -> Floats:
    """White, iris and pupil."""
    eye = curves.eye
    hue = min(max(who.iris_hue, 0.0), 1.0) * (1 - min(1.0, max(0.0, 2.2 * who.skin_tone - 0.7))) * (len(_IRIS_K3) - 1)
    low = min(int(hue), len(_IRIS_K3) - 2)
    iris = (_IRIS_K3[low] * (1 - hue + low) + _IRIS_K3[low + 1] * (hue - low)) * (0.7 + 0.7 * who.iris_tone)
    round_off = np.clip(np.abs(ex - eye.middle[0]) / (0.5 * eye.width), 0, 1) ** 2
    rgb = np.array([0.74, 0.71, 0.69], np.float32) * (1 - 0.38 * round_off)[:, None]
    corner = np.clip(1 - (ex - eye.inner_x) / 3.5, 0, 1)[:, None]
    rgb += 0.8 * corner * (np.array([0.55, 0.25, 0.22], np.float32) - rgb)
    in_iris = np.clip((_IRIS_MM - away) / soft + 0.5, 0, 1)[:, None]
    limbus = np.exp(-(((away - _IRIS_MM + 0.5) / 0.9) ** 2))
    lower_glow = 1 + 0.35 * np.clip((ey - iris_y) / 5, -1, 1)
    rgb += in_iris * (iris * (lower_glow * (1 - 0.6 * limbus))[:, None] - rgb)
    rgb *= 1 - np.clip((_PUPIL_MM - away) / soft + 0.5, 0, 1)[:, None] * 0.93
    return np.asarray(rgb.astype(np.float32), np.float32)


def _brows(albedo_P3: Floats, x: Floats, y: Floats, soft: float, who: Identity, curves: Curves) -> None:
    brow = curves.brow
    side = np.abs(x)
    at = np.flatnonzero((y > -50) & (y < -2) & (side > brow.inner_x - 4) & (side < brow.outer_x + 4))
    bx, by = side[at], y[at]
    s = brow.share(bx)
    away = np.abs(by - brow.height(bx))
    hairs = 1 + 0.35 * noise_at(bx * 0.55 + by * 0.9, by * 0.25 - bx * 0.15)
    ends = np.clip(s / 0.07 + 0.5, 0, 1) * np.clip((1 - s) / 0.1 + 0.4, 0, 1)
    cover = np.clip((brow.half_thickness(bx) - away) / (1.1 + soft) + 0.55, 0, 1) * ends * hairs
    dark = np.minimum(0.6 * hair_rgb(who), 0.30 * skin_rgb(who))  # pale brows vanish at film size, for dlib too
    _over(albedo_P3, at, np.clip(cover * (0.74 + 0.06 * who.brow_thickness), 0, 0.95).astype(np.float32), dark)
