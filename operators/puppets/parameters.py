"""The numbers that fix a rendered face: who, what it does, how it is held, and in what light.

A face is a flat vector of N_PARAMETERS float32. Its order is the order of the fields below. Unless a comment says
otherwise a number is roughly standard normal, 0 the mean person, and is cut at +-2.5; [0, 1] and [-1, 1] are bounds.
N faces, D = N_PARAMETERS.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who: the same in every frame of a person."""

    head_width: float = 0.0
    head_height: float = 0.0  # of the skull over the eyes
    jaw_width: float = 0.0
    chin_length: float = 0.0
    chin_width: float = 0.0
    cheekbones: float = 0.0
    cheek_fullness: float = 0.0
    brow_ridge: float = 0.0
    forehead: float = 0.0  # how far it stands out
    eye_size: float = 0.0
    eye_spacing: float = 0.0
    eye_tilt: float = 0.0  # outer corners up
    eye_depth: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    nose_projection: float = 0.0
    nose_bridge: float = 0.0  # hump, or hollow below 0
    mouth_width: float = 0.0
    mouth_height: float = 0.0  # lower on the face
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    brow_thickness: float = 0.0
    ear_size: float = 0.0
    skin_tone: float = 0.3  # [0, 1], pale to dark
    skin_redness: float = 0.0
    freckles: float = 0.0  # [0, 1]
    age: float = 0.3  # [0, 1], 20 to 75 years: folds, and grey hair towards the end
    hair_tone: float = 0.3  # [0, 1], black to blond
    hair_redness: float = 0.0
    hair_length: float = 0.0  # [-1, 1], bald below -0.85, over the ears from 0.1 on, to the chest at 1
    hair_volume: float = 0.0
    hairline: float = 0.0  # receding, or a fringe below -1
    hair_parting: float = 0.0  # [-1, 1], where the hair is parted
    iris_hue: float = 0.3  # [0, 1], brown, hazel, green, grey, blue
    iris_tone: float = 0.5  # [0, 1]
    lip_colour: float = 0.0
    makeup: float = 0.0  # [0, 1], lashes and lips
    beard: float = -0.5  # [-1, 1], from 0 on: stubble to full
    glasses: float = -0.5  # [-1, 1], worn from 0.5 on
    glasses_shape: float = 0.0  # [-1, 1], round to square
    cloth_hue: float = 0.5  # [0, 1]
    cloth_tone: float = 0.4  # [0, 1]


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What the face does: six feelings in [0, 1], and on top of them single actions (FACS numbers), in [-1, 1]."""

    anger: float = 0.0
    disgust: float = 0.0
    fear: float = 0.0
    happiness: float = 0.0
    sadness: float = 0.0
    surprise: float = 0.0
    inner_brow_up: float = 0.0  # 1
    outer_brow_up: float = 0.0  # 2
    brow_down: float = 0.0  # 4
    lid_up: float = 0.0  # 5
    cheek_up: float = 0.0  # 6
    lid_tight: float = 0.0  # 7
    nose_wrinkle: float = 0.0  # 9
    upper_lip_up: float = 0.0  # 10
    corner_up: float = 0.0  # 12
    corner_down: float = 0.0  # 15
    chin_up: float = 0.0  # 17
    pucker: float = 0.0  # 18
    stretch: float = 0.0  # 20
    lip_tight: float = 0.0  # 23
    lips_apart: float = 0.0  # 25
    jaw_down: float = 0.0  # 26
    blink: float = 0.0  # 45, [0, 1]
    gaze_x: float = 0.0  # right in the picture; 1 is 25 degrees
    gaze_y: float = 0.0  # down


# Degrees for 1 in the vector. Powers of two, so that a vector survives the way there and back bit for bit.
YAW_DEG, PITCH_DEG, ROLL_DEG = 16.0, 8.0, 8.0


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How the head is held, in degrees. In the vector: divided by YAW_DEG, PITCH_DEG, ROLL_DEG."""

    yaw: float = 0.0  # towards the picture's right
    pitch: float = 0.0  # down
    roll: float = 0.0  # clockwise on the screen


@dataclass(frozen=True, kw_only=True)
class Look:
    """Light, camera and what is behind."""

    light_side: float = 0.3  # [-1, 1], left to right; 1 is 55 degrees
    light_height: float = 0.3  # [-1, 1], 5 to 55 degrees above
    key: float = 0.0
    ambient: float = 0.0
    warmth: float = 0.0
    distance: float = 0.0  # [-1, 1], camera 0.5 to 1.6 m away: how strong the perspective is
    shift_x: float = 0.0  # of the face in the picture; ignored by aligned crops
    shift_y: float = 0.0
    size: float = 0.0
    # colours behind the head, each in [0, 1] before gamma: top left, top right, bottom left, bottom right
    back_tl_red: float = 0.4
    back_tl_green: float = 0.4
    back_tl_blue: float = 0.4
    back_tr_red: float = 0.4
    back_tr_green: float = 0.4
    back_tr_blue: float = 0.4
    back_bl_red: float = 0.4
    back_bl_green: float = 0.4
    back_bl_blue: float = 0.4
    back_br_red: float = 0.4
    back_br_green: float = 0.4
    back_br_blue: float = 0.4


@dataclass(frozen=True, kw_only=True)
class FaceParameters:
    """All of a picture with one face."""

    identity: Identity = Identity()
    expression: Expression = Expression()
    pose: Pose = Pose()
    look: Look = Look()

    def vector(self) -> NDArray[np.float32]:
        """(N_PARAMETERS,), what `from_vector` takes."""
        flat = np.array([*astuple(self.identity), *astuple(self.expression), *astuple(self.pose), *astuple(self.look)])
        flat[_POSE] /= (YAW_DEG, PITCH_DEG, ROLL_DEG)
        return flat.astype(np.float32)

    @staticmethod
    def from_vector(vector_D: ArrayLike) -> "FaceParameters":
        """Raises: ValueError for another length."""
        flat = np.array(vector_D, np.float64)
        if flat.shape != (N_PARAMETERS,):
            raise ValueError(f"face parameters of shape {flat.shape}; give one vector of {N_PARAMETERS}")
        flat[_POSE] *= (YAW_DEG, PITCH_DEG, ROLL_DEG)
        values = iter(flat.tolist())
        return FaceParameters(
            identity=Identity(**_named(Identity, values)),
            expression=Expression(**_named(Expression, values)),
            pose=Pose(**_named(Pose, values)),
            look=Look(**_named(Look, values)),
        )


def _named(part: type, values: Iterator[float]) -> dict[str, float]:
    return {field.name: next(values) for field in fields(part)}


_PARTS = (Identity, Expression, Pose, Look)
PARAMETER_NAMES: tuple[str, ...] = tuple(field.name for part in _PARTS for field in fields(part))
N_PARAMETERS = len(PARAMETER_NAMES)
_AT = {name: i for i, name in enumerate(PARAMETER_NAMES)}
_POSE = slice(_AT["yaw"], _AT["roll"] + 1)
