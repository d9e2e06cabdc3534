"""Which tracks show one person: identities gathered into people, of whom some are known already.

N tracks, P people, G groups, 128 numbers of an identity. Distances are Euclidean; the network puts two pictures of one
person less than 0.6 apart, and the means of tracks, which are less noisy, nearer.

New tracks are gathered among themselves first (agglomerative clustering by centroids, weighted by frames: Sokal and
Michener 1958), then each group joins the nearest person that is near enough, or is a new one. Known people never merge.
Measured beside it (docs/people.md): the longest first, average and complete linkage, Chinese whispers.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

GATHERED_AT_ONCE = 4096  # tracks; a matrix of their distances has 64 MB
_PEOPLE_AT_ONCE = 2048  # compared with so many groups at most: 32 MB, and as much again while they are made


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class People:
    """Everybody known, in the order in which they were founded."""

    person_ids: list[str]
    identity_P128: Floats  # mean over their tracks, weighted by frames
    n_tracks_P: NDArray[np.int64]
    n_frames_P: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.person_ids)


NOBODY = People(
    person_ids=[],
    identity_P128=np.empty((0, 128), np.float32),
    n_tracks_P=np.empty(0, np.int64),
    n_frames_P=np.empty(0, np.int64),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class NewTracks:
    """Tracks that are nobody's yet."""

    track_ids: list[str]
    identity_N128: Floats
    n_frames_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track_ids)


def tell_apart(known: People, new: NewTracks, threshold: float) -> tuple[People, list[str]]:
    """Everybody known afterwards, the known first, and the person_id of each new track.

    The longest tracks are gathered first: they found people, of whom short ones are then near or not. A person is named
    after the longest track of those that founded them.
    Not promised: the same people when the same tracks come in several calls in another order. They are the same, but
    for their names, where any two tracks of one person lie less than the threshold apart, and any two of different
    people more than twice as far.
    """
    order = sorted(range(len(new)), key=lambda i: (-int(new.n_frames_N[i]), new.track_ids[i]))
    names = [""] * len(new)
    for start in range(0, len(order), GATHERED_AT_ONCE):
        some = order[start : start + GATHERED_AT_ONCE]
        known, found = _tell_some_apart(known, _taken(new, some), threshold)
        for i, name in zip(some, found, strict=True):
            names[i] = name
    return known, names


def _taken(new: NewTracks, some: list[int]) -> NewTracks:
    return NewTracks(
        track_ids=[new.track_ids[i] for i in some],
        identity_N128=new.identity_N128[some],
        n_frames_N=new.n_frames_N[some],
    )


def _tell_some_apart(known: People, new: NewTracks, threshold: float) -> tuple[People, list[str]]:
    """Takes: the longest track first."""
    founders, group_N = np.unique(gather(new.identity_N128, new.n_frames_N, threshold), return_inverse=True)
    n_tracks_G = np.bincount(group_N)
    n_frames_G = np.bincount(group_N, weights=new.n_frames_N).astype(np.int64)
    sum_G128 = np.zeros((len(founders), 128))
    np.add.at(sum_G128, group_N, new.identity_N128 * new.n_frames_N[:, None].astype(np.float64))
    person_G, distance_G = nearest(known.identity_P128, (sum_G128 / n_frames_G[:, None]).astype(np.float32))

    person_ids, taken = list(known.person_ids), set(known.person_ids)
    for group in np.flatnonzero(~(distance_G < threshold)):
        person_G[group] = len(person_ids)
        person_ids.append(_person_id(new.track_ids[founders[group]], taken))
        taken.add(person_ids[-1])

    n_new = len(person_ids) - len(known)
    n_frames_P = np.concatenate([known.n_frames_P, np.zeros(n_new, np.int64)])
    n_tracks_P = np.concatenate([known.n_tracks_P, np.zeros(n_new, np.int64)])
    identity_P128 = np.concatenate([known.identity_P128, np.zeros((n_new, 128), np.float32)])
    met, met_G = np.unique(person_G, return_inverse=True)
    sum_M128 = identity_P128[met] * n_frames_P[met, None].astype(np.float64)
    np.add.at(sum_M128, met_G, sum_G128)
    np.add.at(n_frames_P, person_G, n_frames_G)
    np.add.at(n_tracks_P, person_G, n_tracks_G)
    identity_P128[met] = sum_M128 / n_frames_P[met, None]
    people = People(person_ids=person_ids, identity_P128=identity_P128, n_tracks_P=n_tracks_P, n_frames_P=n_frames_P)
    return people, [person_ids[person_G[group]] for group in group_N]


def _person_id(track_id: str, taken: set[str]) -> str:
    """Of the track that founds a person; of that again where a person has it who was founded by it and moved away."""
    name = f"p{hashlib.sha256(track_id.encode()).hexdigest()[:16]}"
    return _person_id(name, taken) if name in taken else name


def nearest(people_P128: Floats, identity_N128: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Of each identity the nearest person, (N,), and how far away they are; 0 and infinity where there is nobody."""
    best_N, least_N = np.zeros(len(identity_N128), np.intp), np.full(len(identity_N128), np.inf, np.float32)
    for start in range(0, len(people_P128), _PEOPLE_AT_ONCE):
        some_P128 = people_P128[start : start + _PEOPLE_AT_ONCE]
        beyond_NP = identity_N128 @ (-2 * some_P128.T)  # the square of the distance, without that of the identity
        beyond_NP += (some_P128**2).sum(axis=1)
        here_N = beyond_NP.argmin(axis=1)
        beyond_N = np.take_along_axis(beyond_NP, here_N[:, None], axis=1)[:, 0]
        best_N = np.where(beyond_N < least_N, start + here_N, best_N)
        least_N = np.minimum(beyond_N, least_N)
    return best_N, np.sqrt(np.maximum(least_N + (identity_N128**2).sum(axis=1), 0))


def gather(identity_N128: Floats, n_frames_N: NDArray[np.int64], threshold: float) -> NDArray[np.intp]:
    """(N,) the first track of each one's group. The two nearest groups become one until none are near enough.

    Needs 4 N² bytes, and time that grows as N².
    """
    n = len(identity_N128)
    mean_N128, weight_N = identity_N128.copy(), n_frames_N.astype(np.float64)
    group_N, everyone = np.arange(n), np.arange(n)
    square_NN = _squares(mean_N128, mean_N128)
    np.fill_diagonal(square_NN, np.inf)
    nearest_N = square_NN.argmin(axis=1) if n else group_N
    least_N = square_NN[everyone, nearest_N]
    while n and least_N.min() < threshold**2:
        here = int(least_N.argmin())
        i, j = sorted((here, int(nearest_N[here])))
        mean_N128[i] = np.average(mean_N128[[i, j]], axis=0, weights=weight_N[[i, j]])
        weight_N[i] += weight_N[j]
        group_N[group_N == j] = i
        square_N = _squares(mean_N128[i : i + 1], mean_N128)[0]
        square_N[group_N != everyone] = np.inf  # what has become part of another
        square_N[i] = np.inf
        square_NN[j], square_NN[:, j] = np.inf, np.inf
        square_NN[i], square_NN[:, i] = square_N, square_N
        nearest_N[square_N < least_N] = i
        again = np.flatnonzero((nearest_N == i) | (nearest_N == j) | (everyone == i))
        nearest_N[again] = square_NN[again].argmin(axis=1)
        least_N[again] = square_NN[again, nearest_N[again]]
        least_N[j] = np.inf
    return group_N


def _squares(a_N128: Floats, b_M128: Floats) -> Floats:
    """(N, M) squared distances."""
    lengths = (a_N128**2).sum(axis=1)[:, None] + (b_M128**2).sum(axis=1)[None]
    squares: Floats = np.maximum(lengths - 2 * (a_N128 @ b_M128.T), 0)
    return squares
