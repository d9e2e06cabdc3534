"""One face, from its parameters: a picture and everything that is true of it. H, W, C = 3 of the picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.faces.quad import quads_from_landmarks
from operators.puppets.camera import Camera
from operators.puppets.expression import shown_emotion
from operators.puppets.light import GAMMA, light_of
from operators.puppets.parameters import FaceParameters, Identity, Look, Pose
from operators.puppets.scene import Person, PosedPerson, draw

Floats = NDArray[np.float32]

_EYES_SHARE = 0.32  # of the picture's side, between the outer corners of the eyes: the whole head and some room
_OUTER_EYES_MM = 89.0
_UNIT_PX = 256.0  # of the imaginary picture from which an aligned crop's quad is taken


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is true of one face in one picture."""

    box: tuple[float, float, float, float]  # x0, y0, x1, y1 round the landmarks
    landmarks_682: Floats  # (68, 2) x, y; pixel centres are whole numbers
    emotion: int  # EmoPy's id
    intensity: float
    pose: Pose
    identity: Identity


def truth_of(landmarks_682: Floats, parameters: FaceParameters) -> Truth:
    """What the parameters say, with the landmarks that a camera saw."""
    (x0, y0), (x1, y1) = landmarks_682.min(axis=0).tolist(), landmarks_682.max(axis=0).tolist()
    emotion, intensity = shown_emotion(parameters.expression)
    return Truth(
        box=(x0, y0, x1, y1),
        landmarks_682=landmarks_682,
        emotion=emotion,
        intensity=intensity,
        pose=parameters.pose,
        identity=parameters.identity,
    )


def draw_face(parameters: FaceParameters, *, px: int, supersample: int = 2) -> tuple[NDArray[np.uint8], Truth]:
    """A square portrait, `px` wide; the face a third of it, shifted and sized as the look says.

    Gives: (px, px, 3) uint8 RGB and its truth. Equal parameters give equal bytes on one machine.
    """
    look = parameters.look
    distance = _distance_mm(look)
    focal = _EYES_SHARE * (1 + 0.08 * look.size) * px / _OUTER_EYES_MM * (distance - 70)
    centre = (px * (0.5 + 0.03 * look.shift_x) - 0.5, px * (0.44 + 0.02 * look.shift_y) - 0.5)
    camera = Camera.straight(distance_mm=distance, focal_px=focal, centre=centre)
    return _drawn(_posed(parameters), parameters, camera, px, supersample)


def draw_aligned_crop(parameters: FaceParameters, *, px: int, supersample: int = 2) -> tuple[NDArray[np.uint8], Truth]:
    """What `align_crop` would cut from an endless sharp film: the face drawn straight into its FFHQ quad."""
    posed, distance = _posed(parameters), _distance_mm(parameters.look)
    wide = Camera.straight(distance_mm=distance, focal_px=_UNIT_PX * distance / 240, centre=(0.0, 0.0))
    corners = quads_from_landmarks(posed.landmarks(wide)[None])[0].astype(np.float64)
    across, down = corners[3] - corners[0], corners[1] - corners[0]
    # the crop's pixel p shows corner + (p + 0.5) / px of the quad's sides
    to_crop = px * np.linalg.inv(np.stack([across, down], axis=1))
    matrix = wide.to_pixels_23.astype(np.float64)
    matrix = np.concatenate([to_crop @ matrix[:, :2], (to_crop @ (matrix[:, 2] - corners[0]) - 0.5)[:, None]], axis=1)
    camera = Camera(distance_mm=distance, to_pixels_23=matrix.astype(np.float32))
    return _drawn(posed, parameters, camera, px, supersample)


def _posed(parameters: FaceParameters) -> PosedPerson:
    return PosedPerson(Person(identity=parameters.identity, expression=parameters.expression, pose=parameters.pose))


def _drawn(
    posed: PosedPerson, parameters: FaceParameters, camera: Camera, px: int, supersample: int
) -> tuple[NDArray[np.uint8], Truth]:
    light = light_of(parameters.look)
    rgb_HWC = draw([posed], light, camera, _background(parameters.look, px), supersample=supersample)
    return rgb_HWC, truth_of(posed.landmarks(camera), parameters)


def _distance_mm(look: Look) -> float:
    return float(900 * 1.8**look.distance)


def _background(look: Look, px: int) -> Floats:
    """(px, px, 3) linear RGB: four colours, mixed."""
    corners = [
        [getattr(look, f"back_{corner}_{colour}") for colour in ("red", "green", "blue")]
        for corner in ("tl", "tr", "bl", "br")
    ]
    tl, tr, bl, br = np.array(corners, np.float32)
    t = ((np.arange(px, dtype=np.float32) + 0.5) / px)[:, None]
    top, bottom = tl + (tr - tl) * t, bl + (br - bl) * t
    mixed = top[None] + (bottom - top)[None] * t[:, :, None]
    return np.asarray(np.clip(mixed, 0, 1) ** GAMMA, np.float32)
