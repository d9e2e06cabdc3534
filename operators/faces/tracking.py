"""Link the faces of the frames of one shot into tracks.

T frames of the shot, D detections in a frame, 68 landmarks of 2 coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from operators.faces.face import N_LANDMARKS, Face
from operators.faces.suppress import overlap

DISTANCE_MAX = 0.6  # of the face's side, from where it is expected; a head crosses no more between two frames
SPEED_S = 0.2  # a head keeps its speed about so long: over this much it is measured, and so far it is carried on
SIDES_MAX = 1.8  # ratio of the sides; the detector's own steps are 1.2, so two of them are allowed
FORBIDDEN = 1e6  # a pair that may not be linked; finite, because the assignment needs every cost


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkedTrack:
    """One face through consecutive frames of one shot, raw: not yet smoothed."""

    first_frame: int
    pts_us: NDArray[np.int64]  # (T,)
    landmarks_T682: NDArray[np.float32]
    confidence_T: NDArray[np.float32]  # the finder's score; 0 where the face was filled in

    @property
    def end_frame(self) -> int:
        """The first frame that is no longer in the track."""
        return self.first_frame + len(self.pts_us)


@dataclass(eq=False)
class _Open:
    """A track that may still grow: where the face was seen, and when."""

    seen: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    def expected_box(self, pts_us: NDArray[np.int64], i: int) -> NDArray[np.float64]:
        """Moved on at the speed of the last sightings; its size stays."""
        box = landmark_box(self.faces[-1].landmarks_682)
        last_us = int(pts_us[self.seen[-1]])
        since = next(k for k, j in enumerate(self.seen) if last_us - pts_us[j] <= SPEED_S * 1e6)
        if (taken_us := last_us - int(pts_us[self.seen[since]])) == 0:
            return box
        moved = _centre(box) - _centre(landmark_box(self.faces[since].landmarks_682))
        return box + np.tile(moved * min(int(pts_us[i]) - last_us, SPEED_S * 1e6) / taken_us, 2)


def link_faces(
    faces: Sequence[Sequence[Face]],
    pts_us: NDArray[np.int64],
    *,
    first_frame: int,
    max_gap_s: float,
    min_track_s: float,
    open_end: bool = False,
) -> list[LinkedTrack]:
    """Tracks of one shot, ordered by first frame, then from left to right.

    Takes: the faces and `pts_us` (T,) of consecutive frames from `first_frame` on; `open_end`: the shot goes on behind
    the last of them, so a track that reaches it is kept however short it is. Gives: tracks without holes; a face unseen
    for up to `max_gap_s` is interpolated in time and marked by confidence 0, a longer gap ends the track; a track that
    lasts less than `min_track_s` is dropped. Not promised: that two people who cross each other keep their tracks.
    """
    done: list[_Open] = []
    open_tracks: list[_Open] = []
    for i, found in enumerate(faces):
        lost = [t for t in open_tracks if pts_us[i] - pts_us[t.seen[-1]] > max_gap_s * 1e6]
        done += lost
        open_tracks = [t for t in open_tracks if t not in lost]
        taken = _assign([t.expected_box(pts_us, i) for t in open_tracks], found)
        for j, face in enumerate(found):
            if j not in taken:
                open_tracks.append(_Open())
            track = open_tracks[taken.get(j, -1)]
            track.seen.append(i)
            track.faces.append(face)
    kept = [
        t
        for t in done + open_tracks
        if _lasts_us(t, pts_us) >= min_track_s * 1e6 or (open_end and t.seen[-1] == len(pts_us) - 1)
    ]
    tracks = [_filled(t, pts_us, first_frame) for t in kept]
    return sorted(tracks, key=lambda t: (t.first_frame, float(t.landmarks_T682[0, :, 0].mean())))


def landmark_box(landmarks_682: NDArray[np.float32]) -> NDArray[np.float64]:
    """x0, y0, x1, y1 of the landmarks: steadier than the detector's box, which moves in steps of its grid."""
    return np.concatenate([landmarks_682.min(axis=0), landmarks_682.max(axis=0)]).astype(np.float64)


def _assign(expected: list[NDArray[np.float64]], found: Sequence[Face]) -> dict[int, int]:
    """For each detection that continues a track, that track's index. The sum of the costs is the smallest possible."""
    if not expected or not found:
        return {}
    boxes = [landmark_box(face.landmarks_682) for face in found]
    cost = np.array([[_cost(a, b) for b in boxes] for a in expected])
    pairs = zip(*linear_sum_assignment(cost), strict=True)
    return {int(j): int(t) for t, j in pairs if cost[t, j] < FORBIDDEN}


def _cost(expected: NDArray[np.float64], box: NDArray[np.float64]) -> float:
    side_a, side_b = (float((b[2:] - b[:2]).mean()) for b in (expected, box))
    distance = float(np.linalg.norm(_centre(expected) - _centre(box))) / ((side_a + side_b) / 2)
    if distance > DISTANCE_MAX or max(side_a, side_b) > SIDES_MAX * min(side_a, side_b):
        return FORBIDDEN
    return 1 - overlap(expected, box)[0] + distance


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return (box[:2] + box[2:]) / 2


def _filled(track: _Open, pts_us: NDArray[np.int64], first_frame: int) -> LinkedTrack:
    first, end = track.seen[0], track.seen[-1] + 1
    seen_N136 = np.stack([face.landmarks_682.ravel() for face in track.faces])
    filled = [np.interp(pts_us[first:end], pts_us[track.seen], column) for column in seen_N136.T]
    confidence = np.zeros(end - first, np.float32)
    confidence[np.array(track.seen) - first] = [face.score for face in track.faces]
    return LinkedTrack(
        first_frame=first_frame + first,
        pts_us=pts_us[first:end],
        landmarks_T682=np.stack(filled, axis=1).reshape(-1, N_LANDMARKS, 2).astype(np.float32),
        confidence_T=confidence,
    )


def _lasts_us(track: _Open, pts_us: NDArray[np.int64]) -> int:
    """Until the next frame is shown; the shot's last frame lasts as long as the one before it."""
    first, end = track.seen[0], track.seen[-1] + 1
    if end < len(pts_us):
        return int(pts_us[end] - pts_us[first])
    last_us = pts_us[-1] - pts_us[-2] if len(pts_us) > 1 else 0
    return int(pts_us[-1] - pts_us[first] + last_us)
