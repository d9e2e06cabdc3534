"""Scripts made up by chance: as long and as varied as wanted, for training and for tests."""

import numpy as np

from operators.puppets.expression import FEELINGS
from operators.puppets.parameters import Look, Pose
from operators.puppets.sampling import random_faces
from operators.puppets.script import Feeling, Part, Script, Take, View

_TAKE_S = (1.5, 4.0)  # as long as shots of a trailer; the shot finder wants 0.4 s at least
_N_ACTORS = 4
_TWO_SHOTS, _LANDSCAPES = 0.25, 0.12  # shares of the takes
_FADE_S = 0.5
_APART_MM = 190.0  # of each from the middle of a two-shot: shoulders touch, heads do not
_YAW_DEG, _NOD_DEG = 16.0, 4.0  # at most, before sway: what the HOG detector surely finds
_EYES_SOLO, _EYES_TWO = (0.22, 0.30), (0.17, 0.21)  # of the picture's height; below 45 px dlib loses faces


def random_script(*, seed: int, seconds: float, width: int = 640, height: int = 360, fps: int = 24) -> Script:
    """A movie of `seconds`. Equal arguments give equal scripts. Raises: ValueError when it is shorter than a take."""
    n_frames, shortest = round(seconds * fps), round(_TAKE_S[0] * fps)
    if n_frames < shortest:
        raise ValueError(f"{seconds} s at {fps} fps is {n_frames} frames; a shot takes {shortest}: ask for more")
    chance = np.random.default_rng([seed, 4])
    takes: list[Take] = []
    while n_frames > 0:
        length = round(float(chance.uniform(*_TAKE_S)) * fps)
        if n_frames - length < shortest:
            length = n_frames  # the rest is too short to be a shot of its own
        takes.append(_take(chance, length, fps, height, index=len(takes)))
        n_frames -= length
    actors = tuple(face.identity for face in random_faces(seed, _N_ACTORS))
    return Script(actors=actors, takes=tuple(takes), width=width, height=height, fps=fps)


def _take(chance: np.random.Generator, n_frames: int, fps: int, height: int, *, index: int) -> Take:
    kind = chance.random()
    set_seed = int(chance.integers(1 << 31))
    if index > 0 and kind < _LANDSCAPES:
        start, end = View(eyes_px=90, x=0.5, y=0.5), View(eyes_px=90, x=float(chance.uniform(0.4, 0.6)), y=0.5)
        return Take(n_frames=n_frames, set_seed=set_seed, start=start, end=end, fade_out=round(_FADE_S * fps))
    two = kind < _LANDSCAPES + _TWO_SHOTS
    actors = chance.permutation(_N_ACTORS)[: 1 + two].tolist()
    places = (-_APART_MM, _APART_MM) if two else (0.0,)
    light = chance.uniform(-1, 1, 4)
    return Take(
        n_frames=n_frames,
        set_seed=set_seed,
        start=_view(chance, height, two=two),
        end=_view(chance, height, two=two),
        parts=tuple(_part(chance, n_frames / fps, actor, x) for actor, x in zip(actors, places, strict=True)),
        look=Look(
            light_side=0.7 * float(light[0]),
            light_height=0.5 * float(light[1]),
            warmth=float(light[2]),
            ambient=0.5 * float(light[3]),
        ),
    )


def _view(chance: np.random.Generator, height: int, *, two: bool) -> View:
    size = chance.uniform(*(_EYES_TWO if two else _EYES_SOLO))
    wander = 0.01 if two else 0.07
    return View(
        eyes_px=float(size) * height,
        x=0.5 + wander * float(chance.uniform(-1, 1)),
        y=0.47 + 0.02 * float(chance.uniform(-1, 1)),
    )


def _part(chance: np.random.Generator, length_s: float, actor: int, x_mm: float) -> Part:
    """Somebody who feels one thing first and another one, or nothing, from the middle on."""
    first, second = chance.choice([*FEELINGS, "neutral"], 2, replace=False).tolist()
    turn_s = float(chance.uniform(0.3, 0.6)) * length_s
    (yaw_0, nod_0, tilt_0), (yaw_1, nod_1, tilt_1) = chance.uniform(-1, 1, (2, 3)).tolist()
    speaks = chance.random() < 0.5
    return Part(
        actor=actor,
        seed=int(chance.integers(1 << 31)),
        x_mm=x_mm,
        start=Pose(yaw=_YAW_DEG * yaw_0, pitch=_NOD_DEG * nod_0, roll=_NOD_DEG * tilt_0),
        end=Pose(yaw=_YAW_DEG * yaw_1, pitch=_NOD_DEG * nod_1, roll=_NOD_DEG * tilt_1),
        feelings=(
            Feeling(at_s=turn_s - 0.3, name=first, strength=float(chance.uniform(0.6, 1))),
            Feeling(at_s=turn_s + 0.3, name=second, strength=float(chance.uniform(0.6, 1))),
        ),
        speech_s=(0.2, max(0.6, length_s - 0.4)) if speaks else None,
    )
