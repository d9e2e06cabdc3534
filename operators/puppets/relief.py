"""The relief of a face over its smooth skull: nose, sockets, cheeks, lips, chin, as heights on a grid.

Head coordinates as in curves.py. G rows, X columns of the grid, K bumps.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.puppets.curves import Curves
from operators.puppets.expression import Actions
from operators.puppets.parameters import Identity

Floats = NDArray[np.float32]

STEP = 1.25  # mm: the narrowest form, the line between the lips, is 3 mm wide
X_MAX, Y_MIN, Y_MAX = 80.0, -80.0, 150.0
GRID_X = np.arange(-X_MAX, X_MAX + 1e-3, STEP, dtype=np.float32)
GRID_Y = np.arange(Y_MIN, Y_MAX + 1e-3, STEP, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeightMap:
    """A function of (x, y) by its values on the grid."""

    values_GX: Floats

    def at(self, x: Floats, y: Floats) -> Floats:
        """Linear between the grid's points; the border's value beyond it. Any shape."""
        shape = x.shape
        columns = ((x + X_MAX) / STEP).astype(np.float32).reshape(1, -1)
        rows = ((y - Y_MIN) / STEP).astype(np.float32).reshape(1, -1)
        # remap takes pictures up to 32767 pixels wide: fold the list of points into lines of 1024
        n = columns.size
        lines = -(-n // 1024)
        padded = [np.pad(v, ((0, 0), (0, lines * 1024 - n))).reshape(lines, 1024) for v in (columns, rows)]
        found = cv2.remap(self.values_GX, padded[0], padded[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found.reshape(-1)[:n].reshape(shape), np.float32)


def relief_of(who: Identity, do: Actions, curves: Curves) -> HeightMap:
    """Height over the skull's front, mm."""
    height_GX = _bumps(who, do, curves)
    _add_nose(height_GX, who, curves)
    _add_lips(height_GX, do, curves)
    return HeightMap(values_GX=height_GX)


def _bumps(who: Identity, do: Actions, curves: Curves) -> Floats:
    """Sum of Gaussians x0, y0, sigma x, sigma y, height; those beside the middle come twice."""
    eye_x, eye_y = curves.eye.middle
    brow_y = float(curves.brow.height(np.array(28.0, np.float32)))
    mouth, nose, drop = curves.mouth, curves.nose, curves.jaw_drop
    fold = 0.7 * who.age + 1.5 * do.corner_up + 0.9 * do.nose_wrinkle + 0.6 * do.upper_lip_up
    corner_x, corner_y = mouth.half_width, mouth.corner_y
    bumps = [
        (eye_x, eye_y + 1, 13.5, 9.5, -8.0 - 1.0 * who.eye_depth),
        (16.5, -3.0, 5.0, 8.0, -6.0 - 0.4 * who.eye_depth),
        (eye_x, eye_y, 8.5, 6.8, 7.5),  # the ball under the lids
        (eye_x, eye_y - 10.5, 11, 2.0, -1.6),  # crease over the lid
        (eye_x - 2, eye_y + 12, 11, 2.6, -0.8 - 1.2 * who.age),  # under the eye
        (26, 0.55 * brow_y - 10, 17, 6.5, 4.2 + 1.1 * who.brow_ridge),
        (0, -17, 10, 8, 1.2 + 0.6 * who.brow_ridge + 1.0 * do.brow_down),
        (4.0, -20, 1.6, 7, -1.3 * do.brow_down - 1.0 * do.nose_wrinkle),
        (0, -52, 34, 22, 2.0 + 1.5 * who.forehead),
        (66, -32, 9, 20, -3.0),
        (46 + 0.5 * who.head_width, 25 - 2.5 * do.cheek_up, 15, 11, 4.0 + 1.6 * who.cheekbones + 2.0 * do.cheek_up),
        (36, 38 - 5 * do.corner_up, 11, 9, 1.5 + 3.6 * do.corner_up + 1.2 * do.cheek_up),
        (45, 60, 12, 15, -2.0 + 2.3 * who.cheek_fullness - 1.0 * who.age),
        (0, 62 + 0.4 * drop, 25, 17, 6.5),
        (0, nose.base_y + 7, 2.6, 5, -1.5),
        (26, 52, 2.6, 6, -0.7 * fold), (22, 45, 2.6, 5, -0.8 * fold), (30, 59, 2.6, 6, -0.6 * fold),
        (corner_x + 2, corner_y, 3.2, 3.6, -2.6 - 1.0 * do.corner_up - 0.8 * do.stretch),
        (corner_x + 4, corner_y + 9, 3.0, 9, -1.3 * who.age - 1.0 * do.corner_down),
        (0, 86 + drop, 15, 4.6, -4.0 - 1.0 * do.chin_up),
        (0, 101 + drop, 13 + 1.5 * who.chin_width, 9, 6.5 + 0.8 * who.chin_width + 1.0 * do.chin_up),
        (7, 100 + drop, 5, 6, 1.0),
    ]  # fmt: skip
    if do.inner_brow_up + do.outer_brow_up > 0 or who.age > 0.5:
        lines = 0.5 * do.inner_brow_up + 0.5 * do.outer_brow_up + 0.5 * max(0.0, who.age - 0.5)
        bumps += [(0, y, 26, 1.5, -1.1 * lines) for y in (-38, -46, -54)]
    table = np.array([b for x, *rest in bumps for b in {(x, *rest), (-x, *rest)}], np.float64)
    table = table[np.lexsort(table.T)]  # sets have no order, sums of floats do
    x_K, y_K, sx_K, sy_K, height_K = table.T[:, :, None].astype(np.float32)
    along_KX = height_K * np.exp(-0.5 * ((GRID_X - x_K) / sx_K) ** 2)
    down_KG = np.exp(-0.5 * ((GRID_Y - y_K) / sy_K) ** 2)
    height_GX: Floats = down_KG.T @ along_KX
    return height_GX


def _add_nose(height_GX: Floats, who: Identity, curves: Curves) -> None:
    nose = curves.nose
    rows = (GRID_Y > -22) & (nose.base_y + 14 > GRID_Y)
    columns = np.abs(GRID_X) < 34
    y, x = GRID_Y[rows][:, None], GRID_X[columns][None, :]
    up = np.clip((y + 14) / (nose.tip_y + 14), 0, 1)
    under = np.clip((y - nose.tip_y) / (nose.base_y + 2 - nose.tip_y), 0, 1)
    ridge = nose.height * up**1.25 * (1 - under**2.8)  # forward almost to the base: the underside is seen from below
    ridge += nose.hump * np.exp(-(((y - 9) / 7) ** 2)) + 2.5 * np.exp(-(((y + 6) / 8) ** 2))
    wide = 1 + 0.06 * who.nose_width
    narrow_s, broad_s = (4.2 + 2.6 * up) * wide, (9.0 + 4.0 * up) * wide
    form = ridge * (0.62 * np.exp(-0.5 * (x / narrow_s) ** 2) + 0.38 * np.exp(-0.5 * (x / broad_s) ** 2))
    # a rounded tip and two wings, steep outwards, so that a shadow falls beside them
    form += 2.4 * np.exp(-0.5 * ((x / 6.5) ** 2 + ((y - nose.tip_y - 1.5) / 5.5) ** 2))
    wing = ((np.abs(x) - nose.wing_x + 4.2) / 4.6) ** 2 + ((y - nose.wing_y) / 5.2) ** 2
    form += (6.6 + 0.5 * who.nose_width) * np.exp(-0.5 * wing**1.5)
    groove = ((np.abs(x) - nose.wing_x - 1.6) / 1.8) ** 2 + ((y - nose.wing_y) / 5.5) ** 2
    form -= 1.3 * np.exp(-0.5 * groove)
    height_GX[np.ix_(rows, columns)] += form.astype(np.float32)


def _add_lips(height_GX: Floats, do: Actions, curves: Curves) -> None:
    mouth = curves.mouth
    lowest = float(mouth.lower_outer(np.array(0.0, np.float32)))
    rows = (mouth.middle_y - 24 < GRID_Y) & (lowest + 6 > GRID_Y)
    columns = np.abs(GRID_X) < mouth.half_width
    y, x = GRID_Y[rows][:, None], GRID_X[columns]
    taper = (1 - (np.abs(x) / mouth.half_width) ** 2.5) * (1 + 0.9 * do.pucker)
    upper_out, upper_in = mouth.upper_outer(x), mouth.upper_inner(x)
    lower_in, lower_out = mouth.lower_inner(x), mouth.lower_outer(x)
    upper = np.clip((y - upper_out) / np.maximum(upper_in - upper_out, 0.5), 0, 1)
    lower = np.clip((lower_out - y) / np.maximum(lower_out - lower_in, 0.5), 0, 1)
    form = taper * (2.6 * np.sin(np.pi * upper**1.3) + 3.6 * np.sin(np.pi * lower**1.2))
    inside = np.clip((y - upper_in) / 1.5, 0, 1) * np.clip((lower_in - y) / 1.5, 0, 1)
    form -= inside * np.minimum(8.0, 0.8 * (lower_in - upper_in))
    form -= 1.6 * np.exp(-(((y - 0.5 * (upper_in + lower_in)) / 1.6) ** 2)) * (1 - inside)
    height_GX[np.ix_(rows, columns)] += cv2.GaussianBlur(form.astype(np.float32), (0, 0), 0.6)
