"""The first pass over a segment: every face of every frame, without keeping the frames."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from operators.faces.carry import carried_between
from operators.faces.face import Face, FaceFinder
from operators.faces.identity import IdentityReader
from operators.faces.sharpness import sharpness_of
from operators.faces.sighting import Sighting, landmark_box, shorter_side
from operators.faces.suppress import overlap
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment

TOUCHING_PER_S = 12.0  # identities read of faces that touch: who comes out of a crossing is decided by them
TOUCHING = 0.02  # intersection over union of the landmarks' boxes from which on two faces touch
STAYED = 0.3  # the same, of two frames: below it one face has gone and another has come


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the first pass knows of the segment: `sightings[i]` and `pts_us[i]` belong to frame decode_first + i."""

    sightings: list[list[Sighting]]
    pts_us: NDArray[np.int64]


class SeeFaces:
    """Segment -> the faces of its frames: detected in each `detect_every`-th, carried by optical flow in between.

    Detected are the frames whose number in the film is a multiple of `detect_every`, so that the pieces of a long shot
    agree, and the first and the last frame of each shot that is looked at, so that nothing is carried across a cut.
    Identities are read `identity_per_s` times a second, at fixed times; of a face that appears; of one that vanishes,
    where it was last seen; and TOUCHING_PER_S times where two faces touch.

    Memory: frames at full size, at most the larger of `detect_every` and the finder's `frames_per_batch`, and
    `detect_every` more. Takes: `identity`; None: nobody is recognised.
    """

    def __init__(self, finder: FaceFinder, settings: FaceSettings, identity: IdentityReader | None):
        self.finder = finder
        self.settings = settings
        self.identity = identity

    def __call__(self, segment: Segment, frames: Iterable[Frame]) -> Seen:
        """Takes: the segment's frames, in order."""
        starts = {shot.first_frame for shot in segment.shots}
        sightings: list[list[Sighting]] = []
        pts_us: list[int] = []
        before: Frame | None = None
        for frame, faces in self._faces(segment, frames):
            sightings.append([Sighting(face=face, sharpness=self._sharpness(frame, face)) for face in faces])
            pts_us.append(frame.pts_us)
            if self.identity is not None:
                came = list(range(len(faces)))
                if before is not None and frame.frame_index not in starts:
                    came, left = _changed([s.face for s in sightings[-2]], faces)
                    self._recognise(before, sightings[-2], left)
                self._recognise(frame, sightings[-1], [*came, *self._due(segment, frame, faces)])
            before = frame
        return Seen(sightings=sightings, pts_us=np.array(pts_us, np.int64))

    def _faces(self, segment: Segment, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
        ends = {n for shot in segment.shots for n in (shot.first_frame, shot.end_frame - 1)}
        ends |= {segment.decode_first, segment.decode_first + segment.decode_n - 1}
        every = self.settings.detect_every
        coming = iter(frames)
        held: list[Frame] = []  # from the last frame on whose faces are known
        known: dict[int, list[Face]] = {}
        while block := list(islice(coming, max(every, self.finder.frames_per_batch))):
            held += block
            looked_at = [f for f in block if f.frame_index % every == 0 or f.frame_index in ends]
            if looked_at:
                found = self.finder([frame.rgb_HWC for frame in looked_at])
                known |= {frame.frame_index: faces for frame, faces in zip(looked_at, found, strict=True)}
            while n := next((i for i, frame in enumerate(held) if i and frame.frame_index in known), 0):
                pictures = [frame.rgb_HWC for frame in held[: n + 1]]
                first = known.pop(held[0].frame_index)
                carried = carried_between(self.finder, pictures, first, known[held[n].frame_index]) if n > 1 else []
                yield from zip(held[:n], [first, *carried], strict=True)
                del held[:n]
        yield from ((frame, known[frame.frame_index]) for frame in held)

    def _sharpness(self, frame: Frame, face: Face) -> float | None:
        return sharpness_of(frame.rgb_HWC, face.landmarks_682) if self.settings.min_sharpness > 0 else None

    def _due(self, segment: Segment, frame: Frame, faces: Sequence[Face]) -> list[int]:
        """Faces whose time has come. The clock is the film's, so the pieces of a long shot agree."""
        before_us = int(segment.video.pts_us[frame.frame_index - 1]) if frame.frame_index else -1

        def strikes(per_s: float) -> bool:
            return int(frame.pts_us * per_s // 1e6) > int(before_us * per_s // 1e6)

        if strikes(self.settings.identity_per_s):
            return list(range(len(faces)))
        return _touching(faces) if len(faces) > 1 and strikes(TOUCHING_PER_S) else []

    def _recognise(self, frame: Frame, sightings: list[Sighting], wanted: Sequence[int]) -> None:
        """Of those wanted, once each; not of faces that are too small to be kept."""
        assert self.identity is not None
        for j in sorted(set(wanted)):
            sighting = sightings[j]
            if sighting.identity_128 is None and shorter_side(sighting.face) >= self.settings.min_face_px:
                (identity_128,) = self.identity(frame.rgb_HWC, sighting.face.landmarks_682[None])
                sharpness = sharpness_of(frame.rgb_HWC, sighting.face.landmarks_682)
                sightings[j] = replace(sighting, identity_128=identity_128, sharpness=sharpness)


def _changed(before: Sequence[Face], now: Sequence[Face]) -> tuple[list[int], list[int]]:
    """Who came, as indices of `now`, and who left, as indices of `before`."""
    shared = np.array([[_shared(a, b) for b in now] for a in before]).reshape(len(before), len(now))
    came = [j for j in range(len(now)) if shared[:, j].max(initial=0) < STAYED]
    return came, [i for i in range(len(before)) if shared[i].max(initial=0) < STAYED]


def _touching(faces: Sequence[Face]) -> list[int]:
    return [i for i, a in enumerate(faces) if any(i != j and _shared(a, b) > TOUCHING for j, b in enumerate(faces))]


def _shared(a: Face, b: Face) -> float:
    return overlap(landmark_box(a.landmarks_682), landmark_box(b.landmarks_682))[0]
