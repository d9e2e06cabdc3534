"""Where a path of latents bends: least squares of points in time by straight pieces that meet at knots.

T frames, P probed frames with a point (a latent) each, K knots, X coordinates of a point.
Only inner products of the points are needed, so a choice among a thousand places costs no more for large latents.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1e-6  # of a hat that no probe stands under: its knot then stays where it is. Others weigh about 1
_SWEEPS = 4  # over all knots; knots that still move then move by a frame


def hat_weights(pts_us: NDArray[np.int64], knots_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each knot contributes at each time, (T, K): rows sum to 1, with one or two entries that are not 0.

    Takes: rising `knots_us`. Times outside get the nearest knot.
    """
    # In whole microseconds first: float64 holds their differences exactly, whatever the length of the film.
    inside = np.clip(pts_us, knots_us[0], knots_us[-1]) - knots_us[0]
    places = knots_us - knots_us[0]
    return np.stack([np.interp(inside, places, row) for row in np.eye(len(knots_us))], axis=1)


def fitted_knots(
    points_PX: NDArray[np.floating], probes_us: NDArray[np.int64], knots_us: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The values at the knots, (K, X), of the pieces that come nearest to the points."""
    hats_PK = hat_weights(probes_us, knots_us)
    values_KX = np.linalg.solve(_normal(hats_PK), hats_PK.T @ points_PX)
    return values_KX.astype(np.float64)


def inner_products(points_PX: NDArray[np.floating]) -> NDArray[np.float64]:
    """(P, P), about the mean of the points: what the choice of knots needs to know of them."""
    points = points_PX.astype(np.float64)
    centred = points - points.mean(axis=0)
    products: NDArray[np.float64] = centred @ centred.T
    return products


def misfit(gram_PP: NDArray[np.float64], probes_us: NDArray[np.int64], knots_us: NDArray[np.int64]) -> float:
    """Sum of squared distances between the points and the pieces that come nearest to them."""
    hats_PK = hat_weights(probes_us, knots_us)
    explained = np.linalg.solve(_normal(hats_PK), hats_PK.T @ gram_PP @ hats_PK)
    return float(np.trace(gram_PP) - np.trace(explained))


def with_splits(
    gram_PP: NDArray[np.float64],
    probes: NDArray[np.intp],
    pts_us: NDArray[np.int64],
    knots: list[int],
    segments: Sequence[int],
    *,
    n_new: int,
    frames_min: int,
) -> list[int]:
    """`n_new` more knots inside each of the named segments, where they help most; then all inner knots settle.

    Greedy, because the best places of all knots at once are not to be had: pieces that meet do not fall apart into
    subproblems, as steps do. Settling mends what greed gets wrong: a first knot between two corners moves to one.

    Takes: `probes`, `knots`: frame numbers, rising; `frames_min`: the shortest piece, in frames.
    Gives: frame numbers, rising, ends unchanged. A segment too short to split stays whole.
    """
    cost = _cost(gram_PP, probes, pts_us)
    wider = knots
    for first, last in [(knots[i], knots[i + 1]) for i in segments]:
        for _ in range(n_new):
            candidates = [sorted([*wider, place]) for place in range(first + 1, last) if place not in wider]
            allowed = [new for new in candidates if min(b - a for a, b in pairwise(new)) >= frames_min]
            wider = min(allowed, key=cost, default=wider)
    return knots if wider == knots else settled(gram_PP, probes, pts_us, wider, frames_min=frames_min)


def settled(
    gram_PP: NDArray[np.float64],
    probes: NDArray[np.intp],
    pts_us: NDArray[np.int64],
    knots: list[int],
    *,
    frames_min: int,
) -> list[int]:
    """As many knots, each moved between its neighbours to where it fits best, in turn, until none moves."""
    cost = _cost(gram_PP, probes, pts_us)
    for _ in range(_SWEEPS):
        before = knots
        for i in range(1, len(knots) - 1):
            places = range(knots[i - 1] + frames_min, knots[i + 1] - frames_min + 1)
            moved = [[*knots[:i], place, *knots[i + 1 :]] for place in places]
            knots = min([knots, *moved], key=cost)
        if knots == before:
            break
    return knots


def without_the_least(
    gram_PP: NDArray[np.float64], probes: NDArray[np.intp], pts_us: NDArray[np.int64], knots: list[int]
) -> list[int]:
    """The knots without the inner one that is missed least. Takes: at least one inner knot."""
    fewer = [[*knots[:i], *knots[i + 1 :]] for i in range(1, len(knots) - 1)]
    return min(fewer, key=_cost(gram_PP, probes, pts_us))


def pieces(probes: NDArray[np.intp], knots: list[int]) -> list[NDArray[np.intp]]:
    """Per segment, which of the probes stand in it, the knots at its ends included."""
    return [np.flatnonzero((probes >= first) & (probes <= last)) for first, last in pairwise(knots)]


def spread_frames(first: int, last: int, n: int) -> NDArray[np.intp]:
    """`n` frames from the first to the last, both included, evenly; all of them where there are fewer."""
    return np.unique(np.linspace(first, last, min(n, last - first + 1)).round().astype(np.intp))


def _cost(
    gram_PP: NDArray[np.float64], probes: NDArray[np.intp], pts_us: NDArray[np.int64]
) -> Callable[[list[int]], float]:
    return lambda knots: misfit(gram_PP, pts_us[probes], pts_us[knots])


def _normal(hats_PK: NDArray[np.float64]) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = hats_PK.T @ hats_PK + _RIDGE * np.eye(hats_PK.shape[1])
    return normal
