"""A script drawn: frames, and everything that is true of them as one Arrow table.

H, W, C = 3 of a frame. A table row is one face in one frame; a frame without a face has one row with nulls.
"""

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.puppets.expression import shown_emotion
from operators.puppets.light import light_of
from operators.puppets.parameters import FaceParameters
from operators.puppets.scene import Person, PosedPerson, draw
from operators.puppets.script import Script, Take, brightness_at, view_at
from operators.puppets.sets import landscape_seen, room_seen

Floats = NDArray[np.float32]

_FLOATS = pa.list_(pa.float32())
TRUTH_SCHEMA = pa.schema(
    [
        ("frame_index", pa.int32()),
        ("pts_us", pa.int64()),
        ("shot_index", pa.int32()),
        ("brightness", pa.float32()),  # below 1 inside a fade
        ("face_index", pa.int32()),  # within the shot, from the left
        ("actor", pa.int32()),
        ("emotion", pa.int8()),
        ("intensity", pa.float32()),
        ("yaw", pa.float32()),
        ("pitch", pa.float32()),
        ("roll", pa.float32()),
        ("box", _FLOATS),  # x0, y0, x1, y1 round the landmarks
        ("landmarks", _FLOATS),  # 136: x, y of the 68 points, pixel centres whole
        ("parameters", _FLOATS),  # of operators.puppets.parameters
    ]
)


def movie_frames(script: Script, *, supersample: int = 2) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) uint8 RGB frames, in order."""
    for take in script.takes:
        for frame in range(take.n_frames):
            yield frame_of(script, take, frame, supersample=supersample)


def frame_of(script: Script, take: Take, frame: int, *, supersample: int = 2) -> NDArray[np.uint8]:
    """One frame, counted from the take's first."""
    people = [PosedPerson(person) for person in script.people(take, frame)]
    rgb_HWC = draw(
        people,
        light_of(take.look),
        script.camera(take, frame),
        _behind(script, take, frame),
        supersample=supersample,
    )
    brightness = brightness_at(take, frame)
    return rgb_HWC if brightness == 1 else np.rint(rgb_HWC * brightness).astype(np.uint8)


def movie_truth(script: Script) -> pa.Table:
    """The table of TRUTH_SCHEMA, ordered by frame and face. It is computed, not seen: nothing is drawn for it."""
    rows: list[dict[str, object]] = []
    for shot, take in zip(script.shots, script.takes, strict=True):
        for frame in range(take.n_frames):
            index = shot.first_frame + frame
            common: dict[str, object] = {
                "frame_index": index,
                "pts_us": script.pts_us(index),
                "shot_index": shot.shot_index,
                "brightness": brightness_at(take, frame),
            }
            rows += [common | face for face in _faces(script, take, frame)] or [common]
    return pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)


def _faces(script: Script, take: Take, frame: int) -> list[dict[str, object]]:
    camera = script.camera(take, frame)
    people = script.people(take, frame)
    order = np.argsort([part.x_mm for part in take.parts], kind="stable").tolist()
    return [
        {"face_index": i, "actor": take.parts[k].actor}
        | _face(people[k], PosedPerson(people[k]).landmarks(camera), take)
        for i, k in enumerate(order)
    ]


def _face(person: Person, landmarks_682: Floats, take: Take) -> dict[str, object]:
    emotion, intensity = shown_emotion(person.expression)
    yaw, pitch, roll = astuple(person.pose)
    parameters = FaceParameters(
        identity=person.identity, expression=person.expression, pose=person.pose, look=take.look
    )
    return {
        "emotion": emotion,
        "intensity": intensity,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "box": [*landmarks_682.min(axis=0).tolist(), *landmarks_682.max(axis=0).tolist()],
        "landmarks": landmarks_682.ravel().tolist(),
        "parameters": parameters.vector().tolist(),
    }


def _behind(script: Script, take: Take, frame: int) -> Floats:
    """The set, which moves half as far as the actors: it stands twice as far away."""
    now = view_at(take, frame)
    dx, dy = 0.5 * script.width * (now.x - take.start.x), 0.5 * script.height * (now.y - take.start.y)
    if not take.parts:
        return landscape_seen(take.set_seed, script.height, script.width, dx=4 * dx)
    zoom = (now.eyes_px / take.start.eyes_px) ** 0.5
    return room_seen(take.set_seed, script.height, script.width, dx=dx, dy=dy, zoom=zoom)
