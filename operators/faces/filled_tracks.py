"""Linked faces as tracks without holes: what a filter leaves out is unseen, short gaps are filled in, long ones split.

T frames of a track, 68 landmarks of 2 coordinates, 128 numbers of an identity.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from operators.faces.face import N_LANDMARKS
from operators.faces.pose import turned_deg
from operators.faces.sighting import Sighting, shorter_side
from operators.faces.tracking import Piece
from schemas.clips import Dropped
from schemas.face_settings import FaceSettings

BEST = 5  # sightings whose mean is a track's identity: enough to average the network's flicker, few enough to be good
SCORE_MIN = 1e-3  # of a seen face, whose finder may score below 0: 0 means that it was filled in


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkedTrack:
    """One face through consecutive frames of one shot, raw: not yet smoothed."""

    first_frame: int
    pts_us: NDArray[np.int64]  # (T,)
    landmarks_T682: NDArray[np.float32]
    confidence_T: NDArray[np.float32]  # the finder's score, halved where carried; 0 where the face was filled in
    identity_128: NDArray[np.float32] | None = None

    @property
    def end_frame(self) -> int:
        """The first frame that is no longer in the track."""
        return self.first_frame + len(self.pts_us)


def filled_tracks(
    linked: Sequence[Piece],
    pts_us: NDArray[np.int64],
    settings: FaceSettings,
    *,
    first_frame: int,
    answers_for: range,
    open_end: bool = False,
) -> tuple[list[LinkedTrack], Dropped]:
    """Tracks of one shot in the order of their first frames, and how many faces were left out, by reason.

    Takes: the shot's linked faces and `pts_us` of its frames from `first_frame` on; `open_end`: the shot goes on behind
    them, so a track that reaches the last one is kept however short it is. A face unseen, or left out by a filter, for
    up to `max_gap_s` is interpolated in time and marked by confidence 0; a longer gap ends the track. What lasts less
    than `min_track_s` is dropped, before the filters as a false find, which counts nowhere, and behind them.
    Counted are faces in frames of `answers_for`, each once: for its size, else its pose, else its sharpness.
    """

    def lasts(piece: Piece) -> bool:
        return _lasts_us(piece, pts_us) >= settings.min_track_s * 1e6 or (
            open_end and piece.seen[-1] == len(pts_us) - 1
        )

    tracks: list[LinkedTrack] = []
    counts: Counter[str] = Counter()
    for piece in filter(lasts, linked):
        reasons = _reasons(piece.sightings, settings)
        counts.update(r for i, r in zip(piece.seen, reasons, strict=True) if r and first_frame + i in answers_for)
        identity_128 = _identity(piece.sightings)
        for run in _split(_kept(piece, reasons), pts_us, settings.max_gap_s):
            if lasts(run):
                tracks.append(_filled(run, pts_us, first_frame, identity_128))
    tracks.sort(key=lambda t: (t.first_frame, float(t.landmarks_T682[0, :, 0].mean())))
    return tracks, Dropped(**counts)


def _reasons(
    sightings: Sequence[Sighting], settings: FaceSettings
) -> list[Literal["small", "turned", "blurred"] | None]:
    small_T = np.array([shorter_side(s.face) < settings.min_face_px for s in sightings])
    turned_T = blurred_T = np.zeros(len(sightings), bool)
    if settings.max_turn_deg is not None:
        turn_T3 = turned_deg(np.stack([s.face.landmarks_682 for s in sightings]))
        turned_T = np.abs(turn_T3[:, :2]).max(axis=1) > settings.max_turn_deg
    if settings.min_sharpness > 0:
        blurred_T = np.array([(s.sharpness or 0.0) < settings.min_sharpness for s in sightings])
    return [
        "small" if small else "turned" if turned else "blurred" if blurred else None
        for small, turned, blurred in zip(small_T, turned_T, blurred_T, strict=True)
    ]


def _kept(piece: Piece, reasons: Sequence[str | None]) -> Piece:
    kept = [k for k, reason in enumerate(reasons) if reason is None]
    return Piece(seen=[piece.seen[k] for k in kept], sightings=[piece.sightings[k] for k in kept])


def _split(piece: Piece, pts_us: NDArray[np.int64], max_gap_s: float) -> list[Piece]:
    if not piece.seen:
        return []
    after = np.flatnonzero(np.diff(pts_us[piece.seen]) > max_gap_s * 1e6) + 1
    cuts = [0, *after.tolist(), len(piece.seen)]
    return [Piece(seen=piece.seen[a:b], sightings=piece.sightings[a:b]) for a, b in pairwise(cuts)]


def _identity(sightings: Sequence[Sighting]) -> NDArray[np.float32] | None:
    """The mean over the sharpest and most frontal sightings that were recognised; None where none was."""
    known = [s for s in sightings if s.identity_128 is not None]
    if not known:
        return None
    frontal_N = np.cos(
        np.deg2rad(np.abs(turned_deg(np.stack([s.face.landmarks_682 for s in known]))[:, :2]).max(axis=1))
    )
    good_N = frontal_N * [s.sharpness or 0.0 for s in known]
    best = np.argsort(-good_N, kind="stable")[:BEST]
    mean_128: NDArray[np.float32] = np.mean([known[k].identity_128 for k in best], axis=0, dtype=np.float64)
    return mean_128.astype(np.float32)


def _filled(
    piece: Piece, pts_us: NDArray[np.int64], first_frame: int, identity_128: NDArray[np.float32] | None
) -> LinkedTrack:
    first, end = piece.seen[0], piece.seen[-1] + 1
    seen_N136 = np.stack([s.face.landmarks_682.ravel() for s in piece.sightings])
    filled = [np.interp(pts_us[first:end], pts_us[piece.seen], column) for column in seen_N136.T]
    confidence = np.zeros(end - first, np.float32)
    confidence[np.array(piece.seen) - first] = [max(s.face.score, SCORE_MIN) for s in piece.sightings]
    return LinkedTrack(
        first_frame=first_frame + first,
        pts_us=pts_us[first:end],
        landmarks_T682=np.stack(filled, axis=1).reshape(-1, N_LANDMARKS, 2).astype(np.float32),
        confidence_T=confidence,
        identity_128=identity_128,
    )


def _lasts_us(piece: Piece, pts_us: NDArray[np.int64]) -> int:
    """Until the next frame is shown; the shot's last frame lasts as long as the one before it."""
    first, end = piece.seen[0], piece.seen[-1] + 1
    if end < len(pts_us):
        return int(pts_us[end] - pts_us[first])
    last_us = pts_us[-1] - pts_us[-2] if len(pts_us) > 1 else 0
    return int(pts_us[-1] - pts_us[first] + last_us)
