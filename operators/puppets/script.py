"""A movie before it is drawn: shots, actors, what they feel and say, and how the camera moves.

Times are seconds from the shot's first frame.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from operators.puppets.camera import Camera
from operators.puppets.expression import FEELINGS
from operators.puppets.parameters import Expression, Identity, Look, Pose
from operators.puppets.scene import Person
from schemas.video import Shot

_STRAIGHT, _PLAIN = Pose(), Look()
DISTANCE_MM = 1300.0  # of every camera: a portrait lens
_OUTER_EYES_MM = 89.0
_SYLLABLE_S = 0.15  # between two mouth shapes: about seven a second, as in brisk speech
_BLINK_S = 0.25  # from open to open
# jaw, lips apart, pucker, stretch: closed (m), open (a), wide (i), round (o), small (e)
_VISEMES = np.array(
    [(0, -0.3, 0.1, 0), (0.38, 0.5, 0, 0), (0.1, 0.5, 0, 0.45), (0.2, 0.4, 0.6, 0), (0.18, 0.4, 0, 0.1)]
)


@dataclass(frozen=True, kw_only=True)
class Feeling:
    """A point in time, and what is felt there; in between faces change smoothly."""

    at_s: float
    name: str  # of schemas.emotions
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One actor in one shot."""

    actor: int  # into Script.actors
    seed: int  # of sway, blinks, gaze and mouth shapes
    x_mm: float = 0.0
    start: Pose = _STRAIGHT
    end: Pose = _STRAIGHT
    feelings: tuple[Feeling, ...] = ()
    speech_s: tuple[float, float] | None = None  # from, to


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the camera looks: the size of a face and where the middle of the scene is in the picture."""

    eyes_px: float  # between the outer corners of a face's eyes
    x: float  # shares of the picture's sides
    y: float


@dataclass(frozen=True, kw_only=True)
class Take:
    """One shot."""

    n_frames: int
    set_seed: int  # of what stands behind
    start: View
    end: View
    parts: tuple[Part, ...] = ()  # from the farthest to the nearest; none: a landscape
    look: Look = _PLAIN
    fade_in: int = 0  # frames from black
    fade_out: int = 0  # frames to black, the last one is black


@dataclass(frozen=True, kw_only=True)
class Script:
    """A whole movie."""

    actors: tuple[Identity, ...]
    takes: tuple[Take, ...]
    width: int = 640
    height: int = 360
    fps: int = 24

    @cached_property
    def shots(self) -> tuple[Shot, ...]:
        """The true shots: a fade belongs to the shot that it ends or begins."""
        firsts = np.cumsum([0, *(take.n_frames for take in self.takes)]).tolist()
        return tuple(
            Shot(
                shot_index=i,
                first_frame=first,
                n_frames=end - first,
                start_us=self.pts_us(first),
                end_us=self.pts_us(end),
            )
            for i, (first, end) in enumerate(pairwise(firsts))
        )

    @property
    def n_frames(self) -> int:
        return sum(take.n_frames for take in self.takes)

    def pts_us(self, frame_index: int) -> int:
        return round(frame_index * 1_000_000 / self.fps)

    def camera(self, take: Take, frame: int) -> Camera:
        """The camera at a frame of the take, counted from its first."""
        view = view_at(take, frame)
        focal_px = view.eyes_px / _OUTER_EYES_MM * (DISTANCE_MM - 70)
        centre = (view.x * self.width - 0.5, view.y * self.height - 0.5)
        return Camera.straight(distance_mm=DISTANCE_MM, focal_px=focal_px, centre=centre)

    def people(self, take: Take, frame: int) -> list[Person]:
        """Everybody at a frame of the take."""
        at_s, length_s = frame / self.fps, take.n_frames / self.fps
        return [
            Person(
                identity=self.actors[part.actor],
                expression=expression_at(part, at_s, length_s),
                pose=pose_at(part, at_s, length_s),
                place_mm=(part.x_mm, 0.0, 0.0),
            )
            for part in take.parts
        ]


def view_at(take: Take, frame: int) -> View:
    """Starts and stops softly."""
    eased = float(_eased((frame + 0.5) / take.n_frames))
    start, end = take.start, take.end
    return View(
        eyes_px=start.eyes_px * (end.eyes_px / start.eyes_px) ** eased,
        x=start.x + (end.x - start.x) * eased,
        y=start.y + (end.y - start.y) * eased,
    )


def brightness_at(take: Take, frame: int) -> float:
    """1, less inside a fade, 0 at its black end. It multiplies display values, not light, so that a fade looks even."""
    into = (frame / take.fade_in) if take.fade_in else 1.0
    out_of = ((take.n_frames - 1 - frame) / take.fade_out) if take.fade_out else 1.0
    return float(min(1.0, into, out_of))


def pose_at(part: Part, at_s: float, length_s: float) -> Pose:
    """From the start's to the end's, with a little sway."""
    eased = float(_eased(at_s / length_s))
    sway = _sway(part.seed, at_s)
    yaw, pitch, roll = (
        a + (b - a) * eased + s
        for a, b, s in zip(
            (part.start.yaw, part.start.pitch, part.start.roll), (part.end.yaw, part.end.pitch, part.end.roll), sway
        , strict=True)
    )  # fmt: skip
    return Pose(yaw=yaw, pitch=pitch, roll=roll)


def expression_at(part: Part, at_s: float, length_s: float) -> Expression:
    """What is felt, said and looked at, and blinks."""
    felt = _felt_at(part.feelings, at_s)
    chance = np.random.default_rng([part.seed, 1])
    blink_times = np.cumsum(chance.uniform(1.2, 3.0, 1 + int(length_s)))
    blink = float(np.clip(1.25 - np.abs(at_s - blink_times) / (_BLINK_S / 2), 0, 1).max())
    looks = chance.uniform(-1, 1, (2 + int(length_s / 0.8), 2)) * (0.45, 0.15)
    gaze_x, gaze_y = looks[int(at_s / 0.8)].tolist()
    face = Expression(blink=blink, gaze_x=gaze_x, gaze_y=gaze_y, **felt)
    if part.speech_s is None:
        return face
    jaw, apart, pucker, stretch = _mouth_at(part.seed, part.speech_s, at_s)
    return replace(face, jaw_down=jaw, lips_apart=apart, pucker=pucker, stretch=stretch)


def _felt_at(feelings: tuple[Feeling, ...], at_s: float) -> dict[str, float]:
    felt = dict.fromkeys(FEELINGS, 0.0)
    times_s = [feeling.at_s for feeling in feelings]
    for i, feeling in enumerate(feelings):
        if feeling.name in felt:
            felt[feeling.name] += feeling.strength * _eased(_weight(times_s, i, at_s))
    return felt


def _weight(times_s: list[float], i: int, at_s: float) -> float:
    """1 at point i, falling evenly to 0 at its neighbours; the first holds before it, the last behind it."""
    ones = [float(k == i) for k in range(len(times_s))]
    return float(np.interp(at_s, times_s, ones))


def _mouth_at(seed: int, speech_s: tuple[float, float], at_s: float) -> tuple[float, float, float, float]:
    begin, end = speech_s
    n = max(2, round((end - begin) / _SYLLABLE_S))
    shapes = _VISEMES[np.random.default_rng([seed, 2]).integers(0, len(_VISEMES), n + 1)]
    shapes[[0, -1]] = 0.0
    at = np.clip((at_s - begin) / (end - begin), 0, 1) * n
    low = min(int(at), n - 1)
    mixed = shapes[low] + (shapes[low + 1] - shapes[low]) * _eased(at - low)
    jaw, apart, pucker, stretch = mixed.tolist()
    return jaw, apart, pucker, stretch


def _sway(seed: int, at_s: float) -> tuple[float, float, float]:
    """Degrees of turn, nod and tilt that nobody holding still can avoid."""
    phase = np.random.default_rng([seed, 3]).uniform(0, 2 * np.pi, (3, 2))
    waves = np.sin(phase + 2 * np.pi * at_s * np.array([0.31, 0.73])) * (1.0, 0.4)
    yaw, pitch, roll = (waves.sum(axis=1) * (2.5, 1.6, 1.3)).tolist()
    return yaw, pitch, roll


def _eased(share: float) -> float:
    """0 to 1 with a soft start and stop."""
    return float(0.5 - 0.5 * np.cos(np.pi * min(max(share, 0.0), 1.0)))
