"""Link the faces of the frames of one shot: who is who, from frame to frame.

T frames of the shot, 68 landmarks of 2 coordinates, 128 numbers of an identity.

First by motion, from a frame to the next, where nobody else could be meant: that gives pieces. Then pieces that end
where others begin are joined, across gaps and crossings: by motion, and by who the face is.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from operators.faces.nearness import DISTANCE_MAX, FORBIDDEN, centre, nearness
from operators.faces.sighting import Sighting, landmark_box

SPEED_S = 0.2  # a head keeps its speed about so long: over this much it is measured, and so far it is carried on
UNCLEAR = 0.5  # difference of nearness below which either of two faces may be meant: they overlap by three quarters
# Distances of identities (operators/faces/identity.py). Eight frames apart one speaking face differs by 0.2 and
# at most by 0.42 (seven clips); three men who look alike differ by 0.41 to 0.6, other strangers by 0.55 to 1.
STRANGER = 0.5  # from here on two pieces are never joined
FRIEND = 0.4  # below, a face may be farther from where it was expected
FRIEND_DISTANCE_MAX = 1.5  # of the face's side: a head that was hidden may have stopped or turned round meanwhile
NEAREST = 4  # identities of a piece that count for a join, those next to it: farther ones have other light and pose
LIGHTEST = 0.01  # weight of an identity whose score is below it: scores of dlib may be negative


@dataclass(eq=False)
class Piece:
    """Sightings of one face, in frames counted from the shot's first; joined pieces have gaps."""

    seen: list[int]
    sightings: list[Sighting]

    def box(self, k: int) -> NDArray[np.float64]:
        return landmark_box(self.sightings[k].face.landmarks_682)

    def identity(self, *, last: bool) -> NDArray[np.float64] | None:
        """Who it is at its end or at its beginning: the mean of up to NEAREST, each as heavy as its score.

        A face that is half hidden is found with a small score, and resembles others more than itself.
        """
        known = [s for s in self.sightings if s.identity_128 is not None]
        near = known[-NEAREST:] if last else known[:NEAREST]
        if not near:
            return None
        weights = [max(s.face.score, LIGHTEST) for s in near]
        mean_128: NDArray[np.float64] = np.average([s.identity_128 for s in near], axis=0, weights=weights)
        return mean_128


def link_faces(sightings: Sequence[Sequence[Sighting]], pts_us: NDArray[np.int64], *, max_gap_s: float) -> list[Piece]:
    """The faces of one shot, each with all frames in which it was seen, by first frame and then from left to right.

    Takes: the sightings and `pts_us` (T,) of consecutive frames. Gives: every sighting once. A face that was not seen
    for more than `max_gap_s` is another one from there on, and so is one whose identity differs by STRANGER.
    Not promised: that two who cross keep their tracks where their identities were not sampled, or lie closer than
    pictures of one person do.
    """
    pieces = _joined(_clear_pieces(sightings, pts_us), pts_us, max_gap_us=round(max_gap_s * 1e6))
    return sorted(pieces, key=lambda p: (p.seen[0], float(p.sightings[0].face.landmarks_682[:, 0].mean())))


def _clear_pieces(sightings: Sequence[Sequence[Sighting]], pts_us: NDArray[np.int64]) -> list[Piece]:
    """Runs of consecutive frames, each step of which is clear."""
    done: list[Piece] = []
    growing: list[Piece] = []
    for i, found in enumerate(sightings):
        continued = _clear_steps([_expected(piece, pts_us, int(pts_us[i])) for piece in growing], found)
        done += [piece for t, piece in enumerate(growing) if t not in continued.values()]
        new = []
        for j, sighting in enumerate(found):
            piece = growing[continued[j]] if j in continued else Piece(seen=[], sightings=[])
            piece.seen.append(i)
            piece.sightings.append(sighting)
            new.append(piece)
        growing = new
    return done + growing


def _clear_steps(expected: list[NDArray[np.float64]], found: Sequence[Sighting]) -> dict[int, int]:
    """For each detection that continues a piece beyond doubt, that piece's index."""
    if not expected or not found:
        return {}
    boxes = [landmark_box(sighting.face.landmarks_682) for sighting in found]
    cost = np.array([[nearness(a, b) for b in boxes] for a in expected])
    clear = {}
    for t, j in zip(*linear_sum_assignment(cost), strict=True):
        others = np.concatenate([np.delete(cost[t], j), np.delete(cost[:, j], t)])
        if cost[t, j] < FORBIDDEN and others.min(initial=FORBIDDEN) - cost[t, j] >= UNCLEAR:
            clear[int(j)] = int(t)
    return clear


def _expected(piece: Piece, pts_us: NDArray[np.int64], at_us: int) -> NDArray[np.float64]:
    """The last box moved on, at the speed of the last sightings, for SPEED_S at most; its size stays."""
    last_us = int(pts_us[piece.seen[-1]])
    since = next(k for k, i in enumerate(piece.seen) if last_us - pts_us[i] <= SPEED_S * 1e6)
    return _moved(piece.box(-1), piece.box(since), last_us - int(pts_us[piece.seen[since]]), at_us - last_us)


def _was_expected(piece: Piece, pts_us: NDArray[np.int64], at_us: int) -> NDArray[np.float64]:
    """The first box moved back: where a piece that begins came from."""
    first_us = int(pts_us[piece.seen[0]])
    until = next(k for k in reversed(range(len(piece.seen))) if pts_us[piece.seen[k]] - first_us <= SPEED_S * 1e6)
    return _moved(piece.box(0), piece.box(until), int(pts_us[piece.seen[until]]) - first_us, first_us - at_us)


def _moved(box_4: NDArray[np.float64], other_4: NDArray[np.float64], taken_us: int, for_us: int) -> NDArray[np.float64]:
    if taken_us == 0:
        return box_4
    return box_4 + np.tile((centre(box_4) - centre(other_4)) * min(for_us, round(SPEED_S * 1e6)) / taken_us, 2)


def _joined(pieces: list[Piece], pts_us: NDArray[np.int64], *, max_gap_us: int) -> list[Piece]:
    """The surest join first; what a piece was joined to counts in the next one, so that nobody joins two strangers."""
    pieces = sorted(pieces, key=lambda p: p.seen[0])
    starts_us = [int(pts_us[piece.seen[0]]) for piece in pieces]
    wishes = []
    for a, first in enumerate(pieces):
        end_us = int(pts_us[first.seen[-1]])
        for b in range(bisect_right(starts_us, end_us), bisect_right(starts_us, end_us + max_gap_us)):
            if (cost := _cost(first, pieces[b], pts_us, max_gap_us)) < FORBIDDEN:
                wishes.append((cost, a, b))
    chain_of = list(range(len(pieces)))  # the chain that a piece is in, named after its first piece
    chains = dict(enumerate(pieces))
    ends, starts = set(chains), set(chains)  # pieces that nothing follows yet, and pieces that follow nothing yet
    for _, a, b in sorted(wishes):
        first = chains[chain_of[a]]
        if a in ends and b in starts and not _unlike(first, chains[b]) >= STRANGER:
            then = chains.pop(b)
            chains[chain_of[a]] = Piece(seen=first.seen + then.seen, sightings=first.sightings + then.sightings)
            chain_of = [chain_of[a] if chain == b else chain for chain in chain_of]
            ends.discard(a)
            starts.discard(b)
    return list(chains.values())


def _cost(first: Piece, then: Piece, pts_us: NDArray[np.int64], max_gap_us: int) -> float:
    """Of joining them: how far apart they are half way, how long nothing was seen, and how unlike they are."""
    unlike = _unlike(first, then)
    if unlike >= STRANGER:
        return FORBIDDEN
    end_us, start_us = int(pts_us[first.seen[-1]]), int(pts_us[then.seen[0]])
    half_us = (end_us + start_us) // 2
    reach = FRIEND_DISTANCE_MAX if unlike < FRIEND else DISTANCE_MAX
    near = nearness(_expected(first, pts_us, half_us), _was_expected(then, pts_us, half_us), distance_max=reach)
    return near + (start_us - end_us) / max_gap_us + 2 * (unlike if np.isfinite(unlike) else STRANGER)


def _unlike(first: Piece, then: Piece) -> float:
    """Distance of their identities where they meet; nan, which is neither above nor below anything: not known."""
    before, behind = first.identity(last=True), then.identity(last=False)
    if before is None or behind is None:
        return float("nan")
    return float(np.linalg.norm(before - behind))
