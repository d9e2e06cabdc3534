"""Hair: a shell over the skull, cut by a soft edge, hanging beside the face when it is long.

Head coordinates as in curves.py. R rings, S steps, P pixels. A vertex carries its distance inside the hair's edge.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from operators.puppets.head_mesh import Skull, ring_angles, ring_point
from operators.puppets.noise import noise_at
from operators.puppets.parameters import Identity
from operators.puppets.skin import hair_rgb

Floats = NDArray[np.float32]

RAGGED_MM = -1.0  # strands reach so far over the edge; a rare one that would reach farther is cut
_N_RINGS = 72
_BALD = -0.85
LONG = 0.1  # of hair_length: from here on it hangs
_ARC_MM = 72.0  # a radian round the head


def has_hair(who: Identity) -> bool:
    """Whether there is a shell to draw."""
    return who.hair_length >= _BALD


def hair_vertices(who: Identity, skull: Skull) -> tuple[Floats, Floats]:
    """(R, S, 3) vertices and (R, S) mm inside the edge, negative outside."""
    bottom = _bottom(who)
    u = np.linspace(0, 1, _N_RINGS)
    top = float(skull.y_K[0])
    y_R = (top + 0.2 + (bottom - top) * (0.35 * u + 0.65 * u**1.6)).astype(np.float32)
    angle_S = ring_angles()
    inside_RS = _inside(y_R[:, None], np.abs(angle_S)[None, :], who, bottom)
    wide_R, front_R, back_R, axis_R = skull.at(y_R)
    # below the ears hair hangs from the widest place instead of following the jaw
    widest = float(skull.at(np.array([5.0], np.float32))[0][0])
    hang = np.clip((y_R + 5) / 25, 0, 1)
    full = 0.10 + 0.05 * who.hair_volume / 2.5 if who.hair_length >= LONG else 0.0
    waves = full * np.clip((y_R + 40) / 110, 0, 1) - 0.4 * full * np.clip((y_R - 90) / 80, 0, 1)
    half_width = (wide_R * (1 - hang) + widest * hang) * (1 + waves)
    front, back, axis = front_R * (1 - hang) + 66.0 * hang, back_R * (1 - hang) - 84.0 * hang, axis_R * (1 - hang)
    shorn = min(1.0, max(0.0, 1 + 2.0 * (who.hair_length + 0.1)))  # cropped hair lies on the skin
    volume = (13.0 + 3.0 * who.hair_volume + 3.0 * max(0.0, who.hair_length)) * shorn
    grow = np.clip(inside_RS / 26, 0, 1)
    flat = 0.62 if who.hair_length < LONG else 0.95  # short hair is flatter at the sides than on top
    temples = (flat + (1 - flat) * np.clip(-(y_R + 45) / 40, 0, 1))[:, None]
    thick_RS = volume * temples * np.sqrt(grow * (2 - grow)) + 1.0
    strands = (
        1.6
        * noise_at((np.abs(angle_S) * 9).astype(np.float32), np.sign(angle_S) * 40)[None, :]
        * np.clip(y_R / 60, 0, 1)[:, None]
    )
    thick_RS = thick_RS + strands
    ring = tuple(v[:, None] + sign * thick_RS for v, sign in ((half_width, 1), (front, 1), (back, -1)))
    xyz_RS3 = ring_point((*ring, axis[:, None]), y_R[:, None], angle_S[None, :])
    crown = np.clip(-(y_R + 40) / 75, 0, 1)[:, None] ** 1.5
    xyz_RS3[..., 1] -= thick_RS * crown
    return xyz_RS3, inside_RS.astype(np.float32)


def hair_cover(inside_P: Floats, angle_P: Floats, y_P: Floats, who: Identity) -> Floats:
    """(P,) opacity."""
    ragged = 1.3 * noise_at(angle_P * 60, y_P * 0.09) + 0.9 * noise_at(angle_P * 22 + 30, y_P * 0.05)
    thin = 0.55 if who.hair_length < -0.6 else 1.0  # shorn: skin shows through
    return np.asarray(thin * np.clip((inside_P + ragged - 0.5) / 5.0, 0, 1), np.float32)


def hair_albedo(angle_P: Floats, y_P: Floats, inside_P: Floats, who: Identity) -> Floats:
    """(P, 3) strands, darker at the roots, at the parting and inside."""
    strands = 0.17 * noise_at(angle_P * 30, y_P * 0.035) + 0.13 * noise_at(angle_P * 9 + 70, y_P * 0.02)
    parting = np.exp(-(((angle_P - 0.7 * who.hair_parting) / 0.05) ** 2)) * np.clip(-(y_P + 78) / 15, 0, 1)
    root = 0.25 * np.exp(-np.maximum(inside_P, 0) / 6)
    value = np.clip(1 + strands - 0.4 * parting - root, 0.3, 1.7)
    return np.asarray(hair_rgb(who) * value[:, None], np.float32)


def _bottom(who: Identity) -> float:
    if who.hair_length < LONG:
        return 42.0 + 12 * who.hair_length
    return 70.0 + 95.0 * (who.hair_length - LONG) / (1 - LONG)


def _inside(y: Floats, angle: Floats, who: Identity, bottom: float) -> Floats:
    """mm inside the hair's edge: behind the line over the forehead or beside the face, and above the lower end."""
    fringe = who.hairline < -1
    if fringe:
        brow_y, corner = -40.0 + 4 * np.abs(angle - 0.25 * who.hair_parting), 0.75
    else:
        recede = max(0.0, who.hairline)
        widow = 1.5 * np.exp(-((angle / 0.16) ** 2))
        brow_y = -66.0 - 4.0 * who.hairline + widow - 6 * recede * np.exp(-(((angle - 0.6) / 0.25) ** 2))
        corner = 0.55
    over = brow_y + 30 * np.maximum(angle - corner, 0) - y
    if who.hair_length < LONG:
        heights = [-120, -60, -40, -22, -4, 14, 26, 60, 200]
        degrees = [35.0, 52, 62, 70, 77, 84, 112, 130, 150]
    else:
        side = 63.0 - 5.0 * who.hair_volume / 2.5
        heights = [-120, -60, -40, -10, 30, 80, 140, 240]
        degrees = [30, 50, side - 6, side, side + 4, side, side + 4, side + 6]
    begin = PchipInterpolator(heights, np.deg2rad(degrees))
    slope = _ARC_MM * begin.derivative()(y)
    beside = (angle - begin(y)) * _ARC_MM / np.sqrt(1 + slope**2)
    # short hair ends in a line that rises behind the ears, long hair in a soft wave
    below = bottom + 6 * np.sin(5 * angle + 1) * (who.hair_length >= LONG) - y
    if who.hair_length < LONG:
        below = below + 30 * np.clip(angle - 1.9, 0, 1)
    return np.asarray(np.minimum(np.maximum(over, beside), below), np.float32)
